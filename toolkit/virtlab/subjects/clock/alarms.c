/* The alarm of a process, set by alarm(), ualarm() or setitimer(ITIMER_REAL), and waits for nothing but a signal. */
#include "timers.h"

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

static struct timer *const the_alarm = &timers[0];

static struct timeval timeval_of(const struct timespec *time)
{
    return (struct timeval){time->tv_sec, (time->tv_nsec + 999) / 1000};
}

static bool valid_timeval(const struct timeval *time)
{
    return time->tv_sec >= 0 && time->tv_usec >= 0 && time->tv_usec < 1000000;
}

static uint64_t span_of_timeval(const struct timeval *time)
{
    struct timespec exact = {time->tv_sec, time->tv_usec * 1000};

    return span_of(&exact);
}

EXPORT int setitimer(__itimer_which_t which, const struct itimerval *restrict value,
                     struct itimerval *restrict old)
{
    if (!clock_on() || which != ITIMER_REAL || !value)
        return REAL(setitimer)(which, value, old);
    if (!valid_timeval(&value->it_value) || !valid_timeval(&value->it_interval)) {
        errno = EINVAL;
        return -1;
    }
    uint64_t span = span_of_timeval(&value->it_value);
    struct itimerspec before =
        set_timer(the_alarm, span ? moment_in(span) : CLOCK_FOREVER, span_of_timeval(&value->it_interval));
    if (old)
        *old = (struct itimerval){timeval_of(&before.it_interval), timeval_of(&before.it_value)};
    return 0;
}

EXPORT int getitimer(__itimer_which_t which, struct itimerval *value)
{
    if (!clock_on() || which != ITIMER_REAL)
        return REAL(getitimer)(which, value);
    struct itimerspec left = left_of(the_alarm, clock_now());
    *value = (struct itimerval){timeval_of(&left.it_interval), timeval_of(&left.it_value)};
    return 0;
}

EXPORT unsigned alarm(unsigned seconds)
{
    if (!clock_on())
        return REAL(alarm)(seconds);
    struct itimerspec old = set_timer(the_alarm, seconds ? moment_in(seconds * NS_PER_S) : CLOCK_FOREVER, 0);
    /* Rounded as Linux does, and never to 0, which would mean that there was none. */
    bool up = old.it_value.tv_nsec >= 500000000 || (old.it_value.tv_sec == 0 && old.it_value.tv_nsec);
    return (unsigned)old.it_value.tv_sec + up;
}

EXPORT useconds_t ualarm(useconds_t value, useconds_t interval)
{
    struct itimerval wanted = {{interval / 1000000, interval % 1000000}, {value / 1000000, value % 1000000}}, old;

    if (!clock_on())
        return REAL(ualarm)(value, interval);
    if (setitimer(ITIMER_REAL, &wanted, &old) < 0)
        return (useconds_t)-1;
    return (useconds_t)(old.it_value.tv_sec * 1000000 + old.it_value.tv_usec);
}

/* ---- waits for nothing but a signal ---- */

EXPORT int pause(void)
{
    if (!clock_on())
        return REAL(pause)();
    return watch(NULL, 0, CLOCK_FOREVER, NULL);
}

EXPORT int sigsuspend(const sigset_t *mask)
{
    if (!clock_on())
        return REAL(sigsuspend)(mask);
    return watch(NULL, 0, CLOCK_FOREVER, mask);
}
