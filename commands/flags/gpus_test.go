package flags

import (
	"encoding/json"
	"strings"
	"testing"
)

// The words are those of docker's client 28.2.
func TestParseGPUs(t *testing.T) {
	for _, tt := range []struct{ value, want, err string }{
		{"all", `{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`, ""},
		{"2", `{"Driver":"","Count":2,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`, ""},
		{"0", `{"Driver":"","Count":0,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`, ""},
		{"count=all,driver=nvidia", `{"Driver":"nvidia","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`, ""},
		{"driver=nvidia", `{"Driver":"nvidia","Count":1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}`, ""},
		{`"device=0,1"`, `{"Driver":"","Count":0,"DeviceIDs":["0","1"],"Capabilities":[["gpu"]],"Options":{}}`, ""},
		// Without the quotes the second is a count; the engine refuses both at once.
		{"device=0,1", `{"Driver":"","Count":1,"DeviceIDs":["0"],"Capabilities":[["gpu"]],"Options":{}}`, ""},
		{`"capabilities=compute,utility",device=GPU-1`, `{"Driver":"","Count":0,"DeviceIDs":["GPU-1"],"Capabilities":[["compute","utility","gpu"]],"Options":{}}`, ""},
		{`all,"options=a=b,c"`, `{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{"a":"b","c":""}}`, ""},
		{"", "", "EOF"},
		{"x", "", `invalid count (x): value must be either "all" or an integer: invalid syntax`},
		{"count=x", "", `invalid count (x): value must be either "all" or an integer: invalid syntax`},
		{"1.5", "", `invalid count (1.5): value must be either "all" or an integer: invalid syntax`},
		{"99999999999999999999", "", `invalid count (99999999999999999999): value must be either "all" or an integer: value out of range`},
		{"all,all", "", "gpu request key 'all' can be specified only once"},
		{"all,count=2", "", "gpu request key 'count' can be specified only once"},
		{"foo=1", "", "unexpected key 'foo' in 'foo=1'"},
		{`"options=a`, "", `parse error on line 1, column 11: extraneous or missing " in quoted-field`},
		{`"options=a""b"`, "", "unable to read gpu options: "},
	} {
		req, err := ParseGPUs(tt.value)
		if tt.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("%q: %v, want %s", tt.value, err, tt.err)
			}
			continue
		}
		got, _ := json.Marshal(req)
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: %s, %v", tt.value, got, err)
		}
	}
}
