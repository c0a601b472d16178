package container_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// Of kinds that people write: what generate writes of what was played plays the
// same containers again, and is then written the same.
func TestKube_ManifestsComeBack(t *testing.T) {
	files, err := filepath.Glob("testdata/kube/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("got %d manifests, %v", len(files), err)
	}
	s := harness.New(t)
	img := s.LoadBusybox()
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s.WriteFile("first.yaml", strings.NewReplacer("IMG", img, "HOME", s.Home()).Replace(string(data)))
			defer func() {
				s.Skiff("kube", "down", "--force", "first.yaml")
				s.OK("volume", "prune", "-af")
			}()
			s.OK("kube", "play", "--start=false", "first.yaml")
			first := members(s)
			pod := strings.TrimSpace(s.OK("pod", "ps", "--format", "{{.Name}}"))
			s.OK("kube", "generate", "-f", "second.yaml", pod)
			s.OK("kube", "down", "--force", "first.yaml")
			s.OK("kube", "play", "--start=false", "second.yaml")
			if second := members(s); first != second {
				t.Errorf("%s\nof\n%s", difference(first, second), s.ReadFile("second.yaml"))
			}
			text := s.ReadFile("second.yaml")
			s.OK("kube", "generate", "-f", "third.yaml", pod)
			if again := s.ReadFile("third.yaml"); again != text {
				t.Errorf("written again: %s", difference(text, again))
			}
			s.OK("kube", "down", "--force", "second.yaml")
		})
	}
}

func TestKube_PlaysWhatIsBehindAURL(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	manifest := "apiVersion: v1\nkind: Pod\nmetadata: {name: far}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - {name: c, image: " + img + ", imagePullPolicy: Never, command: [sleep, '1000']}\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pod.yaml":
			_, _ = io.WriteString(w, manifest)
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	s.OK("kube", "play", server.URL+"/pod.yaml")
	s.Skiff("pod", "ps", "--format", "{{.Name}} {{.Status}}").Exits(0).Prints("far Running")
	s.OK("kube", "down", server.URL+"/pod.yaml")
	s.Skiff("kube", "play", server.URL+"/none").Exits(1).Complains("404")
	s.Skiff("kube", "play", server.URL+"/endless").Exits(1).Complains("it is larger than 8388608 bytes")
}

func TestKube_BuildsWhatLiesBeside(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Mkdir("made")
	s.WriteFile("made/Containerfile", "FROM "+img+"\nRUN echo one >/which\n")
	s.WriteFile("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - {name: c, image: 'made:1', imagePullPolicy: Never, command: [sleep, '1000']}\n")
	which := func(flags ...string) string {
		s.OK(append(append([]string{"kube", "play", "--replace"}, flags...), "pod.yaml")...)
		return strings.TrimSpace(s.OK("exec", "p-c", "cat", "/which"))
	}
	s.Skiff("kube", "play", "--build=false", "pod.yaml").Exits(1).Complains("No such image: made:1")
	if got := which(); got != "one" {
		t.Errorf("not there: got %q", got)
	}
	s.WriteFile("made/Containerfile", "FROM "+img+"\nRUN echo two >/which\n")
	if got := which(); got != "one" {
		t.Errorf("there: got %q", got)
	}
	if got := which("--build"); got != "two" {
		t.Errorf("--build: got %q", got)
	}
	s.WriteFile("made/Containerfile", "FROM "+img+"\nRUN exit 3\n")
	s.Skiff("kube", "play", "--build", "--replace", "pod.yaml").Exits(1).Complains("failed to solve")
	if got := strings.TrimSpace(s.OK("exec", "p-c", "cat", "/which")); got != "two" {
		t.Errorf("after a failed build: got %q", got)
	}
	s.OK("kube", "down", "pod.yaml")
}

// members are the pod's containers without what differs from one time to the next.
func members(s *harness.Session) string {
	ids := strings.Fields(s.OK("ps", "-aq", "--no-trunc"))
	slices.Reverse(ids)
	var all []map[string]any
	if err := json.Unmarshal([]byte(s.OK(append([]string{"inspect"}, ids...)...)), &all); err != nil {
		return err.Error()
	}
	var out strings.Builder
	for _, c := range all {
		for _, key := range []string{"Id", "Created", "State", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "NetworkSettings", "GraphDriver", "Storage", "Pod"} {
			delete(c, key)
		}
		text, err := json.MarshalIndent(c, "", " ")
		if err != nil {
			return err.Error()
		}
		line := string(text)
		for i, id := range ids {
			line = strings.ReplaceAll(strings.ReplaceAll(line, id, fmt.Sprint("ID", i)), id[:12], fmt.Sprint("ID", i))
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// difference lists the lines that one text has and the other has not.
func difference(a, b string) string {
	var out []string
	la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, l := range la {
		if !slices.Contains(lb, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range lb {
		if !slices.Contains(la, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}
