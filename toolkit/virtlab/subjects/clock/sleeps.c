/* The sleep family. A signal whose handler ran ends each of them early, as on Linux. */
#include "library.h"

#include <errno.h>
#include <threads.h>
#include <unistd.h>

static uint64_t left_until(uint64_t moment)
{
    uint64_t now = clock_now();

    return moment > now ? moment - now : 0;
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request, struct timespec *rest)
{
    if (!clock_on() || clock == CLOCK_PROCESS_CPUTIME_ID)
        return REAL(clock_nanosleep)(clock, flags, request, rest);
    if (!valid_timespec(request))
        return EINVAL;
    bool absolute = flags & TIMER_ABSTIME;
    uint64_t moment = absolute ? moment_of(clock, request) : moment_in(span_of(request));
    if (wait_until(moment) == 0)
        return 0;
    if (rest && !absolute)
        *rest = timespec_of(left_until(moment));
    return EINTR;
}

EXPORT int nanosleep(const struct timespec *request, struct timespec *rest)
{
    if (!clock_on())
        return REAL(nanosleep)(request, rest);
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

EXPORT int thrd_sleep(const struct timespec *request, struct timespec *rest)
{
    if (!clock_on())
        return REAL(thrd_sleep)(request, rest);
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);
    if (error == 0)
        return 0;
    return error == EINTR ? -1 : -2; /* C11 7.26.5.7 */
}

EXPORT unsigned sleep(unsigned seconds)
{
    if (!clock_on())
        return REAL(sleep)(seconds);
    uint64_t moment = moment_in(seconds * NS_PER_S);
    if (wait_until(moment) == 0)
        return 0;
    return (unsigned)(left_until(moment) / NS_PER_S); /* whole seconds not slept, as the C library rounds */
}

EXPORT int usleep(useconds_t useconds)
{
    if (!clock_on())
        return REAL(usleep)(useconds);
    return wait_until(moment_in(useconds * NS_PER_US));
}
