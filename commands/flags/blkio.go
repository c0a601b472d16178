package flags

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/commands/format"
	"skiff/storage/container"
)

// blockDevices fills the limits of block devices.
func blockDevices(c *cli.Context, h *container.Host) error {
	weight := c.Uint("blkio-weight")
	if weight != 0 && (weight < 10 || weight > 1000) {
		return errors.New("Range of blkio weight is from 10 to 1000")
	}
	h.BlkioWeight = uint16(weight)
	for _, value := range c.StringSlice("blkio-weight-device") {
		d, err := parseWeightDevice(value)
		if err != nil {
			return &failure.Value{Flag: "blkio-weight-device", Value: value, Err: err}
		}
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, d)
	}
	for _, kind := range []struct {
		flag  string
		to    *[]container.ThrottleDevice
		bytes bool
	}{
		{"device-read-bps", &h.BlkioDeviceReadBps, true},
		{"device-write-bps", &h.BlkioDeviceWriteBps, true},
		{"device-read-iops", &h.BlkioDeviceReadIOps, false},
		{"device-write-iops", &h.BlkioDeviceWriteIOps, false},
	} {
		for _, value := range c.StringSlice(kind.flag) {
			d, err := parseThrottleDevice(value, kind.bytes)
			if err != nil {
				return &failure.Value{Flag: kind.flag, Value: value, Err: err}
			}
			*kind.to = append(*kind.to, d)
		}
	}
	return nil
}

func cutDevice(value string) (path, number string, err error) {
	path, number, ok := strings.Cut(value, ":")
	if !ok || path == "" {
		return "", "", fmt.Errorf("bad format: %s", value)
	}
	if !strings.HasPrefix(path, "/dev/") {
		return "", "", fmt.Errorf("bad format for device path: %s", value)
	}
	return path, number, nil
}

func parseWeightDevice(value string) (container.WeightDevice, error) {
	path, number, err := cutDevice(value)
	if err != nil {
		return container.WeightDevice{}, err
	}
	weight, err := strconv.ParseUint(number, 10, 16)
	if err != nil || weight > 0 && (weight < 10 || weight > 1000) {
		return container.WeightDevice{}, fmt.Errorf("invalid weight for device: %s", value)
	}
	return container.WeightDevice{Path: path, Weight: uint16(weight)}, nil
}

func parseThrottleDevice(value string, bytes bool) (container.ThrottleDevice, error) {
	path, number, err := cutDevice(value)
	if err != nil {
		return container.ThrottleDevice{}, err
	}
	if bytes {
		rate, err := format.ParseSize(number)
		if err != nil || rate < 0 {
			return container.ThrottleDevice{}, fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>[<unit>]. "+
				"Number must be a positive integer. Unit is optional and can be kb, mb, or gb", value)
		}
		return container.ThrottleDevice{Path: path, Rate: uint64(rate)}, nil
	}
	rate, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return container.ThrottleDevice{}, fmt.Errorf("invalid rate for device: %s. The correct format is <device-path>:<number>. Number must be a positive integer", value)
	}
	return container.ThrottleDevice{Path: path, Rate: rate}, nil
}
