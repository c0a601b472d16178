package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	// The image that is saved and loaded: many small files and a large one.
	archiveFiles, archiveFileSize, archiveBlobSize = 2000, 40_000, 120_000_000
	archiveRounds                                  = 5

	// The stores that lists and names are measured in.
	fewImages, manyImages = 10, 1000
	layersEach            = 5
	storeRounds           = 15
)

// measureStore races archives, and looks how our own lists and names grow with
// the store.
func measureStore(p *place, all []*contestant, r *report) {
	fmt.Fprintf(&r.store, "| archives of %d MB, in milliseconds | skiff | podman | skiff is | budget |\n|---|---:|---:|---|---|\n",
		(archiveFiles*archiveFileSize+archiveBlobSize)/1_000_000)
	if err := measureArchives(p, all, r); err != nil {
		r.note("archives: %v", err)
	}
	fmt.Fprintf(&r.store, "\n| with N images of %d layers each, in milliseconds | N = %d | N = %d | budget |\n|---|---:|---:|---|\n", layersEach, fewImages, manyImages)
	if err := measureGrowth(p, all, r); err != nil {
		r.note("many images: %v", err)
	}
}

// measureArchives races save and load. What is loaded is removed in between,
// which does not count.
func measureArchives(p *place, all []*contestant, r *report) error {
	tree := filepath.Join(p.dir, "big.tar")
	if err := bigTree(tree); err != nil {
		return err
	}
	archive := filepath.Join(p.dir, "tmp/big-archive.tar")
	var runners []*contestant
	for _, c := range all {
		if (c.name != "skiff" && c.name != "podman") || c.missing != "" {
			continue
		}
		if _, err := c.starter.time(c.line("import", tree, "big:1")); err != nil {
			return err
		}
		runners = append(runners, c)
	}
	times := map[string]map[string][]time.Duration{"save": {}, "load": {}}
	for n := range archiveRounds {
		for _, c := range runners {
			took, err := c.starter.time(c.line("save", "-o", archive+c.name, "big:1"))
			if err != nil {
				return err
			}
			times["save"][c.name] = append(times["save"][c.name], took)
			if _, err := c.starter.time(c.line("rmi", "-f", "big:1")); err != nil {
				return err
			}
			if took, err = c.starter.time(c.line("load", "-q", "-i", archive+c.name)); err != nil {
				return err
			}
			times["load"][c.name] = append(times["load"][c.name], took)
			// podman does not write over an archive.
			if err := os.Remove(archive + c.name); err != nil {
				return fmt.Errorf("round %d: %w", n, err)
			}
			if c.name == "podman" {
				// It says localhost/big:1 now.
				_, _ = c.starter.time(c.line("tag", "localhost/big:1", "big:1"))
			}
		}
	}
	for _, what := range []string{"save", "load"} {
		ours, theirs := median(times[what]["skiff"]), median(times[what]["podman"])
		verdict := "-"
		if ours > 0 && theirs > 0 {
			ratio := float64(theirs) / float64(ours)
			verdict = fmt.Sprintf("%.1f x as fast", ratio)
			if ratio < 1.5 {
				verdict = "**" + verdict + "**"
			}
		}
		fmt.Fprintf(&r.store, "| %s -%s | %.0f | %.0f | %s | 1.5 x |\n", what, map[string]string{"save": "o", "load": "i"}[what],
			milliseconds(ours), milliseconds(theirs), verdict)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// bigTree writes the tree of the big image: bytes that do not compress.
func bigTree(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	noise := rand.NewChaCha8([32]byte{1})
	w := tar.NewWriter(f)
	put := func(name string, size int64) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		_, err := io.CopyN(w, noise, size)
		return err
	}
	for n := range archiveFiles {
		if err := put(fmt.Sprintf("d%d/f%d", n%20, n), archiveFileSize); err != nil {
			return err
		}
	}
	if err := put("blob", archiveBlobSize); err != nil {
		return err
	}
	return w.Close()
}

// measureGrowth times skiff's own commands in stores of two sizes, in turns.
func measureGrowth(p *place, all []*contestant, r *report) error {
	at := slices.IndexFunc(all, func(c *contestant) bool { return c.name == "skiff" })
	if at < 0 || all[at].missing != "" {
		return nil
	}
	sizes := []int{fewImages, manyImages}
	for _, n := range sizes {
		if err := p.makeStore(n); err != nil {
			return err
		}
	}
	line := func(n int, args ...string) *exec.Cmd {
		cmd := p.command(append([]string{p.binary}, args...)...)
		cmd.Env = append(cmd.Env, "XDG_DATA_HOME="+p.storeDir(n))
		return cmd
	}
	commands := []struct {
		name   string
		args   func(round int) []string
		budget string
	}{
		{"an empty command (`version`)", func(int) []string { return []string{"version"} }, ""},
		{"`images`", func(int) []string { return []string{"images"} }, "25 over an empty command"},
		{"`tag`", func(n int) []string { return []string{"tag", "many:0", fmt.Sprint("tagged:", n)} }, "2 x"},
		{"`rmi` of a tag", func(n int) []string { return []string{"rmi", fmt.Sprint("tagged:", n)} }, "2 x"},
	}
	times := make(map[string]map[int][]time.Duration)
	for round := range storeRounds {
		for _, c := range commands {
			for _, n := range sizes {
				took, err := p.plain.time(line(n, c.args(round)...))
				if err != nil {
					return err
				}
				if times[c.name] == nil {
					times[c.name] = make(map[int][]time.Duration)
				}
				times[c.name][n] = append(times[c.name][n], took)
			}
		}
	}
	// Images go for good, so fewer rounds than the small store has images.
	const whole = "`rmi` of an image"
	times[whole] = make(map[int][]time.Duration)
	for round := range fewImages - 2 {
		for _, n := range sizes {
			took, err := p.plain.time(line(n, "rmi", fmt.Sprint("many:", round+1)))
			if err != nil {
				return err
			}
			times[whole][n] = append(times[whole][n], took)
		}
	}
	for _, c := range commands {
		fmt.Fprintf(&r.store, "| %s | %.1f | %.1f | %s |\n", c.name, milliseconds(median(times[c.name][fewImages])), milliseconds(median(times[c.name][manyImages])), c.budget)
	}
	fmt.Fprintf(&r.store, "| %s | %.1f | %.1f | 2 x |\n", whole, milliseconds(median(times[whole][fewImages])), milliseconds(median(times[whole][manyImages])))
	return nil
}

func (p *place) storeDir(n int) string { return filepath.Join(p.dir, fmt.Sprint("store-", n)) }

// makeStore writes a store with n images, many:0 and on, whose layers are empty,
// in the form that containers/storage keeps them: loading a thousand would take
// minutes.
func (p *place) makeStore(n int) error {
	graph := filepath.Join(p.storeDir(n), "skiff/storage")
	var images, layers []map[string]any
	write := func(path string, data []byte) error {
		full := filepath.Join(graph, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return err
		}
		return os.WriteFile(full, data, 0o600)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	for i := range n {
		var ids []string
		for l := range layersEach {
			id := hash(fmt.Sprint("layer ", i, l))
			record := map[string]any{"id": id, "metadata": `{"size":1000}`, "created": now, "diff-digest": "sha256:" + id, "diff-size": 1024}
			if len(ids) > 0 {
				record["parent"] = ids[0]
			}
			ids = append([]string{id}, ids...)
			layers = append(layers, record)
			if err := os.MkdirAll(filepath.Join(graph, "overlay", id, "diff"), 0o700); err != nil {
				return err
			}
			if err := write(filepath.Join("overlay", id, "link"), []byte(id[:26])); err != nil {
				return err
			}
		}
		config, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "author": fmt.Sprint(i), "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
		if err != nil {
			return err
		}
		id := hash(string(config))
		key := "sha256:" + id
		metadata, err := json.Marshal(map[string]any{"layers": ids, "size": 1000 * layersEach, "created": now, "tagged": now})
		if err != nil {
			return err
		}
		images = append(images, map[string]any{
			"id": id, "digest": key, "names": []string{fmt.Sprint("docker.io/library/many:", i)}, "layer": ids[0], "metadata": string(metadata),
			"big-data-names": []string{key, "skiff.synced"}, "big-data-sizes": map[string]int{key: len(config), "skiff.synced": 1},
			"big-data-digests": map[string]string{key: key}, "created": now,
		})
		if err := write(filepath.Join("overlay-images", id, "="+base64.StdEncoding.EncodeToString([]byte(key))), config); err != nil {
			return err
		}
	}
	for name, records := range map[string][]map[string]any{"overlay-images/images.json": images, "overlay-layers/layers.json": layers} {
		data, err := json.Marshal(records)
		if err != nil {
			return err
		}
		if err := write(name, bytes.TrimSpace(data)); err != nil {
			return err
		}
	}
	return filepath.WalkDir(p.storeDir(n), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, p.uid, p.gid)
	})
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
