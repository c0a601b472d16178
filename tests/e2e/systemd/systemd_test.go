package systemd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestQuadlet_InstallListPrintRemove(t *testing.T) {
	s := harness.New(t)
	s.WriteFile("web.container", "[Container]\nImage=box\nVolume=data.volume:/d\n")
	s.WriteFile("data.volume", "[Volume]\n")
	s.WriteFile("bad.container", "[Container]\nImage=box\nImag=x\n")
	home := s.Home()
	web, data, bad := filepath.Join(home, "web.container"), filepath.Join(home, "data.volume"), filepath.Join(home, "bad.container")
	at := filepath.Join(home, ".config/containers/systemd")
	// Nothing is installed while one of them is wrong.
	s.Skiff("quadlet", "install", "--reload-systemd=false", data, bad).Exits(1).Prints("").
		Complains(`bad.container:3: unsupported key "Imag" in the section [Container]`)
	s.Skiff("quadlet", "install", "--reload-systemd=false", web).Exits(1).Complains("web.container:3: Volume: there is no file data.volume")
	s.Skiff("quadlet", "ls", "-q").Exits(0).Prints("")
	s.Skiff("quadlet", "install", "--reload-systemd=false", web, data).Exits(0).Prints(at + "/web.container\n" + at + "/data.volume")
	s.Skiff("quadlet", "install", "--reload-systemd=false", data).Exits(1).Complains("use --replace")
	s.Skiff("quadlet", "install", "--reload-systemd=false", "-r", data).Exits(0)
	s.Skiff("quadlet", "list", "--format", "{{.Name}} {{.UnitName}} {{.Status}}").Exits(0).
		Prints("data.volume data-volume.service ok\nweb.container web.service ok")
	s.Skiff("quadlet", "print", "web.container").Exits(0).Prints("[Container]\nImage=box\nVolume=data.volume:/d")
	s.Skiff("quadlet", "print", "nosuch.container").Exits(1).Complains("no such Quadlet file: nosuch.container")
	unit := s.Skiff("quadlet", "print", "--dry-run", "web.container").Exits(0).Stdout
	if !strings.Contains(unit, " run --name=systemd-%N --replace --rm --cgroups=split --sdnotify=conmon --volume=systemd-data:/d box") {
		t.Errorf("got %s", unit)
	}
	s.Shell("cp bad.container .config/containers/systemd").Exits(0)
	s.Skiff("quadlet", "print", "--dry-run").Exits(1).Complains(at + "/bad.container:3: unsupported key")
	s.Skiff("quadlet", "install", web+".txt").Exits(1).Complains("a Quadlet file ends in")
	s.Skiff("quadlet", "rm", "--reload-systemd=false", "../../x.container").Exits(1).Complains("no such Quadlet file")
	s.Skiff("quadlet", "rm", "--reload-systemd=false", "web.container", "bad.container", "nosuch.volume").Exits(1).
		Prints("web.container\nbad.container").Complains("no such Quadlet file: nosuch.volume")
	s.Skiff("quadlet", "rm", "--reload-systemd=false", "--ignore", "nosuch.volume", "data.volume").Exits(0).Prints("data.volume")
}

// As systemd calls it: by its name, with three directories.
func TestGenerator_WritesUnitsAndSaysWhatIsWrong(t *testing.T) {
	s := harness.New(t)
	s.Shell("mkdir -p .config/containers/systemd out && ln -s " + s.Binary() + " skiff-user-generator").Exits(0)
	s.WriteFile(".config/containers/systemd/web.container", "[Container]\nImage=box\n[Install]\nWantedBy=default.target\n")
	s.WriteFile(".config/containers/systemd/bad.container", "[Container]\nImag=box\n")
	s.Shell("./skiff-user-generator out early late").Exits(1).Prints("").
		Complains(`skiff: ` + s.Home() + `/.config/containers/systemd/bad.container:2: unsupported key "Imag" in the section [Container]`)
	s.Shell("cd out && find . ! -type d | sort; readlink default.target.wants/web.service").Exits(0).
		Prints("./default.target.wants/web.service\n./web.service\n../web.service")
	if text := s.ReadFile("out/web.service"); !strings.Contains(text, "\nExecStart="+s.Binary()+" run --name=systemd-%N ") {
		t.Errorf("the unit is %s", text)
	}
	// It makes no store.
	if _, err := os.Stat(s.Store()); !os.IsNotExist(err) {
		t.Errorf("there is a store: %v", err)
	}
	s.Shell("rm .config/containers/systemd/bad.container; ./skiff-user-generator --dryrun").Exits(0).PrintsMatch(`(?s)---web.service---\n.*`)
	s.Shell("./skiff-user-generator").Exits(1).Complains("no directory to write units to")
	s.Shell("QUADLET_UNIT_DIRS=relative ./skiff-user-generator --dryrun").Exits(1).Complains(`directory "relative" of Quadlet files is not absolute`)
}

// SIGTERM of a unit's main process is the container's own signal; elsewhere it is
// passed on as it is.
func TestRun_TermOfAUnitStopsTheContainer(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	script := `trap "echo own; exit 3" USR1; trap "echo term; exit 4" TERM; echo ready; while :; do sleep 0.1; done`
	line := "rm -f said; skiff run --rm --name web --network none --stop-signal USR1 " + img + " sh -c '" + script + "' >said & pid=$!; " +
		"until grep -qs ready said; do sleep 0.1; done; kill -TERM $pid; wait $pid; echo $?; cat said"
	s.Shell(line).Exits(0).Prints("4\nready\nterm")
	s.Shell(strings.Replace(line, "skiff run", `sh -c 'SYSTEMD_EXEC_PID=$$ exec "$@"' x skiff run`, 1)).Exits(0).Prints("3\nready\nown")
}

func TestNetworkCreate_IgnoresOneThatIsThere(t *testing.T) {
	s := harness.New(t)
	s.OK("network", "create", "inner")
	s.Skiff("network", "create", "inner").Exits(1).Complains("already exists")
	s.Skiff("network", "create", "--ignore", "inner").Exits(0).Prints("inner")
	s.OK("network", "rm", "inner")
}
