package quadlet

import "sync"

// how says what becomes of a key of a Quadlet section.
type how int

const (
	each    how = iota + 1 // every value is one --flag
	words                  // every value is words, each one --flag
	once                   // the last value is one --flag
	boolean                // the last value is --flag, or --flag=false
	ours                   // translated by code that knows the key by name
	refused                // an error says that, and why; the value false is nothing
	warned                 // a warning says that it does nothing, and why
)

// rule is what is known of one key.
type rule struct {
	how  how
	flag string
	why  string // for refused and warned
}

const (
	noModules = "skiff reads no modules of containers.conf"
	noRetry   = "skiff retries failed transfers by rules of its own"
	noLabels  = "skiff sets no SELinux labels"
	noHealth  = "skiff keeps docker's five last results of a health check"
)

// rules are the keys of podman-systemd.unit(5), by section.
var rules = sync.OnceValue(func() map[string]map[string]rule {
	return map[string]map[string]rule{
		"Container": {
			"AddCapability": {words, "cap-add", ""}, "AddDevice": {how: ours}, "AddHost": {each, "add-host", ""},
			"Annotation": {words, "annotation", ""}, "AutoUpdate": {how: ours}, "CgroupsMode": {how: ours},
			"ContainerName": {how: ours}, "ContainersConfModule": {warned, "", noModules},
			"DNS": {each, "dns", ""}, "DNSOption": {each, "dns-option", ""}, "DNSSearch": {each, "dns-search", ""},
			"DropCapability": {words, "cap-drop", ""}, "Entrypoint": {how: ours}, "Environment": {words, "env", ""},
			"EnvironmentFile": {how: ours}, "EnvironmentHost": {refused, "", "the unit's own environment is not the container's; name what it needs with Environment="},
			"Exec": {how: ours}, "ExposeHostPort": {each, "expose", ""}, "GIDMap": {each, "gidmap", ""}, "GlobalArgs": {how: ours},
			"Group": {how: ours}, "GroupAdd": {each, "group-add", ""}, "HealthCmd": {how: ours},
			"HealthInterval": {once, "health-interval", ""}, "HealthLogDestination": {warned, "", noHealth},
			"HealthMaxLogCount": {warned, "", noHealth}, "HealthMaxLogSize": {warned, "", noHealth},
			"HealthOnFailure": {once, "health-on-failure", ""}, "HealthRetries": {once, "health-retries", ""},
			"HealthStartPeriod": {once, "health-start-period", ""}, "HealthStartupCmd": {how: ours},
			"HealthStartupInterval": {once, "health-startup-interval", ""}, "HealthStartupRetries": {once, "health-startup-retries", ""},
			"HealthStartupSuccess": {once, "health-startup-success", ""}, "HealthStartupTimeout": {once, "health-startup-timeout", ""},
			"HealthTimeout": {once, "health-timeout", ""}, "HostName": {once, "hostname", ""}, "IP": {once, "ip", ""}, "IP6": {once, "ip6", ""},
			"Image": {how: ours}, "Label": {words, "label", ""}, "LogDriver": {once, "log-driver", ""}, "LogOpt": {each, "log-opt", ""},
			"Mask": {how: ours}, "Memory": {once, "memory", ""}, "Mount": {how: ours},
			"Network": {how: ours}, "NetworkAlias": {each, "network-alias", ""}, "NoNewPrivileges": {how: ours}, "Notify": {how: ours},
			"PidsLimit": {once, "pids-limit", ""}, "Pod": {how: ours}, "PodmanArgs": {how: ours}, "PublishPort": {each, "publish", ""},
			"Pull": {once, "pull", ""}, "ReadOnly": {boolean, "read-only", ""}, "ReadOnlyTmpfs": {how: ours}, "ReloadCmd": {how: ours},
			"ReloadSignal": {how: ours}, "RemapGid": {how: ours}, "RemapUid": {how: ours}, "RemapUidSize": {how: ours}, "RemapUsers": {how: ours},
			"Retry": {warned, "", noRetry}, "RetryDelay": {warned, "", noRetry}, "Rootfs": {how: ours}, "RunInit": {boolean, "init", ""},
			"SeccompProfile": {how: ours}, "Secret": {each, "secret", ""}, "SecurityLabelDisable": {how: ours},
			"SecurityLabelFileType": {warned, "", noLabels}, "SecurityLabelLevel": {warned, "", noLabels},
			"SecurityLabelNested": {warned, "", noLabels}, "SecurityLabelType": {warned, "", noLabels}, "ServiceName": {how: ours},
			"ShmSize": {once, "shm-size", ""}, "StartWithPod": {how: ours}, "StopSignal": {once, "stop-signal", ""}, "StopTimeout": {once, "stop-timeout", ""},
			"SubGIDMap": {refused, "", "name the ids with GIDMap="}, "SubUIDMap": {refused, "", "name the ids with UIDMap="},
			"Sysctl": {words, "sysctl", ""}, "Timezone": {once, "tz", ""}, "Tmpfs": {each, "tmpfs", ""}, "UIDMap": {each, "uidmap", ""},
			"Ulimit": {each, "ulimit", ""}, "Unmask": {how: ours}, "User": {how: ours}, "UserNS": {once, "userns", ""},
			"VolatileTmp": {how: ours}, "Volume": {how: ours}, "WorkingDir": {once, "workdir", ""},
		},
		"Volume": {
			"ContainersConfModule": {warned, "", noModules}, "Copy": {how: ours}, "Device": {how: ours}, "Driver": {how: ours}, "GlobalArgs": {how: ours},
			"Group": {how: ours}, "Image": {refused, "", "skiff has no volumes made of images; mount the image with Mount=type=image"},
			"Label": {words, "label", ""}, "Options": {how: ours}, "PodmanArgs": {how: ours}, "ServiceName": {how: ours},
			"Type": {how: ours}, "User": {how: ours}, "VolumeName": {how: ours},
		},
		"Network": {
			"ContainersConfModule": {warned, "", noModules}, "DNS": {refused, "", "name servers belong to a container (DNS=), not to a network"},
			"DisableDNS": {refused, "", "skiff's networks always resolve names"}, "Driver": {once, "driver", ""}, "Gateway": {each, "gateway", ""},
			"GlobalArgs": {how: ours}, "IPAMDriver": {once, "ipam-driver", ""}, "IPRange": {each, "ip-range", ""}, "IPv6": {boolean, "ipv6", ""},
			"InterfaceName": {warned, "", "a bridge of skiff's lives in a network namespace of its own, where its name meets no other"},
			"Internal":      {boolean, "internal", ""}, "Label": {words, "label", ""}, "NetworkDeleteOnStop": {how: ours}, "NetworkName": {how: ours},
			"Options": {each, "opt", ""}, "PodmanArgs": {how: ours}, "ServiceName": {how: ours}, "Subnet": {each, "subnet", ""},
		},
		"Image": {
			"AllTags": {boolean, "all-tags", ""}, "Arch": {how: ours}, "AuthFile": {how: ours},
			"CertDir": {refused, "", "certificates of a registry belong into certs.d/<registry>"}, "ContainersConfModule": {warned, "", noModules},
			"Creds": {refused, "", "credentials do not belong into a unit, which everybody may read: run `skiff login`"}, "DecryptionKey": {refused, "", "skiff decrypts no images"},
			"GlobalArgs": {how: ours}, "Image": {how: ours}, "ImageTag": {how: ours}, "OS": {how: ours}, "PodmanArgs": {how: ours},
			"Retry": {warned, "", noRetry}, "RetryDelay": {warned, "", noRetry}, "ServiceName": {how: ours},
			"TLSVerify": {how: ours}, "Variant": {how: ours},
		},
		"Build": {
			"Annotation": {words, "annotation", ""}, "Arch": {how: ours}, "AuthFile": {how: ours}, "BuildArg": {words, "build-arg", ""},
			"ContainersConfModule": {warned, "", noModules}, "DNS": {refused, "", "skiff build takes the machine's name servers"},
			"DNSOption": {refused, "", "skiff build takes the machine's name servers"}, "DNSSearch": {refused, "", "skiff build takes the machine's name servers"},
			"Environment": {refused, "", "skiff build has no variables of its own in an image; use BuildArg="}, "File": {how: ours},
			"ForceRM": {warned, "", "skiff build leaves no containers"}, "GlobalArgs": {how: ours}, "GroupAdd": {refused, "", "skiff build adds no groups"},
			"IgnoreFile": {refused, "", "the file belongs beside the Dockerfile, as <Dockerfile>.dockerignore"},
			"ImageTag":   {each, "tag", ""}, "Label": {words, "label", ""}, "Network": {how: ours}, "PodmanArgs": {how: ours}, "Pull": {how: ours},
			"Retry": {warned, "", noRetry}, "RetryDelay": {warned, "", noRetry}, "Secret": {each, "secret", ""}, "ServiceName": {how: ours},
			"SetWorkingDirectory": {how: ours}, "TLSVerify": {how: ours}, "Target": {once, "target", ""}, "Variant": {how: ours},
			"Volume": {refused, "", "mount into a step with RUN --mount in the Dockerfile"},
		},
		"Pod": {
			"AddHost": {each, "add-host", ""}, "ContainersConfModule": {warned, "", noModules}, "DNS": {each, "dns", ""},
			"DNSOption": {each, "dns-option", ""}, "DNSSearch": {each, "dns-search", ""}, "ExitPolicy": {how: ours}, "GIDMap": {each, "gidmap", ""},
			"GlobalArgs": {how: ours}, "HostName": {once, "hostname", ""}, "IP": {once, "ip", ""}, "IP6": {once, "ip6", ""}, "Label": {words, "label", ""},
			"Network": {how: ours}, "NetworkAlias": {each, "network-alias", ""}, "PodName": {how: ours}, "PodmanArgs": {how: ours},
			"PublishPort": {each, "publish", ""}, "ServiceName": {how: ours}, "ShmSize": {once, "shm-size", ""}, "StopTimeout": {how: ours},
			"SubGIDMap": {refused, "", "name the ids with GIDMap="}, "SubUIDMap": {refused, "", "name the ids with UIDMap="},
			"UIDMap": {each, "uidmap", ""}, "UserNS": {once, "userns", ""}, "Volume": {how: ours},
		},
		"Kube": {
			"AutoUpdate": {how: ours}, "ConfigMap": {how: ours}, "ContainersConfModule": {warned, "", noModules}, "ExitCodePropagation": {how: ours},
			"GlobalArgs": {how: ours}, "KubeDownForce": {how: ours}, "LogDriver": {once, "log-driver", ""}, "Network": {how: ours},
			"PodmanArgs": {how: ours}, "PublishPort": {each, "publish", ""}, "ServiceName": {how: ours}, "SetWorkingDirectory": {how: ours},
			"UserNS": {refused, "", "the pods of a manifest have the user's own namespace"}, "Yaml": {how: ours},
		},
		"Quadlet": {"DefaultDependencies": {how: ours}},
	}
})
