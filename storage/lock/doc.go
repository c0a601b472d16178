// Package lock holds the store's file locks. A lock is released by the kernel
// when its holder dies; nothing has to be cleaned up and no pid is trusted.
//
// There are two kinds. flock(2) locks guard files against a second writer;
// they belong to an open file description. The run lock of a container is a
// POSIX record lock (fcntl(2), F_SETLK): it belongs to a process, is not
// inherited, and the kernel tells who holds it (F_GETLK) without taking it, so
// that any number of readers may ask without disturbing a start.
//
// Order, outermost first; never take one to the left while holding one to its
// right:
//
//	images.lock -> containers/<id> (op lock) -> containers/<id>/lock (run lock)
package lock
