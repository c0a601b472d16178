package quadlet

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"skiff/commands/systemd/unit"
)

// Container is a .container file that is to be written.
type Container struct {
	Comment     string // the first line
	Description string
	Name        string // of the container
	Image       string
	Rootfs      bool     // Image is a directory
	Args        []string // the command
	Flags       []Flag   // of run
	// After and Unit are lines of [Unit], Service of [Service], as they are.
	Unit, Service []string
	WantedBy      string
}

// Flag is a flag of run; without a value, where Switch is set.
type Flag struct {
	Name, Value string
	Switch      bool
}

// String is the file. Every flag becomes the key that the generator translates to
// that very flag, or a word of PodmanArgs=.
func (c *Container) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n[Unit]\nDescription=%s\n", c.Comment, unit.Directory(c.Description))
	for _, line := range c.Unit {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n[Container]\n")
	key := "Image"
	if c.Rootfs {
		key = "Rootfs"
	}
	fmt.Fprintf(&b, "%s=%s\nContainerName=%s\n", key, unit.Literal(c.Image), unit.Literal(c.Name))
	for _, f := range c.Flags {
		b.WriteString(line(f) + "\n")
	}
	if len(c.Args) > 0 {
		b.WriteString("Exec=" + quoteLiteral(c.Args...) + "\n")
	}
	b.WriteString("\n[Service]\n")
	for _, line := range c.Service {
		b.WriteString(line + "\n")
	}
	if c.WantedBy != "" {
		b.WriteString("\n[Install]\nWantedBy=" + c.WantedBy + "\n")
	}
	return b.String()
}

// quoteLiteral are words in which nothing is expanded.
func quoteLiteral(words ...string) string {
	literal := make([]string, len(words))
	for i, w := range words {
		literal[i] = unit.Literal(w)
	}
	return unit.QuoteAll(literal)
}

// line is the assignment for one flag.
func line(f Flag) string {
	if f.Switch {
		for key, r := range rules()["Container"] {
			if r.flag != f.Name || r.how != boolean {
				continue
			}
			if f.Name == "read-only" {
				return key + "=true\nReadOnlyTmpfs=false" // else some directories are memory
			}
			return key + "=true"
		}
		return "PodmanArgs=" + quoteLiteral("--"+f.Name)
	}
	if key, ok := keyOf(f); ok {
		if rules()["Container"][key].how == words {
			return key + "=" + quoteLiteral(f.Value)
		}
		return key + "=" + unit.Literal(f.Value)
	}
	return "PodmanArgs=" + quoteLiteral("--"+f.Name+"="+f.Value)
}

// keyOf is the key whose value is the flag's as it is.
func keyOf(f Flag) (string, bool) {
	for key, r := range rules()["Container"] {
		if r.flag == f.Name && r.how == words {
			return key, true // in quotes, anything goes
		}
		if r.flag == f.Name && (r.how == each || r.how == once) && asItIs(f.Value) {
			return key, true
		}
	}
	source, _, _ := strings.Cut(f.Value, ":")
	switch {
	case !asItIs(f.Value):
	case f.Name == "volume" && strings.HasPrefix(f.Value, "/") && strings.Contains(f.Value, ":"):
		return "Volume", true
	case f.Name == "volume" && strings.IndexFunc(f.Value, isASCIIWord) == 0 && sections[extension(source)] == "":
		return "Volume", true
	case f.Name == "network" && !strings.ContainsAny(f.Value, ":=,") && sections[extension(f.Value)] == "":
		return "Network", true
	case f.Name == "user" && !strings.Contains(f.Value, ":"):
		return "User", true
	case (f.Name == "health-cmd" || f.Name == "health-startup-cmd") && f.Value != "none" && f.Value[0] != '[':
		return map[string]string{"health-cmd": "HealthCmd", "health-startup-cmd": "HealthStartupCmd"}[f.Name], true
	case f.Name == "sdnotify" && f.Value == "healthy":
		return "Notify", true
	}
	return "", false
}

func isASCIIWord(r rune) bool {
	return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

func extension(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[i:]
	}
	return ""
}

// asItIs reports whether a value reads back as it is written, to the end of a line.
func asItIs(value string) bool {
	return value != "" && value == strings.TrimSpace(value) && !strings.HasSuffix(value, `\`) &&
		!strings.ContainsFunc(value, unicode.IsControl) && !slices.Contains([]string{"#", ";"}, value[:1])
}
