// How entry.c has the stage started early; see early.c.
#ifndef SKIFF_EARLY_H
#define SKIFF_EARLY_H

// Go's monitor thread wakes every 20 microseconds in a process's first
// milliseconds. With this slack, in nanoseconds, it wakes when something else
// does (prctl(2)); threads and children inherit it. The stage, whose one
// processor has no other thread to wake, is given it, and gives a container's
// process the usual one back.
#define SKIFF_TIMER_SLACK 2000000

int skiff_plain(char **argv);
void skiff_start_early(const char *store, int mapped);

#endif
