package quadlet

import (
	"slices"
	"strings"
	"testing"

	"skiff/commands/systemd/unit"
)

// What is composed is read back by the generator as just these flags.
func TestCompose_ReadsBackAsTheSameFlags(t *testing.T) {
	flags := []Flag{
		{Name: "env", Value: `A=x $HOME %h "q" \ `},
		{Name: "env", Value: "B=two\nlines\t"},
		{Name: "env", Value: "C="},
		{Name: "label", Value: "a=b c"},
		{Name: "volume", Value: "data:/data:ro"},
		{Name: "volume", Value: "/srv/a b:/s"},
		{Name: "volume", Value: "odd.volume:/o"},
		{Name: "volume", Value: "/alone"},
		{Name: "network", Value: "inner"},
		{Name: "network", Value: "name=outer,alias=a,ip=10.0.0.1"},
		{Name: "network", Value: "container:db"},
		{Name: "network", Value: "x.network"},
		{Name: "publish", Value: "127.0.0.1:8080:80"},
		{Name: "read-only", Switch: true},
		{Name: "tty", Switch: true},
		{Name: "init", Value: "false"},
		{Name: "user", Value: "5:6"},
		{Name: "user", Value: "app"},
		{Name: "sdnotify", Value: "healthy"},
		{Name: "entrypoint", Value: ""},
		{Name: "health-cmd", Value: "a || b; c $X"},
		{Name: "health-cmd", Value: `ends in \`},
		{Name: "health-cmd", Value: "two\nlines"},
		{Name: "health-cmd", Value: "none"},
		{Name: "health-cmd", Value: `["CMD","a"]`},
		{Name: "health-startup-cmd", Value: "test -e /up"},
		{Name: "health-probe", Value: `{"httpGet":{"port":80,"path":"/a b"}}`},
		{Name: "mount", Value: "type=bind,source=/a,target=/b"},
		{Name: "hostname", Value: "h"},
		{Name: "security-opt", Value: "no-new-privileges"},
		{Name: "stop-signal", Value: "USR1"},
		{Name: "tmpfs", Value: "/run:size=1m"},
		{Name: "memory", Value: "67108864"},
	}
	for _, f := range flags {
		checkComposed(t, f)
	}
}

func checkComposed(t *testing.T, f Flag) {
	t.Helper()
	c := &Container{Comment: "c", Description: "d", Name: "n %$", Image: "i", Args: []string{"sh", "-c", `echo "$A" %h; \x`, ""}, Flags: []Flag{f}, WantedBy: "default.target"}
	_, units := generate(t, map[string]string{"x.container": c.String()})
	if units[0].Err != nil {
		t.Errorf("%s: %v\n%s", f.Name, units[0].Err, c)
		return
	}
	var line string
	for l := range strings.SplitSeq(units[0].Text, "\n") {
		if value, ok := strings.CutPrefix(l, "ExecStart="); ok {
			line = value
		}
	}
	words, err := unit.Split(line)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range words {
		words[i] = strings.NewReplacer("$$", "$", "%%", "%").Replace(w)
	}
	want := "--" + f.Name + "=" + f.Value
	if f.Switch {
		want = "--" + f.Name
	}
	if !slices.Contains(words, want) || !slices.Contains(words, "--name=n %$") || !slices.Equal(words[len(words)-5:], append([]string{"i"}, c.Args...)) {
		t.Errorf("%q becomes %q, by\n%s", want, words, c)
	}
	if len(units[0].Warnings) > 0 {
		t.Errorf("%q: %v", want, units[0].Warnings)
	}
}

// Whatever a value is, save what no argument of a program can be.
func FuzzCompose(f *testing.F) {
	names := []string{"env", "label", "volume", "network", "publish", "user", "health-cmd", "mount", "tmpfs", "hostname", "entrypoint"}
	for i, value := range []string{`A="x" $y %z \`, "a=b\nc", "/a b:/c", "x.network", "#", "5:6", "a || b", "t=$$", "", "é", "end\\"} {
		f.Add(uint8(i), value)
	}
	f.Fuzz(func(t *testing.T, name uint8, value string) {
		if strings.ContainsRune(value, 0) || len(value) > 1000 {
			t.Skip()
		}
		flag := Flag{Name: names[int(name)%len(names)], Value: value}
		if read := values[flag.Name]; read != nil && read(value) != nil {
			t.Skip() // no container has it
		}
		checkComposed(t, flag)
	})
}
