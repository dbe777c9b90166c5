/* POSIX timers: timer_create() and its kin, on clocks of virtual time. Those of CPU time stay the kernel's.
 *
 * An expiration sends a signal, to the process or to one of its threads, or starts a thread. While the signal of the
 * one before is still pending it is only counted (timer_getoverrun), as in the kernel.
 */
#include "timers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct timer *ours(timer_t id)
{
    struct timer *timer = (struct timer *)id;
    bool inside = timer >= timers && timer < timers + TIMERS_MAX;

    return inside && timer->kind == TIMER_POSIX ? timer : NULL;
}

static bool is_cpu_clock(clockid_t clock)
{
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

static bool valid_event(const struct sigevent *event)
{
    switch (event->sigev_notify) {
    case SIGEV_NONE:
    case SIGEV_THREAD:
        return true;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD_ID:
        return event->sigev_signo > 0 && event->sigev_signo <= SIGRTMAX;
    default:
        return false;
    }
}

EXPORT int timer_create(clockid_t clock, struct sigevent *restrict event, timer_t *restrict id)
{
    if (!clock_on() || is_cpu_clock(clock))
        return REAL(timer_create)(clock, event, id);
    struct timer content = {.kind = TIMER_POSIX, .clock = clock};
    if (event)
        content.event = *event;
    else
        content.event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    if (!valid_event(&content.event)) {
        errno = EINVAL;
        return -1;
    }
    /* The attributes are the caller's, who may destroy them; what matters of them is kept. */
    if (content.event.sigev_notify == SIGEV_THREAD && content.event.sigev_notify_attributes)
        pthread_attr_getstacksize(content.event.sigev_notify_attributes, &content.stack_size);
    struct timer *timer = new_timer(content);
    if (!timer) {
        errno = EAGAIN;
        return -1;
    }
    if (!event)
        timer->event.sigev_value.sival_ptr = timer;
    *id = (timer_t)timer;
    return 0;
}

EXPORT int timer_settime(timer_t id, int flags, const struct itimerspec *restrict value,
                         struct itimerspec *restrict old)
{
    struct timer *timer = ours(id);
    uint64_t moment;

    if (!timer)
        return REAL(timer_settime)(id, flags, value, old);
    if (!moment_asked(value, flags & TIMER_ABSTIME, timer->clock, &moment))
        return -1;
    struct itimerspec before = set_timer(timer, moment, span_of(&value->it_interval));
    if (old)
        *old = before;
    return 0;
}

EXPORT int timer_gettime(timer_t id, struct itimerspec *value)
{
    struct timer *timer = ours(id);

    if (!timer)
        return REAL(timer_gettime)(id, value);
    *value = left_of(timer, clock_now());
    return 0;
}

EXPORT int timer_getoverrun(timer_t id)
{
    struct timer *timer = ours(id);

    return timer ? timer->overrun : REAL(timer_getoverrun)(id);
}

EXPORT int timer_delete(timer_t id)
{
    struct timer *timer = ours(id);

    if (!timer)
        return REAL(timer_delete)(id);
    timer->kind = TIMER_FREE;
    return 0;
}

/* ---- expirations ---- */

static bool is_pending(int number)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, number) == 1;
}

static void send_signal_of(struct timer *timer, uint64_t times)
{
    int number = timer->event.sigev_signo;
    siginfo_t info = {.si_signo = number, .si_code = SI_TIMER};

    if (is_pending(number)) {
        timer->overrun += (int)times;
        return;
    }
    timer->overrun = (int)times - 1;
    info.si_overrun = timer->overrun;
    info.si_value = timer->event.sigev_value;
    if (timer->event.sigev_notify == SIGEV_THREAD_ID)
        kernel(SYS_rt_tgsigqueueinfo, getpid(), timer->event._sigev_un._tid, number, &info);
    else
        kernel(SYS_rt_sigqueueinfo, getpid(), number, &info);
    tell_stir();
}

bool expire_posix_timer(struct timer *timer, uint64_t times)
{
    int notify = timer->event.sigev_notify;

    if (notify == SIGEV_SIGNAL || notify == SIGEV_THREAD_ID)
        send_signal_of(timer, times);
    else
        timer->overrun = (int)times - 1;
    return notify == SIGEV_THREAD;
}

struct start {
    void (*function)(union sigval);
    union sigval value;
};

static void *live(void *given)
{
    struct start start = *(struct start *)given;
    sigset_t none;

    free(given);
    sigemptyset(&none); /* it was started with all signals blocked */
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    start.function(start.value);
    return NULL;
}

void start_timer_thread(const struct timer *timer)
{
    struct start *start = malloc(sizeof *start);
    pthread_attr_t attributes;
    pthread_t thread;

    if (!start)
        return; /* an expiration is lost, as in the C library */
    *start = (struct start){timer->event.sigev_notify_function, timer->event.sigev_value};
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (timer->stack_size)
        pthread_attr_setstacksize(&attributes, timer->stack_size);
    if (pthread_create(&thread, &attributes, live, start) != 0)
        free(start);
    pthread_attr_destroy(&attributes);
}
