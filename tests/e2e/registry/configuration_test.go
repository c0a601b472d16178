package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
	"skiff/tests/registry"
)

func TestDaemonJSON_NamesMirrors(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	r.Push(t, harness.BusyboxImage(t), "library/busybox:1")
	s.Shell(`mkdir -p ~/.config/docker; echo '{"registry-mirrors":["http://` + r.Address + `"],"insecure-registries":["10.0.0.0/8","reg.test:5000"]}' > ~/.config/docker/daemon.json`).Exits(0)
	s.Skiff("pull", "busybox:1").Exits(0).Says("Status: Downloaded newer image for busybox:1\ndocker.io/library/busybox:1\n")
	s.Skiff("info").Exits(0).Says(" Registry Mirrors:\n  http://" + r.Address + "/\n").Says(" Insecure Registries:\n  reg.test:5000\n  ::1/128\n  127.0.0.0/8\n  10.0.0.0/8\n")
	s.Skiff("info", "-f", "{{.RegistryConfig.Mirrors}}").Exits(0).Prints("[http://" + r.Address + "/]")
	s.OK("rmi", "busybox:1")
}

func TestRegistriesConf_NamesMirrors(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	r.Push(t, harness.BusyboxImage(t), "mirror/library/busybox:1")
	s.Shell(`mkdir -p ~/.config/containers; printf '[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "` + r.Address +
		`/mirror"\ninsecure = true\n' > ~/.config/containers/registries.conf`).Exits(0)
	s.Skiff("pull", "-q", "busybox:1").Exits(0).Prints("docker.io/library/busybox:1")
	s.Skiff("info", "-f", "{{.RegistryConfig.Mirrors}}").Exits(0).Prints("[http://" + r.Address + "/mirror/]")
	s.OK("rmi", "busybox:1")
	s.Shell(`printf '[[registry]]\nlocation = "docker.io"\nblocked = true\n' > ~/.config/containers/registries.conf`).Exits(0)
	s.Skiff("pull", "busybox:1").Exits(1).Complains("registry docker.io is blocked in ")
}

// A mirror that is down, or that has lost its blobs, keeps nobody from the
// registry itself.
func TestRegistriesConf_BadMirrorsAreSkipped(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	_, blobs := r.Add("app", "1", harness.Busybox(t).Tar(t))
	config := fmt.Sprintf(`[[registry]]
location = "%[1]s/ok"
insecure = true
[[registry.mirror]]
location = "127.0.0.1:1/down"
[[registry.mirror]]
location = "%[1]s/loop"
insecure = true
`, r.Address)
	s.Do(strings.NewReader(config), "/bin/sh", "-c", "mkdir -p ~/.config/containers && cat > ~/.config/containers/registries.conf").Exits(0)
	s.Skiff("pull", "-q", r.Address+"/ok/app:1").Exits(0)
	for _, d := range blobs {
		if r.Gets("loop", d) == 0 || r.Gets("ok", d) != 1 {
			t.Errorf("blob %s: asked %d times at the mirror, %d at the registry", d, r.Gets("loop", d), r.Gets("ok", d))
		}
	}
	s.OK("rmi", r.Address+"/ok/app:1")
}

func TestDaemonJSON_ErrorsNameThePlace(t *testing.T) {
	s := harness.New(t)
	for _, test := range []struct{ text, want string }{
		{`{\n  "registry-mirrors": [,]\n}`, "daemon.json: line 2, column 24: invalid character ','"},
		{`{\n "insecure-registries": "x"\n}`, "daemon.json: line 2, column 27: "},
		{`{\n"registry-mirrors": [\n  "ftp://x"]}`, `daemon.json: line 3, column 3: invalid mirror: unsupported scheme "ftp"`},
		{`{"registry-mirrors": ["https://x/path"]}`, "daemon.json: line 1, column 23: invalid mirror: path, query, or fragment"},
		{`{"insecure-registries": ["a/b"]}`, "daemon.json: line 1, column 26: insecure registry"},
	} {
		s.Shell("mkdir -p ~/.config/docker; printf '" + test.text + "' > ~/.config/docker/daemon.json").Exits(0)
		for _, args := range []string{"pull x", "push x", "info", "search x", "login -u a -p b x"} {
			s.Shell("skiff " + args).Exits(1).Complains(test.want)
		}
		// What needs no registry goes on.
		s.Skiff("images", "-q").Exits(0)
	}
}

// outside is an address of this machine that is not a loopback: there nothing
// is insecure by itself.
func outside(t *testing.T) net.Listener {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.To4() == nil {
			continue
		}
		if l, err := net.Listen("tcp", net.JoinHostPort(ip.IP.String(), "0")); err == nil {
			return l
		}
	}
	t.Skip("needs an address that is not a loopback")
	return nil
}

// certificate makes a certificate for an address, signed by parent or by itself.
func certificate(t *testing.T, ip net.IP, parent *tls.Certificate) (pair tls.Certificate, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{ip}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signerKey := template, any(private)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &private.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if pair, err = tls.X509KeyPair([]byte(cert), []byte(key)); err == nil {
		pair.Leaf, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

func TestCertificates_ComeFromCertsD(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", harness.Busybox(t).Tar(t))
	l := outside(t)
	ip := l.Addr().(*net.TCPAddr).IP
	authority, ca, _ := certificate(t, ip, nil)
	server, _, _ := certificate(t, ip, &authority)
	_, clientCert, clientKey := certificate(t, ip, &authority)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	https := httptest.NewUnstartedServer(r.Handler())
	https.Listener.Close()
	https.Listener = l
	https.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	https.StartTLS()
	t.Cleanup(https.Close)
	address := l.Addr().String()
	ref := address + "/ok/app:1"
	put := func(name, text string) {
		s.Do(strings.NewReader(text), "/bin/sh", "-c", fmt.Sprintf("mkdir -p ~/.config/docker/certs.d/%s && cat > ~/.config/docker/certs.d/%s/%s", address, address, name)).Exits(0)
	}
	s.Skiff("pull", ref).Exits(1).Complains("tls: failed to verify certificate: x509: certificate signed by unknown authority")
	put("ca.crt", ca)
	s.Skiff("pull", ref).Exits(1).Complains("tls: ")
	put("client.cert", clientCert)
	s.Skiff("pull", ref).Exits(1).Complains("missing key client.key for client certificate client.cert. CA certificates must use the extension .crt")
	put("client.key", clientKey)
	s.Skiff("pull", "-q", ref).Exits(0).Prints(ref)
	s.OK("rmi", ref)
}

func TestPlainHTTP_IsForInsecureRegistriesOnly(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", harness.Busybox(t).Tar(t))
	http := httptest.NewUnstartedServer(r.Handler())
	http.Listener.Close()
	http.Listener = outside(t)
	http.Start()
	t.Cleanup(http.Close)
	ref := http.Listener.Addr().String() + "/ok/app:1"
	s.Skiff("pull", ref).Exits(1).Complains("http: server gave HTTP response to HTTPS client")
	s.Shell(`mkdir -p ~/.config/docker; echo '{"insecure-registries":["` + http.Listener.Addr().String() + `"]}' > ~/.config/docker/daemon.json`)
	s.Skiff("pull", "-q", ref).Exits(0)
	s.OK("rmi", ref)
}
