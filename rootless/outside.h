// How entry.c leaves a process outside of the user namespace; see outside.c.
#ifndef SKIFF_OUTSIDE_H
#define SKIFF_OUTSIDE_H

// argv[0] of this program as that process.
#define SKIFF_HELPER_ROLE "skiff:helper"
// The descriptor of its socket.
#define SKIFF_HELPER_FD 3

int skiff_leave_outside(char **argv);

#endif
