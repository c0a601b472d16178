package flags

import "testing"

func TestParseThrottleDevice_ReadsRates(t *testing.T) {
	for _, test := range []struct {
		value string
		bytes bool
		want  uint64
		fails bool
	}{
		{"/dev/sda:1mb", true, 1 << 20, false},
		{"/dev/sda:100", false, 100, false},
		{"/dev/sda", true, 0, true},
		{"sda:1mb", true, 0, true},
		{"/dev/sda:", true, 0, true},
		{"/dev/sda:-1", true, 0, true},
		{"/dev/sda:1mb", false, 0, true},
	} {
		d, err := parseThrottleDevice(test.value, test.bytes)
		if (err != nil) != test.fails || d.Rate != test.want {
			t.Errorf("%s: got %d, %v", test.value, d.Rate, err)
		}
	}
}

func TestParseWeightDevice_RefusesWhatIsOutOfRange(t *testing.T) {
	for value, ok := range map[string]bool{"/dev/sda:10": true, "/dev/sda:9": false, "/dev/sda:1001": false, "/dev/sda:x": false} {
		if _, err := parseWeightDevice(value); (err == nil) != ok {
			t.Errorf("%s: got %v", value, err)
		}
	}
}
