package registry_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// A registry that knows Docker Hub's search is asked by it, and what it says
// cannot steer the terminal.
func TestSearch_ByDockerHubsProtocol(t *testing.T) {
	s := harness.New(t)
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/v1/search" {
			asked = q.URL.RawQuery
			_, _ = w.Write([]byte(`{"results":[
{"name":"team/few","description":"few","star_count":3},
{"name":"library/many","description":"a description that is longer than the forty-five characters shown","star_count":70,"is_official":true},
{"name":"evil\u001b[2J","description":"two\nlines \u001b]0;x\u0007","star_count":1}]}`))
		}
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	out := s.Skiff("search", "--limit", "7", address+"/term").Exits(0).Stdout
	harness.Equal(t, "the query", asked, "n=7&q=term")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, want := range []string{"NAME ", address + "/library/many ", address + "/team/few ", address + `/evil\x1b[2J `} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d does not begin with %q:\n%s", i, want, out)
		}
	}
	if len(lines) != 4 || !strings.Contains(lines[1], "a description that is longer than the forty-…   70        [OK]") {
		t.Errorf("got\n%s", out)
	}
	s.Skiff("search", "--no-trunc", "-f", "is-official=true", "--format", "{{.Description}}", address+"/term").Exits(0).
		Prints("a description that is longer than the forty-five characters shown")
	s.Skiff("search", "-f", "stars=3", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}", address+"/term").Exits(0).
		Prints(address + "/library/many 70 [OK]\n" + address + "/team/few 3 ")
}
