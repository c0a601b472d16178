package network

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/temp"
)

var (
	// ErrNotFound says that no network has the name or id.
	ErrNotFound = errors.New("no such network")
	// ErrAmbiguous says that an id prefix fits several networks.
	ErrAmbiguous = errors.New("multiple networks found with provided prefix")
)

// Version is the format of a record that this program writes.
const Version = 1

// Network is one network. The JSON names are docker's.
type Network struct {
	Version    int               `json:"Version"`
	Name       string            `json:"Name"`
	ID         string            `json:"Id"` // 64 lower-case hex digits
	Created    time.Time         `json:"Created"`
	Driver     string            `json:"Driver"` // bridge, host or null
	EnableIPv4 bool              `json:"EnableIPv4"`
	EnableIPv6 bool              `json:"EnableIPv6"`
	IPAM       IPAM              `json:"IPAM"`
	Internal   bool              `json:"Internal"`
	Attachable bool              `json:"Attachable"`
	Options    map[string]string `json:"Options"`
	Labels     map[string]string `json:"Labels"`
	// Configured says that the user chose the subnet, so that containers may
	// choose their addresses.
	Configured bool `json:"Configured,omitempty"`
}

// IPAM is where a network's addresses come from.
type IPAM struct {
	Driver  string            `json:"Driver"`
	Options map[string]string `json:"Options"`
	Config  []Pool            `json:"Config"`
}

// Pool is one range of addresses: prefixes and addresses as text.
type Pool struct {
	Subnet    string            `json:"Subnet,omitempty"`
	IPRange   string            `json:"IPRange,omitempty"`
	Gateway   string            `json:"Gateway,omitempty"`
	Auxiliary map[string]string `json:"AuxiliaryAddresses,omitempty"`
}

// The networks that are always there.
const (
	Bridge = "bridge"
	Host   = "host"
	None   = "none"
)

// Builtin reports whether name is one of the networks that are always there.
func Builtin(name string) bool { return name == Bridge || name == Host || name == None }

// builtins are the networks that are always there. Their ids are derived from
// their names, so that they are the same each time.
func builtins(st *storage.Store) []*Network {
	made := func(name, driver string, pools []Pool, options map[string]string) *Network {
		sum := sha256.Sum256([]byte("skiff network " + name))
		return &Network{
			Version: Version, Name: name, ID: hex.EncodeToString(sum[:]), Driver: driver, EnableIPv4: true,
			IPAM: IPAM{Driver: "default", Config: pools}, Options: options, Labels: map[string]string{},
		}
	}
	return []*Network{
		made(Bridge, "bridge", []Pool{bridgePool(st)}, map[string]string{
			"com.docker.network.bridge.default_bridge":       "true",
			"com.docker.network.bridge.enable_icc":           "true",
			"com.docker.network.bridge.enable_ip_masquerade": "true",
			"com.docker.network.bridge.host_binding_ipv4":    "0.0.0.0",
			"com.docker.network.bridge.name":                 "docker0",
			"com.docker.network.driver.mtu":                  "1500",
		}),
		made(Host, "host", []Pool{}, map[string]string{}),
		made(None, "null", []Pool{}, map[string]string{}),
	}
}

// usualBridge is docker's.
var usualBridge = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 17}), 16)

// bridgePool is the default network's addresses: docker's, unless SetBridge has
// chosen others.
func bridgePool(st *storage.Store) Pool {
	p := usualBridge
	if data, err := os.ReadFile(bridgeFile(st)); err == nil {
		if other, err := netip.ParsePrefix(string(data)); err == nil && other.Addr().Is4() && other.Bits() <= 30 {
			p = other.Masked()
		}
	}
	return Pool{Subnet: p.String(), Gateway: p.Addr().Next().String()}
}

func bridgeFile(st *storage.Store) string { return filepath.Join(Dir(st), ".bridge") }

// SetBridge gives the default network other addresses.
// Requires the lock in LockFile, exclusive.
func SetBridge(st *storage.Store, subnet netip.Prefix) error {
	return temp.WriteFile(context.Background(), st, bridgeFile(st), []byte(subnet.String()), 0o600, atomicfile.Durable)
}

// Dir is where the records are.
func Dir(st *storage.Store) string { return filepath.Join(st.Dir, "networks") }

// LockFile guards the set of networks: shared while a container is started on
// one, exclusive while one is made or removed. Its directory is made.
func LockFile(st *storage.Store) (string, error) {
	if err := os.MkdirAll(Dir(st), 0o700); err != nil {
		return "", fmt.Errorf("make networks: %w", err)
	}
	return filepath.Join(Dir(st), ".lock"), nil
}

// NewID returns a random id.
func NewID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// List returns all networks, the built-in ones included, sorted by name. A
// record that cannot be read is reported in err beside the others.
func List(st *storage.Store) ([]*Network, error) {
	all := builtins(st)
	entries, err := os.ReadDir(Dir(st))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return all, fmt.Errorf("list networks: %w", err)
	}
	var broken []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || CheckName(name) != nil {
			continue
		}
		n, err := Load(st, name)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			broken = append(broken, err)
		default:
			all = append(all, n)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, errors.Join(broken...)
}

// Load returns the network of the user's own that is called name: ErrNotFound,
// *atomicfile.DamagedError, *atomicfile.NewerError.
func Load(st *storage.Store, name string) (*Network, error) {
	n := &Network{}
	path := filepath.Join(Dir(st), name+".json")
	err := atomicfile.ReadDocument(path, n, &n.Version, Version)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	if err == nil && n.Name != name {
		err = &atomicfile.DamagedError{Path: path, Reason: fmt.Sprintf("it names the network %q", n.Name)}
	}
	if err != nil {
		return nil, fmt.Errorf("read network %s: %w", name, err)
	}
	return n, nil
}

// Find returns the network that ref names: a name, an id or a unique prefix of
// one; a full id beats a name, a name a prefix.
func Find(st *storage.Store, ref string) (*Network, error) {
	// The names that are asked for most need no look at the disk.
	for _, n := range builtins(st) {
		if n.Name == ref || n.ID == ref {
			return n, nil
		}
	}
	if CheckName(ref) == nil {
		if n, err := Load(st, ref); !errors.Is(err, ErrNotFound) {
			return n, err
		}
	}
	all, err := List(st)
	var found *Network
	for _, n := range all {
		if ref == "" || !strings.HasPrefix(n.ID, ref) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%q: %w", ref, ErrAmbiguous)
		}
		found = n
	}
	if found == nil {
		return nil, errors.Join(fmt.Errorf("%q: %w", ref, ErrNotFound), err)
	}
	return found, nil
}

// Save publishes a new network, durably.
// Requires the lock in LockFile, exclusive.
func Save(st *storage.Store, n *Network) error {
	n.Version = Version
	data, err := atomicfile.Encode(n)
	if err != nil {
		return fmt.Errorf("write network: %w", err)
	}
	return temp.WriteFile(context.Background(), st, filepath.Join(Dir(st), n.Name+".json"), data, 0o600, atomicfile.Durable)
}

// Remove deletes a network's record.
// Requires the lock in LockFile, exclusive.
func Remove(st *storage.Store, n *Network) error {
	if err := os.Remove(filepath.Join(Dir(st), n.Name+".json")); err != nil {
		return fmt.Errorf("remove network: %w", err)
	}
	return atomicfile.SyncDir(Dir(st))
}

// InvalidNameError says that a name cannot name a network, in docker's words.
type InvalidNameError struct{ Name string }

func (e *InvalidNameError) Error() string {
	if strings.TrimSpace(e.Name) == "" {
		return "network name cannot be empty"
	}
	return fmt.Sprintf("invalid network name %q: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", e.Name)
}

// CheckName returns an *InvalidNameError unless name may name a network.
func CheckName(name string) error {
	ok := name != "" && len(name) <= 240 // a file name, with .json
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && (c == '_' || c == '.' || c == '-'))
	}
	if !ok {
		return &InvalidNameError{name}
	}
	return nil
}
