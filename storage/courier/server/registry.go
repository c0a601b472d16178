package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/types"
	"github.com/docker/distribution/registry/api/errcode"
	v2 "github.com/docker/distribution/registry/api/v2"

	"skiff/storage/courier/message"
)

// systemContext says how to talk to the registry of named.
func systemContext(temp string, named reference.Named, dockerConfig string) *types.SystemContext {
	system := &types.SystemContext{
		BigFilesTemporaryDir:    temp,
		DockerRegistryUserAgent: "skiff",
	}
	if loopback(reference.Domain(named)) {
		// As docker does: https without verification, else plain http.
		system.DockerInsecureSkipTLSVerify = types.OptionalBoolTrue
	}
	config := filepath.Join(dockerConfig, "config.json")
	if _, err := os.Stat(config); err == nil {
		system.DockerCompatAuthFilePath = config
	} else {
		// An absent file still has to be named, or the library looks into
		// another engine's places.
		system.AuthFilePath = filepath.Join(temp, "no-credentials")
	}
	return system
}

// loopback reports whether host[:port] is this machine.
func loopback(domain string) bool {
	host := domain
	if h, _, err := net.SplitHostPort(domain); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// pullFailure puts the registry's answer into docker's words.
func pullFailure(named reference.Named, err error) error {
	if _, ok := errors.AsType[*message.Failure](err); ok {
		return err
	}
	familiar := reference.FamiliarString(named)
	repository := reference.FamiliarName(named)
	if e, ok := registryError(err); ok {
		switch e.Code {
		case v2.ErrorCodeManifestUnknown:
			return message.Fail(message.ErrNotFound, fmt.Sprintf("manifest for %s not found: %v", familiar, e))
		case v2.ErrorCodeNameUnknown:
			return message.Fail(message.ErrNotFound, fmt.Sprintf("repository %s not found: %v", repository, e))
		case errcode.ErrorCodeDenied, errcode.ErrorCodeUnauthorized:
			return denied(repository, e.Error())
		case errcode.ErrorCodeTooManyRequests:
			return message.Fail(message.ErrDenied, e.Error())
		}
		return errors.New(e.Error())
	}
	if _, ok := errors.AsType[docker.ErrUnauthorizedForCredentials](err); ok {
		return denied(repository, "unauthorized: incorrect username or password")
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return message.Fail(message.ErrUnreachable, u.Error())
	}
	return err
}

func denied(repository, cause string) error {
	f := message.Fail(message.ErrDenied, fmt.Sprintf("pull access denied for %s, repository does not exist or may require 'docker login': %s", repository, cause))
	return f
}

// registryError finds the registry's own error in err.
func registryError(err error) (errcode.Error, bool) {
	if e, ok := errors.AsType[errcode.Error](err); ok {
		return e, true
	}
	if many, ok := errors.AsType[errcode.Errors](err); ok && len(many) > 0 {
		return registryError(many[0])
	}
	if code, ok := errors.AsType[errcode.ErrorCode](err); ok {
		return code.WithMessage(code.Message()), true
	}
	return errcode.Error{}, false
}
