package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"skiff/storage/container/hook"
)

// Bounds of an answer, in bytes: of its body, the kubelet's, and of its header.
const (
	mostBody   = 10 << 10
	mostHeader = 64 << 10
)

// mostRedirections is the kubelet's.
const mostRedirections = 10

// The kubelet's names of itself begin so, and servers leave them out of their logs.
const (
	probeAgent = "kube-probe/skiff"
	hookAgent  = "kube-lifecycle/skiff"
)

// get is an httpGet. For a hook any answer will do.
func get(ctx context.Context, d *dialer, g *hook.HTTPGet, isHook bool) (string, error) {
	req, err := request(ctx, g, isHook)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		DialContext:            d.dial,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, // as the kubelet: whose container it is, is known
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: mostHeader,
	}
	client := &http.Client{Transport: transport, CheckRedirect: follow}
	answer, err := client.Do(req)
	if err != nil && isHook && g.Scheme == "HTTPS" && errors.Is(err, http.ErrSchemeMismatch) {
		// As the kubelet, for those who relied on HTTPS being ignored there.
		req.URL.Scheme = "http"
		req.Header.Del("Authorization")
		answer, err = client.Do(req)
	}
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return "", fmt.Errorf("GET %s: %w", req.URL, plain(err))
	}
	defer answer.Body.Close()
	// What of the body is not read is of no interest, nor is that it breaks off.
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, mostBody))
	said := fmt.Sprintf("HTTP status %d", answer.StatusCode)
	switch code := answer.StatusCode; {
	case isHook, code >= 200 && code < 300:
		return said, nil
	case code >= 300 && code < 400:
		return said + ": a redirection to another host is not followed", nil
	}
	return "", fmt.Errorf("HTTP probe failed with statuscode: %d", answer.StatusCode)
}

func request(ctx context.Context, g *hook.HTTPGet, isHook bool) (*http.Request, error) {
	scheme := "http"
	if g.Scheme == "HTTPS" {
		scheme = "https"
	}
	u, err := url.Parse("/" + strings.TrimPrefix(g.Path, "/"))
	if err != nil {
		u = &url.URL{Path: g.Path}
	}
	u.Scheme, u.Host = scheme, place(g.Host, g.Port)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, f := range g.Headers {
		if strings.EqualFold(f.Name, "Host") {
			req.Host = f.Value
			continue
		}
		req.Header.Add(f.Name, f.Value)
	}
	agent := probeAgent
	if isHook {
		agent = hookAgent
	}
	for name, value := range map[string]string{"User-Agent": agent, "Accept": "*/*"} {
		if _, said := req.Header[name]; !said {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// follow follows redirections that stay with the host, as the kubelet does.
func follow(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= mostRedirections {
		return fmt.Errorf("stopped after %d redirections", mostRedirections)
	}
	return nil
}
