package proof

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/custody-audit/custody/processor/seal"
)

// Policy says whose signatures count, in the format of c2sp.org/tlog-policy, with
// one word of our own:
//
//	log KEY                a log; its key stands for all of its trees
//	report KEY             a key that may sign manifests beside that of the log
//	witness NAME KEY [URL]
//	group NAME N|any|all MEMBER...
//	quorum NAME|none       which witnesses must have signed each checkpoint
//
// A policy that names witnesses and no quorum is an error, since it would want
// nothing of them.
type Policy struct {
	logs      map[string]ed25519.PublicKey
	reports   []note.Verifier
	witnesses []note.Verifier
	members   map[string]member
	quorum    string
}

// member is a witness or a group: how many of its members must have signed.
type member struct {
	key  note.Verifier // of a witness
	need int
	of   []string
}

// ParsePolicy reads a policy. All that is wrong with it is in the error.
func ParsePolicy(r io.Reader) (*Policy, error) {
	p := &Policy{logs: map[string]ed25519.PublicKey{}, members: map[string]member{}}
	var errs []error
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if fields := strings.Fields(text); len(fields) > 0 {
			if err := p.line(fields[0], fields[1:]); err != nil {
				errs = append(errs, fmt.Errorf("policy line %d: %w", number, err))
			}
		}
	}
	errs = append(errs, lines.Err())
	switch {
	case len(p.logs) == 0:
		errs = append(errs, errors.New("policy: it names no log; want a line \"log KEY\""))
	case p.quorum == "" && len(p.witnesses) > 0:
		errs = append(errs, errors.New("policy: it names witnesses and no quorum; want a line \"quorum NAME\" or \"quorum none\""))
	}
	return p, errors.Join(errs...)
}

func (p *Policy) line(word string, args []string) error {
	least := map[string]int{"log": 1, "report": 1, "witness": 2, "group": 3, "quorum": 1}[word]
	switch {
	case least == 0:
		return fmt.Errorf("%q is not known: want log, report, witness, group or quorum", word)
	case len(args) < least:
		return fmt.Errorf("%s: want at least %d words behind it", word, least)
	}
	switch word {
	case "log":
		name, public, err := seal.ParseVerifier(args[0])
		if err != nil {
			return err
		}
		if _, twice := p.logs[name]; twice {
			return fmt.Errorf("log %s is there twice: want the key that you trust; rotations in a bundle lead to its others", name)
		}
		p.logs[name] = public
	case "report":
		if _, _, err := seal.ParseVerifier(args[0]); err != nil {
			return err
		}
		v, err := note.NewVerifier(args[0])
		p.reports = append(p.reports, v)
		return err
	case "witness":
		v, err := seal.ParseCosigner(args[1])
		if err != nil {
			return err
		}
		p.witnesses = append(p.witnesses, v)
		return p.member(args[0], member{key: v})
	case "group":
		return p.group(args[0], args[1], args[2:])
	case "quorum":
		if _, ok := p.members[args[0]]; !ok && args[0] != "none" || p.quorum != "" {
			return fmt.Errorf("quorum %s: want one line, with none or a name from the lines above", args[0])
		}
		p.quorum = args[0]
	}
	return nil
}

func (p *Policy) member(name string, m member) error {
	if _, twice := p.members[name]; twice || name == "none" {
		return fmt.Errorf("name %s: want one that is not taken", name)
	}
	p.members[name] = m
	return nil
}

func (p *Policy) group(name, need string, of []string) error {
	n, err := strconv.Atoi(need)
	switch need {
	case "any":
		n, err = 1, nil
	case "all":
		n, err = len(of), nil
	}
	if err != nil || n < 1 || n > len(of) {
		return fmt.Errorf("group %s: %q members: want any, all, or 1 to %d", name, need, len(of))
	}
	for i, m := range of {
		if _, ok := p.members[m]; !ok || slices.Contains(of[:i], m) {
			return fmt.Errorf("group %s: member %s: want each once, named in a line above", name, m)
		}
	}
	return p.member(name, member{need: n, of: of})
}

// satisfied says whether a member is among those who signed.
func (p *Policy) satisfied(name string, signed func(note.Verifier) bool) bool {
	m := p.members[name]
	if m.key != nil {
		return signed(m.key)
	}
	n := 0
	for _, of := range m.of {
		if p.satisfied(of, signed) {
			n++
		}
	}
	return n >= m.need
}

// Witnessed returns the names of the policy's witnesses that signed a checkpoint.
// A signature of one of them that does not verify is an error, as is too few.
func (p *Policy) Witnessed(signed []byte) (names []string, err error) {
	var keys []note.Verifier
	if len(p.witnesses) > 0 {
		n, err := note.Open(signed, note.VerifierList(p.witnesses...))
		var none *note.UnverifiedNoteError
		if err != nil && !errors.As(err, &none) {
			return nil, err
		}
		if err == nil {
			for _, s := range n.Sigs {
				i := slices.IndexFunc(p.witnesses, func(v note.Verifier) bool { return v.Name() == s.Name && v.KeyHash() == s.Hash })
				keys, names = append(keys, p.witnesses[i]), append(names, s.Name)
			}
		}
	}
	if p.quorum == "" || p.quorum == "none" {
		return names, nil
	}
	if !p.satisfied(p.quorum, func(v note.Verifier) bool { return slices.Contains(keys, v) }) {
		return names, fmt.Errorf("the quorum %q of the policy is not reached: signed by %d of its witnesses", p.quorum, len(names))
	}
	return names, nil
}
