package cerbos

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// claims reads the token whose claims the caller passed as auxData. Whether
// Cerbos verified it is a matter of its configuration, and not in the entry.
func claims(e *event.Event, asked input) {
	jwt := asked.AuxData.JWT
	if len(asked.AuxData.JWTs) > 1 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("auxData has %d tokens: none was taken for the one presented", len(asked.AuxData.JWTs)))
	}
	if len(asked.AuxData.JWTs) == 1 && len(jwt) == 0 {
		for _, only := range asked.AuxData.JWTs {
			jwt = only.Claims
		}
	}
	if len(jwt) == 0 {
		return
	}
	e.Token = event.Token{
		JTI: text(jwt["jti"]), Iss: text(jwt["iss"]), Audience: collector.CutList(e, "token.audience", list(jwt["aud"]), maxListBytes), Scope: collector.CutList(e, "token.scope", list(jwt["scope"]), maxListBytes),
		IssuedAt: seconds(jwt["iat"]), NotBefore: seconds(jwt["nbf"]), ExpiresAt: seconds(jwt["exp"]),
	}
	if e.Token.ExpiresAt != 0 && e.Token.ExpiresAt < e.Token.IssuedAt {
		e.Token.ExpiresAt = 0
		e.Warnings = append(e.Warnings, "claim exp is before iat; left out")
	}
	e.Client.ID = text(jwt["client_id"])
	if e.Client.ID == "" {
		e.Client.ID = text(jwt["azp"])
	}
	e.Correlation.TransactionID = text(jwt["txn"])
	switch sub := text(jwt["sub"]); {
	case sub == "":
	case e.Subject.Sub == sub:
		e.Subject.Iss = e.Token.Iss // the caller's principal is the token's
	default:
		e.Warnings = append(e.Warnings, "the principal is not the subject of the token in auxData")
	}
	chain(e, jwt["act"])
}

// chain reads the claim act, the current actor outermost (RFC 8693 section 4.1).
func chain(e *event.Event, claim any) {
	if claim == nil {
		return
	}
	raw, err := json.Marshal(claim)
	tooLong := err != nil || len(raw) > event.MaxChainRaw
	if !tooLong {
		e.ChainRaw = string(raw)
	}
	for claim != nil && e.ChainMalformed == "" && !e.ChainTruncated {
		act, _ := claim.(map[string]any)
		link := event.Link{Iss: text(act["iss"]), Sub: text(act["sub"])}
		switch {
		case act == nil:
			e.ChainMalformed = fmt.Sprintf("act at depth %d is no object", len(e.Chain)+1)
		case link == event.Link{}:
			e.ChainMalformed = fmt.Sprintf("act at depth %d names nobody", len(e.Chain)+1)
		case len(e.Chain) == event.MaxChain, len(e.Chain) == 1 && tooLong:
			e.ChainTruncated = true
		default:
			e.Chain = append(e.Chain, link)
		}
		claim = act["act"]
	}
	if e.ChainMalformed != "" || e.ChainTruncated {
		e.Warnings = append(e.Warnings, "the claim act could not be read whole")
	}
	if len(e.Chain) > 0 {
		e.Actor = event.Party{Iss: e.Chain[0].Iss, Sub: e.Chain[0].Sub}
	}
}

// list reads an array of strings or a text split at spaces.
func list(v any) []string {
	if s, ok := v.(string); ok {
		return strings.Fields(s)
	}
	items, _ := v.([]any)
	var out []string
	for _, item := range items {
		if s := text(item); s != "" {
			out = append(out, s)
		}
	}
	return out
}

const maxSeconds = 253402300800 // the year 10000

func seconds(v any) event.Time {
	n, ok := v.(float64)
	if !ok || n <= 0 || n >= maxSeconds {
		return 0
	}
	return event.TimeOf(time.Unix(int64(n), 0))
}
