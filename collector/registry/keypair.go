package registry

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate on disk that is replaced while we run.
type keyPair struct {
	certFile, keyFile string

	mu       sync.Mutex
	pair     *tls.Certificate // guarded by mu
	modified time.Time        // of certFile when pair was read; guarded by mu
}

// get returns the pair. One that cannot be read does not replace a good one: the
// two files are not replaced at the same moment.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.certFile)
	if err == nil && k.pair != nil && info.ModTime().Equal(k.modified) {
		return k.pair, nil
	}
	pair, loadErr := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err == nil {
		err = loadErr
	}
	if err != nil {
		if k.pair != nil {
			return k.pair, nil
		}
		return nil, err
	}
	k.pair, k.modified = &pair, info.ModTime()
	return k.pair, nil
}
