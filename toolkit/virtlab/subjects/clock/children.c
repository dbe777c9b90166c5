/* Asking whether a child has ended, without waiting for it: never while it is ending.
 *
 * A child closes its pipes some real microseconds before it can be waited for. A parent that hears of its end by a
 * pipe and then asks with WNOHANG would learn now and then that it still runs, and sleep for once more: its next
 * call would come at another virtual time. So the question waits, in real time, for a child that is on its way out.
 */
#include "library.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PF_EXITING 4 /* include/linux/sched.h */

static bool is_ending(pid_t child)
{
    char path[32], text[512];
    unsigned flags, threads;
    /* proc_pid_stat(5): state, five numbers, flags (9th), ten numbers, threads (20th) */
    static const char STAT[] = ") %*c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u";

    snprintf(path, sizeof path, "/proc/%d/stat", child);
    int file = (int)kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    long length = kernel(SYS_read, file, text, sizeof text - 1);
    kernel(SYS_close, file);
    text[length > 0 ? length : 0] = 0;
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    if (!rest || sscanf(rest, STAT, &flags, &threads) != 2)
        return false;
    return flags & PF_EXITING && threads == 1; /* of several threads the first may end alone */
}

/* True where the child, which was said to run, has ended after all. */
static bool has_ended_meanwhile(pid_t child, int options)
{
    siginfo_t info;

    if (!clock_on() || !(options & WNOHANG) || child <= 0 || !is_ending(child))
        return false;
    return REAL(waitid)(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0;
}

EXPORT pid_t wait4(pid_t child, int *status, int options, struct rusage *usage)
{
    pid_t ended = REAL(wait4)(child, status, options, usage);

    return ended == 0 && has_ended_meanwhile(child, options) ? REAL(wait4)(child, status, options, usage) : ended;
}

EXPORT pid_t waitpid(pid_t child, int *status, int options)
{
    return wait4(child, status, options, NULL);
}

EXPORT int waitid(idtype_t type, id_t child, siginfo_t *info, int options)
{
    if (info)
        info->si_pid = 0; /* as the kernel does where nobody has ended */
    int result = REAL(waitid)(type, child, info, options);

    if (result == 0 && info && info->si_pid == 0 && type == P_PID && has_ended_meanwhile((pid_t)child, options))
        return REAL(waitid)(type, child, info, options);
    return result;
}
