// Command web is a server for images with nothing else in them: HTTP, HTTPS and
// gRPC's health checking, and servers that are not as they should be.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// sick is the file that makes all that is checked fail.
const sick = "/sick"

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "touch":
		err = os.WriteFile(os.Args[2], nil, 0o644)
	case len(os.Args) == 3 && os.Args[1] == "rm":
		err = os.Remove(os.Args[2])
	default:
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

// serve serves HTTP at 8080, HTTPS at 8443, gRPC at 50051, at 8081 answers without end
// and at 8082 says nothing, until it is asked to end.
func serve() error {
	failed := make(chan error, 1)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	conf, err := certificate()
	if err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0)
	plain := &http.Server{Handler: http.HandlerFunc(answer), ErrorLog: quiet}
	calls := &http.Server{Handler: http.HandlerFunc(health), ErrorLog: quiet, Protocols: new(http.Protocols)}
	calls.Protocols.SetUnencryptedHTTP2(true)
	for _, s := range []struct {
		addr  string
		serve func(net.Listener) error
	}{
		{":8080", plain.Serve},
		{":8443", func(l net.Listener) error { return plain.Serve(tls.NewListener(l, conf)) }},
		{":50051", calls.Serve},
		{":8081", func(l net.Listener) error {
			return each(l, func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				for err := error(nil); err == nil; {
					_, err = io.WriteString(c, strings.Repeat("A: b\r\n", 1000))
				}
			})
		}},
		{":8082", func(l net.Listener) error {
			return each(l, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		}},
		{"[::1]:8086", plain.Serve},
	} {
		l, err := net.Listen("tcp", s.addr)
		if err != nil {
			return err
		}
		go func() { failed <- s.serve(l) }()
	}
	fmt.Println("serving")
	select {
	case err = <-failed:
	case <-end:
		fmt.Println("ended")
	}
	return err
}

func each(l net.Listener, serve func(net.Conn)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

// ill reports whether what is checked fails.
func ill() bool {
	_, err := os.Stat(sick)
	return err == nil
}

// answer says what was asked, and answers by the path.
func answer(w http.ResponseWriter, r *http.Request) {
	fmt.Println(r.Method, r.RequestURI, r.Host, r.Header.Get("X-Probe"), r.UserAgent())
	switch {
	case r.URL.Path == "/to":
		w.Header().Set("Location", r.FormValue("where"))
		w.WriteHeader(http.StatusFound)
	case ill(), r.URL.Path == "/header" && r.Header.Get("X-Probe") != "yes":
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// health is grpc.health.v1.Health/Check, of all services and of one called web.
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
func health(w http.ResponseWriter, r *http.Request) {
	said, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	w.Header().Set("Content-Type", "application/grpc")
	fmt.Printf("%s %s %q\n", r.Method, r.RequestURI, said)
	switch {
	case err != nil || r.RequestURI != "/grpc.health.v1.Health/Check" || len(said) < 5:
		w.Header().Set("Grpc-Status", "12")
	case string(said[5:]) != "" && string(said[5:]) != "\x0a\x03web":
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "unknown service")
	default:
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		status := byte(1)
		if ill() {
			status = 2
		}
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, status})
	}
}

// certificate is one that nobody vouches for.
func certificate() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
