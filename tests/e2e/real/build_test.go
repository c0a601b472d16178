package real_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// reachable skips the test on a machine from which an address is not.
func reachable(t *testing.T, urls ...string) {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	for _, url := range urls {
		r, err := client.Head(url)
		if err != nil {
			t.Skipf("not reachable from this machine: %v", err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Skipf("not reachable from this machine: %s: %s", url, r.Status)
		}
	}
}

const (
	install = "RUN apt-get -o Acquire::Retries=3 update && DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y --no-install-recommends "
	// The certificates are the machine's, which may trust more than Debian does.
	trust = "--mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt "
)

// Dockerfiles of the kinds that people have: each image does its work.
func TestBuild_DockerfilesOfAllKinds(t *testing.T) {
	base := tree(t, "debian", "apt", "procps")
	const npm = "https://registry.npmjs.org/npm/-/npm-9.9.4.tgz"
	reachable(t, "http://deb.debian.org/debian/dists/bookworm/InRelease", npm, "https://proxy.golang.org/rsc.io/quote/@v/v1.5.2.mod")
	s := harness.New(t)
	s.LoadBusybox()
	ref := pulled(s, base, "debian:bookworm")
	s.OK("tag", ref, "debian:bookworm")
	stages := "FROM busybox AS s0\nRUN echo 0 > /n\n"
	for i := 1; i < 30; i++ {
		stages += fmt.Sprintf("FROM busybox AS s%d\nCOPY --from=s%d /n /n\nRUN echo %d >> /n\n", i, i-1, i)
	}
	for _, image := range []struct {
		name  string
		files map[string]string
		args  []string
		says  string
	}{
		{"debian", map[string]string{"Dockerfile": `# syntax=docker/dockerfile:1
FROM debian:bookworm
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked <<EOF
set -e
apt-get -o Acquire::Retries=3 update
apt-get -o Acquire::Retries=3 install -y --no-install-recommends sqlite3
EOF
RUN useradd --create-home app
USER app
WORKDIR /home/app
COPY --chown=app:app <<EOF schema.sql
create table t (x);
insert into t values ('stored');
EOF
CMD ["sh", "-c", "sqlite3 db < schema.sql && sqlite3 db 'select x from t' && id -un"]
`}, nil, "stored\napp"},
		{"c", map[string]string{
			"Dockerfile": "FROM debian:bookworm AS build\n" + install + "gcc libc6-dev make && rm -rf /var/lib/apt/lists/*\nWORKDIR /src\nCOPY Makefile *.c ./\nRUN make\nFROM scratch\nCOPY --from=build /src/hello /hello\nENTRYPOINT [\"/hello\"]\nCMD [\"world\"]\n",
			"Makefile":   "hello: hello.c\n\tcc -static -O2 -o $@ $<\n",
			"hello.c":    "#include <stdio.h>\nint main(int c, char **v) { printf(\"hello %s\\n\", v[1]); return 0; }\n",
		}, []string{"you"}, "hello you"},
		{"go", map[string]string{
			"Dockerfile": "FROM debian:bookworm AS build\n" + install + "golang-go\nWORKDIR /src\nENV GOSUMDB=off CGO_ENABLED=0\nCOPY go.mod .\nRUN --mount=type=cache,target=/root/go/pkg/mod " + trust + "go mod download\nCOPY . .\nRUN --mount=type=cache,target=/root/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build " + trust + "go build -mod=mod -o /out/app .\nFROM scratch\nCOPY --from=build /out/app /app\nENTRYPOINT [\"/app\"]\n",
			"go.mod":     "module example.org/app\n\ngo 1.19\n\nrequire rsc.io/quote v1.5.2\n",
			"main.go":    "package main\n\nimport (\n\t\"fmt\"\n\n\t\"rsc.io/quote\"\n)\n\nfunc main() { fmt.Println(quote.Go()) }\n",
		}, nil, "Don't communicate by sharing memory, share memory by communicating."},
		{"node", map[string]string{
			"Dockerfile":    "FROM debian:bookworm AS tools\n" + install + "nodejs\nADD --link " + npm + " /npm.tgz\nRUN mkdir /npm && tar -xzf /npm.tgz -C /npm --strip-components=1 --no-same-owner\nFROM tools AS deps\nWORKDIR /app\nCOPY package.json .\nRUN --mount=type=cache,target=/root/.npm " + trust + "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt node /npm/bin/npm-cli.js install --omit=dev --no-audit --no-fund\nFROM tools\nWORKDIR /app\nCOPY --from=deps /app/node_modules node_modules\nCOPY . .\nUSER 1000\nCMD [\"node\", \"index.js\"]\n",
			"package.json":  `{"name":"app","version":"1.0.0","dependencies":{"is-odd":"3.0.1"}}`,
			"index.js":      "console.log(require('is-odd')(7))\n",
			".dockerignore": "node_modules\n",
		}, nil, "true"},
		{"python", map[string]string{
			"Dockerfile":          "FROM debian:bookworm AS base\n" + install + "python3-pip python3-setuptools python3-wheel\nFROM base AS wheels\nCOPY . /src\nRUN pip wheel --no-build-isolation --no-deps --no-index -w /wheels /src\nFROM base\nRUN --mount=from=wheels,source=/wheels,target=/wheels pip install --break-system-packages --no-index --find-links=/wheels greeter\nCMD [\"python3\", \"-m\", \"greeter\"]\n",
			"pyproject.toml":      "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n[project]\nname = \"greeter\"\nversion = \"1.0\"\n",
			"greeter/__init__.py": "",
			"greeter/__main__.py": "print('greetings')\n",
		}, nil, "greetings"},
		{"stages", map[string]string{"Dockerfile": stages + "CMD [\"sh\", \"-c\", \"wc -l < /n\"]\n"}, nil, "30"},
	} {
		t.Run(image.name, func(t *testing.T) {
			dir := "contexts/" + image.name
			for name, text := range image.files {
				s.WriteFile(filepath.Join(dir, name), text)
			}
			begun := time.Now()
			r := s.Within(5*time.Minute, "build", "--progress=plain", "-t", image.name, "--secret", "id=ca,src=/etc/ssl/certs/ca-certificates.crt", filepath.Join(s.Home(), dir))
			if r.Code != 0 {
				t.Fatalf("build: exit code %d\n%s", r.Code, tail(r.Stderr, 40))
			}
			built := time.Since(begun)
			s.Skiff(append([]string{"run", "--rm", "--network", "none", image.name}, image.args...)...).Exits(0).Prints(image.says)
			begun = time.Now()
			s.OK("build", "-q", "--secret", "id=ca,src=/etc/ssl/certs/ca-certificates.crt", filepath.Join(s.Home(), dir))
			t.Logf("built in %.1fs, again in %.2fs", built.Seconds(), time.Since(begun).Seconds())
		})
	}
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
