package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// newTransport is Go's, with limits on how long each step may take.
func newTransport(config *tls.Config, p Patience) *http.Transport {
	dialer := &net.Dialer{Timeout: p.Header, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   p.Header,
		ResponseHeaderTimeout: p.Header,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
		ForceAttemptHTTP2:     true,
		// Digests are of what is stored, not of what is left after unpacking.
		DisableCompression: true,
	}
}

// addCertificates adds what lies in dir/host: certificate authorities (*.crt)
// and client certificates (*.cert with *.key). An absent directory is none.
// https://docs.docker.com/engine/security/certificates/
func addCertificates(config *tls.Config, dir, host string) error {
	path := filepath.Join(dir, host)
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		names[e.Name()] = true
	}
	for _, e := range entries {
		name := e.Name()
		switch filepath.Ext(name) {
		case ".crt":
			if config.RootCAs == nil {
				if config.RootCAs, err = x509.SystemCertPool(); err != nil {
					config.RootCAs = x509.NewCertPool()
				}
			}
			data, err := os.ReadFile(filepath.Join(path, name))
			if err != nil {
				return fmt.Errorf("read certificates: %w", err)
			}
			config.RootCAs.AppendCertsFromPEM(data)
		case ".cert":
			key := strings.TrimSuffix(name, ".cert") + ".key"
			if !names[key] {
				return fmt.Errorf("missing key %s for client certificate %s. CA certificates must use the extension .crt", key, name)
			}
			pair, err := tls.LoadX509KeyPair(filepath.Join(path, name), filepath.Join(path, key))
			if err != nil {
				return fmt.Errorf("read client certificate %s: %w", filepath.Join(path, name), err)
			}
			config.Certificates = append(config.Certificates, pair)
		case ".key":
			if cert := strings.TrimSuffix(name, ".key") + ".cert"; !names[cert] {
				return fmt.Errorf("missing client certificate %s for key %s", cert, name)
			}
		}
	}
	return nil
}
