// early.c starts the stage for an ordinary `run` before the Go runtime of this
// process starts: the monitor and its init are then ready when their
// configuration is. Which file is the stage and which namespaces it shall make
// says a link that Go wrote after a `run` (rootless.SetEarly); Go uses the early
// stage only if the link said what Go would have done, so that nothing here has
// to be right, only mostly.

#define _GNU_SOURCE
#include "early.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "entry.h"

// Newer than the oldest C library that we build with.
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define TREE_CLONE 1      // OPEN_TREE_CLONE
#define ATTR_RDONLY 1     // MOUNT_ATTR_RDONLY
#define ATTR_NOSUID 2     // MOUNT_ATTR_NOSUID
#define ATTR_NODEV 4      // MOUNT_ATTR_NODEV

// Descriptors from here on are clear of those that a child's are moved to.
#define HIGH_FD 64
// The stage finds its parent's socket here.
#define CONTROL_FD 3

static int starts(const char *word, const char *with) { return !strncmp(word, with, strlen(with)); }

// plain_network reports whether a value of --network makes a network namespace.
static int plain_network(const char *value) {
	return value && !starts(value, "host") && !starts(value, "container:") && !starts(value, "ns:");
}

// skiff_plain reports whether a command line of run, from behind the verb, is
// likely one of the ordinary kind: the usual namespaces, no terminal, no input.
// What belongs to the container's own command is not told apart.
int skiff_plain(char **argv) {
	static const char *const special[] = {"--interactive", "--tty", "--pid", "--ipc", "--uts", "--userns", "--cgroupns",
		"--uidmap", "--gidmap", "--help", 0};
	for (; *argv; argv++) {
		const char *a = *argv;
		if (a[0] != '-' || !a[1])
			continue;
		size_t name = strcspn(a, "=");
		if (a[1] != '-') {
			if (strcspn(a, "ith") < name)
				return 0;
			continue;
		}
		for (const char *const *s = special; *s; s++)
			if (starts(a, *s))
				return 0;
		if (starts(a, "--net") && !plain_network(a[name] ? a + name + 1 : argv[1]))
			return 0;
	}
	return 1;
}

static int non_empty(const char *path) {
	char c;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int n = fd < 0 ? -1 : (int)read(fd, &c, 1);
	if (fd >= 0)
		close(fd);
	return n == 1;
}

// await_maps waits until both id maps are written: a program that is executed
// before has no ids, and with them loses its capabilities (capabilities(7)).
// The other ends of mapped are the mappers'; they are the sign, the maps the
// proof. Whose maps they are has gone when parent is not our parent any more,
// which it may not have been from the first: asking for it here would be too late.
static int await_maps(int mapped, int parent) {
	char c;
	while (read(mapped, &c, 1) < 0 && errno == EINTR)
		;
	while (!non_empty("/proc/self/uid_map") || !non_empty("/proc/self/gid_map")) {
		if (getppid() != parent)
			return -1;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, 0);
	}
	return 0;
}

// become_stage is the child's: the same as lifecycle.spawnStage does.
static void become_stage(int program, int sock, int mapped, int parent, char *hint) {
	char path[32];
	char *argv[] = {"skiff:monitor", hint, 0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	prctl(PR_SET_TIMERSLACK, SKIFF_TIMER_SLACK, 0, 0, 0);
	if (mapped >= 0 && await_maps(mapped, parent))
		_exit(127);
	snprintf(path, sizeof path, "/proc/self/fd/%d", program);
	if (null >= 0 && setsid() >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2 &&
		dup2(sock, CONTROL_FD) == CONTROL_FD)
		execve(path, argv, skiff_early_env);
	_exit(127);
}

// open_program opens the stage through a read-only mount of its own, as package
// embedded does, out of the way of low descriptors.
static int open_program(const char *path, long long *size) {
	struct { // struct mount_attr
		unsigned long long set, clear, propagation, userns;
	} attr = {.set = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV};
	struct stat st;
	struct statvfs fs;
	int high = -1;
	int low = (int)syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (low < 0)
		return -1;
	if (!fstat(low, &st) && S_ISREG(st.st_mode) && !fstatvfs(low, &fs) && !(fs.f_flag & ST_NOEXEC) &&
		!syscall(SYS_mount_setattr, low, "", AT_EMPTY_PATH, &attr, sizeof attr))
		high = fcntl(low, F_DUPFD_CLOEXEC, HIGH_FD);
	close(low);
	*size = st.st_size;
	return high;
}

// skiff_start_early starts the stage that store's link names. mapped is the
// reading end of a pipe that the mappers hold open, or -1 when ids are there.
void skiff_start_early(const char *store, int mapped) {
	char path[4096 + 256], *hint;
	char *what = skiff_entry.early_what;
	int sock[2];
	int at = snprintf(path, sizeof path, "%s/cache/early", store);
	if (at < 0 || at >= 4096)
		return;
	ssize_t n = readlink(path, what, sizeof skiff_entry.early_what - 1);
	if (n <= 0 || n == sizeof skiff_entry.early_what - 1)
		return;
	what[n] = 0;
	// "stage-<sum> <what the monitor is told>"; nothing that leads elsewhere.
	hint = strchr(what, ' ');
	if (!hint || !starts(what, "stage-") || strchr(what, '/'))
		return;
	snprintf(path + at - (int)strlen("early"), sizeof path - (size_t)at, "%.*s", (int)(hint - what), what);
	int program = open_program(path, &skiff_entry.early_size);
	if (program < 0)
		return;
	if (!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)) {
		int high = fcntl(sock[1], F_DUPFD_CLOEXEC, HIGH_FD);
		int self = getpid(), pid = high < 0 ? -1 : fork();
		if (!pid)
			become_stage(program, high, mapped, self, hint + 1);
		close(sock[1]);
		if (high >= 0)
			close(high);
		if (pid > 0)
			skiff_entry.early = sock[0];
		else
			close(sock[0]);
	}
	close(program);
}
