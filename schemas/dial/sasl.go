package dial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// SASL is who we are to Kafka. The zero value is nobody, or who the certificate says.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: no SASL.
	Mechanism string
	// Username of the mechanism.
	Username string
	// PasswordFile holds the password; it is read for each connection.
	PasswordFile string
}

// The mechanisms, as Kafka writes them.
const (
	plainText   = "PLAIN"
	scramSHA256 = "SCRAM-SHA-256"
	scramSHA512 = "SCRAM-SHA-512"
)

var mechanisms = []string{plainText, scramSHA256, scramSHA512}

func (s SASL) validate() error {
	var errs []error
	if s.Mechanism == "" {
		if s != (SASL{}) {
			errs = append(errs, errors.New("kafka.sasl.mechanism: want one where username or password_file is given: "+strings.Join(mechanisms, ", ")))
		}
		return errors.Join(errs...)
	}
	if !slices.Contains(mechanisms, s.Mechanism) {
		errs = append(errs, fmt.Errorf("kafka.sasl.mechanism: want %s, got %q", strings.Join(mechanisms, ", "), s.Mechanism))
	}
	if s.Username == "" {
		errs = append(errs, fmt.Errorf("kafka.sasl.username: want one for %s", s.Mechanism))
	}
	if s.PasswordFile == "" {
		errs = append(errs, fmt.Errorf("kafka.sasl.password_file: want one for %s", s.Mechanism))
	}
	return errors.Join(errs...)
}

// mechanism is kafka-go's, with the password of the moment.
type mechanism struct{ SASL }

// Name implements [sasl.Mechanism].
func (m mechanism) Name() string { return m.Mechanism }

// Start implements [sasl.Mechanism].
func (m mechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := Secret("kafka.sasl.password_file", m.PasswordFile)
	if err != nil {
		return nil, nil, err
	}
	real, err := m.real(password)
	if err != nil {
		return nil, nil, err
	}
	session, first, err := real.Start(ctx)
	return conversation{session}, first, err
}

func (m mechanism) real(password string) (sasl.Mechanism, error) {
	switch m.Mechanism {
	case plainText:
		return plain.Mechanism{Username: m.Username, Password: password}, nil
	case scramSHA256, scramSHA512:
		algorithm := scram.SHA256
		if m.Mechanism == scramSHA512 {
			algorithm = scram.SHA512
		}
		real, err := scram.Mechanism(algorithm, m.Username, password)
		if err != nil { // the words of the library might hold what it was given
			return nil, &refusal{setting: "kafka.sasl", reason: "the username or the password has characters that SCRAM does not allow"}
		}
		return real, nil
	}
	return nil, &refusal{setting: "kafka.sasl.mechanism", reason: "unknown"}
}

// conversation explains what we think of the server's answers.
type conversation struct{ sasl.StateMachine }

// Next implements [sasl.StateMachine].
func (c conversation) Next(ctx context.Context, challenge []byte) (bool, []byte, error) {
	done, answer, err := c.StateMachine.Next(ctx, challenge)
	if err != nil {
		err = &refusal{"kafka.sasl", "Kafka does not prove that it knows the password, or refuses it", err}
	}
	return done, answer, err
}
