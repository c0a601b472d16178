// Package message is what the front and the reader of specifications of the Container
// Device Interface say to each other: JSON, one question and one answer.
package message

import (
	specs "tags.cncf.io/container-device-interface/specs-go"

	"skiff/storage/container/device"
)

// Subject is what the reader is asked about (package yaml).
const Subject = "devices"

// Question asks for devices, or without Requests which there are.
type Question struct {
	Dirs     []string // where specifications are; later ones win
	Requests []device.Request
}

// Answer is of one of the devices wanted.
type Answer struct {
	Edits *specs.ContainerEdits // what they all do to a container
	// Devices are the names of all that there are, sorted.
	Devices []string
	// Unresolved are the names that were wanted and are not there, NoDriver the first
	// request that no specification is for.
	Unresolved []string
	NoDriver   *device.Request
	// Problems say what is wrong with files that were left out, each with its path.
	Problems []string
	Error    string // what is wrong with the request
}
