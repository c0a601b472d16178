package translate

import (
	"fmt"
	"slices"
	"strings"
)

// The fields that are honoured. A name stands for all below it; [] is any element
// of a list. Whatever else a manifest sets is an error.
var containerFields = []string{
	"name", "image", "command", "args", "workingDir", "env", "envFrom", "imagePullPolicy", "stdin", "stdinOnce", "tty",
	"ports[].name", "ports[].containerPort", "ports[].hostPort", "ports[].hostIP", "ports[].protocol",
	"resources.limits.cpu", "resources.limits.memory", "resources.requests.cpu", "resources.requests.memory",
	"livenessProbe.exec", "livenessProbe.httpGet", "livenessProbe.tcpSocket", "livenessProbe.grpc", "livenessProbe.initialDelaySeconds",
	"livenessProbe.periodSeconds", "livenessProbe.timeoutSeconds", "livenessProbe.failureThreshold", "livenessProbe.successThreshold",
	"startupProbe.exec", "startupProbe.httpGet", "startupProbe.tcpSocket", "startupProbe.grpc", "startupProbe.initialDelaySeconds",
	"startupProbe.periodSeconds", "startupProbe.timeoutSeconds", "startupProbe.failureThreshold", "startupProbe.successThreshold",
	"readinessProbe.exec", "readinessProbe.httpGet", "readinessProbe.tcpSocket", "readinessProbe.grpc", "readinessProbe.initialDelaySeconds",
	"readinessProbe.periodSeconds", "readinessProbe.timeoutSeconds", "readinessProbe.failureThreshold", "readinessProbe.successThreshold",
	"lifecycle.postStart.exec", "lifecycle.postStart.httpGet", "lifecycle.postStart.tcpSocket", "lifecycle.postStart.sleep",
	"lifecycle.preStop.exec", "lifecycle.preStop.httpGet", "lifecycle.preStop.tcpSocket", "lifecycle.preStop.sleep",
	"securityContext.allowPrivilegeEscalation", "securityContext.capabilities", "securityContext.privileged",
	"securityContext.readOnlyRootFilesystem", "securityContext.runAsUser", "securityContext.runAsGroup", "securityContext.runAsNonRoot",
	"securityContext.seccompProfile",
	"volumeMounts[].name", "volumeMounts[].mountPath", "volumeMounts[].readOnly", "volumeMounts[].subPath",
	"volumeMounts[].subPathExpr", "volumeMounts[].mountPropagation", "volumeMounts[].recursiveReadOnly",
	"terminationMessagePath", "terminationMessagePolicy", // Kubernetes' own report, which nobody reads here
}

var specFields = []string{
	"restartPolicy", "terminationGracePeriodSeconds", "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostAliases",
	"hostname", "dnsPolicy", "dnsConfig", "enableServiceLinks", "automountServiceAccountToken", "schedulerName", "nodeSelector",
	"securityContext.runAsUser", "securityContext.runAsGroup", "securityContext.runAsNonRoot", "securityContext.supplementalGroups",
	"securityContext.fsGroup", "securityContext.sysctls", "securityContext.seccompProfile",
	"volumes[].name", "volumes[].hostPath", "volumes[].emptyDir", "volumes[].persistentVolumeClaim.claimName",
	"volumes[].persistentVolumeClaim.readOnly", "volumes[].configMap", "volumes[].secret", "volumes[].projected.defaultMode",
	"volumes[].projected.sources[].configMap", "volumes[].projected.sources[].secret", "volumes[].projected.sources[].downwardAPI",
	"volumes[].downwardAPI", "volumes[].image", "hostUsers", "serviceAccountName", "serviceAccount",
}

var metaFields = []string{"name", "namespace", "labels", "annotations", "creationTimestamp"}

// podFields are those of a Pod, or of the template of one below prefix.
func podFields(prefix string) []string {
	all := []string{prefix + "spec.containers", prefix + "spec.initContainers"}[:0]
	for _, f := range metaFields {
		all = append(all, prefix+"metadata."+f)
	}
	for _, f := range specFields {
		all = append(all, prefix+"spec."+f)
	}
	for _, list := range []string{"containers[].", "initContainers[]."} {
		for _, f := range containerFields {
			all = append(all, prefix+"spec."+list+f)
		}
	}
	return append(all, "kind", "apiVersion", "status")
}

// workloadFields are those of what has a template of pods; how pods are replaced
// one by one means nothing where there is one machine.
var workloadFields = func() []string {
	all := append(podFields("spec.template."),
		"spec.replicas", "spec.selector", "spec.strategy", "spec.updateStrategy", "spec.revisionHistoryLimit", "spec.minReadySeconds",
		"spec.progressDeadlineSeconds", "spec.backoffLimit", "spec.ttlSecondsAfterFinished")
	for _, f := range metaFields {
		all = append(all, "metadata."+f)
	}
	return all
}()

// claimFields are those of a PersistentVolumeClaim that is a volume of ours, which is as
// large as the disk and for whoever mounts it.
var claimFields = func() []string {
	all := []string{"kind", "apiVersion", "status", "spec.accessModes", "spec.resources.requests.storage"}
	for _, f := range metaFields {
		all = append(all, "metadata."+f)
	}
	return all
}()

// unsupported names the fields that say something and that none of fields covers.
func (d *document) unsupported(fields []string) error {
	var missing []string
	walk("", "", d.tree, func(pattern, path string) bool {
		for _, f := range fields {
			if pattern == f {
				return true
			}
		}
		// On the way to a field?
		for _, f := range fields {
			if strings.HasPrefix(f, pattern+".") || strings.HasPrefix(f, pattern+"[]") {
				return false
			}
		}
		missing = append(missing, path)
		return true
	})
	slices.Sort(missing)
	if len(missing) > 0 {
		return d.at(missing[0], fmt.Errorf("%s is not supported", strings.Join(missing, ", ")))
	}
	return nil
}

// says reports whether a value is another than what goes without saying.
func says(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	case string:
		return v != ""
	case bool:
		return v
	}
	return true
}

// walk calls covered with every value's place, as pattern and as it is, until it
// returns true for one above.
func walk(pattern, path string, value any, covered func(pattern, path string) bool) {
	if pattern != "" && covered(pattern, path) {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for key, sub := range v {
			if !says(sub) {
				continue
			}
			walk(strings.TrimPrefix(pattern+"."+key, "."), strings.TrimPrefix(path+"."+key, "."), sub, covered)
		}
	case []any:
		for i, sub := range v {
			walk(pattern+"[]", fmt.Sprintf("%s[%d]", path, i), sub, covered)
		}
	}
}
