package atomicfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type document struct {
	Version int
	Name    string
	Labels  map[string]string
}

func TestDecode_SeesEveryFlippedByte(t *testing.T) {
	want := document{1, "web", map[string]string{"a": "b"}}
	data, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	var got document
	if err := Decode("/f", data, &got, &got.Version, 1); err != nil || got.Name != want.Name || got.Labels["a"] != "b" {
		t.Fatalf("%s: got %+v, %v", data, got, err)
	}
	for i := range data {
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[i] ^= 1 << bit
			got := document{}
			err := Decode("/f", flipped, &got, &got.Version, 1)
			// The field of the checksum may lose its name; then all the rest is as it was.
			if err == nil && i < len(sumBefore) && got.Name == want.Name && got.Version == 1 {
				continue
			}
			// A checksum has no capital letters; one that is read as the same is the same.
			if err == nil && i < sumLength && strings.EqualFold(string(flipped[:i+1]), string(data[:i+1])) {
				continue
			}
			if !IsDamaged(err) {
				t.Errorf("bit %d of byte %d: %s: got %v", bit, i, flipped, err)
			}
		}
	}
	for n := range data {
		got := document{}
		if err := Decode("/f", data[:n], &got, &got.Version, 1); !IsDamaged(err) {
			t.Errorf("%s: got %v", data[:n], err)
		}
	}
}

func TestDecode_ReadsWhatHasNoChecksum(t *testing.T) {
	var got document
	if err := Decode("/f", []byte(`{"Version":1,"Name":"old"}`), &got, &got.Version, 1); err != nil || got.Name != "old" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecode_SaysThatAFormatIsNewer(t *testing.T) {
	for _, text := range []string{`{"Version":7,"Name":"x"}`, `{"Version":7,"Name":["other","type"]}`} {
		var got document
		err := Decode("/f", []byte(text), &got, &got.Version, 1)
		var newer *NewerError
		if !errors.As(err, &newer) || newer.Version != 7 || newer.Known != 1 || IsDamaged(err) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestEncode_IsJSONThatOthersRead(t *testing.T) {
	data, err := Encode(document{Version: 1, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil || all["Name"] != "x" {
		t.Errorf("%s: %v", data, err)
	}
	if data, err := Encode(struct{}{}); err != nil || string(data) != "{}" {
		t.Errorf("got %s, %v", data, err)
	}
}

func TestMissing_OnlyWhereTheDirectoryIs(t *testing.T) {
	dir := t.TempDir()
	if err := Missing(filepath.Join(dir, "f"), dir); !IsDamaged(err) {
		t.Errorf("got %v", err)
	}
	gone := filepath.Join(dir, "gone")
	if err := Missing(filepath.Join(gone, "f"), gone); !errors.Is(err, os.ErrNotExist) || IsDamaged(err) {
		t.Errorf("got %v", err)
	}
}
