// What entry.c did, for Go to read once the runtime has started.
#ifndef SKIFF_ENTRY_H
#define SKIFF_ENTRY_H

#define SKIFF_RANGES 16 // lines of subuid(5) used; more are left out

// Descriptors of the role "skiff:join": 3 is the program's own socket.
#define SKIFF_FD_PIDFD 4
#define SKIFF_FD_PROGRAM 5

#define SKIFF_INHERITED 64 // more are not counted

// The variable that holds the descriptor of a user namespace to enter.
#define SKIFF_USERNS "SKIFF_USERNS"

enum skiff_how {
	SKIFF_OUTSIDE,     // the command needs no namespace, or none could be had
	SKIFF_ROOT,        // already root: only a mount namespace was made
	SKIFF_ANCHOR,      // joined a living monitor's user namespace
	SKIFF_MAPPING,     // made one; two mappers are writing its id maps
	SKIFF_ONE_ID,      // made one with a single id, for want of subordinate ids
};

enum skiff_step { SKIFF_NOTHING, SKIFF_FORK, SKIFF_UNSHARE, SKIFF_MAP, SKIFF_MOUNT_NAMESPACE };

struct skiff_map {
	char *argv[5 + 3 * SKIFF_RANGES + 1];
	int argc;
	char text[3 * SKIFF_RANGES][24];
};

struct skiff_entry {
	unsigned uid, gid; // outside
	enum skiff_how how;
	enum skiff_step failed; // the step that failed first
	int err;                // its errno
	int mapper[2];          // pids of newuidmap and newgidmap, 0 when not started
	int starts;             // is a verb that starts containers
	int turn;               // the lock of who makes the first namespace, 0 without
	int plain;              // an ordinary run: an early stage would have been of use
	int early;              // the socket of the early stage, 0 when there is none
	char early_what[256];   // what its link said
	long long early_size;   // the size of its file
	int fetches;            // may need a registry's credentials
	unsigned long long files; // soft limit of open files, before Go raises its own
	int inherited;          // how many descriptors from 3 on the caller passed
	int outside;            // the socket to a process outside, 0 when there is none
};

extern struct skiff_entry skiff_entry;

// The environment of a stage that is started early; stage.Environ is the same. One under
// the race detector is told where to say what it finds.
#ifdef SKIFF_RACE
#define SKIFF_EARLY_ENV 5
#else
#define SKIFF_EARLY_ENV 4
#endif
extern char *skiff_early_env[SKIFF_EARLY_ENV + 1];

#endif
