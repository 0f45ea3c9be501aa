package contextforge

import (
	"math"
	"regexp"
	"strconv"

	"github.com/custody-audit/custody/schemas/event"
)

const exchangeEvent = "token-exchange"

// grantType is the only one of these records (RFC 8693 section 2.1).
const grantType = "urn:ietf:params:oauth:grant-type:token-exchange"

// exchange is the record of one attempt to exchange a token.
type exchange struct {
	Event          string   `json:"event"`
	UserEmail      string   `json:"user_email"`
	GatewayID      string   `json:"gateway_id"`
	TargetAudience string   `json:"target_audience"`
	Success        *bool    `json:"success"`
	ExpiresIn      *float64 `json:"exchanged_token_expires_in"`
	Upstream       string   `json:"upstream"`
	LatencyMS      *float64 `json:"latency_ms"`
	Error          string   `json:"error"`
	CorrelationID  string   `json:"correlation_id"`
	RequestID      string   `json:"request_id"`
}

// event returns the token_exchange; its time stands in the field of that name.
func (x *exchange) event(field, at string) (*event.Event, error) {
	t, err := parseTime(field, at)
	if err != nil {
		return nil, err
	}
	if x.Success == nil {
		return nil, event.Problems{{Field: "success", Reason: "is required"}}
	}
	e := &event.Event{Kind: event.TokenExchange, Type: event.TypeTokenExchange, Time: t, Outcome: event.Success}
	e.Server = event.Server{ID: x.GatewayID, Name: x.Upstream}
	e.Exchange.GrantType = grantType
	if x.TargetAudience != "" {
		e.Exchange.RequestedAudience = []string{x.TargetAudience}
	}
	e.Warnings = append(e.Warnings, "no token reference: ContextForge does not tell which tokens were exchanged")
	subject(e, x.UserEmail)
	if !*x.Success {
		x.failure(e)
	}
	x.numbers(e)
	e.Correlation.RequestID = x.RequestID
	if x.RequestID == "" {
		e.Correlation.RequestID = x.CorrelationID
	}
	e.SetAttribute("contextforge.correlation_id", x.CorrelationID)
	return e, nil
}

func (x *exchange) numbers(e *event.Event) {
	if n, ok := whole(x.ExpiresIn); ok {
		e.Exchange.ExpiresIn = n
	} else if x.ExpiresIn != nil {
		e.Warnings = append(e.Warnings, "exchanged_token_expires_in is no number of seconds; left out")
	}
	if n, ok := whole(x.LatencyMS); ok {
		e.SetAttribute("contextforge.latency_ms", strconv.FormatInt(n, 10))
	}
}

var (
	oauthError = regexp.MustCompile(`\b(access_denied|unauthorized_client|invalid_target|invalid_scope|invalid_grant|invalid_client|invalid_request|unsupported_grant_type)\b`)
	httpStatus = regexp.MustCompile(`'([45][0-9]{2}) `) // as httpx words it
)

// failure tells what became of an exchange that failed. Of the text, which may
// repeat what the authorization server said, only an OAuth error code (RFC 6749
// section 5.2, RFC 8693 section 2.2.2) and the HTTP status are kept. A refusal
// by the server's policy is denied, another answer of it failure; without an
// answer the exchange could not be carried out.
func (x *exchange) failure(e *event.Event) {
	e.Outcome = event.Error
	code, status := oauthError.FindString(x.Error), ""
	if m := httpStatus.FindStringSubmatch(x.Error); m != nil {
		status = m[1]
	}
	switch {
	case code == "access_denied", code == "unauthorized_client", code == "invalid_target", code == "invalid_scope", status == "403":
		e.Outcome = event.Denied
	case code != "", status != "" && status[0] == '4':
		e.Outcome = event.Failure
	}
	e.SetAttribute("oauth.error", code)
	e.SetAttribute("http.response.status_code", status)
}

// whole is a count from 0 to 2^53.
func whole(f *float64) (int64, bool) {
	if f == nil || *f < 0 || *f > 1<<53 || *f != math.Trunc(*f) {
		return 0, false
	}
	return int64(*f), true
}
