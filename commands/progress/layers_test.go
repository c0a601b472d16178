package progress

import (
	"bytes"
	"testing"

	"skiff/commands/golden"
	"skiff/storage/courier/message"
)

const (
	layerA = "sha256:aaaaaaaaaaaa1111111111111111111111111111111111111111111111111111"
	layerB = "sha256:bbbbbbbbbbbb2222222222222222222222222222222222222222222222222222"
)

var pull = []message.Event{
	{Kind: message.Resolved, Name: "docker.io/library/alpine:3.20"},
	{Kind: message.LayerExists, Layer: layerA},
	{Kind: message.LayerQueued, Layer: layerB, Size: 4000000},
	{Kind: message.LayerWaiting, Layer: layerB},
	{Kind: message.LayerProgress, Layer: layerB, Offset: 1000000, Size: 4000000},
	{Kind: message.LayerUnpacking, Layer: layerB, Offset: 1000000, Size: 4000000},
	{Kind: message.LayerArrived, Layer: layerB, Size: 4000000},
	{Kind: message.LayerUnpacking, Layer: layerB, Offset: 2000000, Size: 4000000},
	{Kind: message.LayerFetched, Layer: layerB},
	{Kind: message.LayerApplied, Layer: layerB},
	{Kind: message.Note, Text: "evil\x1b[2J"},
}

func TestLayers_PipeGetsDockersLines(t *testing.T) {
	var out bytes.Buffer
	l := NewLayers(&out)
	for _, e := range pull {
		l.Event(e)
	}
	golden.Check(t, "pipe", out.String())
}

func TestLayers_TerminalGetsBars(t *testing.T) {
	var out bytes.Buffer
	l := NewLayers(&out)
	l.terminal, l.columns = true, 120
	for _, e := range pull {
		l.Event(e)
	}
	golden.Check(t, "terminal", out.String())
}

func TestBar(t *testing.T) {
	tests := []struct {
		name         string
		columns      int
		offset, size int64
		want         string
	}{
		{"unknown size", 120, 1500, -1, "1.5kB"},
		{"narrow terminal has numbers only", 40, 1, 2, "1B/2B"},
		{"half of a short bar", 70, 1, 2, "[=====>     ]  1B/2B"},
		{"more than promised", 70, 3, 2, "[==========>]  3B/2B"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&Layers{columns: tt.columns}).bar(tt.offset, tt.size); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
