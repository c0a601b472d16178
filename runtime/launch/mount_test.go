package launch

import (
	"reflect"
	"testing"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

func TestMount_ParsesOptions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		in    rspec.Mount
		want  message.Mount
		fails bool
	}{
		{
			name: "a recursive bind that is read-only all the way",
			in:   rspec.Mount{Destination: "/a/", Source: "/h", Options: []string{"rbind", "ro", "rro", "rslave"}},
			want: message.Mount{
				Destination: "/a", Type: "bind", Source: "/h", Recursive: true, Set: unix.MOUNT_ATTR_RDONLY,
				RecSet: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_SLAVE | unix.MS_REC,
			},
		},
		{
			name: "file system options are kept apart",
			in:   rspec.Mount{Destination: "/t", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "size=64k", "mode=1777", "noatime"}},
			want: message.Mount{
				Destination: "/t", Type: "tmpfs", Source: "tmpfs", Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOATIME,
				Clear: unix.MOUNT_ATTR__ATIME, Data: []string{"size=64k", "mode=1777"},
			},
		},
		{
			name: "the later of two opposites counts",
			in:   rspec.Mount{Destination: "/b", Type: "bind", Source: "/h", Options: []string{"ro", "rw", "bind"}},
			want: message.Mount{Destination: "/b", Type: "bind", Source: "/h", Clear: unix.MOUNT_ATTR_RDONLY},
		},
		{
			name: "a destination is cleaned and stays below the root",
			in:   rspec.Mount{Destination: "../../x", Type: "bind", Source: "/h"},
			want: message.Mount{Destination: "/x", Type: "bind", Source: "/h"},
		},
		{
			name: "a directory within a volume",
			in:   rspec.Mount{Destination: "/v", Type: "bind", Source: "/h", Options: []string{"x-skiff.subpath=a/b"}},
			want: message.Mount{Destination: "/v", Type: "bind", Source: "/h", Subpath: "a/b"},
		},
		{name: "no destination", in: rspec.Mount{Type: "bind"}, fails: true},
		{name: "remount", in: rspec.Mount{Destination: "/a", Options: []string{"remount"}}, fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Mount(&tc.in)
			if (err != nil) != tc.fails {
				t.Fatalf("got error %v", err)
			}
			if err == nil && !reflect.DeepEqual(*got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", *got, tc.want)
			}
		})
	}
}

func FuzzMount(f *testing.F) {
	f.Add("/a", "bind", "rbind,ro,rslave")
	f.Add("../..", "tmpfs", "size=1,mode=,=,x")
	f.Fuzz(func(t *testing.T, dest, kind, option string) {
		m, err := Mount(&rspec.Mount{Destination: dest, Type: kind, Options: []string{option}})
		if err == nil && (m.Destination == "" || m.Destination[0] != '/') {
			t.Errorf("%q became %q", dest, m.Destination)
		}
	})
}
