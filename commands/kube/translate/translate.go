// Package translate turns Kubernetes' YAML into what skiff makes, and back, by
// Kubernetes' own types (https://kubernetes.io/docs/reference/kubernetes-api/). A
// field that has no counterpart here is an error that names it: nothing is dropped
// in silence.
package translate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"skiff/commands/kube/plan"
)

// maxYAML bounds a question, in bytes: Kubernetes takes 1.5 MiB at a time.
const maxYAML = 8 << 20

// Main answers one question on in.
func Main(in io.Reader, out io.Writer) int {
	var q plan.Question
	var a plan.Answer
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if q.Generate != nil {
		a.YAML, a.Warnings, err = generate(q.Generate)
	} else {
		a.Plan, a.Warnings, err = Play(q.Play, q.ConfigMaps)
	}
	if err != nil {
		a = plan.Answer{Error: err.Error()}
	}
	if err := json.NewEncoder(out).Encode(a); err != nil {
		return 1
	}
	return 0
}

// document is one of a stream.
type document struct {
	number int // from 1
	kind   string
	name   string
	text   []byte
	before int // lines of the stream before it, -1 within another document
	tree   any // what decode has read
	// version is apiVersion.
	version string
}

func (d *document) fail(err error) error {
	return fmt.Errorf("document %d (%s %s): %w", d.number, d.kind, d.name, err)
}

// split takes a stream of YAML apart.
func split(text []byte) ([]document, error) {
	if len(text) > maxYAML {
		return nil, fmt.Errorf("the YAML is larger than %d bytes", maxYAML)
	}
	var parts [][]byte
	var part bytes.Buffer
	begins := []int{0} // behind how many lines
	lines := bufio.NewReader(bytes.NewReader(text))
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if trimmed := strings.TrimRight(line, " \t\r\n"); trimmed == "---" || strings.HasPrefix(line, "--- ") {
			parts, begins = append(parts, slices.Clone(part.Bytes())), append(begins, n)
			part.Reset()
			line = strings.TrimPrefix(strings.TrimPrefix(line, "---"), " ")
		}
		part.WriteString(line)
		if err != nil {
			break
		}
	}
	parts = append(parts, part.Bytes())
	var all []document
	for i, p := range parts {
		if blank(p) {
			continue
		}
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal(p, &head); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, syntax(err, begins[i]))
		}
		if head.Kind == "" {
			return nil, fmt.Errorf("document %d has no kind", i+1)
		}
		if head.Kind == "List" {
			items, err := list(p, i+1)
			if err != nil {
				return nil, err
			}
			all = append(all, items...)
			continue
		}
		all = append(all, document{number: i + 1, kind: head.Kind, name: head.Metadata.Name, text: p, before: begins[i], version: head.APIVersion})
	}
	return all, nil
}

// list takes the items out of kind List.
func list(text []byte, number int) ([]document, error) {
	var l struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := yaml.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("document %d: %w", number, err)
	}
	var all []document
	for _, item := range l.Items {
		inner, err := split(append([]byte("\n"), item...))
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", number, err)
		}
		for _, d := range inner {
			d.number, d.before = number, -1
			all = append(all, d)
		}
	}
	return all, nil
}

func blank(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// decode reads a document strictly: an unknown field and one that is there twice
// are errors.
func decode(d *document, into any) error {
	if want := versions[d.kind]; d.version != want {
		return d.fail(d.at("apiVersion", fmt.Errorf("apiVersion: %q is not %s", d.version, want)))
	}
	data, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		return d.fail(syntax(err, max(d.before, 0)))
	}
	if err := json.Unmarshal(data, &d.tree); err != nil {
		return d.fail(err)
	}
	strict, err := kjson.UnmarshalStrict(data, into)
	if err != nil {
		return d.fail(d.wrong(data, into, err))
	}
	for i, s := range strict {
		strict[i] = d.wrong(data, into, s)
	}
	if len(strict) > 0 {
		return d.fail(errors.New(strings.ReplaceAll(errors.Join(strict...).Error(), "\n", "; ")))
	}
	return nil
}

// versions are the apiVersions of the kinds that are understood.
var versions = map[string]string{
	"ConfigMap": "v1", "Secret": "v1", "Pod": "v1", "Service": "v1", "PersistentVolumeClaim": "v1",
	"Deployment": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1",
}

// Play plans what the documents describe.
func Play(text []byte, more [][]byte) (*plan.Plan, []string, error) {
	docs, err := split(text)
	if err != nil {
		return nil, nil, err
	}
	p := &player{plan: &plan.Plan{}, configMaps: map[string]*corev1.ConfigMap{}, secrets: map[string]*corev1.Secret{}}
	for _, extra := range more {
		found, err := split(extra)
		if err != nil {
			return nil, nil, fmt.Errorf("--configmap: %w", err)
		}
		for i := range found {
			if found[i].kind != "ConfigMap" && found[i].kind != "Secret" {
				return nil, nil, fmt.Errorf("--configmap: %w", found[i].fail(errors.New("is neither a ConfigMap nor a Secret")))
			}
			if err := p.sources(&found[i]); err != nil {
				return nil, nil, fmt.Errorf("--configmap: %w", err)
			}
		}
	}
	// What others refer to may stand behind them.
	for i := range docs {
		if err := p.sources(&docs[i]); err != nil {
			return nil, nil, err
		}
	}
	for i := range docs {
		if err := p.workload(&docs[i]); err != nil {
			return nil, nil, err
		}
	}
	if err := p.serve(); err != nil {
		return nil, nil, err
	}
	if len(p.plan.Pods)+len(p.plan.Volumes) == 0 && len(docs) == 0 {
		return nil, nil, errors.New("the YAML has no document")
	}
	return p.plan, p.warnings, p.unique()
}

// player collects a plan.
type player struct {
	plan       *plan.Plan
	configMaps map[string]*corev1.ConfigMap
	secrets    map[string]*corev1.Secret
	services   []*corev1.Service
	// serviceTexts are their documents.
	serviceTexts []*document
	pods         []podFacts // of the plan's pods, in their order
	ports        []claimed  // of this machine
	warnings     []string
}

// podFacts are what Services look at of a pod.
type podFacts struct {
	meta *metaObject
	spec *corev1.PodSpec
}

func (p *player) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.warnings, text) { // replicas are all alike
		p.warnings = append(p.warnings, text)
	}
}

// sources notes ConfigMaps and Secrets.
func (p *player) sources(d *document) error {
	switch d.kind {
	case "ConfigMap":
		m := &corev1.ConfigMap{}
		if err := decode(d, m); err != nil {
			return err
		}
		p.configMaps[m.Name] = m
	case "Secret":
		s := &corev1.Secret{}
		if err := decode(d, s); err != nil {
			return err
		}
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		for k, v := range s.StringData {
			s.Data[k] = []byte(v)
		}
		p.secrets[s.Name] = s
	}
	return nil
}

// workload plans what runs, and volumes.
func (p *player) workload(d *document) error {
	var err error
	switch d.kind {
	case "ConfigMap", "Secret":
		return nil
	case "Pod":
		pod := &corev1.Pod{}
		if err = decode(d, pod); err == nil {
			err = d.unsupported(podFields(""))
		}
		if err == nil {
			err = p.pod(pod.Name, &pod.ObjectMeta, &pod.Spec)
		}
	case "Deployment":
		x := &appsv1.Deployment{}
		if err = decode(d, x); err == nil {
			err = d.unsupported(workloadFields)
		}
		if err == nil {
			err = p.replicas(x.Name, x.Spec.Replicas, &x.Spec.Template)
		}
	case "DaemonSet":
		x := &appsv1.DaemonSet{}
		if err = decode(d, x); err == nil {
			err = d.unsupported(workloadFields)
		}
		if err == nil {
			err = p.replicas(x.Name, nil, &x.Spec.Template)
		}
	case "Job":
		x := &batchv1.Job{}
		if err = decode(d, x); err == nil {
			err = d.unsupported(workloadFields)
		}
		if err == nil {
			err = p.replicas(x.Name, nil, &x.Spec.Template)
		}
	case "PersistentVolumeClaim":
		x := &corev1.PersistentVolumeClaim{}
		if err = decode(d, x); err == nil {
			if err := d.unsupported(claimFields); err != nil {
				p.warn("PersistentVolumeClaim %s: %v: it has no effect", x.Name, err)
			}
			p.plan.Volumes = append(p.plan.Volumes, plan.Volume{Name: x.Name, Labels: x.Labels})
		}
	case "Service":
		x := &corev1.Service{}
		if err = decode(d, x); err == nil {
			p.services = append(p.services, x)
			p.serviceTexts = append(p.serviceTexts, d)
		}
	default:
		err = errors.New("kinds that are understood are Pod, Deployment, DaemonSet, Job, PersistentVolumeClaim, ConfigMap, Secret and Service")
	}
	switch {
	case err == nil || strings.HasPrefix(err.Error(), "document "):
		return err
	case !strings.HasPrefix(err.Error(), "line "):
		err = d.at(d.about(err.Error()), err)
	}
	return d.fail(err)
}

// replicas plans the pods of something that has a template of them.
func (p *player) replicas(name string, n *int32, template *corev1.PodTemplateSpec) error {
	count := int32(1)
	if n != nil {
		count = *n
	}
	if count > 100 {
		return fmt.Errorf("spec.replicas: %d are too many for one machine (100)", count)
	}
	for i := range count {
		pod := name + "-pod"
		if count > 1 {
			pod = fmt.Sprintf("%s-pod-%d", name, i)
			for _, c := range template.Spec.Containers {
				for _, port := range c.Ports {
					if port.HostPort > 0 {
						return fmt.Errorf("spec.template.spec.containers[%s].ports: %d replicas cannot publish one hostPort %d", c.Name, count, port.HostPort)
					}
				}
			}
		}
		if err := p.pod(pod, &template.ObjectMeta, &template.Spec); err != nil {
			return err
		}
	}
	return nil
}

// unique refuses what would be made twice.
func (p *player) unique() error {
	names := map[string]bool{}
	for _, pod := range p.plan.Pods {
		if names[pod.Name] {
			return fmt.Errorf("pod %s is there twice", pod.Name)
		}
		names[pod.Name] = true
		for _, c := range pod.Containers {
			if names[c.Name] {
				return fmt.Errorf("container %s is there twice", c.Name)
			}
			names[c.Name] = true
		}
	}
	return nil
}
