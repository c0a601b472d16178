// Package seccomp compiles system call filters to BPF with libseccomp and
// remembers the result, because compiling takes longer than starting a
// container. The stage only installs the bytes. Profiles are docker's
// (github.com/moby/profiles/seccomp as data), or the user's in the same format,
// or a runtime-spec "linux.seccomp" (config-linux.md, "Seccomp").
package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"

	profile "github.com/moby/profiles/seccomp"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
)

// profileVersion names the data that Default compiles; it changes with the
// module.
const profileVersion = "moby-0.2.3 tree"

// Filter is a compiled program and how to install it.
type Filter struct {
	BPF   []byte // struct sock_filter[]
	Flags uint   // SECCOMP_FILTER_FLAG_*
}

// Default returns docker's default profile for a process with the given
// bounding capabilities ("CAP_SYS_ADMIN"). Some of its rules depend on them and
// on the kernel's version.
func Default(cache string, caps []string) (*Filter, error) {
	return remembered(cache, func(key *strings.Builder) {
		fmt.Fprint(key, profileVersion, caps)
	}, func() (*rspec.LinuxSeccomp, error) {
		return profile.GetDefaultProfile(specWith(caps))
	})
}

// FromFile returns the user's profile in docker's format (--security-opt
// seccomp=FILE).
func FromFile(cache, file string, caps []string) (*Filter, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("opening seccomp profile (%s) failed: %w", file, err)
	}
	return remembered(cache, func(key *strings.Builder) {
		fmt.Fprint(key, "tree", string(body), caps)
	}, func() (*rspec.LinuxSeccomp, error) {
		return profile.LoadProfile(string(body), specWith(caps))
	})
}

// FromSpec returns the filter of an OCI configuration.
func FromSpec(cache string, config *rspec.LinuxSeccomp) (*Filter, error) {
	body, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return remembered(cache, func(key *strings.Builder) {
		key.Write(body)
	}, func() (*rspec.LinuxSeccomp, error) { return config, nil })
}

func specWith(caps []string) *rspec.Spec {
	return &rspec.Spec{Process: &rspec.Process{Capabilities: &rspec.LinuxCapabilities{Bounding: caps}}}
}

// remembered returns the filter from the cache directory, or compiles and
// keeps it there. What decides about the result is in the name.
func remembered(cache string, describe func(*strings.Builder), load func() (*rspec.LinuxSeccomp, error)) (*Filter, error) {
	var key strings.Builder
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	major, minor, micro := libseccomp.GetLibraryVersion()
	fmt.Fprint(&key, goruntime.GOARCH, unix.ByteSliceToString(uts.Release[:]), major, minor, micro, "\n")
	describe(&key)
	sum := sha256.Sum256([]byte(key.String()))
	path := filepath.Join(cache, "seccomp-"+hex.EncodeToString(sum[:16]))
	if data, err := os.ReadFile(path); err == nil {
		if f := decode(data); f != nil {
			return f, nil
		}
	}
	config, err := load()
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	f, err := compile(config)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	// A cache that cannot be written costs time only.
	if err := os.MkdirAll(cache, 0o700); err == nil {
		_ = atomicfile.Reclaim(cache, filepath.Base(path))
		_ = atomicfile.Fill(path, f.encode(), 0o600, atomicfile.Volatile)
	}
	return f, nil
}

// trailer is how many bytes of the cache's file are behind the program: the flags,
// padded to 4, and the CRC-32 of all before.
const trailer = 8

func (f *Filter) encode() []byte {
	data := append(f.BPF[:len(f.BPF):len(f.BPF)], byte(f.Flags), 0, 0, 0)
	return binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
}

// decode returns nil for what is not as it was written: a filter that says something
// else is worse than none in the cache.
func decode(data []byte) *Filter {
	n := len(data) - trailer
	if n <= 0 || crc32.ChecksumIEEE(data[:n+4]) != binary.LittleEndian.Uint32(data[n+4:]) {
		return nil
	}
	return &Filter{BPF: data[:n], Flags: uint(data[n])}
}

// flags are the names of seccomp(2) flags that a configuration may ask for.
var flagBits = [...]struct {
	name rspec.LinuxSeccompFlag
	bit  uint
}{
	{rspec.LinuxSeccompFlagLog, unix.SECCOMP_FILTER_FLAG_LOG},
	{rspec.LinuxSeccompFlagSpecAllow, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
}

func compile(config *rspec.LinuxSeccomp) (*Filter, error) {
	if config == nil {
		return nil, errors.New("empty profile")
	}
	action, err := toAction(config.DefaultAction, config.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	filter, err := libseccomp.NewFilter(action)
	if err != nil {
		return nil, err
	}
	defer filter.Release()
	for _, a := range config.Architectures {
		name := strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_"))
		arch, err := libseccomp.GetArchFromString(name)
		if err != nil {
			return nil, fmt.Errorf("architecture %s: %w", a, err)
		}
		if err := filter.AddArch(arch); err != nil {
			return nil, fmt.Errorf("architecture %s: %w", a, err)
		}
	}
	out := &Filter{}
	for _, want := range config.Flags {
		for _, f := range flagBits {
			if f.name == want {
				out.Flags |= f.bit
			}
		}
	}
	if err := filter.SetNoNewPrivsBit(false); err != nil {
		return nil, err
	}
	for i := range config.Syscalls {
		if err := addRules(filter, &config.Syscalls[i], action); err != nil {
			return nil, err
		}
	}
	// A binary tree instead of a list: fewer steps at each system call, and at the
	// installation, where the kernel tries all of them (seccomp_cache_prepare).
	// libseccomp before 2.5 has none.
	_ = filter.SetOptimize(2)
	out.BPF, err = export(filter)
	return out, err
}

func addRules(filter *libseccomp.ScmpFilter, rule *rspec.LinuxSyscall, byDefault libseccomp.ScmpAction) error {
	action, err := toAction(rule.Action, rule.ErrnoRet)
	if err != nil {
		return err
	}
	if action == byDefault {
		return nil // libseccomp refuses a rule that changes nothing
	}
	groups, err := conditions(rule.Args)
	if err != nil {
		return err
	}
	for _, name := range rule.Names {
		call, err := libseccomp.GetSyscallFromName(name)
		if err != nil {
			continue // newer than this libseccomp: the default decides
		}
		if len(groups) == 0 {
			err = filter.AddRule(call, action)
		}
		for _, g := range groups {
			err = errors.Join(err, filter.AddRuleConditional(call, action, g))
		}
		if err != nil {
			return fmt.Errorf("rule for %s: %w", name, err)
		}
	}
	return nil
}

// conditions groups argument checks: those in one group must all hold. Two
// checks of the same argument cannot stand in one rule and become alternatives,
// as in runc.
func conditions(args []rspec.LinuxSeccompArg) ([][]libseccomp.ScmpCondition, error) {
	var all []libseccomp.ScmpCondition
	var seen [6]bool
	alternatives := false
	for _, a := range args {
		op, err := toOperator(a.Op)
		if err != nil {
			return nil, err
		}
		values := []uint64{a.Value}
		if op == libseccomp.CompareMaskedEqual {
			values = append(values, a.ValueTwo)
		}
		c, err := libseccomp.MakeCondition(a.Index, op, values...)
		if err != nil {
			return nil, err
		}
		if a.Index < uint(len(seen)) {
			alternatives = alternatives || seen[a.Index]
			seen[a.Index] = true
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, nil
	}
	if !alternatives {
		return [][]libseccomp.ScmpCondition{all}, nil
	}
	groups := make([][]libseccomp.ScmpCondition, len(all))
	for i, c := range all {
		groups[i] = []libseccomp.ScmpCondition{c}
	}
	return groups, nil
}

func toAction(a rspec.LinuxSeccompAction, errno *uint) (libseccomp.ScmpAction, error) {
	code := int16(unix.EPERM)
	if errno != nil {
		code = int16(*errno)
	}
	switch a {
	case rspec.ActKill, rspec.ActKillThread:
		return libseccomp.ActKillThread, nil
	case rspec.ActKillProcess:
		return libseccomp.ActKillProcess, nil
	case rspec.ActTrap:
		return libseccomp.ActTrap, nil
	case rspec.ActErrno:
		return libseccomp.ActErrno.SetReturnCode(code), nil
	case rspec.ActTrace:
		return libseccomp.ActTrace.SetReturnCode(code), nil
	case rspec.ActAllow:
		return libseccomp.ActAllow, nil
	case rspec.ActLog:
		return libseccomp.ActLog, nil
	}
	return libseccomp.ActInvalid, fmt.Errorf("action %q is not supported", a)
}

func toOperator(op rspec.LinuxSeccompOperator) (libseccomp.ScmpCompareOp, error) {
	switch op {
	case rspec.OpNotEqual:
		return libseccomp.CompareNotEqual, nil
	case rspec.OpLessThan:
		return libseccomp.CompareLess, nil
	case rspec.OpLessEqual:
		return libseccomp.CompareLessOrEqual, nil
	case rspec.OpEqualTo:
		return libseccomp.CompareEqual, nil
	case rspec.OpGreaterEqual:
		return libseccomp.CompareGreaterEqual, nil
	case rspec.OpGreaterThan:
		return libseccomp.CompareGreater, nil
	case rspec.OpMaskedEqual:
		return libseccomp.CompareMaskedEqual, nil
	}
	return libseccomp.CompareInvalid, fmt.Errorf("operator %q is not supported", op)
}

// export writes the program to memory; libseccomp before 2.6 only knows files.
func export(filter *libseccomp.ScmpFilter) ([]byte, error) {
	fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "seccomp")
	defer f.Close()
	if err := filter.ExportBPF(f); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	_, err = f.ReadAt(data, 0)
	return data, err
}
