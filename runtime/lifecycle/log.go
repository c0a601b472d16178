package lifecycle

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

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
	if cfg.Type == "none" {
		return message.Log{}, nil
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
