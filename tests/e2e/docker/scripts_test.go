package docker_test

import "strings"

// script is a user's session: its lines are run one after the other, each in a
// shell of its own with the home as directory. A line with @ in front prepares
// and is not compared.
type script struct {
	name  string
	short bool // also without SKIFF_COMPARE
	lines []string
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// scripts are all there are. They use no network: the engine runs without
// iptables.
func scripts() []script {
	list := []script{
		{"networks", false, lines(`
@docker network create --subnet 10.91.1.0/24 --label tier=front --label x front
docker network create --subnet 10.91.2.0/24 --gateway 10.91.2.254 --ip-range 10.91.2.128/25 --internal --label tier=back back
docker network create front
docker network create --subnet 10.91.1.0/25 other
docker network create --subnet 10.91.3.0 other
docker network create --gateway 10.91.3.1 other
docker network create --subnet 10.91.3.0/24 --gateway 10.92.0.1 other
docker network create --subnet 10.91.3.0/24 --ip-range 10.92.0.0/24 other
docker network create --subnet 10.91.3.0/24 --subnet 10.91.3.0/25 other
docker network create -d nosuch other
docker network create -d host other
docker network create host
docker network create none
docker network create
docker network create a b
docker network create --nosuch a
docker network ls -f type=custom
docker network ls -f type=custom --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}} {{.Labels}} {{.Label "tier"}}'
docker network ls -f type=custom --format json | wc -l
docker network ls -q -f name=front --no-trunc
docker network ls -f label=tier=back --format '{{.Name}}'
docker network ls -f label=nosuch --format '{{.Name}}'
docker network ls -f driver=host --format 'table {{.Name}}\t{{.Driver}}'
docker network ls -f driver=null -q
docker network ls -f dangling=true --format '{{.Name}}'
docker network ls -f scope=local -f type=custom --format '{{.Name}}'
docker network ls -f scope=swarm --format '{{.Name}}'
docker network ls -f nosuch=1
docker network ls -f type=nosuch
docker network ls --format '{{.Nosuch}}'
docker network ls extra
docker network inspect -f '{{.Name}} {{.Driver}} {{.Internal}} {{.EnableIPv6}} {{json .Labels}} {{json .Options}} {{json .IPAM}} {{json .Containers}}' back
docker network inspect -f '{{.Name}} {{.Driver}} {{json .IPAM.Config}}' front back
docker network inspect nosuch
docker network inspect front nosuch -f '{{.Name}}'
docker network inspect
docker network inspect -f '{{.Nosuch' front
docker network inspect $(docker network ls -q -f name=front) -f '{{.Name}}'
@docker create --name c1 --network front busybox sleep 100
@docker create --name c2 --network none busybox true
docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}{{.HostConfig.NetworkMode}}' c1
docker network connect back c1
docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' c1
docker network connect --ip 10.91.2.200 --alias web back c1
docker network connect nosuch c1
docker network connect front nosuch
docker network connect front
docker network connect front c2
docker network connect host c1
docker network disconnect back c1
docker network disconnect back c1
docker network disconnect nosuch c1
docker network disconnect back nosuch
docker network disconnect -f back nosuch
docker network disconnect
docker network rm nosuch
docker network rm host
docker network rm none
docker network rm front nosuch back
docker network rm
docker network rm -f nosuch
docker network create --subnet 10.91.4.0/24 --label keep later
docker network prune -f --filter label=nosuch
docker network prune -f --filter label!=keep
docker network prune -f --filter until=1h
docker network prune -f --filter nosuch=1
docker network prune -f
docker network prune -f extra
docker network nosuch
docker run --rm --network nosuch busybox true
docker run --rm --network container:nosuch busybox true
docker run --rm --network a --network a busybox true
docker run --rm --network host --network none busybox true
docker run --rm --network none --ip 10.0.0.1 busybox true
docker run --rm --network none --mac-address nonsense busybox true
docker run --rm --network none --link nosuch:x busybox true
docker run --rm --network none --add-host bad busybox true
docker run --rm --network none --dns bad busybox true
docker run --rm --network name=none,bogus=1 busybox true
`)},
		{"run", false, lines(`
docker run --rm --network none busybox echo hello
docker run --rm --network none busybox sh -c 'echo out; echo err >&2; exit 3'
docker run --rm --network none busybox nosuch
docker run --rm --network none busybox /etc/passwd
docker run --rm --network none busybox /nosuch/program
docker run --rm --network none -w /made/here busybox pwd
docker run --rm --network none -e A=1 -e B busybox env
B=2 docker run --rm --network none -e B busybox sh -c 'echo $B'
docker run --rm --network none -u 1000 busybox id
docker run --rm --network none -u ana busybox id
docker run --rm --network none -u nobody2 busybox id
docker run --rm --network none -u 5:6 busybox id
docker run --rm --network none --group-add 29 busybox id
docker run --rm --network none --hostname box busybox hostname
docker run --rm --network none -h box --domainname example.com busybox cat /proc/sys/kernel/domainname
docker run --rm --network none --entrypoint echo busybox a b
docker run --rm --network none --entrypoint '' busybox echo c
docker run --rm --network none --read-only busybox touch /f
docker run --rm --network none --tmpfs /t busybox sh -c 'touch /t/f && grep " /t " /proc/mounts | cut -d, -f1-4'
docker run --rm --network none --shm-size 32m busybox sh -c 'df -k /dev/shm | tail -1 | awk "{print \$2}"'
docker run --rm --network none --ulimit nofile=100:200 busybox sh -c 'ulimit -Sn; ulimit -Hn'
docker run --rm --network none --sysctl net.ipv4.ip_forward=1 busybox cat /proc/sys/net/ipv4/ip_forward
docker run --rm --network none --init busybox sh -c 'test $$ != 1 && echo reaped'
docker run --rm --network none --cap-drop ALL busybox grep CapEff /proc/self/status
docker run --rm --network none --cap-add SYS_TIME --cap-drop CHOWN busybox grep CapEff /proc/self/status
docker run --rm --network none busybox grep CapBnd /proc/self/status
docker run --rm --network none --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
docker run --rm --network none --add-host db:10.0.0.1 busybox grep db /etc/hosts
docker run --rm --network none --dns 9.9.9.9 --dns-search example.com --dns-option ndots:2 busybox cat /etc/resolv.conf
echo input | docker run --rm -i --network none busybox cat
docker run --rm --network none -t busybox tty
docker run -d --rm --network none --name x busybox sleep 100
docker run --name x --network none busybox true
docker run --rm --network none --cidfile w/cid busybox true; cut -c1-64 w/cid
docker run --rm --network none --cidfile w/cid busybox true
docker run --rm --network none busybox kill -9 1
docker run --rm --network none busybox sh -c 'kill -TERM $$; sleep 1; echo lived'
docker run --rm --network none --label-file w/none busybox true
docker run --rm --network none --env-file w/none busybox true
docker run --rm --network none --oom-score-adj 500 busybox cat /proc/self/oom_score_adj
docker run --rm --network none --uts host busybox true
docker run --rm --network none --ipc none busybox sh -c 'ls /dev/shm 2>/dev/null; echo done'
docker run --rm --network none --stop-signal NOSUCH busybox true
`)},
		{"refusals", false, lines(`
docker run
docker run --nosuch busybox
docker run --rm --restart always busybox true
docker run -d -a stdout busybox true
docker run --name '!bad' busybox true
docker run --network none -v relative:bad:mode busybox true
docker run --network none -v /a:/b:nosuch busybox true
docker run --network none -v /:/ busybox true
docker run --network none -p 70000:1 busybox true
docker run --network none -p abc busybox true
docker run --network none --restart sometimes busybox true
docker run --network none --restart on-failure:x busybox true
docker run --network none -m 1k busybox true
docker run --network none -m lots busybox true
docker run --network none --cpus many busybox true
docker run --network none --ulimit nofile busybox true
docker run --network none --ulimit nosuch=1 busybox true
docker run --network none --cap-add NOSUCH busybox true
docker run --network none --mount type=nosuch,dst=/x busybox true
docker run --network none --mount type=bind,src=/nosuch/dir,dst=/x busybox true
docker run --network none --mount type=bind,dst=/x busybox true
docker run --network none --mount src=x busybox true
docker run --network none --mount type=volume,src=x busybox true
docker run --network none --mount type=tmpfs,dst=/x,tmpfs-size=big busybox true
docker run --network none --device /dev/nosuch busybox true
docker run --network none --device '' busybox true
docker run --network none --log-driver nosuch busybox true
docker run --network none --log-opt nosuch=1 busybox true
docker run --network none --security-opt nosuch=1 busybox true
docker run --network none --pid nosuch busybox true
docker run --network none --ipc nosuch busybox true
docker run --network none --uts nosuch busybox true
docker run --network none --cgroupns nosuch busybox true
docker run --network nosuch busybox true
docker run --network container:nosuch busybox true
docker run --network none --volumes-from nosuch busybox true
docker run --network none --volumes-from x:rx busybox true
docker run --network none --no-healthcheck --health-cmd x busybox true
docker run --network none --health-retries -1 --health-cmd x busybox true
docker run --network none --stop-timeout soon busybox true
docker run --network none --add-host bad busybox true
docker run --network none --dns bad busybox true
docker run --network none -e '' busybox true
docker run --network none -w relative busybox true
docker run --network none --pull sometimes busybox true
docker run --network none --pull never nosuch:1 true
docker run --network none --platform linux/s390x --pull never busybox true
docker run --network none --sysctl kernel.hostname=x busybox true
docker run --network none --isolation hyperv busybox true
docker run --network none --gpus all busybox true
docker run --network none --attach nothing busybox true
docker run --network none --userns nosuch busybox true
docker run --network none --runtime nosuch busybox true
docker run --network none --mac-address x busybox true
docker run --network none BadName true
docker run --network none busybox:bad:tag true
`)},
		{"life", false, lines(`
docker create --name it --network none busybox sh -c 'echo one; sleep 0.2; echo two >&2; exit 4'
docker ps
docker ps -a
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.StartedAt}}' it
docker start -a it
docker ps -a
docker wait it
docker logs it
docker logs -t it | cut -d' ' -f2
docker logs --tail 1 it
docker start nothing it
docker stop it
docker stop nothing
docker kill it
docker rename it
docker rename it other
docker rename other other
docker rename nothing x
docker inspect -f '{{.Name}}' other
docker rm it
docker rm other
docker rm other
docker rm -f other
docker run -d --name up --network none busybox sleep 1000
docker ps
docker ps --format '{{.Names}} {{.Status}} {{.Command}} {{.Image}} {{.Ports}} {{.State}}'
docker rm up
docker create --name up busybox
docker restart -t 0 up
@docker create --name unstartable --network none busybox /nonexistent
docker restart unstartable 2>&1 | sed 's/unstartable: .*/unstartable/'
docker restart unstartable >/dev/null 2>&1
docker restart unstartable nosuch >/dev/null 2>&1
@docker rm unstartable
docker stop -t 0 up
docker inspect -f '{{.State.ExitCode}}' up
docker start up
docker kill -s NOSUCH up
docker kill -s 0x9 up
docker kill up
docker wait up
docker kill up
docker rm up
`)},
		{"pause", false, lines(`
@docker run -d --name it --network none busybox sleep 1000
docker pause it
docker pause it
docker ps
docker exec it true
docker start it
docker attach it
docker rm it
docker unpause it
docker unpause it
docker pause nothing
docker pause
docker kill it
docker unpause it
docker pause it
`)},
		{"exec", true, lines(`
@docker run -d --name it --network none -e A=1 -w /tmp busybox sleep 1000
docker exec it echo hello
docker exec it pwd
docker exec -w /etc it pwd
docker exec -e A=2 it sh -c 'echo $A'
docker exec -u 1000 it id
docker exec it sh -c 'exit 9'
docker exec it nosuch
docker exec it /etc/passwd
docker exec -w /nosuch it pwd
docker exec -w relative it pwd
docker exec -u nosuch it id
echo hi | docker exec -i it cat
docker exec -d it true
docker exec it
docker exec
docker exec nothing true
docker exec -t it tty
docker exec -it it tty
@docker kill it
docker exec it true
`)},
		{"ps", true, lines(`
docker ps -a --no-trunc
@docker create --name one -l k=v -l a.b=c busybox echo one
@docker run -d --name two --network none --expose 80 --expose 8000-8002 -v data:/data busybox sleep 1000
@docker run --name three --network none busybox false || true
docker ps -a
docker ps
docker ps -q | wc -l
docker ps -l
docker ps -n 2
docker ps -a --filter name=o
docker ps -a --filter name=^/t --format '{{.Names}}'
docker ps -a --filter status=exited --format '{{.Names}}'
docker ps -a --filter status=nosuch
docker ps -a --filter exited=1 --format '{{.Names}}'
docker ps -a --filter exited=x
docker ps -a --filter label=k --format '{{.Names}}'
docker ps -a --filter label=k=w --format '{{.Names}}'
docker ps -a --filter ancestor=busybox --format '{{.Names}}'
docker ps -a --filter ancestor=nosuch --format '{{.Names}}'
docker ps -a --filter before=two --format '{{.Names}}'
docker ps -a --filter since=one --format '{{.Names}}'
docker ps -a --filter since=nosuch
docker ps -a --filter volume=data --format '{{.Names}}'
docker ps -a --filter volume=/data --format '{{.Names}}'
docker ps -a --filter network=none --format '{{.Names}}'
docker ps -a --filter expose=80 --format '{{.Names}}'
docker ps -a --filter expose=8001/tcp --format '{{.Names}}'
docker ps -a --filter health=none --format '{{.Names}}'
docker ps -a --filter is-task=false --format '{{.Names}}'
docker ps -a --filter nosuch=1
docker ps -a --filter bad
docker ps -a --format '{{.ID}}|{{.Names}}|{{.Image}}|{{.Command}}|{{.CreatedAt}}|{{.RunningFor}}|{{.Ports}}|{{.State}}|{{.Status}}|{{.Mounts}}|{{.LocalVolumes}}|{{.Networks}}|{{.Labels}}'
docker ps -a --format '{{.Label "k"}}' --filter name=one
docker ps -a --format 'table {{.Names}}\t{{.State}}\t{{.Label "a.b"}}'
docker ps -a --format raw --filter name=one
docker ps -a --format '{{.Nope}}'
docker ps -a --format '{{'
docker ps -a --format '{{json .Names}}'
docker ps -as --filter name=one --format '{{.Names}}'
docker ps extra
docker container ls -aq --filter name=nothing
docker ps --nosuch
`)},
		{"inspect", false, lines(`
docker inspect nothing
docker inspect -f '{{.Id}}' nothing
docker container inspect nothing
docker image inspect nothing
docker volume inspect nothing
@docker create --name it --network none -e A=1 -l k=v -v /anonymous -v ww:/w:ro --restart on-failure:2 --cap-add SYS_TIME -u 5 -w /x --stop-signal INT --stop-timeout 3 -t -i busybox echo hi
docker inspect -f '{{.Id}}' it
docker inspect -f '{{.Path}} {{.Args}} {{.Name}} {{.RestartCount}} {{.Driver}} {{.Platform}} {{.Image}}' it
docker inspect -f '{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Env}} {{json .Config.Labels}} {{json .Config.Volumes}}' it
docker inspect -f '{{json .State}}' it
docker inspect -f '{{json .HostConfig.RestartPolicy}} {{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}} {{json .HostConfig.Binds}}' it
docker inspect -f '{{json .HostConfig.PortBindings}} {{json .HostConfig.Dns}} {{json .HostConfig.DnsOptions}} {{json .HostConfig.ExtraHosts}} {{json .HostConfig.GroupAdd}}' it
docker inspect -f '{{json .HostConfig.LogConfig}} {{.HostConfig.NetworkMode}} {{.HostConfig.IpcMode}} {{.HostConfig.ShmSize}} {{json .HostConfig.SecurityOpt}}' it
docker inspect -f '{{json .HostConfig.Devices}} {{json .HostConfig.Ulimits}} {{json .HostConfig.DeviceRequests}} {{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}}' it
docker inspect -f '{{.Config.User}} {{.Config.WorkingDir}} {{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.StdinOnce}} {{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.StopSignal}} {{.Config.StopTimeout}} {{.Config.Image}}' it
docker inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.Driver}} {{.Mode}} {{.RW}} {{.Propagation}};{{end}}' it | tr ';' '\n' | sort
docker inspect -f '{{json .NetworkSettings.Ports}} {{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}' it
docker inspect -f '{{.HostsPath}}|{{.HostnamePath}}|{{.ResolvConfPath}}|{{.MountLabel}}|{{.ProcessLabel}}' it
docker inspect -f '{{.ExecIDs}} {{json .ExecIDs}}' it
docker inspect -f '{{.Nope}}' it
docker inspect -f '{{' it
docker inspect -f '{{.Config.Labels.k}} {{index .Config.Labels "k"}} {{len .Mounts}} {{lower .Name}} {{join .Args "-"}} {{upper "a"}} {{title "abc"}} {{split "a,b" ","}}' it
docker inspect -f '{{println .Name}}' it
docker inspect --type image it
docker inspect --type nosuch it
docker inspect --type volume it
docker inspect -s -f '{{.SizeRw}}' it
docker inspect -f json it | head -c 8
docker inspect it nothing | head -2
docker inspect
docker inspect -f '{{.Config.Hostname}} {{.Config.Domainname}}' it
docker inspect -f '{{.Os}} {{.Architecture}} {{.RepoTags}} {{.Config.Cmd}}' busybox
`)},
		{"logs", true, lines(`
@docker run --name it --network none busybox sh -c 'for i in 1 2 3 4 5; do echo line $i; done; printf tail'
docker logs it
docker logs -n 2 it
docker logs --tail all it
docker logs --tail 0 it
docker logs --tail x it
docker logs --since 1h it | wc -l
docker logs --since 2000-01-01T00:00:00 --until 2001-01-01 it
docker logs --since nosuch it
docker logs -f it
docker logs --details it
docker logs nothing
docker logs
@docker run --name none --network none --log-driver none busybox echo x
docker logs none
`)},
		{"cp", false, lines(`
@docker create --name it --network none busybox true
@echo hello >w/file; mkdir -p w/dir/sub; echo deep >w/dir/sub/f
docker cp w/file it:/tmp/
docker cp it:/tmp/file - | tar -tf -
docker cp w/dir it:/tmp/new
docker cp w/dir it:/tmp/new
docker cp it:/tmp/new w/back; find w/back | sort
docker cp w/dir/. it:/tmp/flat
docker cp it:/tmp/flat/. w/flat; find w/flat | sort
docker cp it:/nosuch w/x
docker cp w/nosuch it:/x
docker cp w/file it:/nosuch/dir/
docker cp w/file it:/nosuch/dir/file
docker cp it:/tmp w/file
docker cp w/dir it:/etc/passwd
docker cp it:/a it:/b
docker cp a b
docker cp it:/etc/passwd w/copy; head -1 w/copy
docker cp nothing:/x w/y
docker cp w/file nothing:/y
docker cp it:/etc/passwd
docker cp '' it:/x
tar -cf - -C w file | docker cp - it:/var
docker cp it:/var/file - | tar -xOf -
`)},
		{"volume", false, lines(`
docker volume ls
docker volume create data
docker volume create data
docker volume create --label k=v --label e labelled
docker volume create x
docker volume create 'bad name'
docker volume create -d nosuch other
docker volume create a b
docker volume ls
docker volume ls -q
docker volume ls --filter name=lab
docker volume ls --filter label=k
docker volume ls --filter label=k=w
docker volume ls --filter dangling=true -q
docker volume ls --filter dangling=maybe
docker volume ls --filter nosuch=1
docker volume ls --filter driver=local -q
docker volume ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Label "k"}}'
docker volume ls --format 'table {{.Name}}\t{{.Driver}}'
docker volume ls --format json --filter name=data
docker volume inspect data
docker volume inspect -f '{{.Labels}} {{.Options}}' data labelled
docker volume inspect data nothing
@docker run -d --name it --network none -v data:/data busybox sleep 1000
docker volume rm data
docker volume ls -f dangling=false -q
docker volume rm data labelled
docker volume rm -f data
docker volume rm -f nothing
docker volume rm nothing
@docker rm -f it
docker volume rm data
docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=0700 tmp
docker volume inspect -f '{{json .Options}}' tmp
docker run --rm --network none -v tmp:/t busybox sh -c 'grep " /t " /proc/mounts | cut -d" " -f1,3; df -k /t | tail -1 | awk "{print \$2}"; stat -c %a /t'
docker volume rm tmp
@mkdir w/src; echo here >w/src/f
docker volume create -o type=none -o o=bind -o device=$PWD/w/src bound
docker run --rm --network none -v bound:/b busybox cat /b/f
docker volume create -o nosuch=1 odd
docker volume create -o type=tmpfs half
docker volume rm
docker volume prune
echo y | docker volume prune
docker volume prune -f
docker volume prune -f --filter nosuch=1
docker volume nosuch
`)},
		{"mounts", false, lines(`
@mkdir -p w/d; echo data >w/d/f; chmod -R a+rwX w
docker run --rm --network none -v $PWD/w/d:/m busybox cat /m/f
docker run --rm --network none -v $PWD/w/d:/m:ro busybox touch /m/g
docker run --rm --network none -v $PWD/w/made:/m busybox ls -d /m; ls -d w/made
docker run --rm --network none -v $PWD/w/d/f:/etc/motd busybox cat /etc/motd
docker run --rm --network none -v $PWD/w/d:/m:ro,z busybox cat /m/f
docker run --rm --network none -v $PWD/w/d:/m:rw,rslave busybox cat /m/f
docker run --rm --network none --mount type=bind,src=$PWD/w/d,dst=/m,readonly busybox touch /m/g
docker run --rm --network none --mount type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=700 busybox sh -c 'df -k /m | tail -1 | awk "{print \$2}"; stat -c %a /m'
docker run --rm --network none --mount type=volume,src=v1,dst=/etc busybox ls /etc
docker run --rm --network none --mount type=volume,src=v2,dst=/etc,volume-nocopy busybox ls -A /etc
docker run --rm --network none -v v3:/etc:nocopy busybox ls -A /etc
docker run --rm --network none -v v4:/root busybox sh -c 'echo kept >/root/f'
docker run --rm --network none -v v4:/x busybox cat /x/f
@docker run --name src --network none -v v4:/one -v $PWD/w/d:/two busybox true
docker run --rm --network none --volumes-from src busybox cat /one/f /two/f
docker run --rm --network none --volumes-from src:ro busybox touch /one/g
docker run --rm --network none -v $PWD/w/d:/m -v $PWD/w/d:/m busybox true
docker run --rm --network none -v $PWD/w/d/f:/etc busybox true
docker run --rm --network none --tmpfs /t:size=1m,mode=700 busybox sh -c 'df -k /t | tail -1 | awk "{print \$2}"; stat -c %a /t'
docker run --rm --network none --tmpfs t busybox true
docker volume ls -q
`)},
		{"all events", true, lines(`
@sleep 1.1; date +%s >w/since
@docker run -d --name it --network none -v data:/d busybox sh -c 'while [ ! -e /end ]; do sleep 0.1; done; sleep 1'
@docker exec it true
@docker exec -d it sh -c 'exit 4'
@for n in $(seq 100); do docker events --since $(cat w/since) --until 0s --filter event=exec_die | grep -q exitCode=4 && break; sleep 0.1; done
@docker exec it touch /end
@docker wait it
@docker rm it
@docker volume rm data; sleep 1.1
docker events --since $(cat w/since) --until 0s --format '{{.Type}} {{json .Actor.Attributes}} {{.Action}}'
`)},
		{"events", false, lines(`
@sleep 0.1; date +%s.%N >w/since; sleep 0.1
@docker run --name it --network none -l k=v busybox sh -c 'exit 2' || true
@docker rename it other
@docker rm other; sleep 0.5
@docker volume create data
@docker volume rm data; sleep 1.1
docker events --since $(cat w/since) --until 0s --filter type=container --filter event=create --filter event=start --filter event=die --filter event=rename --filter event=destroy --filter label=k=v
docker events --since $(cat w/since) --until 0s --filter type=volume
docker events --since $(cat w/since) --until 0s --filter event=die --filter label=k=v --format '{{json .}}'
docker events --since $(cat w/since) --until 0s --filter event=die --filter label=k=v --format '{{.Action}} {{.Actor.Attributes.exitCode}} {{.Type}} {{.Scope}}'
docker events --until 0s --since nosuch
docker events --since 0s --until 1h
docker events --until 0s --filter bad
docker events --until 0s --format '{{'
docker events extra
`)},
		{"top and others", false, lines(`
@docker run -d --name it --network none busybox sleep 1000
docker top it | awk 'NR==1{print; next}{print $8, $9}'
docker top it -o pid,args | awk 'NR==1{print; next}{print $2, $3}'
docker top it -eo args
docker top nothing
docker top
docker port it
docker port it 80
docker port nothing
docker stats --no-stream --format '{{.Name}} {{.NetIO}} {{.PIDs}}' it
docker stats --no-stream nothing
docker update it
docker update --restart always it 2>/dev/null
docker inspect -f '{{json .HostConfig.RestartPolicy}}' it
docker update --restart nosuch it
docker update nothing --restart no
docker update --restart no it
docker diff it
docker wait nothing
@docker kill it
docker top it
docker container prune </dev/null
docker container prune -f
docker container prune -f
docker container prune -f --filter nosuch=1
docker container nosuch
docker nosuch
docker container prune extra
docker attach it
docker attach
docker export nothing
`)},
		{"images", false, lines(`
docker images
docker images -q
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
docker images nosuch
docker images --filter reference='busy*' --format '{{.Repository}}'
docker images --filter nosuch=1
docker tag busybox example/app:1
docker tag nosuch example/x
docker tag busybox 'Bad/Name'
docker images example/app
docker rmi example/app:1
docker rmi example/app:1
docker rmi nosuch
docker rmi
docker tag busybox example/app:2
docker rmi example/app
docker rmi -f nosuch
docker image inspect -f '{{.RepoTags}}' example/app:2
docker image ls -q nosuch
docker history nosuch
docker load </dev/null
docker load -i w/none
docker import w/none
docker rmi example/app:2
`)},
		{"starting and stopping", false, lines(`
@docker create --name it --network none busybox sh -c 'trap "exit 7" INT; trap "exit 8" TERM; trap "exit 9" USR1; while :; do sleep 0.1; done'
@docker create -i --name cat --network none busybox cat
docker start
docker start -a it nothing
docker start -i it cat
docker start --nosuch it
echo typed | docker start -ai cat
docker start it it
@docker exec it sleep 0.5
docker stop -s INT it
docker inspect -f '{{.State.ExitCode}} {{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.Error}}' it
docker stop -t x it
docker stop --time 1 --signal NOSUCH it
docker stop
docker start it cat
@docker exec it sleep 0.5
docker stop -t 5 it
docker inspect -f '{{.State.ExitCode}}' it
docker restart it
docker restart nothing
docker restart it nothing
docker restart
docker restart -t -2 it
@docker exec it sleep 0.5
docker kill -s USR1 it
docker wait it
docker kill --signal 9 it cat
docker kill
docker kill nothing
docker kill -s '' it
docker wait it cat nothing
docker wait
docker rm nothing it
docker rm
docker rm -v cat
docker rm -f nothing
docker container rm -f nothing
docker container stop nothing
docker container start nothing
docker container wait
docker container kill nothing nothing2
`)},
		{"attaching", false, lines(`
@docker create -i --name it --network none busybox cat; docker start it
(echo line; sleep 0.5) | timeout 5 docker attach it; true
docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' it
docker attach nothing
docker attach it it2
docker attach --nosuch it
@docker run -d --name out --network none busybox sh -c 'sleep 1; echo said; echo wrong >&2; exit 6'
docker attach out
docker logs out
docker start -a out
docker run --rm --network none -a stdout busybox sh -c 'echo out; echo err >&2'
docker run --rm --network none -a stderr busybox sh -c 'echo out; echo err >&2'
echo in | docker run --rm --network none -a stdin -a stdout -i busybox cat
echo in | docker run --rm --network none -i -a stdout busybox cat
docker run --rm --network none -it busybox true
`)},
		{"more of exec", false, lines(`
@docker run -d --name it --network none -u 1000:1000 -e A=1 --hostname box busybox sleep 1000
@printf 'X=file\n# no\nY\n' >w/env
docker exec --env-file w/env -e Z=3 it env
docker exec --env-file w/none it env
docker exec it id
docker exec -u 0 it id
docker exec -u 5:7 it id
docker exec -u :7 it id
docker exec -u 0 it grep CapEff /proc/self/status
docker exec it grep CapEff /proc/self/status
docker exec -w /proc it pwd
docker exec it hostname
docker exec it sh -c 'kill -9 $$'
docker exec it sh -c 'kill -TERM $$'
docker exec -d it sh -c 'exit 3'
docker exec -dt it true
docker exec --detach-keys nosuch-key it true
docker exec -e =x it true
docker exec it ''
docker exec --nosuch it true
docker container exec it echo noun
printf 'a\000b' | docker exec -i it od -c
`)},
		{"committing", false, lines(`
@docker run --name it --network none busybox sh -c 'echo new >/made; rm /etc/passwd; mkdir -p /d/e; touch /d/e/f; chmod 700 /d'
docker diff it | sort -k 2
docker container diff it | sort -k 2
docker diff nothing
docker diff
docker diff it it
docker commit it example/made:1
docker run --rm --network none example/made:1 sh -c 'cat /made; ls /etc/passwd; stat -c %a /d'
docker commit -a 'A U Thor' -m 'why' -c 'CMD ["echo", "changed"]' -c 'ENV K=v' -c 'LABEL l=1' -c 'EXPOSE 80/udp' -c 'USER 5' -c 'WORKDIR /d' -c 'VOLUME /v' -c 'ENTRYPOINT ["sh"]' it example/made:2
docker inspect -f '{{.Author}}|{{.Comment}}|{{json .Config.Cmd}}|{{json .Config.Entrypoint}}|{{json .Config.Labels}}|{{json .Config.ExposedPorts}}|{{.Config.User}}|{{.Config.WorkingDir}}|{{json .Config.Volumes}}|{{.Config.StopSignal}}' example/made:2
docker inspect -f '{{json .Config.Env}}' example/made:1 example/made:2
docker commit -c 'NOSUCH x' it
docker commit -c 'FROM x' it
docker commit nothing
docker commit
docker commit it 'Bad/Name'
docker commit it a b
docker history --format '{{.CreatedBy}}|{{.Comment}}' example/made:1 | head -1
docker export it | tar -tf - | grep -e made -e passwd -e d/e
docker export -o w/tar it; tar -tf w/tar | grep -c made
docker export -o w/nosuch/tar it
docker export
docker import w/tar example/made:3
docker run --rm --network none example/made:3 cat /made
docker import -c 'CMD ["cat", "/made"]' -m words - example/made:4 <w/tar
docker run --rm --network none example/made:4
docker inspect -f '{{.Comment}} {{json .Config.Env}}' example/made:4
@docker rm it; docker rmi -f example/made:1 example/made:2 example/made:3 example/made:4
`)},
		{"lists and pruning", false, lines(`
@docker create --name one -l keep=1 -l n=1 --network none busybox true
@docker create --name two -l n=2 --network none busybox true
@docker run --name three -l n=3 --network none busybox true
docker ps -a --filter label=n --filter name=o --format '{{.Names}}'
docker ps -a --filter name=one --filter name=two --format '{{.Names}}'
docker ps -a --filter status=created --filter status=exited --format '{{.Names}}'
docker ps -a --filter id=nothing
docker ps -a --filter label=n=1 --filter label=keep --format '{{.Names}} {{.Labels}}'
docker ps -a --filter before=nothing
docker ps -a --filter is-task=maybe
docker ps -a --filter health=nosuch
docker ps -a --format '{{upper .Names}} {{len .Names}} {{printf "%9s" .State}}'
docker ps -n -1 --format '{{.Names}}'
docker ps -n x
docker ps -a --format json | head -c 11
docker ps -a --format 'table {{.ID}}' --no-trunc | wc -L
docker ps -a --format '{{if eq .State "exited"}}{{.Names}}{{end}}'
docker ps --last 1 --format '{{.Names}}'
docker container list -a -q | wc -l
docker container ps -aq | wc -l
docker container prune -f --filter label=n=2 | sed 's/: .*//'
docker container prune -f --filter label!=keep | sed 's/: .*//'
docker container prune -f --filter until=24h
docker container prune -f --filter until=soon
docker ps -a --format '{{.Names}}'
docker container prune -f --filter label=keep=1 | tail -1
docker system prune -f | tail -1
`)},
		{"limits and words of update", false, lines(`
@docker create --name it --network none busybox true
docker update --memory 64m --memory-swap 128m --memory-reservation 32m it
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.MemoryReservation}}' it
docker update --cpus 1.5 it
docker update --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 it
docker inspect -f '{{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}} {{.HostConfig.CpusetMems}}' it
docker update --pids-limit 50 it
docker inspect -f '{{.HostConfig.PidsLimit}}' it
docker update --memory 1k it
docker update --memory 64m --memory-swap 32m it
docker update --memory lots it
docker update --cpus many it
docker update --restart on-failure:3 it 2>/dev/null
docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' it
docker update --restart always:3 it
docker update --restart no it nothing
docker update --restart no it
docker update
docker update --nosuch it
docker rename it new
docker rename new 'bad name'
docker rename new
docker rename
docker inspect -f '{{.Name}}' new
docker port new 80/tcp
docker port new nosuch
docker port
docker stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemPerc}} {{.PIDs}}' new
docker stats --no-stream --format 'table {{.Name}}\t{{.PIDs}}' new
docker stats --no-stream -a --format '{{.Name}}'
docker stats --nosuch
docker top new
docker pause new
docker logs --until nosuch new
docker logs -n -5 new
docker logs new extra
docker inspect -f '{{.State.Health}}' new
`)},
		{"health", false, lines(`
@docker run -d --name it --network none --health-cmd 'test -e /ok' --health-interval 200ms --health-retries 1 --health-timeout 5s busybox sh -c 'touch /ok; sleep 1000'
docker inspect -f '{{json .Config.Healthcheck}}' it
@for n in $(seq 100); do [ "$(docker inspect -f '{{.State.Health.Status}}' it)" = healthy ] && break; sleep 0.1; done
docker ps --format '{{.Names}} {{.Status}}'
docker ps --filter health=healthy --format '{{.Names}}'
docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{(index .State.Health.Log 0).ExitCode}}' it
@docker exec it rm /ok
@for n in $(seq 100); do [ "$(docker inspect -f '{{.State.Health.Status}}' it)" = unhealthy ] && break; sleep 0.1; done
docker ps --format '{{.Status}}' --filter health=unhealthy
docker run --rm --network none --health-interval -1s --health-cmd x busybox true
docker run --rm --network none --health-timeout 1us --health-cmd x busybox true
docker run --rm --network none --health-start-period x --health-cmd x busybox true
@docker create --name none --network none --no-healthcheck busybox true
docker inspect -f '{{json .Config.Healthcheck}}' none
`)},
	}
	return append(list, imageScripts()...)
}
