package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/config"
)

func TestHealthIsThatOfTheGateway(t *testing.T) {
	h := start(t, nil)
	c := h.commandLine(t)
	if out := c.ok("health"); out != "ok\n" {
		t.Error(out)
	}
	c.ok("health", "--ready")
	h.stop()
	if code, _, told := c.run("health"); code != failed || !strings.Contains(told, "no gateway answers") {
		t.Errorf("%d %s", code, told)
	}
}

// certificate makes one for a host, and keeps it as the settings want it.
func certificate(t *testing.T) config.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "heed.practice.example"}, DNSNames: []string{"heed.practice.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := config.TLS{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	for path, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestHealthTrustsTheGatewaysOwnCertificateAlone(t *testing.T) {
	ours, other := certificate(t), certificate(t)
	pair, err := tls.LoadX509KeyPair(ours.Cert, ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	status := http.StatusOK
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	defer server.Close()
	cfg := &config.Config{HTTP: config.HTTP{Listen: server.Listener.Addr().String(), TLS: ours}}
	if err := askHealth(t.Context(), cfg, "/healthz"); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := askHealth(t.Context(), cfg, "/readyz"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Error(err)
	}
	status, cfg.HTTP.TLS = http.StatusOK, other
	if err := askHealth(t.Context(), cfg, "/healthz"); err == nil || !strings.Contains(err.Error(), "another certificate") {
		t.Error(err)
	}
}
