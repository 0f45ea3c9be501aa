package mcpconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/tidwall/jsonc"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

// File is one that was read. Its secrets leave it in records only.
type File struct {
	Path string
	// Client whose file it is; empty where neither path nor name tells.
	Client string
	// User in whose home it is known to be.
	User  string
	found []placed
}

// Credentials is the number of those found in it.
func (f *File) Credentials() int { return len(f.found) }

// Records are what [Parse] reads of the file: its findings and nothing else of it.
// With a redaction key they hold references, and no secret leaves the host; without,
// only JSON Web Tokens have one, and the others stand in the records as they are.
func (f *File) Records(host, user string, at event.Time, keyID string, key []byte) (records [][]byte, err error) {
	p := parser{keyID, key}
	if f.User != "" {
		user = f.User
	}
	for part := range slices.Chunk(f.found, maxFindings) {
		in := envelope{Path: f.Path, Time: at.String(), Host: host, User: user, Client: f.Client, Findings: slices.Clone(part)}
		for i := range in.Findings {
			finding := &in.Findings[i]
			ref, isJWT := p.refOf(finding.Secret)
			if isJWT {
				finding.Kind = jwt
			}
			if ref != "" {
				finding.Secret = ref
			}
		}
		record, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("record of %s: %w", f.Path, err)
		}
		records = append(records, record)
	}
	return records, nil
}

// file reads one, unless it was read before.
func (s *scan) file(path, client, user string, open func() (*os.File, error)) {
	if s.seen[path] {
		return
	}
	s.seen[path] = true
	text, err := s.read(open)
	if err == nil {
		f := &File{Path: path, Client: client, User: user}
		if f.found, err = s.credentials(text); err == nil {
			s.Files = append(s.Files, f)
			return
		}
	}
	s.problem(path, err)
}

// openFlags do not wait for whoever writes a pipe.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

var errIrregular = errors.New("is no regular file")

// regular opens a file below root, which it does not leave by a link.
func regular(root *os.Root, path string) (*os.File, error) {
	return opened(root.OpenFile(path, openFlags, 0))
}

// opened takes a file only if it is one.
func opened(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, errIrregular)
	}
	return f, nil
}

func (s *scan) read(open func() (*os.File, error)) ([]byte, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, s.cfg.MaxFileBytes+1))
	if err == nil && int64(len(text)) > s.cfg.MaxFileBytes {
		err = fmt.Errorf("is larger than %d bytes", s.cfg.MaxFileBytes)
	}
	return text, err
}

// credentials are those of a file's servers. Clients allow comments and commas too
// many.
func (s *scan) credentials(text []byte) (all []placed, err error) {
	text = bytes.TrimSpace(jsonc.ToJSON(bytes.TrimPrefix(text, []byte("\ufeff"))))
	if len(text) == 0 {
		return nil, nil
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, noJSON(text, err)
	}
	if raw[0] != '{' {
		return nil, errors.New("holds no JSON object")
	}
	found, err := servers(raw)
	if err != nil {
		return nil, err
	}
	for _, server := range found {
		findings := server.findings()
		if s.cfg.Find != nil {
			findings = append(findings, server.deeper(s.cfg.Find, findings)...)
		}
		all = append(all, server.placed(findings)...)
	}
	return all, nil
}

// noJSON says where, and shows nothing of what stands there.
func noJSON(text []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return errors.New("is not JSON")
	}
	before := text[:min(int(syntax.Offset), len(text))]
	return fmt.Errorf("is not JSON, with or without comments: line %d", 1+bytes.Count(before, []byte("\n")))
}

// deeper looks for secrets of any known form in the texts that no finding is about.
func (s *server) deeper(find redact.Finder, known []finding) (out []finding) {
	s.each(func(place, member, text string) {
		for _, secret := range find(member, text) {
			about := func(f finding) bool {
				return strings.Contains(f.secret, secret.Text) || strings.Contains(secret.Text, f.secret)
			}
			if !slices.ContainsFunc(known, about) && !slices.ContainsFunc(out, about) && literal(secret.Text) != "" {
				out = append(out, finding{place, member, "api_key", secret.Text})
			}
		}
	})
	return out
}
