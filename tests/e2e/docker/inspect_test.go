package docker_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// inspectDifferences are the keys of a container's document that may differ from
// an engine 20.10's, each with its reason: those that only one has, and those
// whose values differ after masking.
func inspectDifferences() map[string]string {
	d := map[string]string{}
	add := func(reason string, keys ...string) {
		for _, k := range keys {
			d[k] = reason
		}
	}
	add("our directories have other names, and a container is assembled nowhere that others see",
		"GraphDriver.Data.LowerDir", "GraphDriver.Data.MergedDir", "GraphDriver.Data.UpperDir", "GraphDriver.Data.WorkDir", "LogPath")
	add("since docker 28", "GraphDriver.Data.ID", "NetworkSettings.Networks.none.DNSNames", "NetworkSettings.Networks.none.GwPriority", "Storage")
	add("not in docker 28 any more", "HostConfig.KernelMemory", "HostConfig.KernelMemoryTCP")
	add("as docker with version 2 of cgroups, whatever the machine has", "HostConfig.CgroupnsMode", "HostConfig.OomKillDisable")
	add("later advisories made the list longer", "HostConfig.MaskedPaths")
	for i := 2; i < 13; i++ {
		d[fmt.Sprintf("HostConfig.MaskedPaths[%d]", i)] = d["HostConfig.MaskedPaths"]
	}
	add("the runtime is our own", "HostConfig.Runtime")
	add("a container without a network has no place on one", "NetworkSettings.Networks.none.EndpointID")
	add("the namespace is the process's: it has no other name, and ends with it", "NetworkSettings.SandboxID", "NetworkSettings.SandboxKey")
	return d
}

// TestDocker_InspectIsTheSameTree compares the whole documents of a container
// that was made, one that runs and one that ended: the same keys, and values of
// the same type that are equal after masking.
func TestDocker_InspectIsTheSameTree(t *testing.T) {
	harness.Requires(t, harness.Root, harness.BusyboxStatic, harness.CommandNamed("dockerd"), harness.CommandNamed("docker"))
	s := harness.New(t)
	skiff, docker := ours(s, ""), theirs(t, "")
	both(docker, skiff, cleanUp)
	options := "--network none --name it -l k=v -e A=b -v data:/data --tmpfs /t --health-cmd true --health-interval 1h --log-opt max-size=1m -h box -p 80 "
	used := map[string]bool{}
	for _, state := range []struct{ name, line string }{
		{"created", "docker create " + options + "busybox sleep 1000"},
		{"running", "docker run -d " + options + "busybox sleep 1000"},
		{"exited", "docker run " + options + "busybox sh -c 'exit 3' || true"},
	} {
		t.Run(state.name, func(t *testing.T) {
			both(docker, skiff, "docker rm -f -v it >/dev/null 2>&1")
			for _, p := range []*place{docker, skiff} {
				if o := p.run(state.line); o.code != 0 {
					t.Fatal(o)
				}
			}
			want, got := leaves(t, docker), leaves(t, skiff)
			for _, key := range slices.Sorted(maps.Keys(union(want, got))) {
				if want[key] == got[key] {
					continue
				}
				if reason := inspectDifferences()[key]; reason != "" {
					used[key] = true
					continue
				}
				t.Errorf("%s\n\tdocker: %s\n\tskiff:  %s", key, want[key], got[key])
			}
		})
	}
	for key := range inspectDifferences() {
		if !used[key] && !t.Failed() {
			t.Errorf("%s does not differ any more, and is listed", key)
		}
	}
	both(docker, skiff, cleanUp)
}

func union(a, b map[string]string) map[string]string {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// stores are the directories of either engine.
var stores = regexp.MustCompile(`/tmp/skiff-dk-\d+/data|/[^"]*?/\.local/share/skiff`)

// leaves are the masked values of `it` by their path: those of maps and lists
// have a row of their own with what they are.
func leaves(t *testing.T, p *place) map[string]string {
	t.Helper()
	o := p.run("docker inspect it")
	o.stdout = stores.ReplaceAllString(o.stdout, "<store>")
	var documents []map[string]any
	d := json.NewDecoder(strings.NewReader(p.mask(o.stdout)))
	d.UseNumber()
	if err := d.Decode(&documents); err != nil || len(documents) != 1 {
		t.Fatalf("%v: %v", o, err)
	}
	found := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			found[path] = "an object"
			for k, v := range v {
				walk(strings.TrimPrefix(path+"."+k, "."), v)
			}
		case []any:
			found[path] = fmt.Sprintf("a list of %d", len(v))
			for i, v := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), v)
			}
		case json.Number:
			found[path] = "the number " + v.String()
			if strings.HasSuffix(path, "Pid") && v != "0" {
				found[path] = "the number of a process"
			}
		default:
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			found[path] = string(text)
		}
	}
	walk("", documents[0])
	return found
}
