// Package service is what a pod is known as on its networks: Kubernetes' Services
// that select it. Standard library only, because the translator of Kubernetes' YAML
// links it.
// https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
package service

// Service is one of Kubernetes', as far as it means something on one machine.
type Service struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"` // empty: default
	Selector  map[string]string `json:"selector"`
	Headless  bool              `json:"headless,omitempty"` // clusterIP None
	Ports     []Port            `json:"ports,omitempty"`
}

// Port is one of a Service's. Target is a number or a name, empty for Port's number;
// nothing forwards from one to the other here.
type Port struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol,omitempty"` // TCP, or empty for it; UDP, SCTP
	Port     int32  `json:"port"`
	Target   string `json:"target,omitempty"`
}

// Names are what others find the Service under, in a cluster of the usual domain.
func (s *Service) Names() []string {
	namespace := s.Namespace
	if namespace == "" {
		namespace = "default"
	}
	long := s.Name + "." + namespace
	return []string{s.Name, long, long + ".svc", long + ".svc.cluster.local"}
}
