package platform

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// certificate is a pair that is read again when its files change. A pair that does not fit together, as in the middle of a
// renewal, leaves the last good one in use.
type certificate struct {
	cert, key Secret
	log       *slog.Logger

	mu                sync.Mutex
	certText, keyText string
	pair              *tls.Certificate
}

// newTLSConfig returns nil where neither cert nor key is set.
func newTLSConfig(cert, key Secret, log *slog.Logger) (*tls.Config, error) {
	switch {
	case cert.Value() == "" && key.Value() == "":
		return nil, nil
	case cert.Value() == "" || key.Value() == "":
		return nil, errors.New("TLS_CERT and TLS_KEY go together: set both or neither")
	}
	c := &certificate{cert: cert, key: key, log: log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("TLS_CERT, TLS_KEY: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.get}, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		c.log.Error("the new TLS certificate cannot be used; the last one stays", "error", err)
	}
	return c.pair, nil
}

// load does nothing if the texts are those that it read last, whatever came of them.
func (c *certificate) load() error {
	certText, keyText := c.cert.Value(), c.key.Value()
	if certText == c.certText && keyText == c.keyText {
		return nil
	}
	c.certText, c.keyText = certText, keyText
	pair, err := tls.X509KeyPair([]byte(certText), []byte(keyText))
	if err != nil {
		return err
	}
	c.pair = &pair
	return nil
}
