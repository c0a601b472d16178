package build_test

import (
	"strings"
	"testing"

	"skiff/tests/harness"
)

// untidy has something of what most rules are against, by line.
const untidy = `# syntax=docker/dockerfile:1
ARG TAG=latest EMPTY
FROM --platform=$TARGETPLATFORM busybox:$TAG as Base
from busybox AS scratch
FROM --platform=linux/amd64 busybox AS same
FROM busybox$TYPO AS same
FROM busybox
MAINTAINER me
ENV KEY value
ENV API_TOKEN=x PUBLIC_KEY=y
WORKDIR relative
EXPOSE 80/TCP 127.0.0.1:81:80
RUN echo \

    done
COPY ignored.txt $NOWHERE /
CMD one
CMD two
HEALTHCHECK NONE
`

func TestCheck_TellsWhatIsUntidy(t *testing.T) {
	s, dir := begin(t, untidy, ".dockerignore", "ignored.txt\n", "ignored.txt", "")
	r := s.Skiff("build", "--check", dir).Exits(1)
	var rules []string
	for _, line := range strings.Split(r.Stdout, "\n") {
		if rule, ok := strings.CutPrefix(line, "WARNING: "); ok {
			rule, _, _ = strings.Cut(rule, " ")
			rules = append(rules, rule)
		}
	}
	harness.Equal(t, "rules", strings.Join(rules, "\n"), strings.Join([]string{
		"StageNameCasing", "FromAsCasing", "RedundantTargetPlatform",
		"FromAsCasing", "ConsistentInstructionCasing", "ReservedStageName",
		"FromPlatformFlagConstDisallowed",
		"DuplicateStageName", "UndefinedArgInFrom",
		"MaintainerDeprecated", "LegacyKeyValueFormat", "SecretsUsedInArgOrEnv", "SecretsUsedInArgOrEnv",
		"WorkdirRelativePath", "ExposeInvalidFormat", "ExposeProtoCasing", "NoEmptyContinuation",
		"UndefinedVar", "CopyIgnoredFile", "JSONArgsRecommended", "MultipleInstructionsDisallowed", "JSONArgsRecommended",
	}, "\n"))
	r.Says("Check complete, 22 warnings have been found!\n\nWARNING: ").
		Says("WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/\n" +
			"\"ENV key=value\" should be used instead of legacy \"ENV key value\" format\nDockerfile:9\n--------------------\n" +
			"   7 |     FROM busybox\n   8 |     MAINTAINER me\n   9 | >>> ENV KEY value\n")
	harness.Equal(t, "images", s.OK("images", "-q", "-f", "dangling=true"), "")
}

func TestCheck_ABuildSaysItToo(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nENV A b\nCMD $A\n")
	s.Skiff("build", dir).Exits(0).Complains("\n 2 warnings found (use docker --debug to expand):\n" +
		" - LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format (line 2)\n" +
		" - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 3)\n")
	harness.Equal(t, "a quiet build says", s.Skiff("build", "-q", dir).Exits(0).Stderr, "")

	s.WriteFile("c/Dockerfile", "# check=skip=JSONArgsRecommended;error=true\nFROM busybox\nCMD x\nENV A b\nRUN false\n")
	s.Skiff("build", dir).Exits(1).Complains("lint violation found for rules: LegacyKeyValueFormat")
	s.Skiff("build", "--call=check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", dir).Exits(0).Prints("Check complete, no warnings found.")
	s.WriteFile("c/Dockerfile", "# check=nonsense\nFROM busybox\n")
	s.Skiff("build", dir).Exits(1).Complains(`invalid check option "nonsense"`)
	// A base that is not there is not fetched for it, and nobody guesses its variables.
	s.WriteFile("c/Dockerfile", "FROM 127.0.0.1:1/absent\nWORKDIR $GOPATH\n")
	s.Skiff("build", "--check", dir).Exits(0).Prints("Check complete, no warnings found.")
}
