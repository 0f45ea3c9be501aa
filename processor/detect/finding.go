package detect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Finding is something that a rule found, in its newest state.
type Finding struct {
	Key         string   `json:"key" ch:"key"`
	Tenant      string   `json:"tenant" ch:"tenant"`
	Rule        string   `json:"rule" ch:"rule"`
	RuleVersion uint32   `json:"rule_version" ch:"rule_version"`
	SubjectKey  []string `json:"subject_key" ch:"subject_key"`
	Severity    string   `json:"severity" ch:"severity"`
	Status      string   `json:"status" ch:"status"`
	Title       string   `json:"title" ch:"title"`
	Summary     string   `json:"summary" ch:"summary"`
	Subject     string   `json:"subject_sub,omitempty" ch:"subject_sub"`
	Actor       string   `json:"actor_sub,omitempty" ch:"actor_sub"`
	Server      string   `json:"server_id,omitempty" ch:"server_id"`
	Tool        string   `json:"tool_name,omitempty" ch:"tool_name"`
	TokenRef    string   `json:"token_ref,omitempty" ch:"token_ref"`
	TaskID      string   `json:"task_id,omitempty" ch:"task_id"`
	TraceID     string   `json:"trace_id,omitempty" ch:"trace_id"`
	// Evidence are the ids of the events it rests on, oldest first.
	Evidence  []uuid.UUID `json:"evidence" ch:"evidence"`
	FirstSeen time.Time   `json:"first_seen" ch:"first_seen"`
	LastSeen  time.Time   `json:"last_seen" ch:"last_seen"`
	// Coverage is "recorded" when it rests on what is there, "absence" when also
	// on what is not there; CoverageNote says how far that goes.
	Coverage        string    `json:"coverage" ch:"coverage"`
	CoverageNote    string    `json:"coverage_note" ch:"coverage_note"`
	CoverageSources []string  `json:"coverage_sources,omitempty" ch:"coverage_sources"`
	OpenedTime      time.Time `json:"opened_time" ch:"opened_time"`
	ChangedTime     time.Time `json:"changed_time" ch:"changed_time"`
}

// States of a finding.
const (
	Open         = "open"
	AutoResolved = "auto_resolved"
)

// MaxEvidence bounds the evidence of a finding: its first and its last half.
const MaxEvidence = 100

// Key is the stable key of a finding: the same whatever the version of the rule
// and whenever it is found.
func Key(tenant, rule string, subject []string) string {
	h := sha256.New()
	for _, s := range append([]string{tenant, rule}, subject...) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// turn is a change of what the detections say of a finding.
type turn struct {
	*Finding
	action string
	since  time.Time // when it became what it was before; zero of a new one
}

// What happens to a finding by the detections, as finding_history has it.
const (
	opened       = "opened"
	autoResolved = "auto_resolved"
	reappeared   = "reappeared"
)

// id is the same whichever engine sees the turn, and however often.
func (t *turn) id() uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s %s %d", t.Key, t.action, t.since.UnixMicro()))
}

// settle holds verdicts against what is stored and returns the states to write,
// and those among them that are open or closed now and were not.
func settle(r *Rule, verdicts []verdict, keys []string, known map[string]*Finding, now time.Time) (changed []*Finding, turns []turn, result Result) {
	for i, v := range verdicts {
		was := known[keys[i]]
		is := v.finding(r, keys[i], was)
		if is == nil || was != nil && is.equal(was) {
			continue
		}
		if is.OpenedTime.IsZero() {
			is.OpenedTime = now
		}
		is.ChangedTime = now
		switch {
		case was == nil:
			result.Opened++
			turns = append(turns, turn{is, opened, time.Time{}})
		case is.Status == was.Status:
			result.Updated++
		case is.Status == Open:
			result.Reopened++
			turns = append(turns, turn{is, reappeared, was.ChangedTime})
		default:
			result.AutoResolved++
			turns = append(turns, turn{is, autoResolved, was.ChangedTime})
		}
		known[keys[i]] = is // a rule may name one thing twice
		changed = append(changed, is)
	}
	return changed, turns, result
}

// finding is the state after the verdict, nil for none.
func (v *verdict) finding(r *Rule, key string, was *Finding) *Finding {
	if !v.Violated {
		if was == nil {
			return nil
		}
		is := *was
		if is.Status == Open {
			is.Status, is.Summary, is.RuleVersion = AutoResolved, v.Summary, r.Version
			is.Evidence = merge(was.Evidence, v.Evidence)
		}
		return &is
	}
	is := &Finding{
		Key: key, Tenant: v.Tenant, Rule: r.ID, RuleVersion: r.Version, SubjectKey: v.SubjectKey, Severity: string(r.Severity), Status: Open,
		Title: r.Title, Summary: v.Summary, Subject: v.Subject, Actor: v.Actor, Server: v.Server, Tool: v.Tool, TokenRef: v.TokenRef, TaskID: v.TaskID, TraceID: v.TraceID,
		Evidence: v.Evidence, FirstSeen: v.FirstSeen, LastSeen: v.LastSeen, Coverage: v.Coverage, CoverageNote: v.Note, CoverageSources: v.Sources,
	}
	if was == nil {
		is.Evidence = merge(is.Evidence, nil)
		return is
	}
	if r.Whole {
		is.Evidence, is.OpenedTime, is.ChangedTime = merge(is.Evidence, nil), was.OpenedTime, was.ChangedTime
		return is
	}
	return is.after(was)
}

// after adds what was known before. What a window says of an older window's
// first call is less than what that said, so the words stay those of the oldest.
func (f *Finding) after(was *Finding) *Finding {
	f.OpenedTime, f.ChangedTime = was.OpenedTime, was.ChangedTime
	f.Evidence = merge(was.Evidence, f.Evidence)
	if !f.FirstSeen.Before(was.FirstSeen) {
		f.Subject, f.Actor, f.Server, f.Tool, f.TaskID, f.TraceID = was.Subject, was.Actor, was.Server, was.Tool, was.TaskID, was.TraceID
		f.FirstSeen = was.FirstSeen
		if was.Status == Open {
			f.Summary, f.CoverageNote = was.Summary, was.CoverageNote
		}
	}
	f.LastSeen = latest(f.LastSeen, was.LastSeen)
	sources := slices.Concat(was.CoverageSources, f.CoverageSources)
	slices.Sort(sources)
	f.CoverageSources = slices.Compact(sources)
	return f
}

// merge keeps the first and the last half of MaxEvidence. An id begins with its
// event's time, so this is the order of time, and it does not depend on the
// order in which windows were judged.
func merge(a, b []uuid.UUID) []uuid.UUID {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y uuid.UUID) int { return strings.Compare(x.String(), y.String()) })
	all = slices.Compact(all)
	if n := len(all) - MaxEvidence; n > 0 {
		all = slices.Delete(all, MaxEvidence/2, MaxEvidence/2+n)
	}
	return all
}

// equal compares what the two say; how they are held in memory differs.
func (f *Finding) equal(o *Finding) bool {
	a, err1 := json.Marshal(f)
	b, err2 := json.Marshal(o)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}
