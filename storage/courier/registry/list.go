package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

const (
	// maxPage is the largest page of a list that is read.
	maxPage = 4 << 20
	// pageSize is how many names are asked for at once, and maxNames how many
	// are taken in all: a registry may have no end.
	pageSize = 1000
	maxNames = 1_000_000
)

// Tags returns the tags of a repository, sorted: not every registry does.
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	var all []string
	err := c.pages(ctx, repositoryPath(repository, "tags/list"), pullScope(repository), func(data []byte) error {
		var page struct {
			Tags []string `json:"tags"`
		}
		err := json.Unmarshal(data, &page)
		all = append(all, page.Tags...)
		return tooMany(len(all), err)
	})
	slices.Sort(all)
	return all, err
}

// Catalog returns the repositories of the registry.
func (c *Client) Catalog(ctx context.Context) ([]string, error) {
	var all []string
	err := c.pages(ctx, "/v2/_catalog", "registry:catalog:*", func(data []byte) error {
		var page struct {
			Repositories []string `json:"repositories"`
		}
		err := json.Unmarshal(data, &page)
		all = append(all, page.Repositories...)
		return tooMany(len(all), err)
	})
	return all, err
}

func tooMany(n int, err error) error {
	if err == nil && n > maxNames {
		err = fmt.Errorf("more than %d names", maxNames)
	}
	return err
}

// pages reads a list that comes in pages.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags
func (c *Client) pages(ctx context.Context, path, scope string, take func([]byte) error) error {
	query := url.Values{"n": {strconv.Itoa(pageSize)}}
	seen := make(map[string]bool)
	for path != "" && !seen[path] {
		seen[path] = true
		data, answer, err := c.read(ctx, request{method: http.MethodGet, path: path, query: query, scope: scope}, maxPage)
		if err != nil {
			return err
		}
		if err := take(data); err != nil {
			return fmt.Errorf("list of registry %s: %w", c.Host, err)
		}
		path, query = nextPage(answer), nil
	}
	return nil
}

// nextPage is the address in a Link header of rel="next", "" on the last page.
func nextPage(answer *http.Response) string {
	header := answer.Header.Get("Link")
	if len(header) == 0 || header[0] != '<' {
		return ""
	}
	for i := range header {
		if header[i] == '>' {
			next, err := answer.Request.URL.Parse(header[1:i])
			if err != nil || next.Host != answer.Request.URL.Host {
				return ""
			}
			return next.RequestURI()
		}
	}
	return ""
}

// read is do for a small answer, which it returns whole.
func (c *Client) read(ctx context.Context, r request, limit int64) ([]byte, *http.Response, error) {
	answer, err := c.do(ctx, r, nil)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("the answer of registry %s is larger than %d bytes", c.Host, limit)
	}
	return data, answer, err
}

// Found is one answer to a search.
type Found struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Stars       int    `json:"star_count"`
	Official    bool   `json:"is_official"`
	Automated   bool   `json:"is_automated"`
}

// Search asks the registry for repositories by the protocol of Docker Hub's
// first version.
func (c *Client) Search(ctx context.Context, term string, limit int) ([]Found, error) {
	data, _, err := c.read(ctx, request{
		method: http.MethodGet, path: "/v1/search", query: url.Values{"q": {term}, "n": {strconv.Itoa(limit)}}, open: true,
	}, maxPage)
	if err != nil {
		return nil, err
	}
	var page struct {
		Results []Found `json:"results"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, fmt.Errorf("search at registry %s: %w", c.Host, err)
	}
	return page.Results, nil
}
