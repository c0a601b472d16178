// entry.c enters the user's namespaces before the Go runtime starts, because
// the kernel lets only a single-threaded process change its user namespace
// (unshare(2), setns(2)) and Go is never single-threaded again once it runs.
//
// It decides nothing but "does this command touch layers or containers?" from
// the command's name. What happened is left in skiff_entry for Go to judge.
// The id maps are written by newuidmap(1) and newgidmap(1) while Go already
// starts; rootless.Await joins them. It must not print and must not exit.

#define _GNU_SOURCE
#include "entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "early.h"
#include "outside.h"

// Newer than the oldest C library that we build with.
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct skiff_entry skiff_entry;
char *skiff_early_env[SKIFF_EARLY_ENV + 1] = {"GOGC=off", "GOMAXPROCS=1", "GODEBUG=madvdontneed=1", "GOTRACEBACK=none",
#ifdef SKIFF_RACE
	"GORACE=log_path=/var/tmp/skiff-race/report",
#endif
	0};

// Nouns are looked through to the verb behind them; verbs enter.
static const char *const nouns[] = {"container", "image", "volume", "system", "builder", "buildx", "healthcheck", "pod", "kube", "play", 0};
static const char *const verbs[] = {
	"run", "create", "start", "restart", "exec", "cp", "rm", "remove", "commit", "export", "diff", "pull", "push",
	"load", "save", "import", "rmi", "tag", "build", "prune", "unshare", "df", "check", "update", "recover", "clone", "doctor", "boot",
	"play", "kube", "down", 0};
// The OCI command line's that make a container; the others have the power that
// they need outside, or are started over by Go (rootless.EnterUser).
static const char *const runtime_verbs[] = {"create", "run", 0};
// Verbs that start containers.
static const char *const starters[] = {"run", "start", "restart", "build", "play", "kube", "boot", "clone", 0};
// Verbs that may talk to registries.
static const char *const fetchers[] = {"run", "create", "pull", "push", "build", "play", "kube", 0};
// Global options whose value is a word of its own.
static const char *const valued[] = {"-l", "--log-level", "--config", "-H", "--host", "-c", "--context",
	"--root", "--log", "--log-format", 0};

static int among(const char *word, const char *const *list) {
	for (; *list; list++)
		if (!strcmp(word, *list))
			return 1;
	return 0;
}

// wants_namespace reports whether the verb is one that enters, and notes whether
// it is an ordinary run.
static int wants_namespace(int argc, char **argv) {
	const char *const *wanted = verbs;
	int under_noun = 0;
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-') {
			if ((!under_noun || wanted == runtime_verbs) && among(argv[i], valued))
				i++;
			continue;
		}
		if (!under_noun && among(argv[i], nouns)) {
			under_noun = 1;
			continue;
		}
		if (!under_noun && !strcmp(argv[i], "runtime")) {
			wanted = runtime_verbs;
			under_noun = 1;
			continue;
		}
		if (wanted == verbs && !strcmp(argv[i], "run"))
			skiff_entry.plain = skiff_plain(argv + i + 1);
		skiff_entry.starts = wanted == verbs && among(argv[i], starters);
		skiff_entry.fetches = wanted == verbs && among(argv[i], fetchers);
		return among(argv[i], wanted);
	}
	return 0;
}

// fail keeps the first failure; Go turns it into words.
static int fail(enum skiff_step step) {
	if (!skiff_entry.failed) {
		skiff_entry.failed = step;
		skiff_entry.err = errno;
	}
	return -1;
}

// join_holder enters the user namespace of the process that holds a record lock
// on a file, and returns 0, or -1 when nobody does. The kernel answers F_GETLK
// with the holder's pid, and asking again after its namespace was opened proves
// that the pid was not reused meanwhile.
static int join_holder(int dir, const char *name) {
	int joined = -1, lock = openat(dir, name, O_RDWR | O_CLOEXEC);
	if (lock < 0)
		return -1;
	struct flock before = {.l_type = F_WRLCK}, after = {.l_type = F_WRLCK};
	if (!fcntl(lock, F_GETLK, &before) && before.l_type != F_UNLCK && before.l_pid > 0) {
		char path[64];
		snprintf(path, sizeof path, "/proc/%d/ns/user", (int)before.l_pid);
		int ns = open(path, O_RDONLY | O_CLOEXEC);
		if (ns >= 0) {
			if (!fcntl(lock, F_GETLK, &after) && after.l_type != F_UNLCK && after.l_pid == before.l_pid)
				joined = setns(ns, CLONE_NEWUSER);
			close(ns);
		}
	}
	close(lock);
	return joined;
}

// join_anchor enters the user namespace of this user's network program, of a
// build or of a living monitor, and returns 0, or -1 when there is none.
static int join_anchor(const char *store) {
	char path[4096];
	if (snprintf(path, sizeof path, "%s/networks/.hub.lock", store) >= (int)sizeof path)
		return -1;
	int joined = join_holder(AT_FDCWD, path);
	if (!joined)
		return 0;
	snprintf(path, sizeof path, "%s/build/anchor", store);
	joined = join_holder(AT_FDCWD, path);
	snprintf(path, sizeof path, "%s/running", store);
	DIR *dir = joined ? opendir(path) : 0;
	if (!dir)
		return joined;
	struct dirent *e;
	while (joined && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			joined = join_holder(dirfd(dir), e->d_name);
	closedir(dir);
	return joined;
}

// join_in_turn is join_anchor for who is to start a container: all are in the same
// user namespace, so that they can be on one network, and a command that has entered
// it has power over each. Until a container's monitor lives there is nothing to find
// its namespace by, and an anchor may end right after it was joined. So who has joined
// one holds the store's directory shared until its own container can be the anchor,
// and who makes a namespace, alone, holds it exclusively. Go gives that up
// (rootless.EndTurn), or the kernel when the process ends. Nobody waits for long:
// without a turn the network says what is wrong.
static int join_in_turn(const char *store) {
	int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1; // there is no image yet
	for (int ms = 0; ms <= 5000; ms++) {
		if (!flock(fd, LOCK_SH | LOCK_NB)) {
			skiff_entry.turn = fd;
			if (!join_anchor(store))
				return 0;
			if (!flock(fd, LOCK_EX | LOCK_NB)) {
				// Taken anew: somebody may have become the anchor in between.
				if (join_anchor(store))
					return -1;
				flock(fd, LOCK_SH | LOCK_NB);
				return 0;
			}
			flock(fd, LOCK_UN); // so that nobody waits for us, who wait for others
		}
		usleep(1000);
	}
	skiff_entry.turn = 0;
	close(fd);
	return join_anchor(store);
}

// join_given enters the user namespace on the descriptor that Go left in the
// environment when it executed us again (rootless.EnterUser).
static int join_given(void) {
	int ns = atoi(getenv(SKIFF_USERNS));
	unsetenv(SKIFF_USERNS);
	if (setns(ns, CLONE_NEWUSER))
		return fail(SKIFF_UNSHARE);
	close(ns);
	skiff_entry.how = SKIFF_ANCHOR;
	return 0;
}

// user_name finds the name of uid in /etc/passwd without NSS, which a static
// program cannot load. A user of a directory service is named by $USER; a lie
// there gains nothing, newuidmap checks for itself.
static void user_name(char *name, size_t size) {
	char line[1024];
	name[0] = 0;
	FILE *f = fopen("/etc/passwd", "re");
	while (f && fgets(line, sizeof line, f)) {
		char *save, *n = strtok_r(line, ":", &save), *pw = strtok_r(0, ":", &save), *id = strtok_r(0, ":", &save);
		if (n && pw && id && strtoul(id, 0, 10) == skiff_entry.uid) {
			snprintf(name, size, "%s", n);
			break;
		}
	}
	if (f)
		fclose(f);
	if (!name[0] && getenv("USER"))
		snprintf(name, size, "%s", getenv("USER"));
}

// add_ranges appends the user's lines of a subid(5) file as "inside outside
// count" triples and returns how many it found.
static int add_ranges(const char *file, const char *name, struct skiff_map *map) {
	char line[1024], number[16];
	unsigned long inside = 1;
	int found = 0;
	snprintf(number, sizeof number, "%u", skiff_entry.uid);
	FILE *f = fopen(file, "re");
	while (f && found < SKIFF_RANGES && fgets(line, sizeof line, f)) {
		char *save, *who = strtok_r(line, ":", &save), *start = strtok_r(0, ":", &save), *count = strtok_r(0, ":\n", &save);
		if (!who || !start || !count || (strcmp(who, name) && strcmp(who, number)))
			continue;
		unsigned long n = strtoul(count, 0, 10);
		if (!n)
			continue;
		char **arg = map->argv + map->argc;
		snprintf(map->text[3 * found], 24, "%lu", inside);
		snprintf(map->text[3 * found + 1], 24, "%lu", strtoul(start, 0, 10));
		snprintf(map->text[3 * found + 2], 24, "%lu", n);
		for (int i = 0; i < 3; i++)
			arg[i] = map->text[3 * found + i];
		map->argc += 3;
		inside += n;
		found++;
	}
	if (f)
		fclose(f);
	return found;
}

// start_mapper forks the program that will write one id map of this process. It
// stays outside the namespace that we are about to make, since setuid programs
// have no power within it, and waits on go for that to have happened. It keeps
// done open until it ends.
static int start_mapper(const char *program, struct skiff_map *map, int go[2], int done) {
	int pid = fork();
	if (pid)
		return pid;
	char c;
	close(go[1]);
	if (done >= 0)
		fcntl(done, F_SETFD, 0);
	if (read(go[0], &c, 1) == 1)
		execvp(program, map->argv);
	_exit(127);
}

static int write_file(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

// map_one_id is what a user without subordinate ids can do alone: be root
// inside, with every other id unmapped (user_namespaces(7)).
static int map_one_id(void) {
	char line[64];
	write_file("/proc/self/setgroups", "deny"); // absent before Linux 3.19
	snprintf(line, sizeof line, "0 %u 1", skiff_entry.uid);
	if (write_file("/proc/self/uid_map", line))
		return fail(SKIFF_MAP);
	snprintf(line, sizeof line, "0 %u 1", skiff_entry.gid);
	if (write_file("/proc/self/gid_map", line))
		return fail(SKIFF_MAP);
	return 0;
}

// new_namespace makes a user namespace of our own with all the ids we may use.
// *mapped becomes the end of a pipe that ends with the mappers, if one is
// wanted.
static int new_namespace(int *mapped) {
	static struct skiff_map uids, gids;
	static char self[16], own_uid[16], own_gid[16];
	char name[256];
	snprintf(self, sizeof self, "%d", (int)getpid());
	snprintf(own_uid, sizeof own_uid, "%u", skiff_entry.uid);
	snprintf(own_gid, sizeof own_gid, "%u", skiff_entry.gid);
	uids = (struct skiff_map){.argv = {"newuidmap", self, "0", own_uid, "1"}, .argc = 5};
	gids = (struct skiff_map){.argv = {"newgidmap", self, "0", own_gid, "1"}, .argc = 5};
	user_name(name, sizeof name);
	int ranges = add_ranges("/etc/subuid", name, &uids) && add_ranges("/etc/subgid", name, &gids);
	int go[2] = {-1, -1}, maps[2] = {-1, -1};
	if (ranges) {
		if (pipe2(go, O_CLOEXEC) || (skiff_entry.plain && pipe2(maps, O_CLOEXEC)))
			return fail(SKIFF_FORK);
		skiff_entry.mapper[0] = start_mapper("newuidmap", &uids, go, maps[1]);
		skiff_entry.mapper[1] = start_mapper("newgidmap", &gids, go, maps[1]);
		close(go[0]);
		if (maps[1] >= 0)
			close(maps[1]);
		*mapped = maps[0];
		if (skiff_entry.mapper[0] < 0 || skiff_entry.mapper[1] < 0)
			fail(SKIFF_FORK);
	}
	int done = unshare(CLONE_NEWUSER);
	if (done)
		fail(SKIFF_UNSHARE);
	if (ranges) {
		// Two bytes, one a mapper; closing without writing sends them home.
		if (!done && write(go[1], "ok", 2) != 2)
			fail(SKIFF_FORK);
		close(go[1]);
	}
	if (done)
		return -1;
	skiff_entry.how = ranges ? SKIFF_MAPPING : SKIFF_ONE_ID;
	return ranges ? 0 : map_one_id();
}

// join_nested is the role "skiff:join": it enters the user namespace of a
// container that has one of its own (--userns keep-id), as its root, and
// becomes the program on SKIFF_FD_PROGRAM, which would be too many-threaded to
// do so itself. The other namespaces were joined by the parent.
static void join_nested(char **argv) {
	argv[0] = "skiff:exec";
	if (!setns(SKIFF_FD_PIDFD, CLONE_NEWUSER) && !setresgid(0, 0, 0) && !setresuid(0, 0, 0))
		fexecve(SKIFF_FD_PROGRAM, argv, environ);
	_exit(125);
}

// keep_to_ourselves counts what the caller left open for us and closes it for
// the programs that we start: a monitor that kept a script's lock (flock(1)) or
// pipe would do so for days. The kernel does that since Linux 5.11.
static void keep_to_ourselves(void) {
	int *n = &skiff_entry.inherited;
	while (*n < SKIFF_INHERITED && fcntl(3 + *n, F_GETFD) >= 0)
		++*n;
	syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
}

// arguments finds the command line where the kernel has put it, below the
// environment: not every C library hands it to constructors.
static char **arguments(int *argc) {
	char **arg = environ - 1; // the null behind the last argument
	for (*argc = 0; (uintptr_t)arg[-1] != (uintptr_t)*argc; ++*argc)
		arg--;
	return arg;
}

__attribute__((constructor)) static void skiff_enter(void) {
	int argc;
	char **argv = arguments(&argc);
	skiff_entry.uid = geteuid();
	skiff_entry.gid = getegid();
	struct rlimit files;
	if (!getrlimit(RLIMIT_NOFILE, &files))
		skiff_entry.files = files.rlim_cur;
	// Roles of this file start with "skiff:" and are already where they belong.
	if (argc == 1 && !strcmp(argv[0], "skiff:join"))
		join_nested(argv);
	if (argc < 1 || !strncmp(argv[0], "skiff:", 6))
		return;
	keep_to_ourselves();
	char store[4096];
	int early = 0, mapped = -1;
	if (getenv(SKIFF_USERNS)) {
		if (join_given())
			return;
	} else if (!wants_namespace(argc, argv)) {
		return;
	} else if (skiff_entry.uid == 0) {
		skiff_entry.how = SKIFF_ROOT;
	} else {
		const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
		int n = -1; // the same rule as storage.Locate
		if (xdg && xdg[0] == '/')
			n = snprintf(store, sizeof store, "%s/skiff", xdg);
		else if (home && home[0] == '/')
			n = snprintf(store, sizeof store, "%s/.local/share/skiff", home);
		if (skiff_entry.fetches)
			skiff_entry.outside = skiff_leave_outside(argv);
		int known = n > 0 && n < (int)sizeof store;
		int joined = known && !(skiff_entry.starts ? join_in_turn(store) : join_anchor(store));
		if (joined)
			skiff_entry.how = SKIFF_ANCHOR;
		else if (new_namespace(&mapped))
			return;
		early = skiff_entry.plain && n > 0 && n < (int)sizeof store &&
			(skiff_entry.how == SKIFF_ANCHOR || mapped >= 0);
	}
	if (unshare(CLONE_NEWNS)) {
		fail(SKIFF_MOUNT_NAMESPACE);
		return;
	}
	// Within a user namespace the kernel made every mount a slave already; as
	// root our mounts would otherwise be seen outside.
	if (skiff_entry.how == SKIFF_ROOT && mount(0, "/", 0, MS_REC | MS_SLAVE, 0))
		fail(SKIFF_MOUNT_NAMESPACE);
	if (early)
		skiff_start_early(store, mapped);
	if (mapped >= 0)
		close(mapped);
}
