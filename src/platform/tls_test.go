package platform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newPair returns a self-signed certificate for 127.0.0.1 and its key, in PEM.
func newPair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestTLSFollowsItsFilesAndKeepsTheLastPairThatFits(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := newPair(t, "first")
	write(certFile, cert)
	write(keyFile, key)
	cfg, err := Load[ServerConfig]([]string{"LISTEN_ADDRESS=api", "METRICS_ADDRESS=metrics", "TLS_CERT_FILE=" + certFile, "TLS_KEY_FILE=" + keyFile})
	if err != nil {
		t.Fatal(err)
	}
	logs := new(lockedBuffer)
	p := NewProcess("test", slog.New(slog.NewJSONHandler(logs, nil)))
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := api.Addr().String()
	p.Listen = func(name string) (net.Listener, error) {
		if name == "api" {
			return api, nil
		}
		return net.Listen("tcp", "127.0.0.1:0")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- p.Serve(ctx, cfg, Service{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	// presented asks once, on a connection of its own, and returns the name in the certificate.
	presented := func() string {
		t.Helper()
		client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		resp, err := client.Get("https://" + address + "/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("%s over TLS, want HTTP/2", resp.Proto)
		}
		return resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	await := func(what string, reached func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !reached(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	if name := presented(); name != "first" {
		t.Fatalf("the certificate of %q", name)
	}
	cert, key = newPair(t, "second")
	write(certFile, cert) // and its key is not there yet
	await("the half renewed pair was not noticed", func() bool {
		if name := presented(); name != "first" {
			t.Fatalf("the certificate of %q with the key of another", name)
		}
		return strings.Contains(logs.String(), "the last one stays")
	})
	write(keyFile, key)
	await("the renewed pair is not in use", func() bool { return presented() == "second" })
}

func TestTLSThatCannotWorkStopsTheStart(t *testing.T) {
	cert, _ := newPair(t, "one")
	_, other := newPair(t, "other")
	for name, pair := range map[string][2]string{"no key": {string(cert), ""}, "no certificate": {"", string(other)}, "another's key": {string(cert), string(other)}} {
		if _, err := newTLSConfig(NewSecret(pair[0]), NewSecret(pair[1]), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "TLS_KEY") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
