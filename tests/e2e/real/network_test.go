package real_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// nginx and PostgreSQL as Debian ships them, on one network with a third
// container that asks both by name; and nginx asked from outside.
func TestWebAndDatabase_OnOneNetwork(t *testing.T) {
	s := harness.New(t)
	web := pulled(s, tree(t, "web", "nginx-light", "curl", "postgresql-client"), "web:1")
	db := pulled(s, tree(t, "postgresql", "postgresql"), "postgres:15")
	s.OK("network", "create", "shop")
	const path = "/usr/lib/postgresql/15/bin"
	s.OK("run", "-d", "--name", "db", "--network", "shop", "--stop-signal", "SIGINT", db, "sh", "-c", fmt.Sprintf(
		`mkdir -p /data /run/postgresql && chown postgres /data /run/postgresql
		su postgres -c "%s/initdb -D /data -A trust" >/dev/null
		echo "host all all all trust" >>/data/pg_hba.conf
		exec setpriv --reuid postgres --regid postgres --init-groups %s/postgres -D /data -h 0.0.0.0`, path, path))
	s.OK("run", "-d", "--name", "web", "--network", "shop", "--network-alias", "www", "-P", "--expose", "80", web,
		"sh", "-c", "echo '<h1>open</h1>' >/var/www/html/index.html; exec nginx -g 'daemon off;'")
	s.OK("run", "-d", "--name", "client", "--network", "shop", web, "sleep", "1000")
	ask := func(args ...string) *harness.Result {
		t.Helper()
		return s.Skiff(append([]string{"exec", "client"}, args...)...)
	}
	s.Eventually("nginx answers", func() bool { return ask("curl", "-sf", "http://web/").Code == 0 })
	ask("curl", "-s", "http://www/").Exits(0).Prints("<h1>open</h1>")
	s.Eventually("PostgreSQL answers", func() bool { return ask("pg_isready", "-h", "db").Code == 0 })
	ask("psql", "-h", "db", "-U", "postgres", "-Atc", "create table t(n int); insert into t select generate_series(1,1000); select sum(n) from t").
		Exits(0).PrintsMatch(`(?s).*500500`)
	// The database saw the client's own address, and names are enough.
	ask("psql", "-h", "db", "-U", "postgres", "-Atc", "select inet_client_addr()").Exits(0).
		Prints(s.Inspect("client", "{{.NetworkSettings.Networks.shop.IPAddress}}"))

	line, _, _ := strings.Cut(s.OK("port", "web", "80"), "\n")
	_, port, err := net.SplitHostPort(line)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Get("http://127.0.0.1:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "<h1>open</h1>\n" {
		t.Errorf("from outside: %q, %v", body, err)
	}
	s.OK("stop", "db")
	if logs := s.Skiff("logs", "db"); !strings.Contains(logs.Stderr+logs.Stdout, "database system is shut down") {
		t.Errorf("PostgreSQL did not end well:\n%s%s", logs.Stdout, logs.Stderr)
	}
}
