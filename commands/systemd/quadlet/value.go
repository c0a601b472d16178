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

// values are how the flags of run, of pods, networks and manifests that keys become read
// what they are given, as far as that can be told before the unit starts.
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

// check refuses a value of a key that is the flag when the unit starts, with the place in
// the file, if the flag would. What systemd is still to replace is not looked at.
func (t *translation) check(flag string, e unit.Entry) error {
	read := values[flag]
	if read == nil || strings.ContainsAny(e.Value, "%$") || t.dropped(flag) {
		return nil
	}
	if err := read(e.Value); err != nil {
		return &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s: %v", e.Key, err)}
	}
	return nil
}

// dropped reports whether a flag's value does not matter: a health check's that is none,
// or one of build's, which means something else by it.
func (t *translation) dropped(flag string) bool {
	none := func(key string) bool {
		list := checkWords(t.own.Last(key))
		return len(list) > 0 && list[0] == "NONE"
	}
	return t.kind == ".build" || strings.HasPrefix(flag, "health-") && none("HealthCmd") ||
		strings.HasPrefix(flag, "health-startup-") && none("HealthStartupCmd")
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
	if _, err := strconv.ParseInt(s, 0, 64); err != nil { // as the flags do
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
