package format

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is docker's wording for how long something takes or took.
func Duration(d time.Duration) string {
	seconds, minutes := int(d.Seconds()), int(d.Minutes())
	hours := int(d.Hours() + 0.5)
	switch {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
	case hours < 24*7*2:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 24*30*2:
		return fmt.Sprintf("%d weeks", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months", hours/24/30)
	}
	return fmt.Sprintf("%d years", int(d.Hours())/24/365)
}

// Ago is Duration since t, as docker's CREATED column has it.
func Ago(now, t time.Time) string { return Duration(now.Sub(t)) + " ago" }

// Size is a number of bytes in decimal units with three significant digits:
// 72.9MB.
func Size(bytes int64) string { return scaled(float64(bytes), 1000, 3, "B kB MB GB TB PB EB") }

// LongSize is Size with four digits, as docker's cp and stats have it.
func LongSize(bytes int64) string { return scaled(float64(bytes), 1000, 4, "B kB MB GB TB PB EB") }

// BinarySize is a number of bytes in powers of two with four digits: 12.5MiB.
func BinarySize(bytes int64) string {
	return scaled(float64(bytes), 1024, 4, "B KiB MiB GiB TiB PiB EiB")
}

func scaled(n, base float64, digits int, units string) string {
	names := strings.Fields(units)
	i := 0
	for ; n >= base && i < len(names)-1; i++ {
		n /= base
	}
	return strconv.FormatFloat(n, 'g', digits, 64) + names[i]
}

// ParseSize reads a size as docker takes it: a number, an optional fraction and
// a unit b, k, m, g, t, p with an optional "b" or "ib", always powers of two.
func ParseSize(s string) (int64, error) {
	bad := fmt.Errorf("invalid size: '%s'", s)
	end := strings.LastIndexAny(s, "01234567890. ")
	if end < 0 {
		return 0, bad
	}
	number, unit := strings.TrimSuffix(s[:end+1], " "), strings.ToLower(s[end+1:])
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, bad
	}
	if unit != "" {
		power := strings.IndexByte("bkmgtp", unit[0])
		rest := unit[1:]
		if power < 0 || rest != "" && (power == 0 || rest != "b" && rest != "ib") {
			return 0, fmt.Errorf("invalid suffix: '%s'", s[end+1:])
		}
		n *= math.Pow(1024, float64(power))
	}
	if n > math.MaxInt64 {
		return 0, bad
	}
	return int64(n), nil
}

// ShortID is the first twelve digits of an id, without "sha256:".
func ShortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > 12 {
		id = id[:12]
	}
	return id
}

// Ellipsis cuts text to n characters, the last of which is then "…".
func Ellipsis(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
