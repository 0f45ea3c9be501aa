package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// File reads a file by what its service reads it with. An empty path is no check.
func File(setting, path string, read func() (string, error)) Check {
	return func(context.Context) []Finding {
		if path == "" {
			return nil
		}
		detail, err := read()
		if err != nil {
			return []Finding{failed(setting, err.Error(), "correct the file, or "+setting)}
		}
		return []Finding{ok(setting, detail)}
	}
}

// Missing says that a setting is not there and its service does not run without it.
func Missing(setting, why, next string) Check {
	return func(context.Context) []Finding {
		return []Finding{failed(setting, "it is not set: "+why, next)}
	}
}

// Secret looks at a file that nobody else may read.
func Secret(setting, path string) Check {
	return func(context.Context) []Finding {
		if path == "" {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			return []Finding{failed(setting, err.Error(), "put the secret there, or correct "+setting)}
		}
		if info.Size() == 0 {
			return []Finding{failed(setting, path+" is empty", "put the secret there")}
		}
		if f, err := os.Open(filepath.Clean(path)); err != nil {
			return []Finding{failed(setting, err.Error(), "let the service's user read it")}
		} else {
			f.Close()
		}
		if info.Mode().Perm()&0o007 != 0 {
			return []Finding{warning(setting, fmt.Sprintf("%s may be read by everybody (%s)", path, info.Mode().Perm()), "chmod 600 "+path)}
		}
		return []Finding{ok(setting, path)}
	}
}

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// Certificate looks at a certificate and its key. An empty file is no check.
func Certificate(setting, certFile, keyFile string, now time.Time) Check {
	return func(context.Context) []Finding {
		if certFile == "" {
			return nil
		}
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return []Finding{failed(setting, err.Error(), "give the certificate and the key that belong together, PEM")}
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			return []Finding{failed(setting, err.Error(), "give an X.509 certificate")}
		}
		until := leaf.NotAfter.UTC().Format(time.DateOnly)
		switch {
		case now.After(leaf.NotAfter):
			return []Finding{failed(setting, fmt.Sprintf("%s ended on %s", certFile, until), "renew it; it is read again by itself")}
		case now.Before(leaf.NotBefore):
			return []Finding{failed(setting, fmt.Sprintf("%s begins on %s", certFile, leaf.NotBefore.UTC().Format(time.DateOnly)), "set the clock right, or wait")}
		case now.Add(soon).After(leaf.NotAfter):
			return []Finding{warning(setting, fmt.Sprintf("%s ends on %s", certFile, until), "renew it; it is read again by itself")}
		}
		return []Finding{ok(setting, fmt.Sprintf("%s is valid until %s", certFile, until))}
	}
}

// Folder looks whether a folder can be written and how much is free. needs is how many
// bytes it may come to need.
func Folder(setting, dir string, needs int64) Check {
	return func(context.Context) []Finding {
		if dir == "" {
			return nil
		}
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			return []Finding{failed(setting, fmt.Sprintf("%s is no folder that can be seen: %v", dir, cmp.Or(err, fs.ErrInvalid)), "mkdir -m 700 "+dir)}
		}
		f, err := os.CreateTemp(dir, ".doctor-*")
		if err != nil {
			return []Finding{failed(setting, err.Error(), "let the service's user write there")}
		}
		f.Close()
		os.Remove(f.Name())
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			return []Finding{failed(setting, err.Error(), "look at the disk")}
		}
		free := int64(s.Bavail) * int64(s.Bsize) // their types differ between systems
		if free < needs {
			return []Finding{warning(setting, fmt.Sprintf("%s has %d MiB free and may need %d MiB", dir, free>>20, needs>>20), "make room, or give it a disk of its own")}
		}
		return []Finding{ok(setting, fmt.Sprintf("%s can be written, %d MiB are free", dir, free>>20))}
	}
}
