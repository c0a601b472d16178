package system

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/rootless"
	"skiff/runtime/cdi"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/container/device"
	"skiff/storage/image"
)

// info is docker's document of `info`, as far as something is behind a field.
type info struct {
	ID                 string
	Containers         int
	ContainersRunning  int
	ContainersPaused   int
	ContainersStopped  int
	Images             int
	Driver             string
	DriverStatus       [][2]string
	Plugins            map[string][]string
	MemoryLimit        bool
	SwapLimit          bool
	CPUCfsPeriod       bool `json:"CpuCfsPeriod"`
	CPUCfsQuota        bool `json:"CpuCfsQuota"`
	CPUShares          bool
	CPUSet             bool
	PidsLimit          bool
	IPv4Forwarding     bool
	Debug              bool
	NFd                int
	NGoroutines        int
	SystemTime         string
	LoggingDriver      string
	CgroupDriver       string
	CgroupVersion      string
	KernelVersion      string
	OperatingSystem    string
	OSVersion          string
	OSType             string
	Architecture       string
	IndexServerAddress string
	RegistryConfig     registryConfig
	NCPU               int
	MemTotal           int64
	GenericResources   []string
	DockerRootDir      string
	HTTPProxy          string `json:"HttpProxy"`
	HTTPSProxy         string `json:"HttpsProxy"`
	NoProxy            string
	Name               string
	Labels             []string
	ExperimentalBuild  bool
	ServerVersion      string
	Runtimes           map[string]map[string]string
	DefaultRuntime     string
	Swarm              map[string]any
	LiveRestoreEnabled bool
	Isolation          string
	InitBinary         string
	SecurityOptions    []string
	CDISpecDirs        []string
	DiscoveredDevices  []discovered `json:",omitempty"`
	Warnings           []string
	ClientInfo         map[string]any
	SkiffVersion       string
}

// discovered is a device that --device takes by a name.
type discovered struct {
	Source string // cdi
	ID     string
}

// InfoCommand shows what the machine and the store are like.
func InfoCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "info",
		Usage:     "Display system-wide information",
		ArgsUsage: "[OPTIONS]",
		Category:  "Common",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage}},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runInfo(c.Context, e, c.String("format"))
		},
	}
}

func runInfo(ctx context.Context, e *env.Env, template string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	i := gather(e, st)
	if err := i.registries(ctx, e); err != nil {
		return err
	}
	if err := i.devices(ctx, e, st); err != nil {
		i.Warnings = append(i.Warnings, "WARNING: "+err.Error())
	}
	if err := i.count(st); err != nil {
		i.Warnings = append(i.Warnings, "WARNING: "+err.Error())
	}
	if template != "" {
		return format.Document(e.Out, template, i)
	}
	if _, err := fmt.Fprint(e.Out, format.EscapeText(infoText(i))); err != nil {
		return err
	}
	for _, w := range i.Warnings {
		fmt.Fprintln(e.Err, format.EscapeText(w))
	}
	return nil
}

func gather(e *env.Env, st *storage.Store) *info {
	// A name that the kernel does not tell is left out.
	hostname, _ := os.Hostname()
	i := &info{
		Driver: "overlay2", DriverStatus: [][2]string{{"Backing Filesystem", fileSystem(st.Dir)}, {"userxattr", fmt.Sprint(rootless.Rootless())}},
		Plugins: map[string][]string{
			"Volume": {"local"}, "Network": {"bridge", "host", "none"}, "Log": {"journald", "json-file", "local", "none", "passthrough"},
		},
		NFd: 3, NGoroutines: runtime.NumGoroutine(),
		SystemTime: e.Clock().Format(time.RFC3339Nano), LoggingDriver: "json-file",
		CgroupDriver: "none", CgroupVersion: cgroupVersion(),
		KernelVersion: kernelVersion(), OSType: runtime.GOOS, Architecture: machine(),
		IndexServerAddress: "https://index.docker.io/v1/",
		NCPU:               runtime.NumCPU(), MemTotal: memory(), DockerRootDir: st.Dir,
		HTTPProxy: e.Getenv("HTTP_PROXY"), HTTPSProxy: e.Getenv("HTTPS_PROXY"), NoProxy: e.Getenv("NO_PROXY"),
		Name: hostname, ServerVersion: dockerVersion, SkiffVersion: Version,
		Runtimes: map[string]map[string]string{"skiff": {"path": "built in"}}, DefaultRuntime: "skiff",
		Swarm: map[string]any{"LocalNodeState": "inactive", "NodeID": "", "ControlAvailable": false}, InitBinary: "built in",
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"},
		ClientInfo:      map[string]any{"Debug": e.Debug, "Context": "default", "Plugins": []any{}, "Version": Version},
		Warnings:        []string{},
	}
	if !e.Docker() {
		i.ServerVersion = Version
	}
	if rootless.Rootless() {
		i.SecurityOptions = append(i.SecurityOptions, "name=rootless")
	}
	i.OperatingSystem, i.OSVersion = operatingSystem()
	for _, what := range []string{"memory limit", "swap limit", "cpu cfs quota", "pids limit"} {
		i.Warnings = append(i.Warnings, "WARNING: No "+what+" support")
	}
	return i
}

// devices fills in the devices of the Container Device Interface.
func (i *info) devices(ctx context.Context, e *env.Env, st *storage.Store) (err error) {
	if i.CDISpecDirs, err = cdi.Dirs(e.Getenv); err != nil {
		return err
	}
	names, problems, err := cdi.List(ctx, st.Cache(), i.CDISpecDirs)
	for _, name := range names {
		i.DiscoveredDevices = append(i.DiscoveredDevices, discovered{Source: device.CDI, ID: name})
	}
	for _, p := range problems {
		i.Warnings = append(i.Warnings, "WARNING: CDI specification left out: "+p)
	}
	return err
}

func (i *info) count(st *storage.Store) error {
	list, err := container.List(st)
	for _, c := range list {
		i.Containers++
		status, statusErr := c.Status()
		err = errors.Join(err, statusErr)
		switch {
		case status.State == "paused":
			i.ContainersPaused++
		case status.Running():
			i.ContainersRunning++
		default:
			i.ContainersStopped++
		}
	}
	images, imagesErr := image.List(st)
	i.Images = len(images)
	return errors.Join(err, imagesErr)
}

func infoText(i *info) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Client:\n Version:    %s\n Context:    default\n Debug Mode: %v\n\n", i.SkiffVersion, i.Debug)
	fmt.Fprintf(&b, "Server:\n Containers: %d\n  Running: %d\n  Paused: %d\n  Stopped: %d\n Images: %d\n Server Version: %s\n",
		i.Containers, i.ContainersRunning, i.ContainersPaused, i.ContainersStopped, i.Images, i.ServerVersion)
	fmt.Fprintf(&b, " Storage Driver: %s\n", i.Driver)
	for _, s := range i.DriverStatus {
		fmt.Fprintf(&b, "  %s: %s\n", s[0], s[1])
	}
	fmt.Fprintf(&b, " Logging Driver: %s\n Cgroup Driver: %s\n Cgroup Version: %s\n", i.LoggingDriver, i.CgroupDriver, i.CgroupVersion)
	fmt.Fprintf(&b, " Plugins:\n  Volume: %s\n  Network: %s\n  Log: %s\n",
		strings.Join(i.Plugins["Volume"], " "), strings.Join(i.Plugins["Network"], " "), strings.Join(i.Plugins["Log"], " "))
	if len(i.CDISpecDirs) > 0 {
		fmt.Fprintf(&b, " CDI spec directories:\n  %s\n", strings.Join(i.CDISpecDirs, "\n  "))
	}
	if len(i.DiscoveredDevices) > 0 {
		b.WriteString(" Discovered Devices:\n")
	}
	for _, d := range i.DiscoveredDevices {
		fmt.Fprintf(&b, "  %s: %s\n", d.Source, d.ID)
	}
	fmt.Fprintf(&b, " Swarm: inactive\n Runtimes: %s\n Default Runtime: %s\n Init Binary: %s\n Security Options:\n", i.DefaultRuntime, i.DefaultRuntime, i.InitBinary)
	for _, o := range i.SecurityOptions {
		name, details, _ := strings.Cut(strings.TrimPrefix(o, "name="), ",")
		fmt.Fprintf(&b, "  %s\n", name)
		if key, value, ok := strings.Cut(details, "="); ok {
			fmt.Fprintf(&b, "   %s: %s\n", strings.ToUpper(key[:1])+key[1:], value)
		}
	}
	fmt.Fprintf(&b, " Kernel Version: %s\n Operating System: %s\n OSType: %s\n Architecture: %s\n CPUs: %d\n Total Memory: %s\n",
		i.KernelVersion, i.OperatingSystem, i.OSType, i.Architecture, i.NCPU, format.BinarySize(i.MemTotal))
	fmt.Fprintf(&b, " Name: %s\n Docker Root Dir: %s\n Debug Mode: %v\n Experimental: false\n",
		i.Name, i.DockerRootDir, i.Debug)
	b.WriteString(i.RegistryConfig.text())
	b.WriteString(" Live Restore Enabled: false\n")
	return b.String()
}

// cgroupVersion is 2 where the unified hierarchy is all there is.
func cgroupVersion() string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return "2"
	}
	return "1"
}

func fileSystem(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "unknown"
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "extfs"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("0x%x", fs.Type)
}

func machine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOARCH
	}
	return strings.TrimRight(string(u.Machine[:]), "\x00")
}

func memory() int64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 0
	}
	return int64(s.Totalram) * int64(s.Unit)
}

// operatingSystem reads os-release(5).
func operatingSystem() (name, version string) {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "Linux", ""
	}
	defer f.Close()
	name = "Linux"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "PRETTY_NAME":
			name = value
		case "VERSION_ID":
			version = value
		}
	}
	return name, version
}
