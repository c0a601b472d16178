package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// HubName is how image references call Docker Hub, and HubHost where it is.
	HubName = "docker.io"
	HubHost = "registry-1.docker.io"
	// maxRedirects is how often a request is sent elsewhere.
	maxRedirects = 10
)

// Options is how a registry is talked to.
type Options struct {
	// Insecure allows plain http and certificates that nobody vouches for.
	Insecure bool
	// Plain goes straight to http. It implies Insecure.
	Plain bool
	// CertDirs are searched for <host>/*.crt, *.cert and *.key, docker's way.
	CertDirs []string
	// Credential returns what a host is to be shown; the zero value for nothing.
	// It may be nil.
	Credential func(ctx context.Context, host string) (Credential, error)
	// UserAgent names us.
	UserAgent string
	Patience  Patience
}

// Credential is what proves who the user is: a name with a password, or a token
// that a token server turns into access.
type Credential struct {
	Username, Password string
	IdentityToken      string
}

// Client talks to one registry. It is safe for concurrent use.
type Client struct {
	// Host is the registry as references name it: host[:port].
	Host    string
	options Options
	http    *http.Client

	mu        sync.Mutex
	base      *url.URL // nil until the first contact
	challenge *challenge
	tokens    map[string]token // by scope
	// asked keeps what Credential said, by host.
	asked map[string]Credential
}

// New returns a client of the registry host. It does not talk to it yet.
func New(host string, options Options) (*Client, error) {
	options.Insecure = options.Insecure || options.Plain
	options.Patience = options.Patience.withDefaults()
	address := host
	if host == HubName {
		address = HubHost
	}
	config, err := tlsConfig(host, options)
	if err != nil {
		return nil, err
	}
	c := &Client{Host: host, options: options, tokens: make(map[string]token), asked: make(map[string]Credential)}
	c.http = &http.Client{Transport: newTransport(config, options.Patience), CheckRedirect: c.redirect}
	if options.Plain {
		c.base = &url.URL{Scheme: "http", Host: address}
	} else if !options.Insecure {
		c.base = &url.URL{Scheme: "https", Host: address}
	}
	return c, nil
}

// address is the host and port that requests go to.
func (c *Client) address() string {
	if c.Host == HubName {
		return HubHost
	}
	return c.Host
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// redirect decides whether a request may go on elsewhere, and what it may take
// along. Go keeps the Authorization header for another port of the same host,
// which may be another user's server.
func (c *Client) redirect(next *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	first := via[0].URL
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
		next.Header.Del("Authorization")
	}
	if first.Scheme == "https" && next.URL.Scheme != "https" && !c.options.Insecure {
		return fmt.Errorf("redirected from https to %s", next.URL.Redacted())
	}
	return nil
}

// request is what is asked of the registry, as often as it takes.
type request struct {
	method string
	// path is below the registry's root, or a whole URL that it gave us.
	path   string
	query  url.Values
	header http.Header
	// body starts the request's body anew; nil for none.
	body   func() (io.ReadCloser, error)
	length int64
	// scope is what a token must allow, "" when the registry may say.
	scope string
	// open says that anybody may ask, so that nobody needs to find out how to say
	// who does.
	open bool
	// once says that the body cannot be sent again.
	once bool
}

// do sends r until there is an answer worth having, and returns it if its
// status is below 400, else an *Error. The caller closes the body.
func (c *Client) do(ctx context.Context, r request, wait *Backoff) (*http.Response, error) {
	if wait == nil {
		wait = c.options.Patience.Backoff(nil)
	}
	if err := c.contact(ctx, wait, r.open); err != nil {
		return nil, err
	}
	authorized := false
	for {
		answer, err := c.send(ctx, r, wait.stall())
		var after time.Duration
		switch {
		case err != nil:
		case answer.StatusCode == http.StatusUnauthorized && !authorized:
			// Once: a second refusal is about the user, not about the token.
			authorized = true
			again, failed := c.learn(answer)
			discard(answer)
			if failed != nil {
				return nil, failed
			}
			if again && !r.once {
				continue
			}
			if again {
				// The next try has another token.
				return nil, fmt.Errorf("%w: %s %s", errStaleToken, r.method, answer.Request.URL.Path)
			}
			err = &Error{Status: http.StatusUnauthorized, Code: "UNAUTHORIZED", Message: "authentication required"}
		case answer.StatusCode >= http.StatusBadRequest:
			after = retryAfter(answer)
			err = readError(answer)
		default:
			return answer, nil
		}
		if r.once || !Temporary(err) {
			return nil, err
		}
		if !wait.Wait(ctx, err, after) {
			return nil, err
		}
	}
}

// send sends r once. The answer may stand still for stall.
func (c *Client) send(ctx context.Context, r request, stall time.Duration) (*http.Response, error) {
	c.mu.Lock()
	base := c.base
	c.mu.Unlock()
	target, err := base.Parse(r.path)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w", r.path, err)
	}
	if len(r.query) > 0 {
		query := target.Query()
		for key, values := range r.query {
			query[key] = values
		}
		target.RawQuery = query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var body io.ReadCloser
	if r.body != nil {
		if body, err = r.body(); err != nil {
			cancel(nil)
			return nil, err
		}
	}
	q, err := http.NewRequestWithContext(ctx, r.method, target.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if body != nil {
		q.Body, q.ContentLength = body, r.length
	}
	for key, values := range r.header {
		q.Header[key] = values
	}
	q.Header.Set("User-Agent", c.options.UserAgent)
	// An upload goes on at an address that the registry names: it gets our
	// credentials only if that is the registry.
	if target.Host == base.Host && target.Scheme == base.Scheme && !r.open {
		if err := c.authorize(ctx, q, r.scope); err != nil {
			cancel(nil)
			return nil, err
		}
	}
	answer, err := c.http.Do(q)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	answer.Body = &movingBody{body: answer.Body, cancel: cancel, limit: stall}
	return answer, nil
}

// contact finds out how the registry is spoken to: over which protocol, and who
// has to say who we are. With open the protocol is enough.
func (c *Client) contact(ctx context.Context, wait *Backoff, open bool) error {
	c.mu.Lock()
	known := c.base != nil && (open || c.challenge != nil)
	base := c.base
	c.mu.Unlock()
	if known {
		return nil
	}
	schemes := []string{"https", "http"}
	if base != nil {
		schemes = []string{base.Scheme}
	}
	if wait == nil {
		wait = c.options.Patience.Backoff(nil)
	}
	var failed error
	for _, scheme := range schemes {
		answer, err := c.ping(ctx, scheme, wait)
		if err != nil {
			failed = err
			continue
		}
		ch, err := readChallenge(answer)
		discard(answer)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.base = &url.URL{Scheme: scheme, Host: c.address()}
		c.challenge = ch
		c.mu.Unlock()
		return nil
	}
	return failed
}

// ping asks for the registry's root once it answers.
func (c *Client) ping(parent context.Context, scheme string, wait *Backoff) (*http.Response, error) {
	for {
		ctx, cancel := context.WithCancelCause(parent)
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+c.address()+"/v2/", nil)
		if err != nil {
			cancel(nil)
			return nil, err
		}
		q.Header.Set("User-Agent", c.options.UserAgent)
		answer, err := c.http.Do(q)
		var after time.Duration
		if err == nil {
			answer.Body = &movingBody{body: answer.Body, cancel: cancel, limit: c.options.Patience.Stall}
			switch {
			case answer.StatusCode < http.StatusBadRequest, answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
				return answer, nil
			}
			after = retryAfter(answer)
			err = readError(answer)
		}
		// A registry that never answered is not there: no need to keep the user
		// waiting.
		cancel(nil)
		if !Temporary(err) || unreachable(err) || !wait.Wait(parent, err, after) {
			return nil, err
		}
	}
}

// discard ends an answer whose body nobody wants. A little is read so that the
// connection can be used again.
func discard(answer *http.Response) {
	_, _ = io.CopyN(io.Discard, answer.Body, 4<<10)
	answer.Body.Close()
}

// tlsConfig is the TLS configuration for host.
func tlsConfig(host string, o Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	for _, dir := range o.CertDirs {
		if err := addCertificates(config, dir, host); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// repositoryPath returns the path below the registry's root of what a
// repository has.
func repositoryPath(repository string, parts ...string) string {
	return "/v2/" + repository + "/" + strings.Join(parts, "/")
}
