package hook

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseProbe(t *testing.T) {
	for text, want := range map[string]string{
		`{"httpGet":{"port":80}}`: `{"httpGet":{"port":80}}`,
		`{"httpGet":{"port":80,"path":"a?b=c","host":"::1","scheme":"HTTPS","httpHeaders":[{"name":"X","value":"y z"}]}}`: `{"httpGet":{"path":"a?b=c","port":80,"host":"::1","scheme":"HTTPS","httpHeaders":[{"name":"X","value":"y z"}]}}`,
		` {"tcpSocket":{"port":1,"host":"db.internal"}} `:                                                                 `{"tcpSocket":{"port":1,"host":"db.internal"}}`,
		`{"grpc":{"port":65535,"service":"a.B"}}`:                                                                         `{"grpc":{"port":65535,"service":"a.B"}}`,
		`["a","b c"]`:              `{"exec":{"command":["a","b c"]}}`,
		"http://:8080/healthz?x=1": `{"httpGet":{"path":"/healthz?x=1","port":8080}}`,
		"http://[::1]":             `{"httpGet":{"path":"/","port":80,"host":"::1"}}`,
		"https://me.example":       `{"httpGet":{"path":"/","port":443,"host":"me.example","scheme":"HTTPS"}}`,
		"tcp://:5432":              `{"tcpSocket":{"port":5432}}`,
		"tcp://10.0.0.1:5432":      `{"tcpSocket":{"port":5432,"host":"10.0.0.1"}}`,
		"grpc://:50051/a.B":        `{"grpc":{"port":50051,"service":"a.B"}}`,
	} {
		h, err := ParseProbe(text)
		if got, _ := json.Marshal(h); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                      "it is empty",
		"true":                                  "neither JSON nor a URL",
		"http://:x/":                            "neither JSON nor a URL",
		"http://u:p@h/":                         "neither JSON nor a URL",
		"tcp://h":                               "names no port",
		"tcp://:80/path":                        "none of http://HOST:PORT/PATH",
		"grpc://h:80":                           "none of http://HOST:PORT/PATH",
		"udp://:80":                             "none of http://HOST:PORT/PATH",
		`{"sleep":{"seconds":1}}`:               "sleep is for hooks",
		`{"tcpSocket":{}}`:                      "tcpSocket.port 0 is not between 1 and 65535",
		`{"tcpSocket":{"port":1},"x":1}`:        `unknown field "x"`,
		`{"tcpSocket":{"port":1}}{}`:            "there is more behind",
		`{"tcpSocket":{"port":"web"}}`:          "cannot unmarshal",
		`{"grpc":{"port":70000}}`:               "grpc.port 70000",
		`{"grpc":{"port":1},"exec":{}}`:         "it must have one of exec, httpGet, tcpSocket and grpc",
		`{"httpGet":{"port":1,"host":"a b"}}`:   `httpGet.host "a b" is neither a name nor an address`,
		`{"tcpSocket":{"port":1,"host":"a/b"}}`: `tcpSocket.host "a/b" is neither a name nor an address`,
		`{"httpGet":{"port":1,"scheme":"FTP"}}`: `httpGet.scheme "FTP" is neither HTTP nor HTTPS`,
		`{"httpGet":{"port":1,"httpHeaders":[{"name":"a","value":"b\r\nc: d"}]}}`: "is no header",
	} {
		if h, err := ParseProbe(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v, want %q", text, h, err, want)
		}
	}
	if _, err := Parse(`{"grpc":{"port":1}}`); err == nil || err.Error() != "grpc is for probes" {
		t.Errorf("a hook over gRPC: %v", err)
	}
}

// What is read is written so that it is read again as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "true", `["a"]`, `{"sleep":{"seconds":0}}`, "http://:80/a%20b?c", "grpc://:1/x", `{"grpc":{"port":1}}`, `{"httpGet":{"port":1,"path":"/","httpHeaders":[{"name":"a","value":"b\r\n"}]}}`, `{"exec":{"command":["x"]}} {}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (*Handler, error){Parse, ParseProbe} {
			h, err := parse(text)
			if err != nil {
				continue
			}
			data, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			again, err := parse(string(data))
			if err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if got, _ := json.Marshal(again); string(got) != string(data) {
				t.Errorf("got %s, want %s", got, data)
			}
		}
	})
}
