// Package pod is the commands about pods: groups of containers that share
// namespaces, as Kubernetes has them. A pod is a container that executes nothing
// (container.Infra); the others name it as their pod.
package pod

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/storage"
	"skiff/storage/container"
)

// pod is one with its containers.
type pod struct {
	infra *container.Container
	// members are the other containers, oldest first, and statuses what they do.
	members  []*container.Container
	statuses []container.Status
	state    container.Status // of infra
}

func (p *pod) name() string { return p.infra.Config.Infra.Name }
func (p *pod) id() string   { return p.infra.Config.ID }

// all are the infra container and the members, in the order in which they start.
func (p *pod) all() []*container.Container {
	return append([]*container.Container{p.infra}, p.members...)
}

// status is the pod's, in podman's words.
func (p *pod) status() string {
	n, all := map[string]int{p.state.State: 1}, 1
	for i, s := range p.statuses {
		if isInit(p.members[i]) && s.State == "exited" && s.Recorded.ExitCode == 0 {
			continue // as it should be
		}
		n[s.State]++
		all++
	}
	switch {
	case n["running"] == all:
		return "Running"
	case n["running"]+n["restarting"] > 0:
		return "Degraded"
	case n["paused"] == all:
		return "Paused"
	case n["exited"] == all:
		return "Exited"
	case n["exited"] > 0:
		return "Stopped"
	}
	return "Created"
}

// pods returns all pods, the newest first. Containers that cannot be read are
// reported in err beside the others.
func pods(st *storage.Store) ([]*pod, error) {
	list, broken := container.List(st)
	statuses, failed := container.Statuses(st, list)
	byID := make(map[string]*pod)
	var all []*pod
	for i, c := range list {
		if failed[i] == nil && c.Config.Infra != nil {
			p := &pod{infra: c, state: statuses[i]}
			byID[c.Config.ID] = p
			all = append(all, p)
		}
	}
	for i, c := range slices.Backward(list) {
		if failed[i] != nil {
			broken = errors.Join(broken, failed[i])
			continue
		}
		if p := byID[c.Config.Pod]; p != nil && c.Config.Infra == nil {
			p.members, p.statuses = append(p.members, c), append(p.statuses, statuses[i])
		}
	}
	slices.SortStableFunc(all, func(a, b *pod) int { return b.infra.Config.Created.Compare(a.infra.Config.Created) })
	return all, broken
}

// find returns the pod that ref means.
func find(st *storage.Store, ref string) (*pod, error) {
	infra, err := ccontainer.FindPod(st, ref)
	if err != nil {
		return nil, err
	}
	all, err := pods(st)
	for _, p := range all {
		if p.id() == infra.Config.ID {
			return p, nil
		}
	}
	return nil, cmp.Or(err, failure.Engine(container.ErrNotFound, "no pod with name or ID %s found: no such pod", ref))
}

// chosen are the pods that refs mean, or with all every one.
func chosen(st *storage.Store, refs []string, all bool) (list []*pod, err error) {
	if all {
		if len(refs) > 0 {
			return nil, failure.Local("no arguments are needed with --all")
		}
		return pods(st)
	}
	var failed failure.Several
	for _, ref := range refs {
		p, err := find(st, ref)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		list = append(list, p)
	}
	return list, failed.Err()
}

// Commands are the members of the management group `pod`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{
		cloneCommand(e), createCommand(e), existsCommand(e), inspectCommand(e), killCommand(e), logsCommand(e), pauseCommand(e),
		pruneCommand(e), listCommand(e), restartCommand(e), removeCommand(e), startCommand(e), statsCommand(e), stopCommand(e),
		topCommand(e), unpauseCommand(e),
	}
}

func existsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "exists", Usage: "Check if a pod exists", ArgsUsage: "POD",
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return failure.Local("pod exists accepts 1 argument")
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			if _, err := ccontainer.FindPod(st, c.Args().First()); errors.Is(err, container.ErrNotFound) {
				return failure.Status(1)
			} else if err != nil {
				return err
			}
			return nil
		},
	}
}

// say prints the id of each pod that something was done to.
func say(e *env.Env, p *pod) error {
	_, err := fmt.Fprintln(e.Out, p.id())
	return err
}
