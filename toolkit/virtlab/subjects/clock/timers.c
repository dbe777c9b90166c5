/* Timers that end a wait from outside: alarms, timer descriptors and POSIX timers.
 *
 * The library keeps them; no wait goes past the earliest (wait.c), and whoever is released at that moment
 * lets it go off. So a timer goes off while some thread waits, and late by what a tick's calls cost where
 * none does. A child inherits none, as with alarm() on Linux; there a timerfd would go on.
 */
#include "timers.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

struct timer timers[TIMERS_MAX] = {{.kind = TIMER_ALARM, .own = {CLOCK_FOREVER, 0}, .due = &timers[0].own}};
static bool taken; /* the lock of the table */
static volatile bool any;

void lock_timers(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    while (__atomic_test_and_set(&taken, __ATOMIC_ACQUIRE))
        continue;
}

void unlock_timers(const sigset_t *before)
{
    __atomic_clear(&taken, __ATOMIC_RELEASE);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

bool any_timers(void)
{
    return any;
}

struct timer *new_timer(struct timer content)
{
    struct timer *made = NULL;
    sigset_t before;

    any = true;
    lock_timers(&before);
    for (int i = 0; i < TIMERS_MAX && !made; i++)
        if (timers[i].kind == TIMER_FREE) {
            made = &timers[i];
            *made = content;
            if (!made->due)
                made->due = &made->own;
            *made->due = (struct deadline){CLOCK_FOREVER, 0};
        }
    unlock_timers(&before);
    return made;
}

/* ---- what waits ask ---- */

static uint64_t moment_of_timer(const struct timer *timer)
{
    return timer->kind == TIMER_FREE ? CLOCK_FOREVER : __atomic_load_n(&timer->due->moment, __ATOMIC_ACQUIRE);
}

uint64_t timers_next(void)
{
    uint64_t earliest = CLOCK_FOREVER;
    sigset_t before;

    if (!any)
        return CLOCK_FOREVER;
    lock_timers(&before);
    for (int i = 0; i < TIMERS_MAX; i++)
        if (moment_of_timer(&timers[i]) < earliest)
            earliest = moment_of_timer(&timers[i]);
    unlock_timers(&before);
    return earliest;
}

/* How often a timer has expired; 0 where it has not, or where another process has seen to it. */
static uint64_t take_expirations(struct timer *timer, uint64_t now)
{
    uint64_t moment = moment_of_timer(timer);

    if (moment > now)
        return 0;
    uint64_t interval = timer->due->interval, times = interval ? 1 + (now - moment) / interval : 1;
    uint64_t next = interval ? moment + times * interval : CLOCK_FOREVER;
    bool first = __atomic_compare_exchange_n(&timer->due->moment, &moment, next, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_RELAXED);
    return first ? times : 0;
}

/* True where a thread is to be started, for which the table must not be locked. */
static bool go_off(struct timer *timer, uint64_t times)
{
    if (timer->kind == TIMER_POSIX)
        return expire_posix_timer(timer, times);
    if (timer->kind == TIMER_ALARM)
        kill(getpid(), SIGALRM); /* expirations that were missed are not made up for */
    else
        kernel(SYS_write, timer->descriptor, &times, sizeof times);
    return false;
}

bool timers_go_off(void)
{
    struct timer to_start[TIMERS_MAX];
    bool gone_off = false;
    int starts = 0;
    sigset_t before;

    if (!any)
        return false;
    lock_timers(&before);
    uint64_t now = clock_now();
    for (int i = 0; i < TIMERS_MAX; i++) {
        uint64_t times = take_expirations(&timers[i], now);
        if (times == 0)
            continue;
        gone_off = true;
        if (go_off(&timers[i], times))
            to_start[starts++] = timers[i];
    }
    unlock_timers(&before);
    for (int i = 0; i < starts; i++)
        start_timer_thread(&to_start[i]);
    return gone_off;
}

void forget_timers_of_parent(void)
{
    taken = false; /* another thread of the parent may have held it */
    timers[0].own.moment = CLOCK_FOREVER; /* the alarm */
    for (int i = 0; i < TIMERS_MAX; i++)
        if (timers[i].kind == TIMER_POSIX)
            timers[i].kind = TIMER_FREE;
}

/* ---- setting one, and what is left of it ---- */

struct itimerspec left_of(const struct timer *timer, uint64_t now)
{
    uint64_t moment = timer->due->moment;
    uint64_t left = moment == CLOCK_FOREVER ? 0 : moment > now ? moment - now : 1;

    return (struct itimerspec){timespec_of(timer->due->interval), timespec_of(left)};
}

struct itimerspec set_timer(struct timer *timer, uint64_t moment, uint64_t interval)
{
    sigset_t before;

    any = true;
    lock_timers(&before);
    struct itimerspec old = left_of(timer, clock_now());
    *timer->due = (struct deadline){moment, interval};
    timer->overrun = 0;
    unlock_timers(&before);
    return old;
}

bool moment_asked(const struct itimerspec *value, bool absolute, clockid_t clock, uint64_t *moment)
{
    const struct timespec *time = &value->it_value;

    if (!valid_timespec(time) || !valid_timespec(&value->it_interval)) {
        errno = EINVAL;
        return false;
    }
    if (time->tv_sec == 0 && time->tv_nsec == 0)
        *moment = CLOCK_FOREVER;
    else
        *moment = absolute ? moment_of(clock, time) : moment_in(span_of(time));
    return true;
}
