package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The set-up of docs/client.md: stunnel in front of a node, and a client that makes TLS itself with
// Options.Dial, or has a stunnel of its own.
func TestThroughTLS(t *testing.T) {
	if _, err := exec.LookPath("stunnel"); err != nil {
		t.Skip("stunnel is not installed")
	}
	node, dir := nodetest.Start(t), t.TempDir()
	pool := certificate(t, filepath.Join(dir, "dmq.pem"))
	server, near := freeAddress(t), freeAddress(t)
	stunnel(t, filepath.Join(dir, "server.conf"), fmt.Sprintf(`
[dmq-neo]
accept  = %s
connect = %s
cert    = %s
`, server, node.Neo(), filepath.Join(dir, "dmq.pem")))
	stunnel(t, filepath.Join(dir, "client.conf"), fmt.Sprintf(`
[dmq-neo]
client      = yes
accept      = %s
connect     = %s
verifyChain = yes
checkHost   = queue-1
CAfile      = %s
`, near, server, filepath.Join(dir, "dmq.pem")))

	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "queue-1"}}
	direct := newClient(t, client.Options{Nodes: []string{server}, Dial: dialer.DialContext})
	through := newClient(t, client.Options{Nodes: []string{near}})
	for _, c := range []*client.Client{direct, through} {
		waitConnected(t, c, 1)
		pushAll(t, c, "jobs", numbered(10)...)
		wantValues(t, popAll(t, c, "jobs"), numbered(10))
	}
	stranger := tls.Dialer{Config: &tls.Config{ServerName: "queue-1"}} // does not know the authority
	c := newClient(t, client.Options{Nodes: []string{server}, Dial: stranger.DialContext})
	eventually(t, "the certificate is refused", func() bool { return c.Nodes()[0].Err != nil })
	wantText(t, c.Nodes()[0].Err, "certificate")
}

// stunnel runs a stunnel until the end of the test.
func stunnel(t *testing.T, file, services string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("foreground = yes\npid =\n"+services), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("stunnel", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// freeAddress returns an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// certificate writes a key and a certificate for queue-1, and returns who vouches for it.
func certificate(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "queue-1"}, DNSNames: []string{"queue-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}
