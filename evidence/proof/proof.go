// Package proof makes bundles of evidence that stand on their own, and checks
// them: events as they were sealed, the Merkle proofs that they are in the log,
// and the signed checkpoints that the proofs lead to, in one zip file.
//
// Export reads ClickHouse and the folder of checkpoints. Verify reads the bundle
// and a policy that says whose keys count, and nothing else: no network, no
// service, no clock. docs/verify/FORMAT.md is the format, and docs/verify has a
// second verifier that shares no code with this one.
//
// What a bundle proves: each event is in the log at its place, byte for byte, and
// was there when the checkpoint was signed; of a range, that every record of the
// log is accounted for, disclosed or withheld. A leaf says nothing of whose
// record it is, so that a withheld one is another tenant's is the word of who
// signed the manifest: see [NotProven] and docs/adr/0026-proof-bundle.md.
package proof

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/custody-audit/custody/processor/seal"
)

// Format names the form of bundles that this package writes and reads.
const Format = "custody/proof/v1"

// noteTitle is the first line of what is signed for a manifest.
const noteTitle = "custody/proof-manifest/v1"

// MaxTlogProofs is up to how many events a bundle has a proof of its own for each,
// in the form of c2sp.org/tlog-proof. In a larger one they would take more room
// than the events; "custody proof extract" makes one of any.
const MaxTlogProofs = 1000

// Manifest says what a bundle is about and lists its files. It is signed.
type Manifest struct {
	Format string `json:"format"`
	Log    string `json:"log"`
	// Query and Tenant are what was asked; an empty tenant is all of them.
	Query  string `json:"query"`
	Tenant string `json:"tenant"`
	// After and Before bound the range by the log's clock; empty where it was given
	// by offsets or not at all.
	After  string `json:"after,omitempty"`
	Before string `json:"before,omitempty"`

	Events      uint64     `json:"events"`
	Unwitnessed bool       `json:"unwitnessed"` // some checkpoint has no signature but the log's
	TlogProofs  bool       `json:"tlog_proofs"`
	Trees       []TreePart `json:"trees"` // by origin
	Proven      []string   `json:"proven"`
	NotProven   []string   `json:"not_proven"`
	Files       []File     `json:"files"` // all but the manifest and its signature, in their order
}

// TreePart is what a bundle has of one tree.
type TreePart struct {
	Origin      string `json:"origin"`
	Size        uint64 `json:"size"`   // records under the checkpoint
	Events      uint64 `json:"events"` // disclosed
	Unwitnessed bool   `json:"unwitnessed"`
	// From is the size of the earlier checkpoint that this one is proven to continue.
	From  uint64 `json:"from,omitempty"`
	Range *Range `json:"range,omitempty"`
}

// Range are the offsets of which every record is accounted for, To exclusive. The
// rest of it is the word of who signed.
type Range struct {
	From         uint64 `json:"from"`
	To           uint64 `json:"to"`
	Disclosed    uint64 `json:"disclosed"`
	OtherTenants uint64 `json:"other_tenants"` // withheld: records of other tenants
	NotMatched   uint64 `json:"not_matched"`   // withheld: of the tenant, and not what was asked for
	NoEvent      uint64 `json:"no_event"`      // withheld: malformed, repeated or in conflict
}

// File is one file of a bundle.
type File struct {
	Name   string `json:"name"`
	Size   uint64 `json:"size"`
	SHA256 string `json:"sha256"` // base64
}

// Proven is what a bundle that verifies proves.
var Proven = []string{
	"each event is in the log at its place, byte for byte as it was sealed, and was there when the checkpoint was signed",
	"where there is a range: every record of the log in it is accounted for, disclosed or by the hash of one that is withheld",
	"where there is an earlier checkpoint: the log has only grown since, and nothing under it was changed",
}

// NotProven is what it does not.
var NotProven = []string{
	"that what a source reported is true, or that it reported everything",
	"that a withheld record belongs to another tenant or does not match the query: its hash does not tell; who signed the manifest says so and can be asked to open any of them",
	"that there is no other bundle: without a range, events that match the query may have been left out",
	"that times are right: they are those of the source, the collector and the log, as each event says; a witness's signature bounds when a record was sealed at the latest",
	"where it is unwitnessed: that the log showed everybody the same history",
}

// manifestText is what is signed for a manifest.
func manifestText(manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return noteTitle + "\n" + base64.StdEncoding.EncodeToString(sum[:]) + "\n"
}

// Names of files. The manifest and its signature come first, then rotations, then
// trees, each in the order of this list.
const (
	fileManifest    = "manifest.json"
	fileNote        = "manifest.note"
	fileCheckpoint  = "checkpoint"
	fileGap         = "gap"
	fileFrom        = "from"
	fileConsistency = "consistency"
	fileLeaves      = "leaves"
	fileNodes       = "nodes"
	fileEvents      = "events.ndjson"
	tlogSuffix      = ".tlog-proof"
)

func rotationName(i int) string          { return fmt.Sprintf("rotations/%d", i) }
func treeName(i int, part string) string { return fmt.Sprintf("trees/%d/%s", i, part) }

func tlogName(i int, offset uint64) string {
	return treeName(i, fmt.Sprintf("proofs/%d%s", offset, tlogSuffix))
}

// Class says in which way a bundle was tampered with.
type Class string

// The classes.
const (
	Content   Class = "content"   // bytes are others than those that were sealed or signed
	Dropped   Class = "dropped"   // something was taken out
	Reordered Class = "reordered" // what is there stands in another order
	Duplicate Class = "duplicate" // something is there twice
	Truncated Class = "truncated" // the end is missing: of the bundle, or of the log, as after an old backup was restored
	Fork      Class = "fork"      // the log's key signed two histories
	Signature Class = "signature" // the log did not sign it
	Witness   Class = "witness"   // the witnesses that the policy wants did not sign it
)

// Classes lists every class.
var Classes = []Class{Content, Dropped, Reordered, Duplicate, Truncated, Fork, Signature, Witness}

// Problem is one thing that is wrong with a bundle.
type Problem struct {
	Class  Class   `json:"class"`
	Origin string  `json:"origin,omitempty"` // of the tree
	Offset *uint64 `json:"offset,omitempty"` // of the record
	Detail string  `json:"detail"`
}

// Hash is a SHA-256 hash of a tree.
type Hash = seal.Hash
