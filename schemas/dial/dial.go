// Package dial reaches the servers that stand between the stages, Kafka and
// ClickHouse: over TLS, and Kafka with SASL. It is the one place where a
// connection to them is made private and both sides are recognised.
//
// It guarantees that a server's certificate is always verified, that no error
// holds a password, and that an error which comes from a setting names it and
// is [ErrRefused]. Files (authorities, certificates, passwords) are read when a
// connection is made: what is replaced on disk holds from the next connection
// on, and no secret stays in memory. It does not renew the session of a
// connection whose server limits it (KIP-368): the server ends it and the client
// makes another.
package dial

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrRefused is an error that comes again until a setting, a file or the other
// side's configuration is changed; what cannot be reached is none.
var ErrRefused = errors.New("refused")

// refusal is an error that names the setting it comes from.
type refusal struct {
	setting string
	reason  string
	cause   error // may be nil
}

func (r *refusal) Error() string {
	if r.cause == nil {
		return r.setting + ": " + r.reason
	}
	return r.setting + ": " + r.reason + ": " + r.cause.Error()
}

func (r *refusal) Unwrap() error { return r.cause }

func (r *refusal) Is(target error) bool { return target == ErrRefused }

// Secret returns the content of a file without the line end that editors leave.
// setting is what the error names.
func Secret(setting, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", &refusal{setting, "cannot be read", err}
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", &refusal{setting: setting, reason: fmt.Sprintf("%s is empty", file)}
	}
	return secret, nil
}
