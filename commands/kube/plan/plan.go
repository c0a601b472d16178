// Package plan is what the front asks the translator of Kubernetes' YAML, and what
// that answers. Standard library only: both programs link it.
package plan

import (
	"encoding/json"

	"skiff/storage/container/service"
)

// Subject is what the reader of YAML is asked about (package yaml).
const Subject = "kube"

// Question asks for one translation.
type Question struct {
	// Play is YAML of one or more documents, ConfigMaps more of them that only
	// ConfigMaps and Secrets are taken from.
	Play       []byte   `json:"play,omitempty"`
	ConfigMaps [][]byte `json:"configMaps,omitempty"`
	// Generate asks for YAML instead.
	Generate *Generate `json:"generate,omitempty"`
}

// Generate is what YAML is to be made of.
type Generate struct {
	Kind string `json:"kind"` // Pod, Deployment, DaemonSet, Job
	// Claims are volumes to describe beside those of Members.
	Claims []string `json:"claims,omitempty"`
	// Replicas is a Deployment's.
	Replicas int32             `json:"replicas,omitempty"`
	Name     string            `json:"name"`
	Hostname string            `json:"hostname,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Share    []string          `json:"share,omitempty"`
	Host     bool              `json:"host,omitempty"` // on this machine's network
	Ports    []Port            `json:"ports,omitempty"`
	// Bare says that the containers are in no pod yet.
	Bare bool `json:"bare,omitempty"`
	// HostPID and HostIPC: they have this machine's.
	HostPID bool `json:"hostPID,omitempty"`
	HostIPC bool `json:"hostIPC,omitempty"`
	// OwnUsers: they have user namespaces of their own.
	OwnUsers    bool              `json:"ownUsers,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// ExtraHosts are name:address, DNSOptions name or name:value.
	ExtraHosts []string          `json:"extraHosts,omitempty"`
	DNS        []string          `json:"dns,omitempty"`
	DNSSearch  []string          `json:"dnsSearch,omitempty"`
	DNSOptions []string          `json:"dnsOptions,omitempty"`
	Sysctls    map[string]string `json:"sysctls,omitempty"`
	// Groups are supplementary, numbers.
	Groups   []string          `json:"groups,omitempty"`
	Services []service.Service `json:"services,omitempty"`
	// Serve asks for a Service of the ports, where there is none.
	Serve bool `json:"serve,omitempty"`
	// Members are the containers.
	Members []Member `json:"members"`
}

// Port is a published port.
type Port struct {
	HostIP    string `json:"hostIP,omitempty"`
	Host      int32  `json:"host"`
	Container int32  `json:"container"`
	Protocol  string `json:"protocol"` // TCP, UDP
}

// Member is one container to describe.
type Member struct {
	Name, Image, WorkingDir, User string
	Command, Args, Env            []string
	Tty, Stdin, Privileged        bool
	ReadOnly, NoNewPrivs          bool
	Init, Unconfined              bool // the latter by seccomp
	CapAdd, CapDrop               []string
	Memory, Reservation, NanoCPUs int64
	CPUShares                     int64
	Restart                       string
	StopTimeout                   *int
	Mounts                        []Mount
	// Health and Startup are what is checked, and what before that, nil without:
	// probes in Kubernetes' JSON, as are the hooks.
	Health  json.RawMessage `json:",omitempty"`
	Startup json.RawMessage `json:",omitempty"`
	// PostStart and PreStop are hooks in Kubernetes' JSON, nil without.
	PostStart json.RawMessage `json:",omitempty"`
	PreStop   json.RawMessage `json:",omitempty"`
	// HealthSeconds are interval, timeout, start period; HealthRetries failures.
	HealthSeconds [3]int32
	HealthRetries int32
	// StartupSeconds are interval and timeout.
	StartupSeconds [2]int32
	StartupRetries int32
	// Harmless says that an unhealthy container is left as it is.
	Harmless bool
	// Ready is what is asked beside Health whether the container is ready, a probe
	// in Kubernetes' JSON; ReadySeconds are interval, timeout and delay.
	Ready          json.RawMessage `json:",omitempty"`
	ReadySeconds   [3]int32
	ReadyRetries   int32
	ReadySuccesses int32
	// StartupSuccesses end a startup; Kubernetes always wants one.
	StartupSuccesses int32
}

// Mount is one mount of a Member.
type Mount struct {
	Kind     string // bind, volume, tmpfs, image; emptyDir, configMap, secret: a volume of the pod's own
	Source   string // a path, or the volume's or image's name
	Target   string
	ReadOnly bool
	Size     int64
	Subpath  string
	// Type is Kubernetes' of a hostPath: "", File, DirectoryOrCreate.
	Type string
	// Propagation is that of a bind.
	Propagation string
	// Overlay: what is written stays in the container.
	Overlay bool
	// Own: it belongs to the container's user.
	Own bool
	// Files are those of a configMap and secret, by name.
	Files map[string]File `json:",omitempty"`
}

// InitAnnotation marks a container that runs to its end before the others of its
// pod start.
const InitAnnotation = "io.skiff.kube.init"

// UsernsAnnotation chooses the user namespace of a pod's containers: podman's, the
// value that of --userns.
const UsernsAnnotation = "io.podman.annotations.userns"

// Answer is one of Plan and YAML, or Error.
type Answer struct {
	Plan     *Plan    `json:"plan,omitempty"`
	YAML     string   `json:"yaml,omitempty"`
	Error    string   `json:"error,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Plan is what to make, in this order.
type Plan struct {
	// Paths must be on this machine, Images in the store.
	Paths   []Path   `json:"paths,omitempty"`
	Images  []Image  `json:"images,omitempty"`
	Volumes []Volume `json:"volumes,omitempty"`
	Pods    []Pod    `json:"pods,omitempty"`
}

// Path is a file of this machine; Type is Kubernetes' of a hostPath.
type Path struct {
	Path string `json:"path"`
	Type string `json:"type"`
}

// Image is an image that is mounted; Pull is the value of --pull.
type Image struct {
	Reference string `json:"reference"`
	Pull      string `json:"pull,omitempty"`
}

// Volume is a volume to make if it is not there.
type Volume struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// Own says that it goes with its pod: an emptyDir, or files of ConfigMaps and
	// Secrets, which Files are, by name.
	Own   bool            `json:"own,omitempty"`
	Files map[string]File `json:"files,omitempty"`
	// Secret says that some of the files are.
	Secret bool `json:"secret,omitempty"`
}

// File is one file of a volume.
type File struct {
	Data []byte `json:"data"`
	Mode uint32 `json:"mode"`
}

// Pod is one pod: flags for its infra container, as `create` has them.
type Pod struct {
	Name       string      `json:"name"`
	Share      []string    `json:"share"`
	Flags      []string    `json:"flags,omitempty"`
	Containers []Container `json:"containers"`
	// Services are those that select it.
	Services []service.Service `json:"services,omitempty"`
}

// Container is one container: the arguments of `create`, the image included.
type Container struct {
	Name  string   `json:"name"`
	Image string   `json:"image"` // which Args have, too
	Args  []string `json:"args"`
	Init  bool     `json:"init,omitempty"` // runs to its end before the others start
}
