package build

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"skiff/build"
)

// rawJSON writes progress as BuildKit's rawjson mode does: a SolveStatus a line
// (moby/buildkit client.SolveStatus).
type rawJSON struct {
	mu    sync.Mutex
	out   *json.Encoder
	clock func() time.Time
	tasks int
}

func newRawJSON(out io.Writer, clock func() time.Time) *rawJSON {
	return &rawJSON{out: json.NewEncoder(out), clock: clock}
}

// solveStatus is one line; the field names are BuildKit's.
type solveStatus struct {
	Vertexes []vertex        `json:"vertexes,omitempty"`
	Statuses []vertexStatus  `json:"statuses,omitempty"`
	Logs     []vertexLog     `json:"logs,omitempty"`
	Warnings []vertexWarning `json:"warnings,omitempty"`
}

type vertex struct {
	Digest    string     `json:"digest"`
	Name      string     `json:"name"`
	Started   *time.Time `json:"started,omitempty"`
	Completed *time.Time `json:"completed,omitempty"`
	Cached    bool       `json:"cached,omitempty"`
	Error     string     `json:"error,omitempty"`
}

type vertexStatus struct {
	ID        string     `json:"id"`
	Vertex    string     `json:"vertex"`
	Timestamp time.Time  `json:"timestamp"`
	Completed *time.Time `json:"completed,omitempty"`
}

type vertexLog struct {
	Vertex    string    `json:"vertex"`
	Stream    int       `json:"stream"`
	Data      []byte    `json:"data"`
	Timestamp time.Time `json:"timestamp"`
}

type vertexWarning struct {
	Vertex string `json:"vertex"`
	Level  int    `json:"level"`
	Short  []byte `json:"short"`
}

func (r *rawJSON) write(s solveStatus) { _ = r.out.Encode(s) } // nobody reads any more

// Begin announces a task.
func (r *rawJSON) Begin(name string) build.Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks++
	now := r.clock()
	t := &rawTask{r: r, v: vertex{Name: name, Started: &now}}
	t.v.Digest = fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Appendf(nil, "%d %s", r.tasks, name)))
	r.write(solveStatus{Vertexes: []vertex{t.v}})
	return t
}

func (r *rawJSON) close() {}

type rawTask struct {
	r *rawJSON
	v vertex
}

// Cached says so.
func (t *rawTask) Cached() {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.v.Cached = true
}

// Status is a line about progress.
func (t *rawTask) Status(text string) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	now := t.r.clock()
	t.r.write(solveStatus{Statuses: []vertexStatus{{ID: text, Vertex: t.v.Digest, Timestamp: now, Completed: &now}}})
}

// Output is a process's.
func (t *rawTask) Output(stream int, data []byte) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.write(solveStatus{Logs: []vertexLog{{Vertex: t.v.Digest, Stream: stream, Data: data, Timestamp: t.r.clock()}}})
}

// Warn is for the user.
func (t *rawTask) Warn(text string) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.write(solveStatus{Warnings: []vertexWarning{{Vertex: t.v.Digest, Level: 1, Short: []byte(text)}}})
}

// Done ends the task.
func (t *rawTask) Done(err error) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	now := t.r.clock()
	t.v.Completed = &now
	if err != nil {
		t.v.Error = err.Error()
	}
	t.r.write(solveStatus{Vertexes: []vertex{t.v}})
}
