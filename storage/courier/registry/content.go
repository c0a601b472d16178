package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// MaxManifest is the largest manifest that is accepted.
const MaxManifest = 4 << 20

// Accept are the kinds of manifests that are asked for.
var Accept = []string{
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws",
}

// ErrTooLarge says that a manifest is larger than MaxManifest.
var ErrTooLarge = fmt.Errorf("manifest is larger than %d bytes", MaxManifest)

// ErrWrongDigest says that a manifest is not the one that its digest promised.
var ErrWrongDigest = errors.New("manifest verification failed for digest")

// Pull and Push are the scopes of work on a repository.
func pullScope(repository string) string { return "repository:" + repository + ":pull" }
func pushScope(repository string) string { return "repository:" + repository + ":pull,push" }

// Manifest returns the manifest that reference, a tag or a digest, names in the
// repository, and its media type.
func (c *Client) Manifest(ctx context.Context, repository, reference string) (blob []byte, mediaType string, err error) {
	wait := c.options.Patience.Backoff(nil)
	for {
		blob, mediaType, err = c.manifest(ctx, repository, reference, wait)
		if err == nil || !broken(err) || !wait.Wait(ctx, err, 0) {
			return blob, mediaType, err
		}
	}
}

// broken reports whether an answer broke off; do has repeated everything else.
func broken(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrStalled)
}

func (c *Client) manifest(ctx context.Context, repository, reference string, wait *Backoff) ([]byte, string, error) {
	answer, err := c.do(ctx, request{
		method: http.MethodGet, path: repositoryPath(repository, "manifests", reference),
		header: http.Header{"Accept": Accept}, scope: pullScope(repository),
	}, wait)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	blob, err := io.ReadAll(io.LimitReader(answer.Body, MaxManifest+1))
	if err != nil {
		return nil, "", err
	}
	if len(blob) > MaxManifest {
		return nil, "", ErrTooLarge
	}
	if want, ok := strings.CutPrefix(reference, "sha256:"); ok && fmt.Sprintf("%x", sha256.Sum256(blob)) != want {
		return nil, "", fmt.Errorf("%w %s", ErrWrongDigest, reference)
	}
	mediaType, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	return blob, strings.TrimSpace(mediaType), nil
}

// ManifestDigest asks for what reference names without fetching it. It is empty
// when the registry does not say.
func (c *Client) ManifestDigest(ctx context.Context, repository, reference string) (string, error) {
	answer, err := c.do(ctx, request{
		method: http.MethodHead, path: repositoryPath(repository, "manifests", reference),
		header: http.Header{"Accept": Accept}, scope: pullScope(repository),
	}, nil)
	if err != nil {
		return "", err
	}
	discard(answer)
	return answer.Header.Get("Docker-Content-Digest"), nil
}

// Blob opens a blob at offset. The answer may begin earlier, at the offset that
// is returned, because not every registry knows ranges. The caller closes it.
func (c *Client) Blob(ctx context.Context, repository, digest string, offset int64, wait *Backoff) (io.ReadCloser, int64, error) {
	r := request{method: http.MethodGet, path: repositoryPath(repository, "blobs", digest), scope: pullScope(repository), header: http.Header{}}
	if offset > 0 {
		r.header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	answer, err := c.do(ctx, r, wait)
	var said *Error
	if offset > 0 && errors.As(err, &said) && said.Status == http.StatusRequestedRangeNotSatisfiable {
		r.header.Del("Range")
		answer, err = c.do(ctx, r, wait)
	}
	if err != nil {
		return nil, 0, err
	}
	if answer.StatusCode != http.StatusPartialContent {
		return answer.Body, 0, nil
	}
	start, ok := rangeStart(answer.Header.Get("Content-Range"))
	if !ok || start > offset {
		answer.Body.Close()
		return nil, 0, fmt.Errorf("registry %s answers %q to a request for bytes from %d", c.Host, shorten(answer.Header.Get("Content-Range")), offset)
	}
	return answer.Body, start, nil
}

// rangeStart reads "bytes 5-9/10".
func rangeStart(header string) (int64, bool) {
	rest, ok := strings.CutPrefix(header, "bytes ")
	first, _, dashed := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	return n, ok && dashed && err == nil && n >= 0
}

// HasBlob reports whether the repository has a blob.
func (c *Client) HasBlob(ctx context.Context, repository, digest string) (bool, error) {
	answer, err := c.do(ctx, request{
		method: http.MethodHead, path: repositoryPath(repository, "blobs", digest), scope: pushScope(repository),
	}, nil)
	var said *Error
	if errors.As(err, &said) && said.Status == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	discard(answer)
	return true, nil
}

// Mount lets the repository have a blob that another one of the same registry
// has. It reports false when the registry would rather have it sent.
func (c *Client) Mount(ctx context.Context, repository, digest, from string) (bool, error) {
	answer, err := c.do(ctx, request{
		method: http.MethodPost, path: repositoryPath(repository, "blobs", "uploads/"),
		query: url.Values{"mount": {digest}, "from": {from}},
		scope: pushScope(repository) + " " + pullScope(from),
	}, nil)
	if err != nil {
		return false, err
	}
	discard(answer)
	if answer.StatusCode == http.StatusCreated {
		return true, nil
	}
	if place, err := c.location(answer); err == nil {
		// The upload that was opened instead is not wanted; a failure costs nothing.
		if gone, err := c.do(ctx, request{method: http.MethodDelete, path: place, scope: pushScope(repository), once: true}, nil); err == nil {
			discard(gone)
		}
	}
	return false, nil
}

// Upload is a blob on its way into a repository.
type Upload struct {
	client     *Client
	repository string
	place      string
}

// Upload begins to send a blob.
func (c *Client) Upload(ctx context.Context, repository string) (*Upload, error) {
	answer, err := c.do(ctx, request{
		method: http.MethodPost, path: repositoryPath(repository, "blobs", "uploads/"), scope: pushScope(repository),
	}, nil)
	if err != nil {
		return nil, err
	}
	discard(answer)
	place, err := c.location(answer)
	return &Upload{c, repository, place}, err
}

// Send sends content, of unknown length if length is -1. It cannot be repeated.
func (u *Upload) Send(ctx context.Context, content io.Reader, length int64) error {
	answer, err := u.client.do(ctx, request{
		method: http.MethodPatch, path: u.place, scope: pushScope(u.repository),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   func() (io.ReadCloser, error) { return io.NopCloser(content), nil }, length: length, once: true,
	}, nil)
	if err != nil {
		return err
	}
	discard(answer)
	u.place, err = u.client.location(answer)
	return err
}

// Finish says which digest the sent content has. The registry checks it.
func (u *Upload) Finish(ctx context.Context, digest string) error {
	answer, err := u.client.do(ctx, request{
		method: http.MethodPut, path: u.place, query: url.Values{"digest": {digest}}, scope: pushScope(u.repository),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	}, nil)
	if err == nil {
		discard(answer)
	}
	return err
}

// PutBlob sends a small blob whole.
func (c *Client) PutBlob(ctx context.Context, repository, digest string, blob []byte) error {
	u, err := c.Upload(ctx, repository)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, request{
		method: http.MethodPut, path: u.place, query: url.Values{"digest": {digest}}, scope: pushScope(repository),
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		body:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil }, length: int64(len(blob)),
	}, nil)
	if err == nil {
		discard(answer)
	}
	return err
}

// PutManifest gives the repository a manifest under reference, a tag or its
// digest.
func (c *Client) PutManifest(ctx context.Context, repository, reference, mediaType string, blob []byte) error {
	answer, err := c.do(ctx, request{
		method: http.MethodPut, path: repositoryPath(repository, "manifests", reference), scope: pushScope(repository),
		header: http.Header{"Content-Type": {mediaType}},
		body:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil }, length: int64(len(blob)),
	}, nil)
	if err == nil {
		discard(answer)
	}
	return err
}

// location is where an upload goes on. A registry may send it elsewhere.
func (c *Client) location(answer *http.Response) (string, error) {
	place, err := answer.Location()
	if err != nil {
		return "", fmt.Errorf("registry %s does not say where to send a blob: %w", c.Host, err)
	}
	return place.String(), nil
}
