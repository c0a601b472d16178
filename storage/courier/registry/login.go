package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Login makes sure that the registry lets the credential in that Options gives
// for it. A registry that wants none lets everybody in.
func (c *Client) Login(ctx context.Context) error {
	if err := c.contact(ctx, nil, false); err != nil {
		return err
	}
	c.mu.Lock()
	ch, base := c.challenge, *c.base
	c.mu.Unlock()
	if ch.scheme == "bearer" && !sameParty(&base, ch.realm) {
		return fmt.Errorf("registry %s sends passwords to another party, %s: refused", c.Host, ch.realm.Host)
	}
	_, _, err := c.read(ctx, request{method: http.MethodGet, path: "/v2/"}, maxPage)
	var said *Error
	if ch.scheme == "basic" && errors.As(err, &said) && said.Status == http.StatusUnauthorized {
		return &Error{Status: said.Status, Message: fmt.Sprintf(
			"login attempt to %s/v2/ failed with status: %d %s", base.String(), said.Status, http.StatusText(said.Status))}
	}
	return err
}

// WantsPassword reports whether the registry, once it was talked to, wants a
// name and password with each request.
func (c *Client) WantsPassword() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.challenge != nil && c.challenge.scheme == "basic"
}
