package quadlet

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/systemd/unit"
)

// values are how the flags that keys become read what they are given, as far as that
// can be told before the unit starts.
var values = map[string]func(string) error{
	"add-host": wrong(flags.ParseExtraHost), "publish": wrong(flags.ParsePublish), "ulimit": wrong(flags.ParseUlimit),
	"secret": wrong(flags.ParseSecret), "uidmap": wrong(flags.ParseIDMapping), "gidmap": wrong(flags.ParseIDMapping),
	"stop-signal": wrong(flags.ParseSignal), "memory": wrong(format.ParseSize), "shm-size": wrong(format.ParseSize),
	"dns": address, "ip": address, "ip6": address, "gateway": address, "subnet": network, "ip-range": network,
	"health-interval": duration, "health-start-period": duration, "health-timeout": duration,
	"health-startup-interval": duration, "health-startup-timeout": duration,
	"health-retries": whole, "health-startup-retries": whole, "health-startup-success": whole,
	"pids-limit": whole, "stop-timeout": whole,
}

// check refuses a value that the key's flag would refuse when the unit starts, with the
// place in the file. What systemd is still to replace is not looked at.
func (r rule) check(e unit.Entry) error {
	read := values[r.flag]
	if read == nil || strings.ContainsAny(e.Value, "%$") {
		return nil
	}
	if err := read(e.Value); err != nil {
		return &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s: %v", e.Key, err)}
	}
	return nil
}

// wrong is what a parser has against a value.
func wrong[T any](parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		_, err := parse(s)
		return err
	}
}

func duration(s string) error {
	if _, err := time.ParseDuration(s); err != nil {
		return fmt.Errorf("%q is no duration such as 30s or 1m30s", s)
	}
	return nil
}

func whole(s string) error {
	if _, err := strconv.Atoi(s); err != nil {
		return fmt.Errorf("%q is no whole number", s)
	}
	return nil
}

func address(s string) error {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Errorf("%q is no IP address", s)
	}
	return nil
}

func network(s string) error {
	if _, err := netip.ParsePrefix(s); err != nil {
		return fmt.Errorf("%q is no network such as 10.1.2.0/24", s)
	}
	return nil
}
