package flags

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"skiff/storage/container/device"
)

// ParseGPUs reads the value of --gpus, as docker's client does: all, a number, or
// comma-separated device=, count=, capabilities=, driver= and options=, where a value
// with a comma stands with its key in double quotes.
func ParseGPUs(value string) (device.Request, error) {
	req := device.Request{Capabilities: [][]string{{"gpu"}}, Options: map[string]string{}}
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return req, err
	}
	seen := map[string]bool{}
	for _, field := range fields {
		key, val, pair := strings.Cut(field, "=")
		if seen[key] {
			return req, fmt.Errorf("gpu request key '%s' can be specified only once", key)
		}
		seen[key] = true
		if !pair {
			seen["count"] = true
			if req.Count, err = gpuCount(key); err != nil {
				return req, err
			}
			continue
		}
		switch key {
		case "driver":
			req.Driver = val
		case "count":
			if req.Count, err = gpuCount(val); err != nil {
				return req, err
			}
		case "device":
			req.DeviceIDs = strings.Split(val, ",")
		case "capabilities":
			req.Capabilities = [][]string{append(strings.Split(val, ","), "gpu")}
		case "options":
			options, err := csv.NewReader(strings.NewReader(val)).Read()
			if err != nil && !errors.Is(err, io.EOF) {
				return req, fmt.Errorf("unable to read gpu options: %w", err)
			}
			for _, o := range options {
				k, v, _ := strings.Cut(o, "=")
				req.Options[k] = v
			}
		default:
			return req, fmt.Errorf("unexpected key '%s' in '%s'", key, field)
		}
	}
	if !seen["count"] && req.DeviceIDs == nil {
		req.Count = 1
	}
	return req, nil
}

func gpuCount(s string) (int, error) {
	if s == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	var why *strconv.NumError
	if errors.As(err, &why) {
		return 0, fmt.Errorf(`invalid count (%s): value must be either "all" or an integer: %w`, s, why.Err)
	}
	return n, err
}
