package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"

	"skiff/storage/courier/credential"
	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
)

// userAgent is how registries see us.
const userAgent = "skiff"

// source is one place where a repository may be.
type source struct {
	client     *registry.Client
	repository string
}

// sources are the places where an image is looked for: the mirrors that
// daemon.json and registries.conf(5) name, and then its registry. The caller
// closes them.
func sources(named reference.Named, r message.Registries) ([]source, error) {
	named = withoutIdleTag(named)
	var all []source
	if reference.Domain(named) == registry.HubName {
		for _, mirror := range r.Mirrors {
			u, err := url.Parse(mirror)
			if err != nil {
				return nil, err
			}
			options := registryOptions(u.Host, r)
			options.Plain = u.Scheme == "http"
			client, err := registry.New(u.Host, options)
			if err != nil {
				return nil, err
			}
			all = append(all, source{client, reference.Path(named)})
		}
	}
	found, err := sysregistriesv2.FindRegistry(&types.SystemContext{}, named.Name())
	if err != nil {
		return nil, err
	}
	if found == nil {
		client, err := registry.New(reference.Domain(named), registryOptions(reference.Domain(named), r))
		return append(all, source{client, reference.Path(named)}), err
	}
	if found.Blocked {
		return nil, message.Fail(message.ErrDenied, fmt.Sprintf("registry %s is blocked in %s", found.Prefix, sysregistriesv2.ConfigurationSourceDescription(&types.SystemContext{})))
	}
	places, err := found.PullSourcesFromReference(named)
	if err != nil {
		return nil, err
	}
	for _, place := range places {
		options := registryOptions(reference.Domain(place.Reference), r)
		options.Insecure = options.Insecure || place.Endpoint.Insecure
		client, err := registry.New(reference.Domain(place.Reference), options)
		if err != nil {
			return nil, err
		}
		all = append(all, source{client, reference.Path(place.Reference)})
	}
	return all, nil
}

// withoutIdleTag takes the tag from a reference that also has a digest, which
// alone decides: name:tag@digest says for people which one it was.
func withoutIdleTag(named reference.Named) reference.Named {
	if canonical, ok := named.(reference.Canonical); ok {
		if plain, err := reference.WithDigest(reference.TrimNamed(named), canonical.Digest()); err == nil {
			return plain
		}
	}
	return named
}

// home is where an image is pushed to, and what is asked about a registry: never
// a mirror.
func home(named reference.Named, r message.Registries) (source, error) {
	domain := reference.Domain(named)
	client, err := registryClient(domain, registryOptions(domain, r))
	return source{client, reference.Path(named)}, err
}

// registryClient is a client of one registry, which registries.conf(5) may call
// insecure.
func registryClient(host string, options registry.Options) (*registry.Client, error) {
	found, err := sysregistriesv2.FindRegistry(&types.SystemContext{}, host)
	if err != nil {
		return nil, err
	}
	options.Insecure = options.Insecure || found != nil && found.Insecure
	return registry.New(host, options)
}

// outside is the process that runs credential helpers as the user.
var outside = sync.OnceValue(func() *credential.Outside {
	return credential.NewOutside(message.HelperFD)
})

func registryOptions(host string, r message.Registries) registry.Options {
	return registry.Options{
		Insecure: insecure(host, r.Insecure), CertDirs: r.CertDirs, UserAgent: userAgent, Patience: registry.Patience(r.Patience),
		Credential: func(ctx context.Context, host string) (registry.Credential, error) {
			file, err := credential.Load(r.DockerConfig)
			if err != nil {
				return registry.Credential{}, err
			}
			if r.HelpersOutside {
				file.Outside = outside()
			}
			c, err := file.Get(ctx, host)
			return registry.Credential(c), err
		},
	}
}

// insecure reports whether a registry may speak plain http: it is on this
// machine, or listed.
func insecure(domain string, listed []string) bool {
	host := domain
	if h, _, err := net.SplitHostPort(domain); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	for _, entry := range listed {
		if _, network, err := net.ParseCIDR(entry); err == nil {
			if ip != nil && network.Contains(ip) {
				return true
			}
			continue
		}
		if strings.EqualFold(entry, domain) {
			return true
		}
	}
	return loopback(domain)
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
	if e, ok := errors.AsType[*registry.Error](err); ok {
		switch {
		case e.Code == "MANIFEST_UNKNOWN":
			return message.Fail(message.ErrNotFound, fmt.Sprintf("manifest for %s not found: %v", familiar, e))
		case e.Code == "NAME_UNKNOWN":
			return message.Fail(message.ErrNotFound, fmt.Sprintf("repository %s not found: %v", repository, e))
		case e.Code == "DENIED", e.Code == "UNAUTHORIZED", e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
			return message.Fail(message.ErrDenied, fmt.Sprintf("pull access denied for %s, repository does not exist or may require 'docker login': %v", repository, e))
		case e.Status == http.StatusTooManyRequests:
			return message.Fail(message.ErrDenied, e.Error())
		case e.Status == http.StatusNotFound:
			return message.Fail(message.ErrNotFound, fmt.Sprintf("manifest for %s not found: manifest unknown: %v", familiar, e))
		}
		return errors.New(e.Error())
	}
	return registryFailure(err)
}

// registryFailure gives an error about the way to a registry its cause.
func registryFailure(err error) error {
	if _, ok := errors.AsType[*message.Failure](err); ok {
		return err
	}
	if errors.Is(err, registry.ErrTooLarge) || errors.Is(err, registry.ErrWrongDigest) {
		return message.Fail(message.ErrInvalid, err.Error())
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return message.Fail(message.ErrUnreachable, u.Error())
	}
	return err
}
