package registry_test

import (
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// The events are those that docker's engine tells of the same commands.
func TestEvents_OfImages(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistry(t)
	ref := r.Push(t, harness.BusyboxImage(t), "bb:1")
	archive, tree := s.Home()+"/saved.tar", s.Home()+"/tree.tar"
	for _, line := range []string{
		"pull -q " + ref, "tag " + ref + " q:1", "save -o " + archive + " q:1", "rmi q:1", "load -q -i " + archive,
		"create --name ee q:1", "commit -m why ee w:1", "export -o " + tree + " ee", "rm ee", "import " + tree + " z:1",
		"tag z:1 " + r.Address + "/z:1", "push -q " + r.Address + "/z:1", "rmi z:1 " + r.Address + "/z:1 w:1 q:1",
		"image prune -f", "network prune -f", "volume prune -f", "container prune -f",
	} {
		s.OK(strings.Fields(line)...)
	}
	said := s.OK("events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}")
	said = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(said, "ID")
	harness.Equal(t, "events", strings.ReplaceAll(said, r.Address, "HOST"), strings.TrimPrefix(`
image pull HOST/bb:1 {"name":"HOST/bb"}
image tag sha256:ID {"name":"q:1"}
image save sha256:ID {"name":"sha256:ID"}
image untag sha256:ID {"name":"sha256:ID"}
image load sha256:ID {"name":"sha256:ID"}
container create ID {"image":"q:1","name":"ee"}
image tag sha256:ID {"name":"w:1"}
container commit ID {"comment":"why","image":"q:1","imageID":"sha256:ID","imageRef":"w:1","name":"ee"}
container export ID {"image":"q:1","name":"ee"}
container destroy ID {"image":"q:1","name":"ee"}
image tag sha256:ID {"name":"z:1"}
image import sha256:ID {"name":"sha256:ID"}
image tag sha256:ID {"name":"HOST/z:1"}
image push HOST/z:1 {"name":"HOST/z"}
image untag sha256:ID {"name":"sha256:ID"}
image untag sha256:ID {"name":"sha256:ID"}
image delete sha256:ID {"name":"sha256:ID"}
image untag sha256:ID {"name":"sha256:ID"}
image delete sha256:ID {"name":"sha256:ID"}
image untag sha256:ID {"name":"sha256:ID"}
image prune  {"reclaimed":"0"}
network prune  {"reclaimed":"0"}
volume prune  {"reclaimed":"0"}
container prune  {"reclaimed":"0"}`, "\n"))
}
