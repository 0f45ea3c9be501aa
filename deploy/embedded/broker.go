package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// BrokerConfig configures a Broker.
type BrokerConfig struct {
	// Dir is the data folder, of one broker at a time. Required.
	Dir string
	// Port on 127.0.0.1; 0 is any free one.
	Port int
	// Advertise is the address that clients are told to connect to, where a proxy
	// stands before the broker; empty is the one it listens on.
	Advertise string
	// TLS of the port; nil is none.
	TLS *tls.Config
	// Users who may connect, by SASL; none: anybody may who reaches the port.
	Users []User
}

// User is who may connect to a Broker.
type User struct {
	Mechanism      string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name, Password string
}

// Broker is a Kafka-compatible broker in this process.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
}

// advertised is a listener that gives another address as its own: kfake tells
// clients what its listener says.
type advertised struct {
	net.Listener
	addr net.Addr
}

func (a advertised) Addr() net.Addr { return a.addr }

// StartBroker starts the broker; what Dir holds is there again. Topics are
// never created by a client that merely names them.
func StartBroker(cfg BrokerConfig) (*Broker, error) {
	if cfg.Dir == "" {
		return nil, errors.New("broker: Dir is required")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("broker data folder: %w", err)
	}
	lock, err := holdFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	var listenErr error
	b := &Broker{lock: lock}
	options := []kfake.Opt{
		kfake.NumBrokers(1), kfake.DataDir(filepath.Join(cfg.Dir, "log")), kfake.SyncWrites(),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			l, err := net.Listen(network, fmt.Sprintf("127.0.0.1:%d", cfg.Port))
			if err == nil {
				b.addr = l.Addr().String()
				l, err = cfg.advertise(l)
			}
			listenErr = err
			return l, err
		}),
	}
	if cfg.TLS != nil {
		options = append(options, kfake.TLS(cfg.TLS))
	}
	for _, u := range cfg.Users {
		options = append(options, kfake.EnableSASL(), kfake.Superuser(u.Mechanism, u.Name, u.Password))
	}
	if b.cluster, err = kfake.NewCluster(options...); err != nil {
		lock.Close()
		if listenErr != nil {
			return nil, portError("broker", listenErr)
		}
		return nil, fmt.Errorf("start broker: %w", err)
	}
	return b, nil
}

func (cfg *BrokerConfig) advertise(l net.Listener) (net.Listener, error) {
	if cfg.Advertise == "" {
		return l, nil
	}
	addr, err := net.ResolveTCPAddr("tcp", cfg.Advertise)
	return advertised{l, addr}, err
}

// Addr is the address that it listens on.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker after what is being written is on disk.
func (b *Broker) Close() error {
	b.cluster.Close()
	return b.lock.Close()
}
