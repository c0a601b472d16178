package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/runtime/stage/logdriver"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
)

// Defaults of log rotation: an unbounded log fills a disk in minutes
// (reliability.md, "log flood").
const (
	defaultLogSize  = 10 << 20
	defaultLogFiles = 3
)

func logConfig(c *container.Container) (message.Log, error) {
	l := message.Log{Path: filepath.Join(c.Dir(), container.LogFile), MaxSize: defaultLogSize, MaxFile: defaultLogFiles}
	cfg := c.Config.Host.LogConfig
	if cfg.Type == "none" || cfg.Type == "passthrough" {
		return message.Log{}, nil
	}
	if cfg.Type == "journald" {
		if _, err := os.Stat(logdriver.JournalSocket); err != nil {
			return l, errors.New("failed to initialize logging driver: journald is not enabled on this host")
		}
		l.Journal, l.Fields = logdriver.JournalSocket, journalFields(c)
	}
	if v, ok := cfg.Config["max-size"]; ok {
		n, err := parseSize(v)
		if err != nil {
			return l, fmt.Errorf("log option max-size: %w", err)
		}
		l.MaxSize = n
	}
	if v, ok := cfg.Config["max-file"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return l, fmt.Errorf("log option max-file: invalid number %q", v)
		}
		l.MaxFile = n
	}
	return l, nil
}

// journalFields are what docker's driver says of a container.
func journalFields(c *container.Container) []string {
	cfg := c.Config
	short := cfg.ID[:12]
	tag := short
	if v := cfg.Host.LogConfig.Config["tag"]; v != "" {
		tag = strings.NewReplacer("{{.ID}}", short, "{{.FullID}}", cfg.ID, "{{.Name}}", cfg.Name, "{{.ImageName}}", cfg.Config.Image).Replace(v)
	}
	fields := []string{
		"CONTAINER_ID=" + short, "CONTAINER_ID_FULL=" + cfg.ID, "CONTAINER_NAME=" + cfg.Name, "CONTAINER_TAG=" + tag,
		"IMAGE_NAME=" + cfg.Config.Image, "SYSLOG_IDENTIFIER=" + tag,
	}
	for _, key := range strings.Split(cfg.Host.LogConfig.Config["labels"], ",") {
		if v, ok := cfg.Config.Labels[key]; ok {
			fields = append(fields, fieldName(key)+"="+v)
		}
	}
	for _, key := range strings.Split(cfg.Host.LogConfig.Config["env"], ",") {
		for _, kv := range cfg.Config.Env {
			if name, v, ok := strings.Cut(kv, "="); ok && name == key && key != "" {
				fields = append(fields, fieldName(key)+"="+v)
			}
		}
	}
	return fields
}

// fieldName is a name as journald takes it: capital letters, digits, underscores,
// no underscore in front.
func fieldName(s string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s), "_0123456789")
}

// parseSize reads docker's max-size: a number with k, m or g, -1 for unlimited.
func parseSize(s string) (int64, error) {
	if s == "-1" {
		return 0, nil
	}
	digits := strings.TrimRight(strings.ToLower(s), "b")
	shift := 0
	switch {
	case strings.HasSuffix(digits, "k"):
		shift = 10
	case strings.HasSuffix(digits, "m"):
		shift = 20
	case strings.HasSuffix(digits, "g"):
		shift = 30
	}
	if shift > 0 {
		digits = digits[:len(digits)-1]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > 1<<62>>shift {
		return 0, fmt.Errorf("invalid size: %q", s)
	}
	return n << shift, nil
}

// passthrough reports whether the container has the standard streams of the command
// that starts it, without anybody between.
func passthrough(h *container.Host) bool { return h.LogConfig.Type == "passthrough" }
