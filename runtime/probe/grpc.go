package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"skiff/storage/container/hook"
)

// checkMethod is what every server of the health checking protocol has.
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
const checkMethod = "/grpc.health.v1.Health/Check"

// unimplemented is the gRPC status of a method that the server does not have.
const unimplemented = 12

// serving is the answer of who is well; the names are those of the protocol.
const serving = 1

var servingStatus = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// frameHead is the length of what goes before a message: whether it is compressed, and
// its length in bytes, big endian.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
const frameHead = 5

// check asks for the health of a service: gRPC is a POST over HTTP/2.
func check(ctx context.Context, d *dialer, g *hook.GRPC) (string, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{
		Transport: &http.Transport{
			DialContext:            d.dial,
			Protocols:              &protocols,
			DisableCompression:     true,
			MaxResponseHeaderBytes: mostHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	address := place("", g.Port)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+checkMethod, bytes.NewReader(question(g.Service)))
	if err != nil {
		return "", err
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {probeAgent}}
	answer, err := client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return "", fmt.Errorf("connect to gRPC service %q: %w", address, plain(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("what answered at %q does not speak gRPC: HTTP status %d", address, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostBody+1))
	if err == nil && len(body) > mostBody {
		err = fmt.Errorf("it is longer than %d bytes", mostBody)
	}
	if err != nil {
		return "", fmt.Errorf("health rpc failed: read answer: %w", err)
	}
	if err := statusOf(answer); err != nil {
		return "", err
	}
	status, err := answered(body)
	if err != nil {
		return "", err
	}
	if status != serving {
		name := strconv.FormatUint(status, 10)
		if status < uint64(len(servingStatus)) {
			name = servingStatus[status]
		}
		return "", fmt.Errorf("service unhealthy (responded with %q)", name)
	}
	return servingStatus[serving], nil
}

// statusOf is the gRPC status, which comes behind the message, or with the header
// where there is no message.
func statusOf(answer *http.Response) error {
	fields := answer.Trailer
	if fields.Get("Grpc-Status") == "" {
		fields = answer.Header
	}
	code, err := strconv.ParseUint(fields.Get("Grpc-Status"), 10, 32)
	message, bad := url.PathUnescape(fields.Get("Grpc-Message"))
	if bad != nil {
		message = fields.Get("Grpc-Message")
	}
	switch {
	case err != nil:
		return errors.New("what answered does not speak gRPC: there is no grpc-status")
	case code == unimplemented:
		return fmt.Errorf("this server does not implement the grpc health protocol (grpc.health.v1.Health): %q", message)
	case code != 0:
		return fmt.Errorf("health rpc failed: status %d: %q", code, message)
	}
	return nil
}

// question is a HealthCheckRequest: field 1 is the service's name.
// https://protobuf.dev/programming-guides/encoding/
func question(service string) []byte {
	var m []byte
	if service != "" {
		m = append(m, 1<<3|2)
		m = binary.AppendUvarint(m, uint64(len(service)))
		m = append(m, service...)
	}
	frame := make([]byte, frameHead, frameHead+len(m))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(m)))
	return append(frame, m...)
}

var errMalformed = errors.New("health rpc failed: the answer is malformed")

// answered is the status in a HealthCheckResponse, its field 1; 0 is not sent.
func answered(body []byte) (uint64, error) {
	if len(body) < frameHead || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-frameHead) {
		return 0, errMalformed
	}
	status := uint64(0)
	for m := body[frameHead:]; len(m) > 0; {
		key, n := binary.Uvarint(m)
		if n <= 0 {
			return 0, errMalformed
		}
		m = m[n:]
		switch key & 7 {
		case 0: // varint
			value, n := binary.Uvarint(m)
			if n <= 0 {
				return 0, errMalformed
			}
			if m = m[n:]; key>>3 == 1 {
				status = value
			}
		case 1, 5: // 8 and 4 bytes
			size := map[uint64]int{1: 8, 5: 4}[key&7]
			if len(m) < size {
				return 0, errMalformed
			}
			m = m[size:]
		case 2: // bytes
			size, n := binary.Uvarint(m)
			if n <= 0 || size > uint64(len(m)-n) {
				return 0, errMalformed
			}
			m = m[n+int(size):]
		default:
			return 0, errMalformed
		}
	}
	return status, nil
}
