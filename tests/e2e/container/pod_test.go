package container_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestPod_SharesWhatPodsShare(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	id := s.OK("pod", "create", "--name", "web", "--label", "app=shop", "--network", "none")
	s.Skiff("pod", "ps").Exits(0).PrintsMatch(`POD ID +NAME +STATUS +CREATED +INFRA ID +# OF CONTAINERS\n` + id[:12] + ` +web +Created +.* ago +` + id[:12] + ` +1`)
	s.OK("run", "-d", "--pod", "web", "--name", "front", image, "sh", "-c", "while :; do echo hello | nc -l -p 8080; done")
	s.OK("create", "--pod", id[:12], "--name", "back", image, "sh", "-c", "ipcmk -M 64 >/dev/null 2>&1; echo up; sleep 1000")
	harness.Equal(t, "a member to start", s.OK("pod", "ps", "--format", "{{.Status}} {{.NumberOfContainers}}"), "Degraded 3")
	s.OK("pod", "start", "web")
	harness.Equal(t, "all run", s.OK("pod", "ps", "--filter", "status=running", "-q", "--no-trunc"), id)
	harness.Equal(t, "names", s.OK("pod", "ps", "--format", "{{.ContainerNames}}"), "web-infra,front,back")
	harness.Equal(t, "through the loopback", s.OK("exec", "back", "sh", "-c", "until nc 127.0.0.1 8080 </dev/null; do :; done | head -1"), "hello")
	harness.Equal(t, "hostname", s.OK("exec", "front", "hostname")+s.OK("exec", "back", "hostname"), "webweb")
	for _, ns := range []string{"net", "ipc", "uts"} {
		harness.Equal(t, ns, s.OK("exec", "front", "readlink", "/proc/self/ns/"+ns), s.OK("exec", "back", "readlink", "/proc/self/ns/"+ns))
	}
	if s.OK("exec", "front", "readlink", "/proc/self/ns/pid") == s.OK("exec", "back", "readlink", "/proc/self/ns/pid") {
		t.Error("pid namespaces are shared without being asked for")
	}
	harness.Equal(t, "inspect", s.OK("pod", "inspect", "-f", "{{.Name}} {{.State}} {{.NumContainers}} {{.SharedNamespaces}} {{(index .Containers 1).Name}} {{.Labels}}", "web"),
		"web Running 3 [ipc net uts] front map[app:shop]")
	s.Skiff("ps", "--pod", "--format", "table {{.Names}} {{.PodName}}").Exits(0).Says("front web").Says("web-infra web")
	s.Skiff("ps", "-q", "--filter", "pod=web").Exits(0).PrintsMatch("([0-9a-f]{12}\n?){3}")
	s.Skiff("pod", "logs", "--names", "web").Exits(0).Prints("back up")
	s.Skiff("pod", "logs", "-c", "back", "web").Exits(0).Prints("up")
	s.Skiff("pod", "top", "web").Exits(0).Says("sleep 1000").Says("nc -l")
	s.Skiff("pod", "stats", "--no-stream", "--format", "{{.Name}}", "web").Exits(0).Says("front").Says("back")
	s.OK("pod", "pause", "web")
	harness.Equal(t, "paused", s.OK("pod", "inspect", "-f", "{{.State}}", "web"), "Paused")
	s.OK("pod", "unpause", "web")
	s.OK("pod", "restart", "-t", "0", "web")
	harness.Equal(t, "again through the loopback", s.OK("exec", "back", "sh", "-c", "until nc 127.0.0.1 8080 </dev/null; do :; done | head -1"), "hello")
	s.Skiff("rm", "-f", "web-infra").Exits(1).Complains("it is what pod web is made of")
	s.Skiff("pod", "rm", "web").Exits(1).Complains("is running: stop the pod first")
	s.OK("pod", "kill", "web")
	s.Eventually("the pod to end", func() bool { return s.OK("pod", "inspect", "-f", "{{.State}}", "web") == "Exited" })
	clone := s.OK("pod", "clone", "--start", "web")
	harness.Equal(t, "the clone", s.OK("pod", "inspect", "-f", "{{.Name}} {{.NumContainers}} {{.Hostname}}", clone), "web-clone 3 web-clone")
	harness.Equal(t, "in the clone", s.OK("exec", "back-clone", "sh", "-c", "until nc 127.0.0.1 8080 </dev/null; do :; done | head -1"), "hello")
	s.Skiff("pod", "prune", "-f").Exits(0).Prints(id)
	s.Skiff("pod", "rm", "-f", "-a").Exits(0).Prints(clone)
	harness.Equal(t, "containers left", s.OK("ps", "-aq"), "")
}

func TestPod_PublishesAndRefuses(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	port := strconv.Itoa(freePort(t))
	s.OK("pod", "create", "-p", "127.0.0.1:"+port+":80", "--share", "+pid", "shop")
	s.OK("run", "-d", "--pod", "shop", "--name", "srv", image, "sh", "-c", "echo served >/i; while :; do nc -l -p 80 </i; done")
	s.Eventually("the port", func() bool {
		return strings.Contains(s.Shell("echo | nc -w 2 127.0.0.1 "+port+" 2>/dev/null || busybox nc -w 2 127.0.0.1 "+port+" </dev/null").Stdout, "served")
	})
	harness.Equal(t, "first process", s.OK("run", "--rm", "--pod", "shop", image, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline | cut -c1-5"), "skiff")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"pod", "create", "shop"}, 1, `name "shop" is in use: pod already exists`},
		{[]string{"pod", "create", "a", "b"}, 1, "at most one name"},
		{[]string{"pod", "create", "--share", "net,moon", "x"}, 1, "invalid kernel namespace to share: moon"},
		{[]string{"pod", "create", "--infra=false", "x"}, 1, "a pod is its infra container"},
		{[]string{"pod", "create", "--network", "nosuch", "x"}, 1, "network nosuch not found"},
		{[]string{"pod", "create", "../x"}, 1, "Invalid container name"},
		{[]string{"run", "--pod", "nosuch", image}, 125, "no such pod"},
		{[]string{"run", "--pod", "srv", image}, 125, "no such pod"},
		{[]string{"run", "--pod", "shop", "-p", "1:1", image}, 125, "publish those of the pod"},
		{[]string{"run", "--pod", "shop", "--network", "none", image}, 125, "which shares its own"},
		{[]string{"run", "--pod", "shop", "--hostname", "x", image}, 125, "cannot set the hostname"},
		{[]string{"pod", "start", "nosuch"}, 1, "no such pod"},
		{[]string{"pod", "inspect", "nosuch"}, 1, "no such pod"},
		{[]string{"pod", "exists", "nosuch"}, 1, ""},
		{[]string{"pod", "rm"}, 1, "requires at least 1 argument"},
		{[]string{"pod", "top", "nosuch"}, 1, "no such pod"},
		{[]string{"pod", "logs", "-c", "other", "shop"}, 1, "container other is not in pod shop"},
	} {
		s.Skiff(c.args...).Exits(c.code).Complains(c.want)
	}
	s.OK("pod", "exists", "shop")
	s.OK("pod", "rm", "-i", "nosuch")
	s.OK("pod", "create", "--replace", "--network", "none", "--pod-id-file", s.Home()+"/id", "shop")
	harness.Equal(t, "after replace", s.OK("ps", "-a", "--format", "{{.Names}}"), "shop-infra")
	harness.Equal(t, "id file", s.ReadFile("id"), s.OK("pod", "ps", "-q", "--no-trunc"))
	s.OK("pod", "stop", "shop")
	s.OK("pod", "rm", "shop")
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestPod_ContainersHaveItsIDs(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	ids := func(args ...string) string {
		t.Helper()
		return s.OK(append(append([]string{"run", "--rm", "--pod", "p"}, args...), img, "sh", "-c", "id -u; tr -s ' ' </proc/self/uid_map")...)
	}
	s.OK("pod", "create", "--name", "p", "--uidmap", "0:1:10", "--uidmap", "10:0:1")
	harness.Equal(t, "a map of the pod's", ids(), "0\n 0 1 10\n 10 0 1")
	harness.Equal(t, "of its own", strings.Split(ids("--userns", "host"), "\n")[0], "0")
	s.OK("pod", "rm", "-f", "p")
	s.OK("pod", "create", "--name", "p", "--userns", "keep-id")
	harness.Equal(t, "keep-id of the pod's", strings.Split(ids(), "\n")[0], strconv.Itoa(s.UID()))
	s.OK("pod", "rm", "-f", "p")
	s.OK("pod", "create", "--name", "p", "--userns", "keep-id", "--share", "pid,net")
	harness.Equal(t, "where processes are shared", strings.Split(ids(), "\n")[0], "0")
	s.OK("pod", "rm", "-f", "p")
}
