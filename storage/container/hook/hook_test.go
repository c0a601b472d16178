package hook

import (
	"encoding/json"
	"testing"
)

func TestHTTPGet_Request(t *testing.T) {
	for name, c := range map[string]struct{ json, to, want string }{
		"least":   {`{"httpGet":{"port":80}}`, "127.0.0.1:80", "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nUser-Agent: skiff\r\nAccept: */*\r\nConnection: close\r\n\r\n"},
		"IPv6":    {`{"httpGet":{"port":8080,"host":"::1","path":"a?b=c"}}`, "[::1]:8080", "GET /a?b=c HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: skiff\r\nAccept: */*\r\nConnection: close\r\n\r\n"},
		"headers": {`{"httpGet":{"port":80,"host":"localhost","scheme":"HTTP","httpHeaders":[{"name":"host","value":"x"},{"name":"User-Agent","value":""},{"name":"accept","value":"a"},{"name":"Connection","value":"keep-alive"}]}}`, "127.0.0.1:80", "GET / HTTP/1.1\r\nhost: x\r\nUser-Agent: \r\naccept: a\r\nConnection: close\r\n\r\n"},
	} {
		h, err := Parse(c.json)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := string(h.HTTPGet.Request()); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if to, _ := h.HTTPGet.Address(); to.String() != c.to {
			t.Errorf("%s: got %s, want %s", name, to, c.to)
		}
	}
}

// What is read is written so that it is read again as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "true", `["a"]`, `{"sleep":{"seconds":0}}`, `{"httpGet":{"port":1,"path":"/","httpHeaders":[{"name":"a","value":"b\r\n"}]}}`, `{"exec":{"command":["x"]}} {}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text)
		if err != nil {
			return
		}
		data, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(string(data))
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if got, _ := json.Marshal(again); string(got) != string(data) {
			t.Errorf("got %s, want %s", got, data)
		}
	})
}
