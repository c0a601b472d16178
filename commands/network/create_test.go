package network

import (
	"fmt"
	"strings"
	"testing"

	"skiff/storage/network"
)

func TestPools(t *testing.T) {
	for _, c := range []struct {
		name                           string
		subnets, ranges, gateways, aux []string
		want                           string // the pools, or what the error says
	}{
		{"nothing", nil, nil, nil, nil, "[]"},
		{"a subnet", []string{"10.0.0.0/24"}, nil, nil, nil, "[{10.0.0.0/24   map[]}]"},
		{
			"everything",
			[]string{"10.0.0.0/24", "fd00::/64"},
			[]string{"10.0.0.128/25"},
			[]string{"fd00::9", "10.0.0.254"},
			[]string{"a=10.0.0.7"},
			"[{10.0.0.0/24 10.0.0.128/25 10.0.0.254 map[a:10.0.0.7]} {fd00::/64  fd00::9 map[]}]",
		},
		{"no subnet for a range", nil, []string{"10.0.0.0/25"}, nil, nil, "every ip-range or gateway must have a corresponding subnet"},
		{"no prefix", []string{"10.0.0.0"}, nil, nil, nil, "invalid CIDR address"},
		{"bits behind the prefix", []string{"10.0.0.1/24"}, nil, nil, nil, "it should be 10.0.0.0/24"},
		{"no room", []string{"10.0.0.0/31"}, nil, nil, nil, "there is no room in it"},
		{"everything there is", []string{"0.0.0.0/0"}, nil, nil, nil, "there is no room in it"},
		{"overlapping ones", []string{"10.0.0.0/24", "10.0.0.128/25"}, nil, nil, nil, "multiple overlapping subnet configuration is not supported"},
		{"a range that is larger", []string{"10.0.0.0/24"}, []string{"10.0.0.0/16"}, nil, nil, "no matching subnet for range 10.0.0.0/16"},
		{"two gateways", []string{"10.0.0.0/24"}, nil, []string{"10.0.0.1", "10.0.0.2"}, nil, "cannot configure multiple gateways"},
		{"a gateway that is no address", []string{"10.0.0.0/24"}, nil, []string{"x"}, nil, "no matching subnet for gateway x"},
		{"an auxiliary address without a name", []string{"10.0.0.0/24"}, nil, nil, []string{"10.0.0.5"}, "no matching subnet for aux-address"},
	} {
		p, err := pools(c.subnets, c.ranges, c.gateways, c.aux)
		got := fmt.Sprint(p)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCheckOptions_NamesWhatHasNoEffect(t *testing.T) {
	n := &network.Network{Options: map[string]string{optionMTU: "1280", optionICC: "false", optionMasquerade: "false", "x": "y"}}
	warnings, err := checkOptions(n)
	if err != nil || len(warnings) != 2 {
		t.Errorf("got %q, %v, want two warnings", warnings, err)
	}
	for key, value := range map[string]string{optionMTU: "many", optionICC: "perhaps", optionHostBinding: "::1", optionBridge: "a/b"} {
		if _, err := checkOptions(&network.Network{Options: map[string]string{key: value}}); err == nil {
			t.Errorf("%s=%s is accepted", key, value)
		}
	}
}
