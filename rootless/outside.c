// outside.c leaves a process behind before entry.c enters the user namespace, for
// what only the user himself can do: run docker's credential helpers, which ask
// a keyring over D-Bus or unlock a key of the user's. Inside they would be root
// to themselves and a stranger to the session's bus.
//
// Most users have no helper, and nobody pays for one that is not asked: the
// process is forked only where config.json names one, and becomes a program of
// its own with the first request. It ends when nobody is left to ask.

#define _GNU_SOURCE
#include "outside.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// names_helper looks for credsStore and credHelpers in docker's config.json,
// without understanding it: a wrong guess costs a fork.
static int names_helper(char **argv) {
	char path[4096], text[65536];
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	for (; *argv; argv++)
		if (!strncmp(*argv, "--config", 8))
			return 1;
	int n = dir && *dir ? snprintf(path, sizeof path, "%s/config.json", dir)
		: snprintf(path, sizeof path, "%s/.docker/config.json", home ? home : "");
	if (n < 0 || n >= (int)sizeof path)
		return 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, text, sizeof text);
	close(fd);
	return got > 0 && memmem(text, got, "\"cred", 5);
}

// skiff_leave_outside returns the socket to the process, 0 where none is wanted
// or can be had.
int skiff_leave_outside(char **argv) {
	int pair[2];
	char c;
	if (!names_helper(argv) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return 0;
	int pid = fork();
	if (pid) {
		close(pair[1]);
		if (pid > 0)
			return pair[0];
		close(pair[0]);
		return 0;
	}
	close(pair[0]);
	char *const role[] = {SKIFF_HELPER_ROLE, 0};
	if (recv(pair[1], &c, 1, MSG_PEEK) != 1)
		_exit(0);
	if (pair[1] == SKIFF_HELPER_FD ? !fcntl(pair[1], F_SETFD, 0) : dup2(pair[1], SKIFF_HELPER_FD) >= 0)
		execv("/proc/self/exe", role);
	_exit(127);
}
