package message

import "time"

// Type says what a message means; its body is JSON unless noted. Configurations
// are in the form of Encode.
type Type byte

// The messages, in the order that they may first appear.
const (
	MonitorConfig Type = iota + 1 // Monitor
	SeccompFilter                 // raw: a BPF program, struct sock_filter[]
	InitConfig                    // Init
	NetworkWanted                 // empty; init's network namespace exists
	NetworkReady                  // empty
	ConsoleReady                  // empty, with the terminal's master descriptor
	RootReady                     // empty
	StartGranted                  // empty
	StepFailed                    // Failure
	Started                       // Running
	AttachWanted                  // Attach
	Stdin                         // raw bytes
	StdinClosed                   // empty
	Resized                       // Size
	SignalWanted                  // Signal
	Stdout                        // raw bytes
	Stderr                        // raw bytes
	Exited                        // Exit
	ExecConfig                    // Exec, after it SeccompFilter
	LaunchConfig                  // Launch: the OCI command line's create
	HooksWanted                   // empty; the root is there, from outside
	HooksDone                     // empty
	EndWanted                     // empty; its next end shall be its last
	EndNoted                      // empty
	PolicyChanged                 // Restart
	ExecWanted                    // Spawn, with descriptors: the program, then the process's own
	ProbeWanted                   // hook.Call, passed on unread
	HookWanted                    // HookRun
	HookDone                      // HookEnd
	SourcesOpened                 // empty, with descriptors; see Init.OpenSources
)

// What is said to the network program.
const (
	NetworkHold     Type = 64 + iota // empty: stay alive while this is connected
	NetworkAttach                    // Hub.Request, with the container's network namespace
	NetworkAttached                  // empty, with the network namespace of the bridges
	NetworkChange                    // what skiff/runtime/network/wire says
	NetworkChanged                   // empty
)

// MaxGiven is how many descriptors a process can be given beside its standard
// streams; a message brings them all at once.
const MaxGiven = 56

// Sources is how many descriptors the parent sends for OpenSources.
func (i *Init) Sources() int {
	n := len(i.Copies) + len(i.Files)
	for _, m := range i.Mounts {
		if m.Opened() {
			n++
		}
	}
	return n
}

// Failure is why a start ended: the step that failed and docker's exit code.
type Failure struct {
	Step string
	Text string
	Code int // 125, 126 or 127
	Cure string
}

// Hint says what to do about it, if that is known.
func (f *Failure) Hint() string { return f.Cure }

func (f *Failure) Error() string {
	if f.Step == "" {
		return f.Text
	}
	return f.Step + ": " + f.Text
}

// Running tells the front that the process was executed.
type Running struct{ Pid int }

// Exit tells a client that the container's process has ended.
type Exit struct{ Code int }

// Size is a terminal's, in characters.
type Size struct{ Rows, Cols uint16 }

// Signal asks for a signal to the container's process.
type Signal struct{ Number int }

// Attach says which streams a client takes.
type Attach struct {
	Stdin, Stdout, Stderr bool
	Rows, Cols            uint16
}

// Monitor is what a monitor needs for a container's whole life.
type Monitor struct {
	ID  string
	Dir string // the container's directory
	// RunningLink is the symbolic link that marks the container as an anchor.
	RunningLink string
	// NameLink is removed with the container when AutoRemove is set; Trash are
	// further directories that go with it (anonymous volumes).
	NameLink   string
	Trash      []string
	AutoRemove bool
	Discard    string // what Dir is renamed to before it is deleted
	Launch     Launch
	Tty        bool
	OpenStdin  bool
	StdinOnce  bool
	// Direct gives the container the monitor's own standard streams: nothing is
	// copied, logged or attached to.
	Direct bool
	Attach *Attach // the front's own wish, nil when detached
	Log    Log
	// OpenFiles is the soft limit of open files of what has no other.
	OpenFiles uint64
	Durable   bool // the exit must outlive a power cut
	BootID    string
	// Cgroups are the container's control groups, made by the front and removed by
	// the monitor; OOM counts there what the kernel killed for want of memory.
	Cgroups []string
	OOM     string
	Restart Restart
	// Health is the container's check, nil without; PostStart and PreStop are what
	// runs in it after its start and before it is asked to stop, nil for nothing.
	Health             *Health
	PostStart, PreStop *Work
	// Joiner is argv[0] of the program that enters a nested user namespace, which
	// is then the first descriptor that comes along; empty where there is none.
	Joiner string
	// Probes says that the program that asks over the network is the next one.
	Probes bool
	// StopSignal asks the container to end; after Grace, negative for ever, it is
	// killed.
	StopSignal int
	Grace      time.Duration
	// Given is how many descriptors come along for the container's process.
	Given int
	// Timeout ends the container, 0 never (--timeout).
	Timeout time.Duration
	Events  Events
}

// Events says what the monitor tells of its container in the record of events.
type Events struct {
	Dir        string            // of the record
	Attributes map[string]string // docker's of every event of the container
	Volumes    []VolumeUse
	Networks   []NetworkUse
}

// NetworkUse is a network that the container is on from its start to its end.
type NetworkUse struct{ ID, Name, Driver string }

// VolumeUse is a volume that is mounted for as long as the container runs.
type VolumeUse struct {
	Name, Destination, Propagation string
	ReadOnly                       bool
}

// Restart is when a container that ended is started again: docker's policy.
type Restart struct {
	Name string // no or empty, always, unless-stopped, on-failure
	Max  int    // on-failure: how often, 0 for ever
}

// Health says how a container's health is checked: by Startup until that has
// succeeded, then by Regular, and beside that whether it is ready by Ready. Two of
// them may be nil.
type Health struct {
	Startup, Regular, Ready *Check
	OnFailure               string // none or empty, kill, restart, stop
}

// Checks are those that there are.
func (h *Health) Checks() (all []*Check) {
	if h == nil {
		return nil
	}
	for _, c := range []*Check{h.Startup, h.Regular, h.Ready} {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// Check is one kind of check. Failures count after StartPeriod, which is how long
// Ready waits before it asks; Retries make the container unhealthy, or not ready, 0
// none. Successes, at least 1, end a start-up, or make it ready.
type Check struct {
	Work                                          Work
	Interval, Timeout, StartPeriod, StartInterval time.Duration
	Retries, Successes                            int
}

// Work is what the monitor itself does with the container: it has somebody asked in
// its network, else sleeps, else executes Process in it.
type Work struct {
	Process Process
	Filter  []byte // for it, see Process.Seccomp
	Probe   []byte // ProbeWanted, nil without
	Sleep   time.Duration
}

// Prober is argv[0] of the program that asks (skiff/runtime/probe).
const Prober = "skiff:probe"

// The names of the hooks of a container's life: Kubernetes'.
const (
	PostStart = "postStart"
	PreStop   = "preStop"
)

// HookRun asks for the end of a hook: that of PostStart has begun with the
// container, PreStop begins unless it runs already.
type HookRun struct{ Name string }

// HookEnd tells how a hook has ended: Failed is empty when it went well.
type HookEnd struct {
	Failed string `json:",omitempty"`
}

// Log says where a container's output is kept.
type Log struct {
	Path    string // empty: not kept
	MaxSize int64  // bytes a file, 0 unlimited
	MaxFile int    // files, at least 1
	// Journal is journald's socket, empty without; Fields go with every line there,
	// KEY=value.
	Journal string
	Fields  []string
}

// Launch is what the parent of an init does before and around it.
type Launch struct {
	CloneFlags uintptr // CLONE_NEW* of the namespaces to make
	UIDMap     []IDMap // with CLONE_NEWUSER, as seen from the parent
	GIDMap     []IDMap
	PidNS      string // path of a pid namespace to join instead
	// Join are namespaces that init is cloned into: with CLONE_NEWUSER it may not
	// join what is the parent's.
	Join    []Namespace
	Overlay *Overlay // nil: Init.Root is a directory
	Network *Helper
	Hub     *Hub
	Hooks   Hooks
	// Orphan lets init outlive the launcher: the OCI command line's create.
	Orphan bool
	// KeepFDs are descriptors behind the control socket that the launcher was
	// given for init; see Process.KeepFDs.
	KeepFDs int
	// Init and Filter come as messages of their own, InitConfig and
	// SeccompFilter, and are passed on unread.
	// Cgroups are the control groups that init joins, directories.
	Cgroups []string
	// OpenSources is Init's; the launcher reads Init then.
	OpenSources bool
	// Kept are descriptors for init that come behind the others, see
	// Process.Given.
	Kept   []int  `wire:"-"`
	Init   []byte `wire:"-"`
	Filter []byte `wire:"-"`
}

// IDMap is one line of a uid_map or gid_map (user_namespaces(7)).
type IDMap struct{ Container, Host, Size int }

// Overlay names the parts of a root file system.
type Overlay struct {
	Base     string   // directory that Lower is relative to, where it is
	Lower    []string // topmost first
	Upper    string
	Work     string
	UserAttr bool   // userxattr: rootless
	Volatile bool   // never sync the upper directory: it goes with the container
	Fuse     string // fuse-overlayfs, for a kernel that refuses; empty without
	Target   string // where fuse mounts; a directory
	// UIDMap and GIDMap are the container's ids for which the files' are taken: a
	// file of the user's own shall be root's in a container that does not have
	// the user's id. The kernel does that for no ordinary user: only Fuse does.
	UIDMap, GIDMap []IDMap
}

// Helper is a program that gives the container's network namespace a way out.
// It ends with the monitor.
type Helper struct {
	Path string
	Args []string // "{pid}" stands for init's pid
	// Netns is a file to bind init's network namespace on, for a helper that
	// gives up the right to open it through /proc.
	Netns string
	// Ready is a FIFO, which is made, that the helper writes to when it is
	// ready; without one it writes to descriptor 3.
	Ready string
}

// Hub is the network program that connects the container to networks, which all
// containers of a user share. It is started where it does not run.
type Hub struct {
	Dir     string // with its lock and socket
	Program string // its file; empty: this very program
	Args    []string
	Request []byte // NetworkAttach, passed on unread
}

// Hooks are the OCI lifecycle hooks that run in the parent's namespaces
// (runtime-spec, config.md "POSIX-platform Hooks").
type Hooks struct {
	Prestart, CreateRuntime, Poststart, Poststop []Hook
	State                                        State
}

// Hook is one program to run.
type Hook struct {
	Path    string
	Args    []string
	Env     []string
	Timeout int // seconds, 0 none
}

// State is the OCI state that hooks read (runtime-spec, runtime.md "State").
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Pid         int               `json:"pid,omitempty"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Init is what the container's first process does to itself.
type Init struct {
	// Mountpoint is a directory to mount the root on: any that exists.
	Mountpoint string
	// Root is the directory to be the root when no mount comes with the message:
	// a bundle's, or where fuse-overlayfs mounted.
	Root            string
	Chroot          bool // nothing is mounted: the mount namespace is the caller's
	Join            []Namespace
	NetworkWanted   bool
	HooksWanted     bool // the parent has hooks to run once the root is there
	CgroupNS        bool // make a cgroup namespace, now that we are in our group
	Loopback        bool // bring lo up: the network namespace is new
	RootPropagation uintptr
	ReadonlyRoot    bool
	Mounts          []Mount
	Devices         []Device
	DefaultDevices  bool // /dev/null and its like, ptmx, fd, stdin, ...
	Masked          []string
	Readonly        []string
	Sysctl          []Setting
	Hostname        string
	Domainname      string
	Files           []File
	Copies          []Copy
	CreateHooks     []Hook // createContainer
	StartHooks      []Hook // startContainer
	State           State
	Process         Process
	Reaper          bool // --init: fork, forward signals, reap
	Pause           bool // execute nothing: stay, reap, end by a signal
	// StartFIFO says that the last descriptor is a FIFO to open for writing
	// instead of waiting for StartGranted: the OCI command line's start.
	StartFIFO bool
	// OpenSources says that init's ids have no way to the user's files: the parent
	// opens the directories of Copies, what Mounts show (Mount.Opened) and Files, in
	// this order, and sends them behind the configuration.
	OpenSources bool
}

// Namespace is one to join: Flag is its CLONE_NEW* constant.
type Namespace struct {
	Flag int
	Path string
}

// Setting is a sysctl, Name with slashes.
type Setting struct{ Name, Value string }

// File is a small file to bind into the root, made anew at every start.
type File struct {
	Path   string // in the root
	Source string // on this machine
}

// Copy fills the directory To from Path in the root when To is empty: a new
// volume gets what the image has there.
type Copy struct{ Path, To string }

// Mount is one mount; the parent has parsed the options.
type Mount struct {
	Destination string
	Type        string // a file system, or "bind"
	Source      string
	Subpath     string // below Source, resolved beneath it
	Recursive   bool   // bind what is mounted below, too
	Set, Clear  uint64 // MOUNT_ATTR_*
	RecSet      uint64 // attributes for everything below, too
	Propagation uintptr
	Data        []string // file system options, "key" or "key=value"
	CopyUp      bool     // a tmpfs starts with what the root has there
	Optional    bool     // leave it out when the kernel has no such file system
	// Image are the layers of a mount of Type ImageMount, which the parent makes.
	Image *Overlay
}

// ImageMount is the type of a mount of an image's files.
const ImageMount = "image"

// Opened reports whether the parent opens the mount, with Init.OpenSources.
func (m *Mount) Opened() bool { return m.Type == "bind" || m.Type == ImageMount }

// Device is a device node to have.
type Device struct {
	Path         string // in the root
	Source       string // bound from here when the kernel allows no mknod
	Type         byte   // c, b, u or p
	Major, Minor int64
	Mode         uint32
	UID, GID     int
}

// Process is what to execute.
type Process struct {
	Args []string
	Env  []string
	Cwd  string
	// CwdExists: a working directory that is not there is an error; else it is made.
	CwdExists bool
	// UserSpec is docker's -u, resolved against the root's own /etc/passwd and
	// /etc/group; HasIDs says that UID, GID and Groups are given instead.
	UserSpec  string
	HasIDs    bool
	UID, GID  int
	Groups    []int
	AddGroups []string // --group-add
	// Own are directories or files that become the user's, with all below them.
	Own        []string
	Umask      int // -1: leave
	Terminal   bool
	Size       Size
	Rlimits    []Rlimit
	Caps       Caps
	NoNewPrivs bool
	OOMScore   *int
	AppArmor   string
	SELinux    string
	Seccomp    []byte `wire:"-"` // came as SeccompFilter
	Flags      uint   // SECCOMP_FILTER_FLAG_*
	Orphan     bool   // see Launch.Orphan
	// SetHome fills HOME from the user's passwd entry when Env has none.
	SetHome bool
	// KeepFDs are descriptors 3..3+KeepFDs-1 that stay open.
	KeepFDs int
	// Given is how many of the descriptors that came with the configuration, the
	// last ones, become the process's 3 and on; at most MaxGiven.
	Given int
}

// Rlimit is one setrlimit(2) pair; 1<<64-1 is unlimited.
type Rlimit struct {
	Resource   int
	Soft, Hard uint64
}

// Caps are the five capability sets as bits (capabilities(7)).
type Caps struct{ Bounding, Effective, Permitted, Inheritable, Ambient uint64 }

// Spawn asks the monitor to start a program in the container's namespaces and to
// be its parent. The answer is Started or StepFailed, and Exited in the end.
type Spawn struct {
	Args []string
	// NetOnly joins the container's network namespace and nothing else of it.
	NetOnly bool `json:",omitempty"`
	// ExecID is of an exec whose end the monitor records, whatever becomes of the
	// client; empty for others.
	ExecID string `json:",omitempty"`
	// Direct, if not nil, is what the monitor executes itself: a program is then
	// not needed. One that is older than this field fails for want of it.
	Direct *Direct `json:",omitempty"`
	// OOMScore is the process's oom_score_adj (proc(5)), nil to leave it.
	OOMScore *int `json:",omitempty"`
}

// Direct is a process that needs nothing looked up any more.
type Direct struct {
	// Paths are where its program may be; the first that may be executed is.
	Paths    []string
	Args     []string
	Env      []string `json:",omitempty"`
	Cwd      string
	UID, GID int
	Groups   []int    `json:",omitempty"`
	Umask    int      // -1: leave
	Rlimits  []Rlimit `json:",omitempty"`
	Caps     Caps
	// NoNewPrivs, Filter, a program of struct sock_filter, and Flags are as Process
	// has them.
	NoNewPrivs bool   `json:",omitempty"`
	Filter     []byte `json:",omitempty"`
	Flags      uint   `json:",omitempty"`
}

// Exec is another process for a running container.
// The other namespaces were joined already; a descriptor that comes along is a
// pidfd whose mount namespace is to be entered.
type Exec struct {
	Process Process
	// Wait, after a failure, for the connection to close before the end: whoever
	// tells the monitor that nothing was executed must come first.
	Wait bool
}
