package witness

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/custody-audit/custody/processor/seal"
)

// Logs are the keys of the logs that a witness knows, by name. A log of Custody
// signs many trees under names below its own; another log signs under its own.
type Logs struct {
	keys map[string][]ed25519.PublicKey
}

// Policy is what a file in the format of c2sp.org/tlog-policy names: logs, and
// witnesses with their URLs. Groups and the quorum are for who verifies, and are
// passed over.
type Policy struct {
	Logs      *Logs
	Witnesses []*Client
}

// ReadPolicy reads a policy file. All that is wrong with it is in the error.
func ReadPolicy(file string) (*Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	p, err := ParsePolicy(f)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", file, err)
	}
	return p, nil
}

// ParsePolicy reads a policy.
func ParsePolicy(r io.Reader) (*Policy, error) {
	p := &Policy{Logs: &Logs{map[string][]ed25519.PublicKey{}}}
	var errs []error
	scanner := bufio.NewScanner(r)
	for number := 1; scanner.Scan(); number++ {
		if err := p.line(strings.FieldsFunc(scanner.Text(), func(r rune) bool { return r == ' ' || r == '\t' })); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
		}
	}
	return p, errors.Join(append(errs, scanner.Err())...)
}

func (p *Policy) line(fields []string) error {
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	switch fields[0] {
	case "log":
		if len(fields) < 2 {
			return errors.New("want \"log KEY\"")
		}
		name, public, err := seal.ParseVerifier(fields[1])
		if err != nil {
			return err
		}
		p.Logs.keys[name] = append(p.Logs.keys[name], public)
	case "witness":
		if len(fields) < 4 {
			return errors.New("want \"witness NAME KEY URL\"")
		}
		w, err := NewClient(fields[3], fields[2])
		if err != nil {
			return err
		}
		p.Witnesses = append(p.Witnesses, w)
	case "group", "quorum":
	default:
		return fmt.Errorf("%q is not known: want log, witness, group or quorum", fields[0])
	}
	return nil
}

// Len is the number of names.
func (l *Logs) Len() int { return len(l.keys) }

// open verifies a checkpoint of one of the logs. An error is a refusal.
func (l *Logs) open(signed []byte) (*note.Note, seal.Checkpoint, error) {
	origin, _, _ := strings.Cut(string(signed), "\n")
	keys := l.keys[origin]
	if log, _, err := seal.ParseOrigin(origin); err == nil {
		keys = append(keys[:len(keys):len(keys)], l.keys[log]...)
	}
	if len(keys) == 0 {
		return nil, seal.Checkpoint{}, refuse(http.StatusNotFound, "the origin is not known here")
	}
	var known []note.Verifier
	for _, k := range keys {
		v, err := note.NewVerifier(seal.VerifierKey(origin, k))
		if err != nil {
			return nil, seal.Checkpoint{}, refuse(http.StatusBadRequest, "the origin cannot be a key's name")
		}
		known = append(known, v)
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown) || errors.As(err, &invalid):
		return nil, seal.Checkpoint{}, refuse(http.StatusForbidden, "no valid signature of a key that is trusted for the origin")
	case err != nil:
		return nil, seal.Checkpoint{}, refuse(http.StatusBadRequest, "the checkpoint is not a signed note")
	}
	c, err := seal.ParseCheckpoint(n.Text)
	if err != nil {
		return nil, c, refuse(http.StatusBadRequest, "%v", err)
	}
	return n, c, nil
}
