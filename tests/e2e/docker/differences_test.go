package docker_test

// The reasons that several lines share.
const (
	words28  = "docker 28's wording; the engine of the comparison is 20.10"
	exec2010 = "20.10 answers on standard output and always with 126; this is docker 28's"
	noFields = "the row is not a Go type of docker's, so the template's error names none"
)

// differences are the lines whose outcomes may differ, as "script: line", the
// second time with " #2" behind, with the reason. A line that does not differ any more must not be listed.
// docs/docker-comparison.md is made of it: go test ./tests/e2e/docker -update.
func differences() map[string]string {
	d := map[string]string{}
	add := func(reason string, lines ...string) {
		for _, l := range lines {
			d[l] = reason
		}
	}
	add(words28,
		"run: docker run --rm --network none busybox nosuch",
		"run: docker run --rm --network none busybox /etc/passwd",
		"run: docker run --rm --network none busybox /nosuch/program",
		"run: docker run --rm --network none --stop-signal NOSUCH busybox true",
		"refusals: docker run --network none --restart sometimes busybox true",
		"refusals: docker run --network none --ipc nosuch busybox true",
		"refusals: docker run --network none --runtime nosuch busybox true",
		"life: docker kill it", "life: docker rm up", "life: docker kill -s NOSUCH up", "life: docker kill -s 0x9 up", "life: docker kill up #2",
		"pause: docker rm it", "pause: docker pause it #2", "pause: docker pause it #3",
		"exec: docker exec it true",
		"ps: docker ps -a --filter status=nosuch", "ps: docker ps -a --filter since=nosuch", "ps: docker ps -a --filter nosuch=1",
		"ps: docker ps -a --filter exited=x",
		"inspect: docker image inspect nothing", "inspect: docker inspect --type image it",
		"volume: docker volume ls --filter dangling=maybe", "volume: docker volume ls --filter nosuch=1",
		"volume: docker volume prune -f --filter nosuch=1",
		"top and others: docker update --restart nosuch it", "top and others: docker top it",
		"top and others: docker container prune -f --filter nosuch=1",
		"images: docker images --filter nosuch=1", "image lists: docker images --filter dangling=perhaps",
		"image lists: docker image inspect example/app:1 nosuch -f '{{.Os}}'", "image removal: docker rmi example/again",
		"image removal: docker image prune --filter dangling=perhaps -f", "image removal: docker rmi 'Bad/Name'",
		"registries: docker search --filter nosuch=1 x",
		"starting and stopping: docker kill --signal 9 it cat", "starting and stopping: docker kill nothing",
		"starting and stopping: docker kill -s '' it", "starting and stopping: docker container kill nothing nothing2",
		"lists and pruning: docker ps -a --filter before=nothing", "lists and pruning: docker ps -a --filter is-task=maybe",
		"limits and words of update: docker update --restart always:3 it",
		"limits and words of update: docker top new", "limits and words of update: docker pause new",
	)
	add("that client has no buildx and asked the builder before BuildKit",
		"image lists: docker history --format '{{.CreatedBy}} {{.Size}}' example/built",
		"image lists: docker history --no-trunc --format '{{.CreatedBy}}' example/built",
		"image lists: docker history --format '{{.Comment}}' example/built")
	add("the engine's layers are copies there (vfs), and it counts the copied file",
		"image lists: docker history -H=false --format '{{.Size}}' example/built")
	add("20.10's engine knows no signal of stop",
		"starting and stopping: docker inspect -f '{{.State.ExitCode}} {{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.Error}}' it",
		"starting and stopping: docker stop --time 1 --signal NOSUCH it")
	add("wait has podman's --condition here, and says so",
		"starting and stopping: docker wait", "starting and stopping: docker container wait")
	add(exec2010,
		"more of exec: docker exec it ''",
		"exec: docker exec it nosuch", "exec: docker exec it /etc/passwd", "exec: docker exec -w /nosuch it pwd",
		"exec: docker exec -w relative it pwd", "exec: docker exec -u nosuch it id")
	add(noFields, "ps: docker ps -a --format '{{.Nope}}'", "image lists: docker images --format '{{.Nope}}'")
	add("later advisories made the list longer",
		"inspect: docker inspect -f '{{json .HostConfig.Devices}} {{json .HostConfig.Ulimits}} {{json .HostConfig.DeviceRequests}} "+
			"{{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}}' it")
	add("only what exists here is offered as a type", "inspect: docker inspect --type nosuch it")
	add("since docker 23 only anonymous volumes are pruned unless --all; 20.10 pruned all",
		"volume: docker volume prune", "volume: echo y | docker volume prune")
	add("our containers have a mount namespace of their own, in which every mount may be a slave",
		"mounts: docker run --rm --network none -v $PWD/w/d:/m:rw,rslave busybox cat /m/f")
	add("docker puts a link /etc/mtab into every container; the image's /etc stays as it is here",
		"mounts: docker run --rm --network none --mount type=volume,src=v1,dst=/etc busybox ls /etc")
	add("the same ending without runc's internals",
		"mounts: docker run --rm --network none -v $PWD/w/d/f:/etc busybox true")
	add("20.10's answer names a temporary file of its own", "images: docker load </dev/null")
	add(words28,
		"networks: docker network create --subnet 10.91.1.0/25 other", "networks: docker network create --subnet 10.91.3.0 other",
		"networks: docker network create -d nosuch other", "networks: docker network ls -f nosuch=1", "networks: docker network connect host c1",
		"networks: docker network prune -f --filter nosuch=1", "networks: docker run --rm --network host --network none busybox true",
		"networks: docker run --rm --network none --ip 10.0.0.1 busybox true")
	add(noFields, "networks: docker network ls --format '{{.Nosuch}}'")
	add("the gateway is chosen with the subnet and shown from then on",
		"networks: docker network inspect -f '{{.Name}} {{.Driver}} {{json .IPAM.Config}}' front back")
	add("a container that does not run may be put on networks that are not there, or once more; ours says so at once",
		"networks: docker network connect --ip 10.91.2.200 --alias web back c1", "networks: docker network connect nosuch c1",
		"networks: docker network disconnect nosuch c1")
	return d
}
