package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Kafka is how a cluster is reached, and what is written there made smaller with.
type Kafka struct {
	// Brokers are the bootstrap addresses, host:port. Required.
	Brokers []string
	TLS     TLS
	SASL    SASL
	// Compression of what is written: zstd, lz4 or none; empty is zstd, which
	// costs a producer more than lz4 and everybody else less.
	Compression string
}

var codecs = map[string]kafka.Compression{"": kafka.Zstd, "zstd": kafka.Zstd, "lz4": kafka.Lz4, "none": 0}

// Validate reports everything that is wrong, by the names of the settings.
func (k *Kafka) Validate() error {
	errs := []error{k.TLS.Validate("kafka.tls"), k.SASL.validate()}
	if k.SASL.Mechanism == plainText && !k.TLS.Enabled {
		errs = append(errs, errors.New("kafka.sasl.mechanism: PLAIN shows the password to who listens: want kafka.tls.enabled, or SCRAM-SHA-512"))
	}
	if _, known := codecs[k.Compression]; !known {
		errs = append(errs, fmt.Errorf("kafka.compression: want zstd, lz4 or none, got %q", k.Compression))
	}
	return errors.Join(errs...)
}

// Codec is the compression as kafka-go names it.
func (k *Kafka) Codec() kafka.Compression { return codecs[k.Compression] }

// dialTimeout bounds one attempt to reach a broker, TLS and SASL included.
const dialTimeout = 5 * time.Second

// Dialer returns what opens single connections, as a consumer group needs it.
// What they fail with is to be given to Explain.
func (k *Kafka) Dialer(clientID string) *kafka.Dialer {
	d := &kafka.Dialer{ClientID: clientID, Timeout: dialTimeout, DialFunc: k.TLS.Dialer("kafka.tls")}
	if k.SASL.Mechanism != "" {
		d.SASLMechanism = mechanism{k.SASL}
	}
	return d
}

// Transport is a pool of connections to the cluster.
type Transport struct {
	*kafka.Transport
	kafka *Kafka
}

// Transport returns a pool for clients and writers.
func (k *Kafka) Transport(clientID string) *Transport {
	t := &kafka.Transport{ClientID: clientID, DialTimeout: dialTimeout, MetadataTTL: 10 * time.Second, Dial: k.TLS.Dialer("kafka.tls")}
	if k.SASL.Mechanism != "" {
		t.SASL = mechanism{k.SASL}
	}
	return &Transport{t, k}
}

// RoundTrip implements [kafka.RoundTripper]. A pool that has never reached the
// cluster says that no broker is there, whatever the reason; it tells the reason
// to who asks for metadata.
func (t *Transport) RoundTrip(ctx context.Context, addr net.Addr, req kafka.Request) (kafka.Response, error) {
	res, err := t.Transport.RoundTrip(ctx, addr, req)
	if errors.Is(err, kafka.BrokerNotAvailable) {
		if _, reason := t.Transport.RoundTrip(ctx, addr, new(metadata.Request)); reason != nil {
			err = reason
		}
	}
	return res, t.kafka.Explain(err)
}

// Client returns a client of the cluster with connections of its own.
func (k *Kafka) Client(clientID string) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(k.Brokers...), Timeout: 10 * time.Second, Transport: k.Transport(clientID)}
}

// Explain names the setting that an error of kafka-go comes from.
func (k *Kafka) Explain(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrRefused):
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return &refusal{"kafka.sasl.password_file", fmt.Sprintf("Kafka refuses the user %q with the password of this file", k.SASL.Username), err}
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return &refusal{"kafka.sasl.mechanism", fmt.Sprintf("Kafka does not take %s on this port", k.SASL.Mechanism), err}
	case errors.Is(err, kafka.IllegalSASLState):
		return &refusal{"kafka.sasl.mechanism", "Kafka wants SASL on this port, or none", err}
	case k.SASL.Mechanism != "" && errors.Is(err, io.ErrUnexpectedEOF): // some servers say no more
		return fmt.Errorf("kafka ends the connection; it may refuse kafka.sasl.username with kafka.sasl.password_file: %w", err)
	}
	return err
}

// Check asks the brokers one after the other until one answers. The error is
// [ErrRefused] when a broker was reached and asking again is of no use.
func (k *Kafka) Check(ctx context.Context, clientID string) error {
	if len(k.Brokers) == 0 {
		return errors.New("kafka.brokers: want at least one")
	}
	var refused, away error
	for _, broker := range k.Brokers {
		err := k.ask(ctx, clientID, broker)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("kafka %s: %w", broker, k.Explain(err))
		if errors.Is(err, ErrRefused) {
			refused = cmp.Or(refused, err) // brokers are set up alike: the first says it
		} else {
			away = errors.Join(away, err)
		}
	}
	return cmp.Or(refused, away)
}

func (k *Kafka) ask(ctx context.Context, clientID, broker string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := k.Dialer(clientID).DialContext(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	defer c.Close()
	if until, ok := ctx.Deadline(); ok {
		c.SetDeadline(until)
	}
	_, err = c.Brokers() // what a server tells nobody whom it does not know
	if errors.Is(err, io.EOF) && k.SASL.Mechanism == "" {
		err = fmt.Errorf("if this port wants SASL, set kafka.sasl.mechanism: %w", err)
	}
	return err
}
