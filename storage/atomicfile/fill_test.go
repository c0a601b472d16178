package atomicfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

func TestFill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, want := range []string{"one", "another"} {
		if err := Fill(path, []byte(want), 0o555, Durable); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o555 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	if err := Fill(filepath.Join(dir, "absent", "file"), nil, 0o600, Volatile); err == nil {
		t.Error("no error for a directory that is not there")
	}
	// Many at once: one of them is there in the end, whole.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := Fill(path, []byte("whole"), 0o600, Volatile); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Errorf("got %q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// Whoever finds a program by its name can execute it: nobody has it open for writing
// any more (ETXTBSY, execve(2)).
func TestFill_CanBeExecutedOnceItIsSeen(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		path := filepath.Join(dir, strconv.Itoa(i))
		ran := make(chan error)
		go func() {
			for {
				if _, err := os.Lstat(path); err == nil {
					break
				}
			}
			ran <- exec.Command(path).Run()
		}()
		if err := Fill(path, []byte("#!/bin/true\n"), 0o555, Durable); err != nil {
			t.Fatal(err)
		}
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
	}
}
