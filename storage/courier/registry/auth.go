package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

const (
	// maxToken is the largest answer of a token server.
	maxToken = 1 << 20
	// tokenLife is how long a token is good for when its server does not say,
	// and tokenSlack how much earlier it is replaced.
	// https://distribution.github.io/distribution/spec/auth/token/
	tokenLife  = 60 * time.Second
	tokenSlack = 5 * time.Second
	clientID   = "skiff"
)

// challenge is how a registry wants to know who asks. The zero value is one that
// does not.
type challenge struct {
	scheme  string // "", basic or bearer
	realm   *url.URL
	service string
	scope   string
}

type token struct {
	value   string
	expires time.Time
}

// readChallenge reads what an answer to the registry's root demands.
func readChallenge(answer *http.Response) (*challenge, error) {
	if answer.StatusCode != http.StatusUnauthorized {
		return &challenge{}, nil
	}
	found := &challenge{}
	for _, header := range answer.Header.Values("WWW-Authenticate") {
		scheme, parameters := parseChallenge(header)
		switch scheme {
		case "bearer":
			realm, err := url.Parse(parameters["realm"])
			if err != nil || realm.Host == "" || realm.Scheme != "https" && realm.Scheme != "http" {
				return nil, fmt.Errorf("registry %s: invalid authentication realm %q", answer.Request.URL.Host, shorten(parameters["realm"]))
			}
			return &challenge{scheme: scheme, realm: realm, service: parameters["service"], scope: parameters["scope"]}, nil
		case "basic":
			found.scheme = scheme
		}
	}
	return found, nil
}

// parseChallenge splits a WWW-Authenticate header.
// https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate
func parseChallenge(header string) (scheme string, parameters map[string]string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	parameters = make(map[string]string)
	for rest = strings.TrimLeft(rest, " ,"); rest != ""; rest = strings.TrimLeft(rest, " ,") {
		key, value, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		if value = strings.TrimLeft(value, " \t"); strings.HasPrefix(value, `"`) {
			var text strings.Builder
			i := 1
			for ; i < len(value) && value[i] != '"'; i++ {
				if value[i] == '\\' && i+1 < len(value) {
					i++
				}
				text.WriteByte(value[i])
			}
			rest = value[min(i+1, len(value)):]
			value = text.String()
		} else {
			value, rest, _ = strings.Cut(value, ",")
		}
		parameters[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
	}
	return strings.ToLower(scheme), parameters
}

// learn takes in what a refusal demands and reports whether asking again makes
// sense: there is another challenge, or a token that may have expired.
func (c *Client) learn(answer *http.Response) (bool, error) {
	said, err := readChallenge(answer)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	had := answer.Request.Header.Get("Authorization") != ""
	switch said.scheme {
	case "bearer":
		c.challenge = said
		clear(c.tokens)
		return true, nil
	case "basic":
		c.challenge = said
		return !had, nil
	}
	return false, nil
}

// authorize puts into q what the registry's challenge demands.
func (c *Client) authorize(ctx context.Context, q *http.Request, scope string) error {
	c.mu.Lock()
	ch := c.challenge
	c.mu.Unlock()
	switch ch.scheme {
	case "basic":
		credential, err := c.credential(ctx, c.Host)
		if err != nil {
			return err
		}
		if credential.Username != "" {
			q.SetBasicAuth(credential.Username, credential.Password)
		}
	case "bearer":
		value, err := c.token(ctx, ch, scope)
		if err != nil {
			return err
		}
		q.Header.Set("Authorization", "Bearer "+value)
	}
	return nil
}

// credential asks once for what host is to be shown.
func (c *Client) credential(ctx context.Context, host string) (Credential, error) {
	if c.options.Credential == nil {
		return Credential{}, nil
	}
	c.mu.Lock()
	known, ok := c.asked[host]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := c.options.Credential(ctx, host)
	if err != nil {
		return Credential{}, err
	}
	c.mu.Lock()
	c.asked[host] = found
	c.mu.Unlock()
	return found, nil
}

// token returns a token for scope.
func (c *Client) token(ctx context.Context, ch *challenge, scope string) (string, error) {
	if scope == "" {
		scope = ch.scope
	}
	c.mu.Lock()
	have, ok := c.tokens[scope]
	c.mu.Unlock()
	if ok && time.Now().Before(have.expires) {
		return have.value, nil
	}
	fetched, err := c.fetchToken(ctx, ch, scope)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.tokens[scope] = fetched
	c.mu.Unlock()
	return fetched.value, nil
}

// fetchToken asks the token server that the challenge names.
func (c *Client) fetchToken(ctx context.Context, ch *challenge, scope string) (token, error) {
	c.mu.Lock()
	base := *c.base
	c.mu.Unlock()
	if base.Scheme == "https" && ch.realm.Scheme != "https" && !c.options.Insecure {
		return token{}, fmt.Errorf("registry %s wants authentication over plain http, at %s", c.Host, ch.realm.Redacted())
	}
	// What the user gave for the registry goes to its own token server only. To
	// another one goes what the user gave for that.
	host := c.Host
	if !sameParty(&base, ch.realm) {
		host = ch.realm.Host
	}
	credential, err := c.credential(ctx, host)
	if err != nil {
		return token{}, err
	}
	wait := c.options.Patience.Backoff(nil)
	for {
		q, err := tokenRequest(ctx, ch, scope, credential)
		if err != nil {
			return token{}, err
		}
		q.Header.Set("User-Agent", c.options.UserAgent)
		fetched, after, err := c.readToken(ctx, q)
		if err == nil || !Temporary(err) || !wait.Wait(ctx, err, after) {
			return fetched, err
		}
	}
}

func (c *Client) readToken(ctx context.Context, q *http.Request) (token, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	answer, err := c.http.Do(q.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return token{}, 0, err
	}
	answer.Body = &movingBody{body: answer.Body, cancel: cancel, limit: c.options.Patience.Stall}
	if answer.StatusCode >= http.StatusBadRequest {
		after := retryAfter(answer)
		return token{}, after, readError(answer)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxToken+1))
	if err != nil {
		return token{}, 0, err
	}
	if len(data) > maxToken {
		return token{}, 0, fmt.Errorf("token server %s: the answer is larger than %d bytes", q.URL.Host, maxToken)
	}
	var said struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return token{}, 0, fmt.Errorf("token server %s: %w", q.URL.Host, err)
	}
	value := said.Token
	if value == "" {
		value = said.AccessToken
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return token{}, 0, fmt.Errorf("token server %s: no token in the answer", q.URL.Host)
	}
	life := time.Duration(said.ExpiresIn) * time.Second
	return token{value, time.Now().Add(max(life, tokenLife) - tokenSlack)}, 0, nil
}

// tokenRequest asks for access to scope: with an identity token by OAuth2, else
// in the way that anybody may.
// https://distribution.github.io/distribution/spec/auth/oauth/
func tokenRequest(ctx context.Context, ch *challenge, scope string, credential Credential) (*http.Request, error) {
	form := url.Values{}
	if ch.service != "" {
		form.Set("service", ch.service)
	}
	if scope != "" {
		form["scope"] = strings.Fields(scope)
	}
	if credential.IdentityToken != "" {
		form.Set("scope", scope)
		form.Set("client_id", clientID)
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", credential.IdentityToken)
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, ch.realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return q, err
	}
	target := *ch.realm
	query := target.Query()
	for key, values := range form {
		query[key] = values
	}
	if credential.Username != "" {
		query.Set("account", credential.Username)
	}
	target.RawQuery = query.Encode()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err == nil && credential.Username != "" {
		q.SetBasicAuth(credential.Username, credential.Password)
	}
	return q, err
}

// sameParty reports whether whoever runs the registry also runs the token
// server, so that the registry's credentials may go there: it is the same host
// and port; or, over https where certificates vouch for names, another port or
// another host of the same registered domain, as auth.docker.io is.
func sameParty(registry, realm *url.URL) bool {
	if strings.EqualFold(registry.Host, realm.Host) {
		return registry.Scheme == realm.Scheme || realm.Scheme == "https"
	}
	a, b := strings.ToLower(registry.Hostname()), strings.ToLower(realm.Hostname())
	if registry.Scheme != "https" || realm.Scheme != "https" || net.ParseIP(a) != nil {
		return false
	}
	if a == b {
		return true
	}
	domainA, errA := publicsuffix.EffectiveTLDPlusOne(a)
	domainB, errB := publicsuffix.EffectiveTLDPlusOne(b)
	return errA == nil && errB == nil && domainA == domainB
}
