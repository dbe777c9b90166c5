/* Timers that end a wait from outside: alarm, setitimer(ITIMER_REAL) and timerfd.
 *
 * The library keeps them; no wait goes past the earliest (wait.c), and whoever is released at that moment
 * lets it go off: SIGALRM to the process, or a count into the eventfd that stands for a timerfd, which reads
 * and polls alike. So a timer goes off while some thread waits, and late by what a tick's calls cost where
 * none does. A child inherits none, as with alarm() on Linux; there a timerfd would go on.
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TIMERS_MAX 64
#define ALARM 0 /* the process has one; the others are descriptors */

struct timer {
    uint64_t moment;   /* of the next expiration; CLOCK_FOREVER: disarmed */
    uint64_t interval; /* ns to the one after; 0: none */
    int descriptor;
    clockid_t clock;
    bool used;
};

static struct timer timers[TIMERS_MAX] = {[ALARM] = {CLOCK_FOREVER, 0, -1, CLOCK_MONOTONIC, true}};
static bool taken; /* the lock of the table: held for some instructions, with signals blocked */
static volatile bool any; /* whether there has ever been a timer: nearly no program has one */

static void lock(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    while (__atomic_test_and_set(&taken, __ATOMIC_ACQUIRE))
        continue;
}

static void unlock(const sigset_t *before)
{
    __atomic_clear(&taken, __ATOMIC_RELEASE);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* ---- what waits ask ---- */

uint64_t timers_next(void)
{
    uint64_t earliest = CLOCK_FOREVER;
    sigset_t before;

    if (!any)
        return CLOCK_FOREVER;
    lock(&before);
    for (int i = 0; i < TIMERS_MAX; i++)
        if (timers[i].used && timers[i].moment < earliest)
            earliest = timers[i].moment;
    unlock(&before);
    return earliest;
}

static void go_off(struct timer *timer, uint64_t now)
{
    uint64_t times = timer->interval ? 1 + (now - timer->moment) / timer->interval : 1;

    timer->moment = timer->interval ? timer->moment + times * timer->interval : CLOCK_FOREVER;
    if (timer == &timers[ALARM])
        kill(getpid(), SIGALRM); /* expirations that were missed are not made up for */
    else
        syscall(SYS_write, timer->descriptor, &times, sizeof times);
}

bool timers_go_off(void)
{
    bool gone_off = false;
    sigset_t before;

    if (!any)
        return false;
    lock(&before);
    uint64_t now = clock_now();
    for (int i = 0; i < TIMERS_MAX; i++) {
        if (timers[i].used && timers[i].moment <= now) {
            go_off(&timers[i], now);
            gone_off = true;
        }
    }
    unlock(&before);
    return gone_off;
}

void forget_timers_of_parent(void)
{
    taken = false; /* another thread of the parent may have held it */
    for (int i = 0; i < TIMERS_MAX; i++)
        timers[i].moment = CLOCK_FOREVER;
}

/* ---- setting one, and what is left of it ---- */

static struct itimerspec left_of(const struct timer *timer, uint64_t now)
{
    uint64_t left = timer->moment == CLOCK_FOREVER ? 0 : timer->moment > now ? timer->moment - now : 1;

    return (struct itimerspec){timespec_of(timer->interval), timespec_of(left)};
}

/* Arm a timer for `moment` (CLOCK_FOREVER: disarm it), and tell what was left of it. */
static struct itimerspec set(struct timer *timer, uint64_t moment, uint64_t interval)
{
    sigset_t before;

    any = true;
    lock(&before);
    struct itimerspec old = left_of(timer, clock_now());
    timer->moment = moment;
    timer->interval = interval;
    unlock(&before);
    return old;
}

static bool is_zero(const struct timespec *time)
{
    return time->tv_sec == 0 && time->tv_nsec == 0;
}

/* ---- the alarm ---- */

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
        set(&timers[ALARM], span ? moment_in(span) : CLOCK_FOREVER, span_of_timeval(&value->it_interval));
    if (old)
        *old = (struct itimerval){timeval_of(&before.it_interval), timeval_of(&before.it_value)};
    return 0;
}

EXPORT int getitimer(__itimer_which_t which, struct itimerval *value)
{
    if (!clock_on() || which != ITIMER_REAL)
        return REAL(getitimer)(which, value);
    struct itimerspec left = left_of(&timers[ALARM], clock_now());
    *value = (struct itimerval){timeval_of(&left.it_interval), timeval_of(&left.it_value)};
    return 0;
}

EXPORT unsigned alarm(unsigned seconds)
{
    if (!clock_on())
        return REAL(alarm)(seconds);
    struct itimerspec old = set(&timers[ALARM], seconds ? moment_in(seconds * NS_PER_S) : CLOCK_FOREVER, 0);
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

/* ---- what is refused rather than left to real time ---- */

EXPORT int timer_create(clockid_t clock, struct sigevent *restrict event, timer_t *restrict timer)
{
    if (!clock_on() || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return REAL(timer_create)(clock, event, timer);
    dprintf(STDERR_FILENO, "virtlab clock: timer_create() is not under the virtual clock; "
                           "use setitimer() or timerfd_create()\n");
    errno = ENOTSUP;
    return -1;
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

/* ---- timerfd ---- */

static struct timer *timer_of(int descriptor)
{
    for (int i = ALARM + 1; any && descriptor >= 0 && i < TIMERS_MAX; i++)
        if (timers[i].used && timers[i].descriptor == descriptor)
            return &timers[i];
    return NULL;
}

void forget_timers_on(unsigned first, unsigned last)
{
    for (int i = ALARM + 1; any && i < TIMERS_MAX; i++)
        if (timers[i].used && (unsigned)timers[i].descriptor >= first && (unsigned)timers[i].descriptor <= last)
            timers[i].used = false;
}

static struct timer *free_timer(void)
{
    for (int i = ALARM + 1; i < TIMERS_MAX; i++)
        if (!timers[i].used)
            return &timers[i];
    return NULL;
}

EXPORT int timerfd_create(int clock, int flags)
{
    if (!clock_on() || (flags & ~(TFD_NONBLOCK | TFD_CLOEXEC)))
        return REAL(timerfd_create)(clock, flags);
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) {
        errno = EINVAL; /* the alarm clocks, which wake a sleeping machine, ask for a privilege */
        return -1;
    }
    int kind = (flags & TFD_NONBLOCK ? EFD_NONBLOCK : 0) | (flags & TFD_CLOEXEC ? EFD_CLOEXEC : 0);
    int descriptor = eventfd(0, kind);
    if (descriptor < 0)
        return -1;
    sigset_t before;
    lock(&before);
    struct timer *timer = free_timer();
    if (timer)
        *timer = (struct timer){CLOCK_FOREVER, 0, descriptor, clock, true};
    unlock(&before);
    if (!timer) {
        syscall(SYS_close, descriptor);
        errno = EMFILE;
        return -1;
    }
    any = true;
    return descriptor;
}

/* Forget the expirations that nobody has read: setting a timerfd does so. */
static void drain(int descriptor)
{
    struct pollfd fds = {descriptor, POLLIN, 0};
    uint64_t times;

    if (REAL(poll)(&fds, 1, 0) > 0 && syscall(SYS_read, descriptor, &times, sizeof times) < 0)
        return; /* another thread was quicker */
}

EXPORT int timerfd_settime(int descriptor, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    struct timer *timer = timer_of(descriptor);

    if (!timer)
        return REAL(timerfd_settime)(descriptor, flags, value, old);
    if (!valid_timespec(&value->it_value) || !valid_timespec(&value->it_interval) ||
        (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))) {
        errno = EINVAL;
        return -1;
    }
    uint64_t moment = CLOCK_FOREVER;
    if (!is_zero(&value->it_value))
        moment = flags & TFD_TIMER_ABSTIME ? moment_of(timer->clock, &value->it_value)
                                           : moment_in(span_of(&value->it_value));
    drain(descriptor);
    struct itimerspec before = set(timer, moment, span_of(&value->it_interval));
    if (old)
        *old = before;
    return 0;
}

EXPORT int timerfd_gettime(int descriptor, struct itimerspec *value)
{
    struct timer *timer = timer_of(descriptor);

    if (!timer)
        return REAL(timerfd_gettime)(descriptor, value);
    *value = left_of(timer, clock_now());
    return 0;
}

EXPORT ssize_t read(int descriptor, void *buffer, size_t size)
{
    struct pollfd fds = {descriptor, POLLIN, 0};

    if (timer_of(descriptor) && !(fcntl(descriptor, F_GETFL) & O_NONBLOCK) &&
        watch(&fds, 1, CLOCK_FOREVER, NULL) < 0)
        return -1;
    return REAL(read)(descriptor, buffer, size);
}

/* What a program built with _FORTIFY_SOURCE calls instead. */
ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room);

EXPORT ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room)
{
    return size > room ? REAL(__read_chk)(descriptor, buffer, size, room) : read(descriptor, buffer, size);
}
