/* Reading the time: it stands in the shared page. CPU-time clocks stay real, they measure the machine. */
#include "library.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/timeb.h>
#include <sys/times.h>
#include <unistd.h>

bool valid_timespec(const struct timespec *time)
{
    return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < (long)NS_PER_S;
}

uint64_t span_of(const struct timespec *time)
{
    if ((uint64_t)time->tv_sec > CLOCK_FOREVER / NS_PER_S - 1)
        return CLOCK_FOREVER - 1;
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
}

/* The reading of a clock at virtual time 0, or false for a clock that stays real. */
static bool reading_at_zero(clockid_t clock, uint64_t *ns)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ns = realtime_at_zero();
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ns = monotonic_at_zero();
        return true;
    default:
        return false;
    }
}

uint64_t moment_of(clockid_t clock, const struct timespec *time)
{
    uint64_t zero = 0, reading = span_of(time);

    reading_at_zero(clock, &zero);
    return reading > zero ? reading - zero : 0;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *time)
{
    uint64_t zero;

    if (!clock_on() || !reading_at_zero(clock, &zero))
        return REAL(clock_gettime)(clock, time);
    count_idle_read();
    *time = timespec_of(zero + clock_now());
    return 0;
}

static uint64_t realtime_now(void)
{
    count_idle_read();
    return realtime_at_zero() + clock_now();
}

EXPORT int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    if (!clock_on())
        return REAL(gettimeofday)(time, zone);
    uint64_t now = realtime_now();
    time->tv_sec = (time_t)(now / NS_PER_S);
    time->tv_usec = (suseconds_t)(now % NS_PER_S / NS_PER_US);
    return 0;
}

EXPORT time_t time(time_t *result)
{
    if (!clock_on())
        return REAL(time)(result);
    time_t now = (time_t)(realtime_now() / NS_PER_S);
    if (result)
        *result = now;
    return now;
}

EXPORT int timespec_get(struct timespec *time, int base)
{
    if (!clock_on() || base != TIME_UTC)
        return REAL(timespec_get)(time, base);
    *time = timespec_of(realtime_now());
    return base;
}

EXPORT int ftime(struct timeb *result)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    *result = (struct timeb){.time = now.tv_sec, .millitm = (unsigned short)(now.tv_usec / 1000)};
    return 0;
}

/* The processor times stay real, as CPU-time clocks do; what is returned counts as the monotonic clock does. */
EXPORT clock_t times(struct tms *used)
{
    clock_t ticks = REAL(times)(used);

    if (!clock_on() || ticks == (clock_t)-1)
        return ticks;
    count_idle_read();
    return (clock_t)((monotonic_at_zero() + clock_now()) / (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)));
}

/* A loop that yields until something happens must see time pass, like one that reads the clock. */
EXPORT int sched_yield(void)
{
    if (clock_on())
        count_idle_read();
    return REAL(sched_yield)();
}
