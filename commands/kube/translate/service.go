package translate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/commands/kube/plan"
	"skiff/storage/container/service"
)

// serviceFields are those that are honoured, or that mean nothing where there is one
// machine and a pod is reached itself.
var serviceFields = func() []string {
	all := []string{
		"kind", "apiVersion", "status", "spec.selector", "spec.type", "spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy",
		"spec.internalTrafficPolicy", "spec.externalTrafficPolicy", "spec.publishNotReadyAddresses", "spec.allocateLoadBalancerNodePorts",
		"spec.ports[].name", "spec.ports[].port", "spec.ports[].targetPort", "spec.ports[].protocol", "spec.ports[].appProtocol", "spec.ports[].nodePort",
	}
	for _, f := range metaFields {
		all = append(all, "metadata."+f)
	}
	return all
}()

// dnsLabel is a name as Kubernetes has it (RFC 1123, section 2.1).
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// serve gives pods the names of the Services that select them.
func (p *player) serve() error {
	for i, s := range p.services {
		name := "Service " + s.Name
		if !dnsLabel.MatchString(s.Name) || s.Namespace != "" && !dnsLabel.MatchString(s.Namespace) {
			return fmt.Errorf("%s: metadata.name and metadata.namespace must be of a-z, 0-9 and -, at most 63", name)
		}
		if slices.ContainsFunc(p.services[:i], func(o *corev1.Service) bool {
			return o.Name == s.Name && spaceOf(&o.ObjectMeta) == spaceOf(&s.ObjectMeta)
		}) {
			return fmt.Errorf("%s is there twice", name)
		}
		fields := serviceFields
		if s.Spec.SessionAffinity == corev1.ServiceAffinityNone {
			fields = append(slices.Clone(fields), "spec.sessionAffinity") // so it is without
		}
		if err := p.serviceTexts[i].unsupported(fields); err != nil {
			p.warn("%s: %v: it has no effect", name, err)
		}
		if len(s.Spec.Selector) == 0 {
			p.warn("%s has no effect on one machine: spec.selector is empty", name)
			continue
		}
		switch s.Spec.Type {
		case "", corev1.ServiceTypeClusterIP:
		case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
			p.warn("%s: spec.type %s publishes nothing on this machine: use hostPort, or --publish", name, s.Spec.Type)
		default:
			p.warn("%s has no effect on one machine: spec.type is %s", name, s.Spec.Type)
			continue
		}
		met := false
		for j, facts := range p.pods {
			if spaceOf(facts.meta) != spaceOf(&s.ObjectMeta) || !selects(s.Spec.Selector, facts.meta.Labels) {
				continue
			}
			met = true
			if facts.spec.HostNetwork {
				p.warn("%s: pod %s has this machine's network, where no name is its own", name, p.plan.Pods[j].Name)
				continue
			}
			p.targets(s, p.plan.Pods[j].Name, facts.spec)
			p.plan.Pods[j].Services = append(p.plan.Pods[j].Services, served(s))
		}
		if !met {
			p.warn("%s has no effect: spec.selector selects no pod of this YAML", name)
		}
	}
	return nil
}

func spaceOf(m *metaObject) string {
	if m.Namespace == "" {
		return "default"
	}
	return m.Namespace
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// targets warns of ports that are others in the pod: nothing forwards.
func (p *player) targets(s *corev1.Service, pod string, spec *corev1.PodSpec) {
	for i, port := range s.Spec.Ports {
		target := port.TargetPort.IntVal
		if name := port.TargetPort.StrVal; name != "" {
			for _, c := range spec.Containers {
				if n, err := probePort(&c, name, 0); err == nil {
					target = n
				}
			}
			if target == 0 {
				p.warn("Service %s: spec.ports[%d].targetPort: no port of pod %s is called %q", s.Name, i, pod, name)
				continue
			}
		}
		if target != 0 && target != port.Port {
			p.warn("Service %s: spec.ports[%d].targetPort %d is not port %d, and nothing forwards: ask for %s:%d", s.Name, i, target, port.Port, s.Name, target)
		}
	}
}

// served is what a pod keeps of a Service.
func served(s *corev1.Service) service.Service {
	out := service.Service{
		Name: s.Name, Namespace: s.Namespace, Selector: maps.Clone(s.Spec.Selector), Headless: s.Spec.ClusterIP == corev1.ClusterIPNone,
	}
	for _, port := range s.Spec.Ports {
		target := port.TargetPort.StrVal
		if n := port.TargetPort.IntVal; target == "" && n != 0 && n != port.Port {
			target = strconv.Itoa(int(n))
		}
		protocol := string(port.Protocol)
		if protocol == string(corev1.ProtocolTCP) {
			protocol = ""
		}
		out.Ports = append(out.Ports, service.Port{Name: port.Name, Protocol: protocol, Port: port.Port, Target: target})
	}
	return out
}

// newService is a Service of all ports that g publishes, by its own name.
func (b *describer) newService(g *plan.Generate) {
	app, ok := g.Labels[appLabel]
	if !ok {
		app = label(g.Name)
	}
	s := service.Service{Name: g.Name, Selector: map[string]string{appLabel: app}}
	for _, p := range g.Ports {
		port := service.Port{Name: strings.ToLower(p.Protocol) + "-" + strconv.Itoa(int(p.Container)), Port: p.Container}
		if p.Protocol != string(corev1.ProtocolTCP) {
			port.Protocol = p.Protocol
		}
		if !slices.Contains(s.Ports, port) { // published twice
			s.Ports = append(s.Ports, port)
		}
	}
	switch {
	case len(g.Services) > 0:
	case len(s.Ports) == 0:
		b.warn("no Service: no port is published")
	case !dnsLabel.MatchString(s.Name) || s.Name[0] <= '9': // RFC 1035's, which pods' need not be
		b.warn("no Service: its name, %s, must be of a-z, 0-9 and -, at most 63, and begin with a letter", s.Name)
	default:
		g.Services = append(g.Services, s)
	}
}

// describeServices is served's inverse.
func describeServices(g *plan.Generate) (documents []any) {
	for _, from := range g.Services {
		s := &corev1.Service{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
			ObjectMeta: metav1.ObjectMeta{Name: from.Name, Namespace: from.Namespace},
			Spec:       corev1.ServiceSpec{Selector: from.Selector},
		}
		if from.Headless {
			s.Spec.ClusterIP = corev1.ClusterIPNone
		}
		for _, port := range from.Ports {
			out := corev1.ServicePort{Name: port.Name, Protocol: corev1.Protocol(port.Protocol), Port: port.Port, TargetPort: intstr.FromInt32(port.Port)}
			if port.Target != "" {
				out.TargetPort = intstr.Parse(port.Target)
			}
			s.Spec.Ports = append(s.Spec.Ports, out)
		}
		documents = append(documents, s)
	}
	return documents
}
