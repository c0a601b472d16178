package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"skiff/storage/atomicfile"
)

// AttachmentFile is the name of an Attachment in a container's directory.
const AttachmentFile = "network.json"

// Attachment is how a running container is connected. The network program is
// its one writer. It is true only while the container runs.
type Attachment struct {
	Version   int        `json:"Version"`
	Namespace uint64     `json:"Namespace"` // inode of the container's network namespace
	Hub       uint64     `json:"Hub"`       // and of the one with the bridges
	Endpoints []Endpoint `json:"Endpoints"` // in the order of their interfaces
	Ports     []Port     `json:"Ports"`
	// Request is what the monitor asks for at the next start of its own, where that
	// is something else than the last time: connect and disconnect since.
	Request json.RawMessage `json:"Request,omitempty"`
}

// Endpoint is a container's place on one network.
type Endpoint struct {
	Network    string       `json:"Network"`   // name
	NetworkID  string       `json:"NetworkId"` // 64 hex digits
	ID         string       `json:"Id"`        // 64 hex digits
	Interface  string       `json:"Interface"` // within the container
	MAC        string       `json:"Mac"`
	Address    netip.Prefix `json:"Address"`
	Gateway    netip.Addr   `json:"Gateway"` // invalid on an internal network
	Address6   netip.Prefix `json:"Address6"`
	Gateway6   netip.Addr   `json:"Gateway6"`
	Aliases    []string     `json:"Aliases,omitempty"`
	Links      []string     `json:"Links,omitempty"`    // container:alias
	DNSNames   []string     `json:"DnsNames,omitempty"` // what the resolver answers to
	GwPriority int          `json:"GwPriority,omitempty"`
	// LinkLocal are addresses besides.
	LinkLocal []netip.Prefix `json:"LinkLocal,omitempty"`
}

// Port is one published port as it is bound.
type Port struct {
	Protocol  string     `json:"Protocol"` // tcp or udp
	Container uint16     `json:"Container"`
	HostIP    netip.Addr `json:"HostIp"`
	Host      uint16     `json:"Host"`
}

// ReadAttachment returns the attachment in a container's directory, and a zero
// one when there is none.
func ReadAttachment(dir string) (Attachment, error) {
	var a Attachment
	path := filepath.Join(dir, AttachmentFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(data) == 0 {
		return a, nil
	}
	if err == nil {
		err = atomicfile.Decode(path, data, &a, &a.Version, Version)
	}
	if err != nil {
		return Attachment{}, fmt.Errorf("read attachment: %w", err)
	}
	return a, nil
}

// WriteAttachment publishes the attachment in a container's directory.
func WriteAttachment(dir string, a *Attachment) error {
	a.Version = Version
	data, err := atomicfile.Encode(a)
	if err != nil {
		return fmt.Errorf("write attachment: %w", err)
	}
	return atomicfile.Write(filepath.Join(dir, AttachmentFile), data, 0o600, atomicfile.Volatile)
}
