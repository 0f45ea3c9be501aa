package api

import (
	"fmt"
	"slices"
)

// Role is what a caller is to the evidence.
type Role string

// The roles.
const (
	Analyst   Role = "analyst"   // looks for what is wrong
	Responder Role = "responder" // reconstructs what happened
	Auditor   Role = "auditor"   // takes evidence out, changes nothing
	Admin     Role = "admin"     // all of it
	Reviewer  Role = "reviewer"  // owns something, and decides in reviews whether it stays
)

// Roles lists every role.
var Roles = []Role{Analyst, Responder, Auditor, Admin, Reviewer}

// Permission is one thing that a role may allow; each operation needs one.
type Permission string

// The permissions.
const (
	ReadOwn        Permission = "own"        // what concerns the caller itself
	ReadEvents     Permission = "events"     // search, and events by id
	ReadChains     Permission = "chains"     // delegation chains, and what they touched
	ReadVerdicts   Permission = "verdicts"   // calls as they are judged, and who was heard of
	ReadPrivileges Permission = "privileges" // what identities may do, and what of it they use
	ReadFindings   Permission = "findings"   // what the detections found
	HandleFindings Permission = "handle"     // say what is done about findings
	ReadRegistry   Permission = "registry"   // who owns what
	ReadQuarantine Permission = "quarantine" // events that came again with other content
	ReadQueries    Permission = "queries"    // saved filters
	WriteQueries   Permission = "save"       // save and remove filters
	AskSQL         Permission = "sql"        // questions in SQL
	Export         Permission = "export"     // take many events away
	ReadReviews    Permission = "reviews"    // access reviews; who reads no privileges sees the lines it owns
	DecideReviews  Permission = "decide"     // decide about the lines that one owns; an admin about all
	RunReviews     Permission = "campaign"   // create and close reviews
	ReadRetention  Permission = "retention"  // how long records are kept, and which are on hold
	SetRetention   Permission = "retain"     // say how long records are kept; place and release holds
	ReadIntegrity  Permission = "integrity"  // how far the log is sealed and reconciled; have a bundle verified
)

// grants is who may do what: the one place that decides it.
var grants = map[Permission][]Role{
	ReadOwn:        {Analyst, Responder, Auditor, Admin, Reviewer},
	ReadEvents:     {Analyst, Responder, Auditor, Admin},
	ReadChains:     {Analyst, Responder, Auditor, Admin},
	ReadVerdicts:   {Analyst, Responder, Auditor, Admin},
	ReadPrivileges: {Analyst, Responder, Auditor, Admin},
	ReadFindings:   {Analyst, Responder, Auditor, Admin},
	HandleFindings: {Analyst, Responder, Admin},
	ReadRegistry:   {Analyst, Responder, Auditor, Admin},
	ReadQuarantine: {Responder, Auditor, Admin},
	ReadQueries:    {Analyst, Responder, Auditor, Admin},
	WriteQueries:   {Analyst, Responder, Admin},
	AskSQL:         {Analyst, Responder, Admin},
	Export:         {Responder, Auditor, Admin},
	ReadReviews:    {Analyst, Responder, Auditor, Admin, Reviewer},
	DecideReviews:  {Analyst, Responder, Admin, Reviewer},
	RunReviews:     {Admin},
	ReadRetention:  {Responder, Auditor, Admin},
	SetRetention:   {Admin},
	ReadIntegrity:  {Analyst, Responder, Auditor, Admin},
}

// Permissions returns every permission, sorted.
func Permissions() []Permission { return permissions(Roles) }

// Grants returns the roles that have a permission.
func Grants(p Permission) []Role { return slices.Clone(grants[p]) }

// may tells whether one of the roles has the permission.
func may(roles []Role, p Permission) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(grants[p], r) })
}

// permissions of the roles together.
func permissions(roles []Role) []Permission {
	out := []Permission{}
	for p := range grants {
		if may(roles, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func validRoles(roles []Role) error {
	if len(roles) == 0 {
		return fmt.Errorf("roles: want some of %v", Roles)
	}
	for _, r := range roles {
		if !slices.Contains(Roles, r) {
			return fmt.Errorf("role %q: want one of %v", r, Roles)
		}
	}
	return nil
}
