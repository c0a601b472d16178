package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
)

const (
	// maxDownload bounds what a URL may answer with, in bytes.
	maxDownload = 64 << 30
	// answerLimit is how long a server may take for the head of its answer,
	// standstill for the next bytes of the rest.
	answerLimit = 60 * time.Second
	standstill  = 60 * time.Second
)

// fetchURL writes what is behind a URL to out.
func fetchURL(ctx context.Context, out *os.File, want *message.Download) (*message.Downloaded, error) {
	response, err := get(ctx, want.URL, want.ETag)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	got := &message.Downloaded{ETag: response.Header.Get("ETag")}
	if text := response.Header.Get("Last-Modified"); text != "" {
		if when, err := http.ParseTime(text); err == nil {
			got.Modified = when.Unix()
		}
	}
	if response.StatusCode == http.StatusNotModified {
		got.Same = true
		return got, nil
	}
	sum := digest.SHA256.Digester()
	n, err := io.Copy(io.MultiWriter(out, sum.Hash()), io.LimitReader(response.Body, maxDownload+1))
	if err == nil && n > maxDownload {
		err = fmt.Errorf("more than %d bytes", int64(maxDownload))
	}
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", want.URL, err)
	}
	got.Digest = sum.Digest().String()
	return got, nil
}

// download opens the archive behind a URL.
func download(ctx context.Context, url string) (io.ReadCloser, error) {
	response, err := get(ctx, url, "")
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// get asks for a URL; with etag, only for what has changed since. A URL comes
// from a file that the user may not have written: it leads neither to what
// answers on this machine's own link (where clouds keep their credentials), nor
// by a redirection from elsewhere to this machine itself.
func get(ctx context.Context, address, etag string) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("invalid URL %q: it must begin with http:// or https://", address))
	}
	local := isLocal(u.Hostname())
	moved := false // CheckRedirect and Control take turns
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerLimit
	dialer := &net.Dialer{Timeout: 30 * time.Second, Control: func(_, hostPort string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(hostPort)
		if err != nil {
			return err
		}
		ip := net.ParseIP(host)
		if ip.IsLinkLocalUnicast() || ip.IsLoopback() && moved && !local {
			return fmt.Errorf("%s leads to %s, where nothing is fetched from", address, host)
		}
		return nil
	}}
	transport.DialContext = dialer.DialContext
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		moved = true
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirections")
		}
		return nil
	}}
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := client.Do(request)
	if err != nil {
		cancel(nil)
		return nil, message.Fail(message.ErrUnreachable, err.Error())
	}
	response.Body = registry.Moving(response.Body, standstill, cancel)
	if response.StatusCode != http.StatusOK && (etag == "" || response.StatusCode != http.StatusNotModified) {
		response.Body.Close()
		return nil, message.Fail(message.ErrNotFound, fmt.Sprintf("failed to GET %s with status %s", address, response.Status))
	}
	return response, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
