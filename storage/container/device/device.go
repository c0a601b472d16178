// Package device is what a container's configuration says about the devices that it
// gets from drivers, as docker keeps it. Which they are is known at a start (runtime/cdi).
package device

// Request asks a driver for devices: docker's DeviceRequest.
type Request struct {
	// Driver is "cdi" for DeviceIDs that are names of the Container Device Interface,
	// vendor/class=name; nvidia or empty for GPUs.
	Driver string `json:"Driver"`
	// Count is how many are wanted, -1 being all, where DeviceIDs names none.
	Count     int      `json:"Count"`
	DeviceIDs []string `json:"DeviceIDs"`
	// Capabilities are alternatives, each a list of what a driver must be capable of.
	Capabilities [][]string        `json:"Capabilities"`
	Options      map[string]string `json:"Options"`
}

// CDI is the driver of devices of the Container Device Interface.
const CDI = "cdi"
