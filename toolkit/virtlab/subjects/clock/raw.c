/* Raw system calls by way of syscall(2): those that read a clock or sleep see virtual time too, and those that
 * ask about the machine the simulated host.
 *
 * All others go to the kernel as they are, the library's own among them. Calls made in assembly do not come by
 * here: such a program sleeps in real time, and only its words to the host show virtual instants.
 */
#include "library.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <unistd.h>

#define ARGUMENTS_MAX 6

static long from_error(int error)
{
    if (!error)
        return 0;
    errno = error;
    return -1;
}

/* The kernel takes a null pointer for "do not tell me", and so must we. */
static long raw_gettimeofday(struct timeval *time, void *zone)
{
    return time ? gettimeofday(time, zone) : 0;
}

EXPORT long syscall(long number, ...)
{
    long given[ARGUMENTS_MAX], answer;
    va_list rest;

    /* Fewer may have been passed: what is read beyond them goes to a call that does not look at it. */
    va_start(rest, number);
    for (int i = 0; i < ARGUMENTS_MAX; i++)
        given[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_clock_gettime && clock_on())
        return clock_gettime((clockid_t)given[0], (struct timespec *)given[1]);
    if (number == SYS_gettimeofday && clock_on())
        return raw_gettimeofday((struct timeval *)given[0], (void *)given[1]);
#ifdef SYS_time
    if (number == SYS_time && clock_on())
        return time((time_t *)given[0]);
#endif
    if (number == SYS_nanosleep && clock_on())
        return nanosleep((const struct timespec *)given[0], (struct timespec *)given[1]);
    if (number == SYS_clock_nanosleep && clock_on())
        return from_error(clock_nanosleep((clockid_t)given[0], (int)given[1], (const struct timespec *)given[2],
                                          (struct timespec *)given[3]));
    if (number == SYS_sysinfo)
        return sysinfo((struct sysinfo *)given[0]);
    if (processor_call(number, given, &answer))
        return answer;
    return REAL(syscall)(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
