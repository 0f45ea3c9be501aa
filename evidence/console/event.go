package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// eventView is one event.
type eventView struct {
	*query.Stored
	Groups  []factGroup
	Pretty  string // Raw, indented
	Verdict *query.Verdict
	Chain   string // link to its chain; empty where nobody may see it
	Proof   string // link to a bundle
	Near    []exportLink
}

// factGroup is facts that belong together.
type factGroup struct {
	Name  string
	Facts []fact
}

type fact struct {
	Name string
	// Value is a text, a reference or a time.
	Value any
}

func showEvent(q *request) (*view, error) {
	id := q.PathValue("id")
	s := &query.Stored{}
	if err := q.get("/events/"+url.PathEscape(id), s); err != nil {
		return nil, err
	}
	e := &eventView{Stored: s, Groups: factsOf(s)}
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(s.Raw), "", "  ") == nil {
		e.Pretty = event.Visible(pretty.String(), "\n")
	}
	if s.Event.Kind == event.ToolInvocation && q.who.May(string(api.ReadVerdicts)) {
		var answer struct{ Verdict *query.Verdict }
		if err := q.get("/verdicts/"+url.PathEscape(id), &answer); err != nil && status(err) != http.StatusNotFound { // it is not judged yet
			return nil, err
		}
		e.Verdict = answer.Verdict
	}
	if q.who.May(string(api.ReadChains)) {
		e.Chain = link(q.tenant, "/chain", "start", id)
	}
	if q.who.May(string(api.Export)) {
		e.Proof = link(q.tenant, api.Prefix+"/proof", "filter", "id:"+id)
	}
	e.Near = near(q, s.Event)
	return &view{name: "event", title: "Event", data: e}, nil
}

// near are searches for events that belong to this one.
func near(q *request, e *event.Event) []exportLink {
	var out []exportLink
	for _, x := range []struct{ name, field, value string }{
		{"the same trace", "trace", e.Correlation.TraceID}, {"the same task", "task", e.Correlation.TaskID}, {"the same token", "token", e.Token.Ref},
		{"the same actor", "actor", e.Actor.Sub}, {"the same server", "server", e.Server.ID},
	} {
		if term := term(x.field, x.value); term != "" {
			out = append(out, exportLink{x.name, link(q.tenant, "/search", "filter", term)})
		}
	}
	return out
}

// term is a term of a filter; empty where the field is unknown or the value cannot be
// said in one.
func term(name, value string) string {
	if value == "" || len(value) > 500 || strings.ContainsAny(value, `",`) || strings.HasSuffix(value, "*") || !knownField(name) {
		return ""
	}
	if strings.Contains(value, " ") {
		value = `"` + value + `"`
	}
	return name + ":" + value
}

var knownFields = query.Fields()

func knownField(name string) bool { return slices.Contains(knownFields, name) }

// factsOf are the fields of an event that say something, in groups.
func factsOf(s *query.Stored) []factGroup {
	e, f := s.Event, &s.Facts
	groups := []factGroup{
		{"Who", []fact{
			{"actor", party(e.Actor)}, {"actor's issuer", e.Actor.Iss}, {"actor's owner", f.ActorOwner}, {"on behalf of", party(e.Subject)}, {"their issuer", e.Subject.Iss},
			{"their owner", f.SubjectOwner}, {"chain", chainText(e)}, {"chain as the source told it", e.ChainMalformed}, {"client", cmp.Or(e.Client.ID, e.Client.Name)}, {"address", e.ClientAddress}, {"user agent", e.UserAgent},
		}},
		{"What", []fact{
			{"server", cmp.Or(e.Server.ID, e.Server.Name)}, {"server's owner", f.ServerOwner}, {"upstream", e.Upstream}, {"tool", e.Tool.Name}, {"sensitivity", f.Sensitivity}, {"result", e.Tool.ResultStatus},
			{"error", e.Tool.ErrorCode}, {"arguments", cmp.Or(e.Tool.Arguments, strings.Join(e.Tool.ArgumentNames, ", "))}, {"arguments' hash", e.Tool.ArgumentsHash},
		}},
		{"Decision", []fact{
			{"effect", e.Decision.Effect}, {"engine", e.Decision.Engine}, {"policy", e.Decision.Policy}, {"version", e.Decision.PolicyVersion}, {"rule", e.Decision.Rule}, {"reason", e.Decision.Reason},
			{"action", e.Decision.Action}, {"resource", e.Decision.Resource}, {"decision id", e.Decision.ID},
		}},
		{"Token", []fact{
			{"reference", e.Token.Ref}, {"issuer", e.Token.Iss}, {"audience", strings.Join(e.Token.Audience, " ")}, {"audience check", f.AudienceCheck}, {"scope", strings.Join(e.Token.Scope, " ")}, {"scope check", f.ScopeCheck},
			{"issued", e.Token.IssuedAt}, {"expires", e.Token.ExpiresAt}, {"verified", string(e.Token.Verified)}, {"binding", e.Token.Confirmation},
		}},
		{"Exchange", []fact{
			{"subject token", e.Exchange.SubjectTokenRef}, {"actor token", e.Exchange.ActorTokenRef}, {"issued token", e.Exchange.IssuedTokenRef}, {"requested scope", strings.Join(e.Exchange.RequestedScope, " ")},
			{"granted scope", strings.Join(e.Exchange.GrantedScope, " ")}, {"requested audience", strings.Join(e.Exchange.RequestedAudience, " ")},
		}},
		{"Joins", []fact{
			{"trace", e.Correlation.TraceID}, {"task", e.Correlation.TaskID}, {"session", e.Correlation.SessionID}, {"request", e.Correlation.RequestID}, {"JSON-RPC id", e.Correlation.JSONRPCID}, {"transaction", e.Correlation.TransactionID}, {"decision", e.Correlation.DecisionID},
		}},
	}
	out := groups[:0]
	for _, g := range groups {
		kept := g.Facts[:0]
		for _, x := range g.Facts {
			if said(x.Value) {
				kept = append(kept, x)
			}
		}
		if len(kept) > 0 {
			out = append(out, factGroup{g.Name, kept})
		}
	}
	return out
}

func said(value any) bool {
	switch v := value.(type) {
	case string:
		return v != ""
	case event.Effect:
		return v != ""
	case event.Time:
		return v != 0
	}
	return true
}

func party(p event.Party) string {
	s := p.Sub
	if p.Name != "" && p.Name != p.Sub {
		s = strings.TrimSpace(p.Name + " (" + p.Sub + ")")
	}
	if p.Type != "" && s != "" {
		s += ", " + string(p.Type)
	}
	return s
}

func chainText(e *event.Event) string {
	var names []string
	for _, l := range e.Chain {
		names = append(names, l.Sub)
	}
	return strings.Join(names, " ← ")
}
