package change

import (
	"encoding/json"
	"errors"
	"testing"

	"skiff/storage/container"
)

func TestApply(t *testing.T) {
	tests := []struct {
		name    string
		changes []string
		field   func(c *container.Process) any
		want    string // JSON
	}{
		{"shell form", []string{"CMD echo hi"}, func(c *container.Process) any { return c.Cmd }, `["/bin/sh","-c","echo hi"]`},
		{"exec form", []string{`cmd ["a", "b c"]`}, func(c *container.Process) any { return c.Cmd }, `["a","b c"]`},
		{"entrypoint", []string{`ENTRYPOINT ["x"]`}, func(c *container.Process) any { return c.Entrypoint }, `["x"]`},
		{"env pairs with quotes", []string{`ENV A=1 B="two words" C=x\ y`}, func(c *container.Process) any { return c.Env }, `["A=1","B=two words","C=x y"]`},
		{"env old form", []string{"ENV A b c"}, func(c *container.Process) any { return c.Env }, `["A=b c"]`},
		{"env again replaces", []string{"ENV A=1", "ENV B=2", "ENV A=3"}, func(c *container.Process) any { return c.Env }, `["A=3","B=2"]`},
		{"expose range", []string{"EXPOSE 80 8000-8001/udp"}, func(c *container.Process) any { return c.ExposedPorts }, `{"80/tcp":{},"8000/udp":{},"8001/udp":{}}`},
		{"label", []string{"LABEL a=b c='d e'"}, func(c *container.Process) any { return c.Labels }, `{"a":"b","c":"d e"}`},
		{"user", []string{"USER nobody:nogroup"}, func(c *container.Process) any { return c.User }, `"nobody:nogroup"`},
		{"volume json", []string{`VOLUME ["/a", "/b"]`}, func(c *container.Process) any { return c.Volumes }, `{"/a":{},"/b":{}}`},
		{"relative workdir", []string{"WORKDIR /a", "WORKDIR b"}, func(c *container.Process) any { return c.WorkingDir }, `"/a/b"`},
		{"stop signal", []string{"STOPSIGNAL SIGINT"}, func(c *container.Process) any { return c.StopSignal }, `"SIGINT"`},
		{"onbuild", []string{"ONBUILD RUN make"}, func(c *container.Process) any { return c.OnBuild }, `["RUN make"]`},
		{
			"healthcheck",
			[]string{"HEALTHCHECK --interval=5s --retries=2 CMD curl -f x"},
			func(c *container.Process) any { return c.Healthcheck }, `{"Test":["CMD-SHELL","curl -f x"],"Interval":5000000000,"Retries":2}`,
		},
		{"healthcheck none", []string{"HEALTHCHECK NONE"}, func(c *container.Process) any { return c.Healthcheck }, `{"Test":["NONE"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c container.Process
			if err := Apply(&c, tt.changes); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(tt.field(&c))
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestApply_Refuses(t *testing.T) {
	for _, line := range []string{
		"", "RUN x", "FROM x", "ENV", "ENV A", "ENV A=1 B", `ENV A="x`, "ENV =x", "LABEL =x", "EXPOSE x", "EXPOSE 0", "EXPOSE 9-1", "EXPOSE 70000",
		"HEALTHCHECK", "HEALTHCHECK CMD", "HEALTHCHECK x", "HEALTHCHECK --x=1 NONE", "HEALTHCHECK --interval=x NONE", "ONBUILD ONBUILD RUN x", "ONBUILD FROM x",
	} {
		var c container.Process
		if err := Apply(&c, []string{line}); err == nil {
			t.Errorf("%q: got no error", line)
		}
	}
	if err := Apply(&container.Process{}, []string{"RUN x"}); !errors.Is(err, ErrSyntax) {
		t.Errorf("got %v, want ErrSyntax", err)
	}
}
