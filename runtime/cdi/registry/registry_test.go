package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/runtime/cdi/message"
	"skiff/storage/container/device"
)

// write makes files in a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// spec is a specification of devices, each with a variable that names it.
func spec(kind, more string, devices ...string) string {
	text := "cdiVersion: 0.6.0\nkind: " + kind + "\n" + more + "devices:\n"
	for _, d := range devices {
		text += fmt.Sprintf("- name: %q\n  containerEdits: {env: [D=%s]}\n", d, d)
	}
	return text
}

func named(names ...string) []device.Request {
	return []device.Request{{Driver: device.CDI, DeviceIDs: names}}
}

func TestAnswer_LeavesOutWhatIsNoSpecification(t *testing.T) {
	const device = `"devices":[{"name":"d","containerEdits":{"env":["A=1"]}}]`
	edits := func(edits string) string {
		return `{"cdiVersion":"1.1.0","kind":"v.com/c","devices":[{"name":"d","containerEdits":` + edits + `}]}`
	}
	for name, tt := range map[string]struct{ text, says string }{
		"nothing":                 {"", "EOF"},
		"null":                    {"null", "there is nothing in it"},
		"no JSON":                 {`{"cdiVersion"`, "yaml"},
		"another thing":           {`[1,2]`, "cannot unmarshal"},
		"an unknown field":        {`{"cdiVersion":"0.6.0","kind":"v.com/c","deviceNodes":[],` + device + `}`, "field deviceNodes not found"},
		"an unknown field inside": {edits(`{"env":["A=1"],"seccomp":{}}`), "field seccomp not found"},
		"a field twice":           {`{"cdiVersion":"0.6.0","cdiVersion":"0.6.0","kind":"v.com/c",` + device + `}`, "already"},
		"no version":              {`{"kind":"v.com/c",` + device + `}`, "invalid version"},
		"a version to come":       {`{"cdiVersion":"9.9.9","kind":"v.com/c",` + device + `}`, `invalid version "9.9.9"`},
		"too old for its fields":  {`{"cdiVersion":"0.3.0","kind":"v.com/c","annotations":{"a":"b"},` + device + `}`, "must be at least v0.6.0"},
		"no kind":                 {`{"cdiVersion":"0.6.0",` + device + `}`, `kind ""`},
		"a kind without a vendor": {`{"cdiVersion":"0.6.0","kind":"gpu",` + device + `}`, `kind "gpu"`},
		"a kind of three":         {`{"cdiVersion":"0.6.0","kind":"v.com/a/b",` + device + `}`, "invalid character '/'"},
		"no devices":              {`{"cdiVersion":"0.6.0","kind":"v.com/c","devices":[]}`, "no devices"},
		"a device twice":          {spec("v.com/c", "", "d", "d"), `multiple device "d"`},
		"a device without a name": {spec("v.com/c", "", ""), "empty"},
		"a device that is a path": {spec("v.com/c", "", "a/b"), "invalid character '/'"},
		"a device that does nothing": {
			`{"cdiVersion":"0.6.0","kind":"v.com/c","devices":[{"name":"d","containerEdits":{}}]}`, "empty device edits",
		},
		"a variable without a name": {edits(`{"env":["=1"]}`), "invalid environment variable"},
		"an unknown hook":           {edits(`{"hooks":[{"hookName":"later","path":"/x"}]}`), `invalid hook name "later"`},
		"a hook found by PATH":      {edits(`{"hooks":[{"hookName":"createContainer","path":"x"}]}`), "must be absolute"},
		"a hook without time":       {edits(`{"hooks":[{"hookName":"createContainer","path":"/x","timeout":0}]}`), "greater than zero"},
		"a relative node":           {edits(`{"deviceNodes":[{"path":"dev/x"}]}`), "must be absolute"},
		"a node of no type":         {edits(`{"deviceNodes":[{"path":"/dev/x","type":"z"}]}`), `invalid type "z"`},
		"strange permissions":       {edits(`{"deviceNodes":[{"path":"/dev/x","permissions":"rx"}]}`), `invalid permissions "rx"`},
		"a mount of nothing":        {edits(`{"mounts":[{"containerPath":"/x"}]}`), "empty host path"},
		"a relative mount":          {edits(`{"mounts":[{"hostPath":"/x","containerPath":"x"}]}`), "must be absolute"},
		"null for a node":           {edits(`{"deviceNodes":[null]}`), "null is no entry"},
		"null for a hook":           {edits(`{"hooks":[null]}`), "null is no entry"},
		"null for a mount":          {edits(`{"mounts":[null]}`), "null is no entry"},
		"null for an interface":     {edits(`{"netDevices":[null]}`), "null is no entry"},
		"a huge one":                {"# " + strings.Repeat("x", maxSpec) + "\n" + spec("v.com/c", "", "d"), "larger than"},
		"a bomb": {
			"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
				"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n" +
				"kind: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"bad.json": tt.text, "good.yaml": spec("good.com/c", "", "d"), "other.txt": "["})
			a := Answer(message.Question{Dirs: []string{"/nosuch", dir}})
			if got := strings.Join(a.Devices, " "); got != "good.com/c=d" {
				t.Errorf("devices: %q", got)
			}
			if len(a.Problems) != 1 || !strings.HasPrefix(a.Problems[0], dir+"/bad.json: ") || !strings.Contains(a.Problems[0], tt.says) {
				t.Errorf("problems: %q, want %q", a.Problems, tt.says)
			}
		})
	}
}

// What is no file, or cannot be read, is not waited for.
func TestAnswer_ReadsFilesOnly(t *testing.T) {
	dir := write(t, map[string]string{"good.yaml": spec("good.com/c", "", "d")})
	if err := unix.Mkfifo(filepath.Join(dir, "a.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"gone.json": "/nosuch", "endless.yaml": "/dev/zero", "link.yaml": "good.yaml"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := Answer(message.Question{Dirs: []string{filepath.Join(dir, "good.yaml"), dir}})
	if text := strings.Join(a.Problems, "\n"); len(a.Problems) != 4 || !strings.Contains(text, "a.json: it is not a regular file") ||
		!strings.Contains(text, "endless.yaml: it is not a regular file") || !strings.Contains(text, "not a directory") ||
		!strings.Contains(text, `link.yaml: conflicting device "good.com/c=d"`) {
		t.Errorf("problems:\n%s", text)
	}
}

func TestAnswer_TakesTheLaterDirectory(t *testing.T) {
	first := write(t, map[string]string{"a.yaml": spec("v.com/c", "containerEdits: {env: [F=1]}\n", "one", "two"), "b.yaml": spec("v.com/c", "", "two")})
	second := write(t, map[string]string{"a.yaml": spec("v.com/c", "containerEdits: {env: [S=1]}\n", "one")})
	for _, tt := range []struct {
		dirs       []string
		want       []string
		env        string
		unresolved string
	}{
		{[]string{first}, []string{"v.com/c=one"}, "F=1 D=one", ""},
		{[]string{first, second}, []string{"v.com/c=one"}, "S=1 D=one", ""},
		{[]string{second, first}, []string{"v.com/c=one"}, "F=1 D=one", ""},
		// Two files of one directory have it.
		{[]string{first, second}, []string{"v.com/c=two", "v.com/c=one", "v.com/c=three"}, "", "v.com/c=two v.com/c=three"},
		{nil, []string{"v.com/c=one"}, "", "v.com/c=one"},
		// Once is enough.
		{[]string{second}, []string{"v.com/c=one", "v.com/c=one"}, "S=1 D=one", ""},
	} {
		a := Answer(message.Question{Dirs: tt.dirs, Requests: named(tt.want...)})
		var env string
		if a.Edits != nil {
			env = strings.Join(a.Edits.Env, " ")
		}
		if env != tt.env || strings.Join(a.Unresolved, " ") != tt.unresolved || a.Error != "" || a.NoDriver != nil {
			t.Errorf("%v: %q, unresolved %q, error %q", tt.want, env, a.Unresolved, a.Error)
		}
	}
}

func TestAnswer_NamesWhatIsNotSupported(t *testing.T) {
	for field, edits := range map[string]string{
		"intelRdt": `{"intelRdt":{"closID":"x"}}`, "netDevices": `{"netDevices":[{"hostInterfaceName":"eth7","name":"eth0"}]}`,
	} {
		dir := write(t, map[string]string{"a.json": `{"cdiVersion":"1.1.0","kind":"v.com/c","devices":[{"name":"d","containerEdits":` + edits + `}]}`})
		a := Answer(message.Question{Dirs: []string{dir}, Requests: named("v.com/c=d")})
		if !strings.Contains(a.Error, field+" of v.com/c=d ("+dir+"/a.json) is not supported") {
			t.Errorf("%s: %q", field, a.Error)
		}
	}
}

func TestAnswer_GPUs(t *testing.T) {
	gpu := [][]string{{"gpu"}}
	numbers := spec("nvidia.com/gpu", "", "10", "0", "2", "GPU-1f", "01")
	all := spec("nvidia.com/gpu", "", "0", "1", "all")
	for name, tt := range map[string]struct {
		text string
		req  device.Request
		want string // the devices
		says string // the error
	}{
		"none here":           {spec("amd.com/gpu", "", "0"), device.Request{Count: -1, Capabilities: gpu}, "", `no driver`},
		"another driver":      {all, device.Request{Driver: "amd", Count: 1, Capabilities: gpu}, "", "no driver"},
		"other capabilities":  {all, device.Request{Count: 1, Capabilities: [][]string{{"tpu", "gpu"}}}, "", "no driver"},
		"no capabilities":     {all, device.Request{Count: 1}, "", "no driver"},
		"nothing of cdi":      {all, device.Request{Driver: device.CDI, Count: 1, Capabilities: gpu}, "all", "no driver"},
		"all":                 {all, device.Request{Count: -1, Capabilities: [][]string{{"compute", "utility", "gpu"}}}, "all", ""},
		"all of the numbers":  {numbers, device.Request{Driver: "nvidia", Count: -1, Capabilities: gpu}, "0 2 10", ""},
		"the first":           {numbers, device.Request{Count: 2, Capabilities: gpu}, "0 2", ""},
		"too many":            {numbers, device.Request{Count: 4, Capabilities: gpu}, "", "4 of nvidia.com/gpu are wanted, and there are 3"},
		"none wanted":         {numbers, device.Request{Count: 0, Capabilities: gpu}, "", ""},
		"by name":             {numbers, device.Request{DeviceIDs: []string{"GPU-1f", "nvidia.com/gpu=2"}, Capabilities: gpu}, "GPU-1f 2", ""},
		"by a name not there": {numbers, device.Request{DeviceIDs: []string{"0", "7"}, Capabilities: gpu}, "", "unresolved nvidia.com/gpu=7"},
		"both":                {numbers, device.Request{Count: 1, DeviceIDs: []string{"0"}, Capabilities: gpu}, "", "cannot set both Count and DeviceIDs on device request"},
	} {
		t.Run(name, func(t *testing.T) {
			question, err := json.Marshal(message.Question{Dirs: []string{write(t, map[string]string{"a.yaml": tt.text})}, Requests: []device.Request{tt.req}})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			var a message.Answer
			if code := Main(bytes.NewReader(question), &out); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			if err := json.Unmarshal(out.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			got, says := "", a.Error
			if a.Edits != nil {
				got = strings.ReplaceAll(strings.Join(a.Edits.Env, " "), "D=", "")
			}
			if a.NoDriver != nil {
				says += "no driver"
			}
			if len(a.Unresolved) > 0 {
				says += "unresolved " + strings.Join(a.Unresolved, " ")
			}
			if tt.says == "" && (got != tt.want || says != "") || tt.says != "" && !strings.Contains(says, tt.says) {
				t.Errorf("got %q, %q", got, says)
			}
		})
	}
}

func TestMain_RefusesWhatIsNoQuestion(t *testing.T) {
	var out bytes.Buffer
	if code := Main(strings.NewReader("{"), &out); code != 1 || out.Len() > 0 {
		t.Errorf("exit code %d, %q", code, &out)
	}
}
