package seccomp

// libseccomp comes from the distribution, which built it with glibc and its checks;
// skiff is linked with musl (docs/decisions/0024). This is all that musl lacks.

/*
#include <stdarg.h>
#include <stdio.h>

#ifndef __GLIBC__
int __fprintf_chk(FILE *to, int level, const char *format, ...) {
	(void)level;
	va_list args;
	va_start(args, format);
	int n = vfprintf(to, format, args);
	va_end(args);
	return n;
}
#endif
*/
import "C"
