/* Timer descriptors: an eventfd stands for each, which reads and polls alike, and gets the count of expirations.
 *
 * Copies of the descriptor (handles.c) are for the same timer, which ends with the last of them.
 */
#include "timers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static unsigned char timer_at[DESCRIPTORS_MAX]; /* which timer a descriptor is for: 1 + its place, 0: none */

static bool has_timer(int descriptor)
{
    return any_timers() && descriptor >= 0 && descriptor < DESCRIPTORS_MAX && timer_at[descriptor];
}

static struct timer *timer_of(int descriptor)
{
    return has_timer(descriptor) ? &timers[timer_at[descriptor] - 1] : NULL;
}

static int any_descriptor_of(const struct timer *timer)
{
    for (int descriptor = 0; descriptor < DESCRIPTORS_MAX; descriptor++)
        if (timer_of(descriptor) == timer)
            return descriptor;
    return -1;
}

void forget_timers_on(unsigned first, unsigned last)
{
    sigset_t before;

    if (!any_timers())
        return;
    for (unsigned descriptor = first; descriptor <= last && descriptor < DESCRIPTORS_MAX; descriptor++) {
        struct timer *timer = timer_of((int)descriptor);
        if (!timer)
            continue;
        lock_timers(&before);
        timer_at[descriptor] = 0;
        timer->descriptor = any_descriptor_of(timer);
        if (timer->descriptor < 0) {
            timer->kind = TIMER_FREE;
            munmap(timer->due, sizeof *timer->due);
        }
        unlock_timers(&before);
    }
}

void copy_timer(int from, int to)
{
    if (has_timer(from) && to < DESCRIPTORS_MAX)
        timer_at[to] = timer_at[from];
}

static struct deadline *shared_deadline(void)
{
    void *made = mmap(NULL, sizeof(struct deadline), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return made == MAP_FAILED ? NULL : made;
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
    struct timer content = {.kind = TIMER_DESCRIPTOR, .clock = clock, .due = shared_deadline()};
    if (!content.due)
        return -1;
    content.descriptor = eventfd(0, kind);
    int descriptor = content.descriptor;
    struct timer *timer = descriptor >= 0 && descriptor < DESCRIPTORS_MAX ? new_timer(content) : NULL;
    if (!timer) {
        munmap(content.due, sizeof *content.due);
        if (descriptor < 0)
            return -1;
        kernel(SYS_close, descriptor);
        errno = EMFILE;
        return -1;
    }
    timer_at[descriptor] = (unsigned char)(1 + (timer - timers));
    return descriptor;
}

/* Forget the expirations that nobody has read: setting a timerfd does so. */
static void drain(int descriptor)
{
    struct pollfd fds = {descriptor, POLLIN, 0};
    uint64_t times;

    if (REAL(poll)(&fds, 1, 0) > 0 && kernel(SYS_read, descriptor, &times, sizeof times) < 0)
        return; /* another thread was quicker */
}

EXPORT int timerfd_settime(int descriptor, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    struct timer *timer = timer_of(descriptor);

    if (!timer)
        return REAL(timerfd_settime)(descriptor, flags, value, old);
    uint64_t moment;
    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) {
        errno = EINVAL;
        return -1;
    }
    if (!moment_asked(value, flags & TFD_TIMER_ABSTIME, timer->clock, &moment))
        return -1;
    drain(descriptor);
    struct itimerspec before = set_timer(timer, moment, span_of(&value->it_interval));
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
    if (!socket_is_ready(descriptor, POLLIN, 0))
        return -1;
    return REAL(read)(descriptor, buffer, size);
}

/* What a program built with _FORTIFY_SOURCE calls instead. */
ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room);

EXPORT ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room)
{
    return size > room ? REAL(__read_chk)(descriptor, buffer, size, room) : read(descriptor, buffer, size);
}
