package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	// maxErrorBody is how much of a refusal is read, maxErrorText how much of it
	// is shown.
	maxErrorBody = 64 << 10
	maxErrorText = 512
)

// Error is a registry's refusal.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the specification's, MANIFEST_UNKNOWN for example; empty when the
	// registry gave none.
	Code    string
	Message string
}

// Error returns the refusal in docker's words.
func (e *Error) Error() string {
	switch {
	case e.Code == "" && e.Message != "":
		return e.Message
	case e.Code == "":
		return fmt.Sprintf("received unexpected HTTP status: %d %s", e.Status, http.StatusText(e.Status))
	case e.Message == "":
		return code(e.Code)
	}
	return code(e.Code) + ": " + e.Message
}

// code is how docker shows an error code: "manifest unknown".
func code(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", " ")) }

// readError reads the refusal and ends the answer.
func readError(answer *http.Response) error {
	defer answer.Body.Close()
	e := &Error{Status: answer.StatusCode}
	// A refusal that breaks off is one without words.
	data, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorBody))
	data = bytes.TrimSpace(data)
	var said struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Details string `json:"details"` // of token servers
	}
	if len(data) > 0 && data[0] == '{' && json.Unmarshal(data, &said) == nil {
		switch {
		case len(said.Errors) > 0:
			e.Code, e.Message = shorten(said.Errors[0].Code), shorten(said.Errors[0].Message)
		case said.Details != "":
			e.Message = shorten(said.Details)
		}
	}
	if e.Code == "" && e.Message == "" {
		switch e.Status {
		case http.StatusUnauthorized:
			e.Code, e.Message = "UNAUTHORIZED", "authentication required"
		case http.StatusForbidden:
			e.Code, e.Message = "DENIED", "requested access to the resource is denied"
		case http.StatusTooManyRequests:
			e.Code, e.Message = "TOOMANYREQUESTS", "too many requests"
		}
	}
	return e
}

// shorten makes a text of the registry's one line of bearable length.
func shorten(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if len(s) > maxErrorText {
		return strings.ToValidUTF8(s[:maxErrorText], "") + "..."
	}
	return s
}
