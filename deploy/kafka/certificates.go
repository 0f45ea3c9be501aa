// Command kafka writes into a folder what the broker of with-kafka.sh and its
// clients recognise each other by: authority.pem, broker.pem with its key,
// client.pem and client.key, expired.pem and expired.key, and a password.
package main

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/custody-audit/custody/schemas/dial/dialtest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kafka DIR")
		os.Exit(2)
	}
	w := writer{dir: os.Args[1]}
	a := dialtest.NewAuthority(&w, "")
	w.copy("authority.pem", a.File)
	w.pair(a, "broker", a.Issue("127.0.0.1"))
	w.pair(a, "client", a.Issue("custody.example"))
	w.pair(a, "expired", a.IssueUntil("custody.example", time.Now().Add(-time.Minute)))
	w.write("broker.pem", append(w.read("broker.key"), w.read("broker.pem")...)) // Kafka wants both in one
	w.write("password", []byte(rand.Text()))
}

// writer stands in for a test: it ends the program at the first error.
type writer struct{ dir string }

func (w *writer) Helper() {}

func (w *writer) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func (w *writer) TempDir() string {
	dir, err := os.MkdirTemp(w.dir, "")
	if err != nil {
		w.Fatal(err)
	}
	return dir
}

func (w *writer) pair(a *dialtest.Authority, name string, c tls.Certificate) {
	cert, key := a.Files(c)
	w.copy(name+".pem", cert)
	w.copy(name+".key", key)
}

func (w *writer) copy(name, from string) {
	b, err := os.ReadFile(from)
	if err != nil {
		w.Fatal(err)
	}
	w.write(name, b)
}

func (w *writer) read(name string) []byte {
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func (w *writer) write(name string, b []byte) {
	if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
		w.Fatal(err)
	}
}
