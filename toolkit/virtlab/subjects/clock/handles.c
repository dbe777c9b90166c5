/* What becomes of descriptors: copies and ends, which change what a timer or a time-out belongs to.
 *
 * On Linux a timer descriptor's timer lives until its last copy is closed, whichever was the first.
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static void forget(unsigned first, unsigned last)
{
    forget_timers_on(first, last);
    forget_timeouts_on(first, last);
}

/* ---- ends; the library's own descriptors outlast a program that closes all ---- */

EXPORT int close(int descriptor)
{
    if (is_own(descriptor)) {
        errno = EBADF; /* the program never opened it */
        return -1;
    }
    forget((unsigned)descriptor, (unsigned)descriptor);
    return REAL(close)(descriptor);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (!(flags & (int)CLOSE_RANGE_CLOEXEC))
        forget(first, last);
    for (unsigned end = first; end <= last && end < DESCRIPTORS_MAX; end++) {
        if (!is_own((int)end))
            continue;
        if (end > first && kernel(SYS_close_range, first, end - 1, flags) < 0)
            return -1;
        if (end == last)
            return 0;
        first = end + 1;
    }
    return (int)kernel(SYS_close_range, first, last, flags);
}

EXPORT void closefrom(int first)
{
    close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

/* ---- copies ---- */

static int copied(int from, int to)
{
    if (to < 0 || to == from)
        return to;
    forget((unsigned)to, (unsigned)to); /* what was there is closed */
    copy_timer(from, to);
    copy_timeouts(from, to);
    return to;
}

EXPORT int dup(int from)
{
    return copied(from, REAL(dup)(from));
}

EXPORT int dup2(int from, int to)
{
    return copied(from, REAL(dup2)(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
    return copied(from, REAL(dup3)(from, to, flags));
}

/* Whatever the command wants, it is at most one word. */
static int control(int descriptor, int command, va_list *rest)
{
    int result = REAL(fcntl)(descriptor, command, va_arg(*rest, void *));
    bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;

    return copies ? copied(descriptor, result) : result;
}

EXPORT int fcntl(int descriptor, int command, ...)
{
    va_list rest;

    va_start(rest, command);
    int result = control(descriptor, command, &rest);
    va_end(rest);
    return result;
}

/* The name in programs built for large files. */
EXPORT int fcntl64(int descriptor, int command, ...)
{
    va_list rest;

    va_start(rest, command);
    int result = control(descriptor, command, &rest);
    va_end(rest);
    return result;
}
