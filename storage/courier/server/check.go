package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"skiff/storage/atomicfile"
	"skiff/storage/courier/message"
	"skiff/storage/image"
	"skiff/storage/lock"
	"skiff/storage/temp"
)

// What --repair is told to do in a finding's cure.
const (
	repairCommand = "skiff system check --repair"
	cureRecords   = "`" + repairCommand + "` puts the records back from their copy"
	cureImage     = "`" + repairCommand + "` fetches it from its registry, or sets the image aside"
)

// problem is a finding and what mends it: mend returns what it did.
type problem struct {
	message.Finding
	mend func(context.Context) (string, error)
	// gone reports whether what is damaged was removed meanwhile, or is well: it may
	// have been removed and made again while it was looked at. Nil if neither can be.
	gone func() bool
}

// looks is how often something is seen to be damaged before it is said to be.
const looks = 3

// isGone returns a problem's gone: whether well, asked a few times, is ever true.
func (c *checker) isGone(t table, id string, well func() bool) func() bool {
	return func() bool {
		for range looks - 1 {
			if !c.recorded(t, id) || well() {
				return true
			}
		}
		return false
	}
}

// checker looks at all images and layers of a store, and mends them.
type checker struct {
	*session
	want    *message.Check
	checked message.Checked
	// images and layers are the records, of a damaged table those that would be put
	// back.
	images map[string]*storedImage
	layers map[string]image.Layer
	found  []problem
}

// storedImage is what an image's record says, as far as it is checked here.
type storedImage struct {
	ID      string            `json:"id"`
	Digest  digest.Digest     `json:"digest"`
	Names   []string          `json:"names"`
	Layer   string            `json:"layer"`
	Data    []string          `json:"big-data-names"`
	Digests map[string]string `json:"big-data-digests"`
	Ours    string            `json:"metadata"`
	object  []byte
	ours    image.Metadata
}

// name is what the image is called in a finding.
func (i *storedImage) name() string {
	for _, n := range sortedNames(i.Names) {
		if !strings.Contains(n, "@") {
			return familiar(n)
		}
	}
	return short(i.ID)
}

// check serves message.Check. It takes no lock to look: what it finds damaged it
// looks at again, and passes over what was removed meanwhile.
func (s *session) check(ctx context.Context, want *message.Check) (message.Result, error) {
	if want.Repair {
		alone, err := lock.TryExclusive(filepath.Join(s.st.Dir, transferLock))
		if errors.Is(err, lock.ErrBusy) {
			return message.Result{}, errors.New("a pull, load or build puts an image into the store: repair it when that is done")
		}
		if err != nil {
			return message.Result{}, err
		}
		defer alone.Release()
		// What the mending puts aside, and was writing, is swept if it is killed.
		if s.temp, err = temp.MakeTransfer(ctx, s.st); err != nil {
			return message.Result{}, err
		}
		if err := os.Setenv("TMPDIR", s.temp.Path); err != nil {
			return message.Result{}, err
		}
	}
	// Records first: what is not recorded cannot be looked at.
	c := &checker{session: s, want: want}
	if err := c.readTables(); err != nil {
		return message.Result{}, err
	}
	if err := c.settle(ctx); err != nil {
		return message.Result{}, err
	}
	for _, look := range []func(context.Context) error{c.checkImages, c.checkLayers, c.checkLeftovers} {
		if err := look(ctx); err != nil {
			return message.Result{}, err
		}
		if err := c.settle(ctx); err != nil {
			return message.Result{}, err
		}
	}
	c.checked.Images, c.checked.Layers = len(c.images), len(c.layers)
	return message.Result{Checked: &c.checked}, nil
}

// settle turns problems into findings, mended if that is wanted.
func (c *checker) settle(ctx context.Context) error {
	for _, p := range c.found {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if p.gone != nil && p.gone() {
			continue
		}
		if c.want.Repair && p.mend != nil {
			done, err := p.mend(ctx)
			if err != nil {
				p.Cure = "could not be mended: " + err.Error()
			} else {
				p.Mended = done
			}
		}
		c.checked.Findings = append(c.checked.Findings, p.Finding)
	}
	c.found = nil
	return nil
}

// report adds a problem.
func (c *checker) add(p problem) { c.found = append(c.found, p) }

// readTables reads both tables of records.
func (c *checker) readTables() error {
	images, err := c.readRecords(imageTable, "no image can be listed, run or removed")
	if err != nil {
		return err
	}
	layers, err := c.readRecords(layerTable, "no image can be pulled, built or removed")
	if err != nil {
		return err
	}
	c.images, c.layers = map[string]*storedImage{}, map[string]image.Layer{}
	for _, object := range images {
		i := &storedImage{object: object}
		if json.Unmarshal(object, i) == nil && json.Unmarshal([]byte(i.Ours), &i.ours) == nil {
			c.images[i.ID] = i
		}
	}
	for _, object := range layers {
		if l, err := image.ParseLayer(object); err == nil {
			c.layers[l.ID] = l
		}
	}
	return nil
}

// readRecords returns the records of a table that can be used. If the table is
// damaged they are those of its copy, and what can still be read of the table.
func (c *checker) readRecords(t table, follows string) ([][]byte, error) {
	damage := c.intact(t)
	data, err := os.ReadFile(c.path(t))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if damage == nil && len(data) > 0 && !validRecords(data) {
		damage = &atomicfile.DamagedError{Path: c.path(t), Reason: "it is not a list of records"}
	}
	if damage == nil {
		return slices.Collect(image.Elements(data)), nil
	}
	var damaged *atomicfile.DamagedError
	if !errors.As(damage, &damaged) {
		return nil, damage
	}
	kept := c.salvage(t, data)
	c.add(problem{
		Finding: message.Finding{
			Kind: "records", Object: t.name, Path: c.path(t), Damage: damaged.Reason, Follows: follows, Cure: cureRecords,
		},
		mend: func(context.Context) (string, error) { return c.putBack(t, kept) },
	})
	return kept, nil
}

func validRecords(data []byte) bool {
	var all []struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(data, &all) != nil {
		return false
	}
	return !slices.ContainsFunc(all, func(r struct {
		ID string `json:"id"`
	},
	) bool {
		return r.ID == ""
	})
}

// salvage returns the records of a damaged table: those of its copy, if it is a
// copy of this very file; else those of the table that can be read, which may be
// newer, and of the copy those that are missing and whose things are still there.
func (c *checker) salvage(t table, damaged []byte) [][]byte {
	head, copied := c.readCopy(t)
	var fromCopy [][]byte
	if copied != nil {
		fromCopy = slices.Collect(image.Elements(copied))
	}
	if _, now, _ := c.readTable(t); copied != nil && head.same(now) || len(damaged) == 0 {
		return fromCopy
	}
	var kept [][]byte
	have := map[string]bool{}
	for _, object := range append(slices.Collect(image.Elements(damaged)), fromCopy...) {
		id := image.Field(object, "id")
		if !json.Valid(object) || digest.NewDigestFromEncoded(digest.SHA256, id).Validate() != nil || have[id] || !c.hasThing(t, id) {
			continue
		}
		have[id] = true
		kept = append(kept, object)
	}
	return kept
}

// hasThing reports whether what a record of the table stands for is there.
func (c *checker) hasThing(t table, id string) bool {
	dir := filepath.Join(c.st.Layers(), id)
	if t == imageTable {
		dir = filepath.Join(c.st.Graph(), t.dir, id)
	}
	_, err := os.Lstat(dir)
	return err == nil
}

// putBack sets a damaged table aside and writes records in its place.
func (c *checker) putBack(t table, records [][]byte) (string, error) {
	aside := ""
	if _, err := os.Lstat(c.path(t)); err == nil {
		if aside, err = c.setAside("records-"+t.name, c.path(t)); err != nil {
			return "", err
		}
	}
	if records == nil {
		records = [][]byte{}
	}
	if err := c.replace(t, records); err != nil {
		return "", err
	}
	c.copyTables()
	text := fmt.Sprintf("%d records put back", len(records))
	if aside != "" {
		text += "; the damaged file is " + aside
	}
	return text, nil
}

// setAside moves a file or directory out of the store's way, to where nothing
// looks.
func (c *checker) setAside(as string, path string) (string, error) { return c.st.SetAside(as, path) }

// checkImages compares what an image's record promises with what is there.
func (c *checker) checkImages(context.Context) error {
	for _, id := range sortedKeys(c.images) {
		i := c.images[id]
		if !slices.Contains(i.Data, image.SyncedKey) {
			continue // unfinished: healed, or about to be finished
		}
		c.checkData(i)
		c.checkChain(i)
	}
	return nil
}

// checkData looks at the files that are kept with an image.
func (c *checker) checkData(i *storedImage) {
	for _, key := range i.Data {
		path := image.DataFile(c.st.Graph(), i.ID, key)
		want := digest.Digest(i.Digests[key])
		if own, err := digest.Parse(key); err == nil {
			want = own
		}
		damage := dataDamage(path, want)
		if damage == "" {
			continue
		}
		follows := "the image cannot be pushed or saved as it came"
		if key == "sha256:"+i.ID {
			follows = "containers cannot be made of the image"
		}
		c.add(problem{
			Finding: message.Finding{Kind: "image", Object: i.name(), Path: path, Damage: damage, Follows: follows, Cure: cureImage},
			mend:    func(ctx context.Context) (string, error) { return c.mendData(ctx, i, key, want) },
			gone:    c.isGone(imageTable, i.ID, func() bool { return dataDamage(path, want) == "" }),
		})
	}
}

// dataDamage says what is wrong with a file that is kept with an image, "" if nothing
// is. A file without a known digest must only be there.
func dataDamage(path string, want digest.Digest) string {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "it is missing"
	case err != nil:
		return err.Error()
	case want.Validate() == nil && digest.FromBytes(data) != want:
		return "it does not have the digest " + want.String()
	}
	return ""
}

// checkChain compares the layers that an image is said to have with those of its
// configuration.
func (c *checker) checkChain(i *storedImage) {
	data, err := os.ReadFile(image.DataFile(c.st.Graph(), i.ID, "sha256:"+i.ID))
	if err != nil || digest.FromBytes(data).Encoded() != i.ID {
		return // said already
	}
	var config image.Config
	if json.Unmarshal(data, &config) != nil {
		return
	}
	wanted := make([]layer, len(config.RootFS.DiffIDs))
	for n, d := range config.RootFS.DiffIDs {
		wanted[n].diffID = digest.Digest(d)
	}
	chain := chainIDs(wanted)
	var missing []string
	for n, id := range chain {
		if l, ok := c.layers[id]; !ok || l.DiffID != config.RootFS.DiffIDs[n] {
			missing = append(missing, id)
		}
	}
	slices.Reverse(chain)
	if len(missing) == 0 && slices.Equal(chain, i.ours.Layers) {
		return
	}
	damage := "its record names other layers than its configuration"
	if len(missing) > 0 {
		damage = fmt.Sprintf("%d of its %d layers have no record, the first is %s", len(missing), len(chain), short(missing[0]))
	}
	c.add(problem{
		Finding: message.Finding{
			Kind: "image", Object: i.name(), Path: c.path(layerTable), Damage: damage,
			Follows: "containers of it cannot be made or started", Cure: cureImage,
		},
		mend: func(ctx context.Context) (string, error) { return c.fetchAgain(ctx, i) },
		gone: c.isGone(imageTable, i.ID, func() bool {
			// Removed and loaded again between the looks at the two tables.
			return len(missing) > 0 && !slices.ContainsFunc(missing, func(id string) bool {
				_, known := c.layers[id]
				return known || !c.recorded(layerTable, id)
			})
		}),
	})
}

// recorded reports whether a table has a record of id at this moment.
func (c *checker) recorded(t table, id string) bool {
	data, err := c.records(t)
	return err != nil || has(data, id)
}

// checkLayers looks at each layer that an image stands on.
func (c *checker) checkLayers(ctx context.Context) error {
	needed := map[string]bool{}
	for _, i := range c.images {
		for _, id := range i.ours.Layers {
			needed[id] = true
		}
	}
	for _, id := range sortedKeys(c.layers) {
		if !needed[id] || c.layers[id].Incomplete {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		c.checkLinks(c.layers[id])
		c.checkContents(ctx, c.layers[id])
	}
	return nil
}

// checkContents takes a layer's digest from its files.
func (c *checker) checkContents(ctx context.Context, l image.Layer) {
	dir := filepath.Join(c.st.Layers(), l.ID, "diff")
	failed := c.examine(ctx, l)
	if failed == nil || ctx.Err() != nil {
		return
	}
	text := strings.TrimPrefix(failed.Error(), "read layer "+short(l.ID)+": ")
	text = strings.TrimPrefix(text, "layer "+short(l.ID)+" is damaged: ")
	c.add(problem{
		Finding: message.Finding{
			Kind: "layer", Object: short(l.ID), Path: dir, Damage: text,
			Follows: "the images " + strings.Join(c.imagesOn(l.ID), ", ") + " and their containers have wrong or missing files",
			Cure:    cureImage,
		},
		mend: func(ctx context.Context) (string, error) { return c.mendLayer(ctx, l) },
		gone: c.isGone(layerTable, l.ID, func() bool { return ctx.Err() == nil && c.examine(ctx, l) == nil }),
	})
}

// imagesOn returns the names of the images that stand on a layer.
func (c *checker) imagesOn(id string) []string {
	var names []string
	for _, i := range c.images {
		if slices.Contains(i.ours.Layers, id) {
			names = append(names, i.name())
		}
	}
	slices.Sort(names)
	return names
}

// checkLinks looks at the short names that containers/storage keeps of layers.
func (c *checker) checkLinks(l image.Layer) {
	dir := filepath.Join(c.st.Layers(), l.ID)
	damage := c.linkDamage(l)
	if damage == "" {
		return
	}
	c.add(problem{
		Finding: message.Finding{
			Kind: "layer", Object: short(l.ID), Path: filepath.Join(dir, "link"), Damage: damage,
			Follows: "containers of its images do not start on kernels before 6.8, and nothing is built on it",
			Cure:    "`" + repairCommand + "` makes it again",
		},
		mend: func(context.Context) (string, error) { return c.mendLinks() },
		gone: c.isGone(layerTable, l.ID, func() bool { return c.linkDamage(l) == "" }),
	})
}

// linkDamage says what is wrong with a layer's short name, "" if nothing is.
func (c *checker) linkDamage(l image.Layer) string {
	dir := filepath.Join(c.st.Layers(), l.ID)
	link, err := os.ReadFile(filepath.Join(dir, "link"))
	if err != nil {
		return "it is missing"
	}
	name := string(bytes.TrimSpace(link))
	target, err := os.Readlink(filepath.Join(c.st.Layers(), "l", name))
	if err != nil || strings.ContainsAny(name, "/.") || target != filepath.Join("..", l.ID, "diff") {
		return "it names nothing that leads to the layer"
	}
	if lower, err := os.ReadFile(filepath.Join(dir, "lower")); l.Parent != "" && (err != nil || string(lower) != c.lower(l)) {
		return "the file lower beside it does not name the layers below"
	}
	return ""
}

// lower is what containers/storage writes of the layers below, topmost first.
func (c *checker) lower(l image.Layer) string {
	var all []string
	for id := l.Parent; id != "" && len(all) < len(c.layers); id = c.layers[id].Parent {
		link, _ := os.ReadFile(filepath.Join(c.st.Layers(), id, "link"))
		all = append(all, "l/"+string(bytes.TrimSpace(link)))
	}
	return strings.Join(all, ":")
}

// checkLeftovers looks for what no record owns. While a transfer is alive it may
// be that one's.
func (c *checker) checkLeftovers(context.Context) error {
	if !c.want.Repair {
		alone, err := lock.TryExclusive(filepath.Join(c.st.Dir, transferLock))
		if errors.Is(err, lock.ErrBusy) {
			return nil
		}
		if err != nil {
			return err
		}
		defer alone.Release()
	}
	damagedBefore := slices.ContainsFunc(c.checked.Findings, func(f message.Finding) bool { return f.Kind == "records" })
	for _, t := range []struct {
		table table
		dir   string
		what  string
	}{{layerTable, c.st.Layers(), "layer"}, {imageTable, filepath.Join(c.st.Graph(), imageTable.dir), "image"}} {
		// The names first: what is added behind them has its record.
		names := list(t.dir)
		records, err := c.records(t.table)
		if err != nil {
			continue // said already
		}
		for _, name := range names {
			if len(name) != digest.SHA256.Size()*2 || has(records, name) {
				continue
			}
			path := filepath.Join(t.dir, name)
			c.add(problem{
				Finding: message.Finding{
					Kind: "leftover", Object: short(name), Path: path, Damage: "no record of a " + t.what + " owns it",
					Follows: "it takes space", Cure: "the next pull, load or build deletes it",
				},
				mend: func(context.Context) (string, error) {
					if !damagedBefore {
						return "deleted", os.RemoveAll(path)
					}
					// Records may have been lost.
					to, err := c.setAside(t.what+"-"+short(name), path)
					return "set aside as " + to, err
				},
			})
		}
	}
	return nil
}

func list(dir string) []string {
	entries, _ := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
