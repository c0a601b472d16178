package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
)

// searchHost is where Docker Hub is searched.
const searchHost = "index.docker.io"

// login makes sure that a registry accepts a credential.
func login(ctx context.Context, want *message.Login) error {
	options := registryOptions(want.Host, want.Registries)
	options.Credential = func(_ context.Context, host string) (registry.Credential, error) {
		if host != want.Host {
			return registry.Credential{}, nil
		}
		return registry.Credential{Username: want.Username, Password: want.Password, IdentityToken: want.IdentityToken}, nil
	}
	client, err := registryClient(want.Host, options)
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.Login(ctx)
	if e, ok := errors.AsType[*registry.Error](err); ok && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) {
		return message.Fail(message.ErrDenied, e.Error())
	}
	return registryFailure(err)
}

// search looks for repositories: by the protocol of Docker Hub, or in the list of
// all that a registry has.
func search(ctx context.Context, want *message.Search) ([]message.Found, error) {
	host := want.Host
	if host == registry.HubName {
		host = searchHost
	}
	client, err := registryClient(host, registryOptions(host, want.Registries))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found, err := client.Search(ctx, want.Term, want.Limit)
	var said *registry.Error
	if host != searchHost && errors.As(err, &said) && said.Status < http.StatusInternalServerError {
		found, err = searchCatalog(ctx, client, want.Term)
	}
	if err != nil {
		return nil, searchFailure(want.Host, err)
	}
	if len(found) > want.Limit {
		found = found[:want.Limit]
	}
	all := make([]message.Found, len(found))
	for i, f := range found {
		all[i] = message.Found(f)
		if want.Host != registry.HubName {
			all[i].Name = want.Host + "/" + f.Name
		}
	}
	return all, nil
}

// searchCatalog finds the repositories with term in their names.
func searchCatalog(ctx context.Context, client *registry.Client, term string) ([]registry.Found, error) {
	names, err := client.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	var found []registry.Found
	for _, name := range names {
		if strings.Contains(name, term) {
			found = append(found, registry.Found{Name: name})
		}
	}
	return found, nil
}

func searchFailure(host string, err error) error {
	if e, ok := errors.AsType[*registry.Error](err); ok {
		if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
			return message.Fail(message.ErrDenied, fmt.Sprintf("search at registry %s: %v", host, e))
		}
		return fmt.Errorf("search at registry %s: %w", host, e)
	}
	return registryFailure(err)
}

// tags lists the tags of a repository.
func tags(ctx context.Context, want *message.Tags) ([]string, error) {
	named, err := reference.ParseNormalizedNamed(want.Reference)
	if err != nil {
		return nil, err
	}
	from, err := sources(named, want.Registries)
	if err != nil {
		return nil, err
	}
	defer closeSources(from)
	var all []string
	for _, place := range from {
		if all, err = place.client.Tags(ctx, place.repository); err == nil {
			return all, nil
		}
	}
	return nil, pullFailure(named, err)
}

// fetchManifest fetches a manifest, and of an image's the configuration too.
func fetchManifest(ctx context.Context, want *message.Manifest) (*message.Fetched, error) {
	named, what, err := parseRemote(want.Reference)
	if err != nil {
		return nil, err
	}
	from, err := sources(named, want.Registries)
	if err != nil {
		return nil, err
	}
	defer closeSources(from)
	var failed error
	for _, place := range from {
		blob, mimeType, err := place.client.Manifest(ctx, place.repository, what)
		if err != nil {
			failed = err
			continue
		}
		f := &message.Fetched{MediaType: manifestType(blob, mimeType), Raw: blob}
		if manifest.MIMETypeIsMultiImage(f.MediaType) {
			_, err := manifest.ListFromBlob(blob, f.MediaType)
			return f, invalidManifest(err)
		}
		parsed, err := parseManifest(blob, f.MediaType)
		if err != nil {
			return nil, err
		}
		f.Config, err = readConfig(ctx, place, parsed.ConfigInfo())
		return f, err
	}
	return nil, pullFailure(named, failed)
}

func invalidManifest(err error) error {
	if err != nil {
		return message.Fail(message.ErrInvalid, "parse image index: "+err.Error())
	}
	return nil
}

// readConfig fetches a configuration without keeping it.
func readConfig(ctx context.Context, place source, info types.BlobInfo) ([]byte, error) {
	if err := checkDigest(info.Digest); err != nil {
		return nil, err
	}
	blob, _, err := place.client.Blob(ctx, place.repository, info.Digest.String(), 0, nil)
	if err != nil {
		return nil, registryFailure(err)
	}
	defer blob.Close()
	return readBlob(blob, info.Digest)
}

// parseRemote reads a normalized reference and returns what it names in its
// repository.
func parseRemote(text string) (reference.Named, string, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, "", err
	}
	if digested, ok := named.(reference.Digested); ok {
		return named, digested.Digest().String(), checkDigest(digested.Digest())
	}
	if tagged, ok := named.(reference.Tagged); ok {
		return named, tagged.Tag(), nil
	}
	return named, "latest", nil
}

// putManifest gives a repository a manifest, and the blobs that it needs.
func putManifest(ctx context.Context, want *message.PutManifest) error {
	named, what, err := parseRemote(want.Reference)
	if err != nil {
		return err
	}
	to, err := home(named, want.Registries)
	if err != nil {
		return err
	}
	defer to.client.Close()
	if len(want.Blobs) > 0 {
		other, err := reference.ParseNormalizedNamed(want.From)
		if err != nil {
			return err
		}
		from, err := home(other, want.Registries)
		if err != nil {
			return err
		}
		defer from.client.Close()
		for _, blob := range want.Blobs {
			if err := checkDigest(digest.Digest(blob)); err != nil {
				return err
			}
			if err := to.have(ctx, from, blob); err != nil {
				return err
			}
		}
	}
	return pushFailure(to, to.client.PutManifest(ctx, to.repository, what, want.MediaType, want.Raw))
}

// have lets a repository have a blob of another one: by a word where one registry
// has both, else by carrying it there.
func (to source) have(ctx context.Context, from source, blob string) error {
	there, err := to.client.HasBlob(ctx, to.repository, blob)
	if err == nil && !there && from.client.Host == to.client.Host {
		// One who may not read the other repository may still be given the blob.
		there, _ = to.client.Mount(ctx, to.repository, blob, from.repository)
	}
	if err != nil || there {
		return pushFailure(to, err)
	}
	wait := to.client.Backoff(nil)
	for {
		err := to.carry(ctx, from, blob, wait)
		if err == nil || !registry.Temporary(err) || !wait.Wait(ctx, err, 0) {
			return pushFailure(to, err)
		}
	}
}

// carry sends a blob as it is fetched. The receiver checks its digest.
func (to source) carry(ctx context.Context, from source, blob string, wait *registry.Backoff) error {
	body, _, err := from.client.Blob(ctx, from.repository, blob, 0, wait)
	if err != nil {
		return fmt.Errorf("fetch blob %s of %s/%s: %w", blob, from.client.Host, from.repository, err)
	}
	defer body.Close()
	upload, err := to.client.Upload(ctx, to.repository)
	if err != nil {
		return err
	}
	if err := upload.Send(ctx, body, -1); err != nil {
		return err
	}
	return upload.Finish(ctx, blob)
}

// pushFailure puts the registry's refusal into docker's words.
func pushFailure(to source, err error) error {
	e, ok := errors.AsType[*registry.Error](err)
	switch {
	case !ok:
		return registryFailure(err)
	case e.Status == http.StatusUnauthorized && to.client.WantsPassword():
		return message.Fail(message.ErrDenied, "no basic auth credentials")
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return message.Fail(message.ErrDenied, e.Error())
	}
	return errors.New(e.Error())
}

// mirrors are the mirrors of Docker Hub in registries.conf(5).
func mirrors() ([]string, error) {
	found, err := sysregistriesv2.FindRegistry(&types.SystemContext{}, registry.HubName)
	if err != nil || found == nil {
		return nil, err
	}
	var all []string
	for _, m := range found.Mirrors {
		scheme := "https://"
		if m.Insecure {
			scheme = "http://"
		}
		all = append(all, scheme+strings.TrimSuffix(m.Location, "/")+"/")
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
