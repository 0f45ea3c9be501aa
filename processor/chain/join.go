package chain

// Join says by what a hop, a call or a decision was joined.
type Join string

// The joins, strongest first.
const (
	ByLineage     Join = "token_lineage"     // an exchange names both references
	ByToken       Join = "token"             // the call names the token's reference
	ByDecisionID  Join = "decision_id"       // the caller recorded the decision's id
	ByTokenID     Join = "token_id"          // both name the token's jti
	ByTransaction Join = "transaction"       // act claim and the same txn
	ByTask        Join = "task"              // act claim and the same task
	ByTrace       Join = "trace"             // act claim, or token and tool, and the same trace
	ByJSONRPC     Join = "jsonrpc"           // token, server, tool, JSON-RPC id and time
	ByValidity    Join = "validity_interval" // subject and actor of an exchange that stood for it at the time
	ByClaim       Join = "act_claim_only"    // the claim names an actor of whom no token was seen
)

// Strength says how sure a join is.
type Strength string

// The strengths.
const (
	Certain Strength = "certain" // an identifier that belongs to one thing only
	Strong  Strength = "strong"  // a claim and an identifier that belongs to one undertaking
	Likely  Strength = "likely"  // identifiers that others may use too
	Weak    Strength = "weak"    // nothing contradicts it
)

// Strength of the join; empty for no join.
func (j Join) Strength() Strength {
	switch j {
	case ByLineage, ByToken, ByDecisionID, ByTokenID:
		return Certain
	case ByTransaction, ByTask:
		return Strong
	case ByTrace, ByJSONRPC:
		return Likely
	case ByValidity, ByClaim:
		return Weak
	}
	return ""
}
