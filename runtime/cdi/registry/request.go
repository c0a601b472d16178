package registry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	library "tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
	specs "tags.cncf.io/container-device-interface/specs-go"

	"skiff/runtime/cdi/message"
	"skiff/storage/container/device"
)

// gpus is the kind that GPUs without further words are of.
const gpus = "nvidia.com/gpu"

// gpuCapabilities are what docker's driver for them knows of.
var gpuCapabilities = []string{"gpu", "nvidia", "compute", "compat32", "graphics", "utility", "video", "display"}

// find answers requests: the edits of a specification once, before those of the first
// of its devices, each device once.
func (r *registry) find(requests []device.Request, a *message.Answer) {
	var names []string
	for i := range requests {
		more, ok, err := r.names(&requests[i])
		switch {
		case !ok:
			a.NoDriver = &requests[i]
			return
		case err != nil:
			a.Error = err.Error()
			return
		}
		names = append(names, more...)
	}
	edits := &library.ContainerEdits{ContainerEdits: &specs.ContainerEdits{}}
	files, done := map[*file]bool{}, map[string]bool{}
	for _, name := range names {
		if done[name] {
			continue
		}
		done[name] = true
		found, ok := r.devices[name]
		if !ok {
			a.Unresolved = append(a.Unresolved, name)
			continue
		}
		if !files[found.file] {
			files[found.file] = true
			edits.Append(&library.ContainerEdits{ContainerEdits: &found.file.spec.ContainerEdits})
		}
		edits.Append(&library.ContainerEdits{ContainerEdits: &found.device.ContainerEdits})
		if what := unsupported(&found.file.spec.ContainerEdits, &found.device.ContainerEdits); what != "" {
			a.Error = fmt.Sprintf("CDI device injection failed: %s of %s (%s) is not supported", what, name, found.file.path)
			return
		}
	}
	if len(a.Unresolved) == 0 {
		a.Edits = edits.ContainerEdits
	}
}

// unsupported names what no container of ours can be given: the kernel's resource
// groups are the machine's, and network interfaces are not moved.
func unsupported(all ...*specs.ContainerEdits) string {
	for _, e := range all {
		switch {
		case e.IntelRdt != nil:
			return "intelRdt"
		case len(e.NetDevices) > 0:
			return "netDevices"
		}
	}
	return ""
}

// names are the qualified names of what a request wants; not ok where nothing is here
// that could serve it.
func (r *registry) names(q *device.Request) (names []string, ok bool, err error) {
	if q.Driver == device.CDI && len(q.DeviceIDs) > 0 {
		return q.DeviceIDs, true, nil
	}
	numbers, here := r.gpus()
	if !here || q.Driver != "" && q.Driver != "nvidia" || !capable(q.Capabilities) {
		return nil, false, nil
	}
	switch _, all := r.devices[gpus+"=all"]; {
	case q.Count != 0 && len(q.DeviceIDs) > 0:
		return nil, true, fmt.Errorf("cannot set both Count and DeviceIDs on device request")
	case len(q.DeviceIDs) > 0:
		for _, id := range q.DeviceIDs {
			if !parser.IsQualifiedName(id) {
				id = gpus + "=" + id
			}
			names = append(names, id)
		}
		return names, true, nil
	case q.Count < 0 && (all || len(numbers) == 0):
		return []string{gpus + "=all"}, true, nil
	case q.Count < 0:
		q.Count = len(numbers)
	case q.Count > len(numbers):
		return nil, true, fmt.Errorf("CDI device injection failed: %d of %s are wanted, and there are %d with a number for a name", q.Count, gpus, len(numbers))
	}
	for _, n := range numbers[:q.Count] {
		names = append(names, gpus+"="+strconv.Itoa(n))
	}
	return names, true, nil
}

// gpus returns the GPUs that have numbers, in their order, and whether there is any.
func (r *registry) gpus() (numbers []int, here bool) {
	for name := range r.devices {
		id, is := strings.CutPrefix(name, gpus+"=")
		if n, err := strconv.Atoi(id); is && err == nil && strconv.Itoa(n) == id {
			numbers = append(numbers, n)
		}
		here = here || is
	}
	slices.Sort(numbers)
	return numbers, here
}

// capable reports whether docker's driver has all that one of the alternatives lists.
func capable(alternatives [][]string) bool {
	for _, list := range alternatives {
		if !slices.ContainsFunc(list, func(c string) bool { return !slices.Contains(gpuCapabilities, c) }) {
			return true
		}
	}
	return false
}
