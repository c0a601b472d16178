package container

import (
	"bytes"
	"testing"
	"time"
)

func TestLineWriter_StampsLinesNotPieces(t *testing.T) {
	var b bytes.Buffer
	l := &lineWriter{w: &b, timestamps: true}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, piece := range []string{"one\ntw", "o\n", "\nthree"} {
		if err := l.write(at, []byte(piece)); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second)
	}
	want := "2026-01-02T03:04:05.000006000Z one\n2026-01-02T03:04:05.000006000Z two\n" +
		"2026-01-02T03:04:07.000006000Z \n2026-01-02T03:04:07.000006000Z three"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
