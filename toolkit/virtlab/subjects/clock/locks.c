/* Conditions and semaphores: waits that another thread ends, with or without a virtual time-out.
 *
 * The kernel would compare the deadline with the real clock, so the waiter does not enter the kernel's wait: it
 * stands in a list under the object's address, sleeps on an eventfd beside its clock connection, and who
 * signals the object writes to that eventfd. The wake-up is thus exact, and the server knows the waiter asleep.
 *
 * Objects shared between processes are out of the list's reach. They are waited for in steps of virtual time
 * (timed waits) or in the kernel (the others).
 */
#include "library.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <threads.h>
#include <unistd.h>

#define STEP_FIRST_NS (1 * NS_PER_MS)
#define STEP_LAST_NS (64 * NS_PER_MS)
#define SHORT_WAIT_NS (20 * NS_PER_MS)

static struct waiter *waiters; /* in the order in which they came */
static atomic_int waiter_count;
static atomic_flag list_lock = ATOMIC_FLAG_INIT;
static PER_THREAD int thread_wake = -1;
static pthread_key_t wake_key;

/* ---- the list; signals are blocked while it is held, as sem_post() may be called from a handler ---- */

static void lock_list(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    while (atomic_flag_test_and_set_explicit(&list_lock, memory_order_acquire))
        ;
}

static void unlock_list(const sigset_t *before)
{
    atomic_flag_clear_explicit(&list_lock, memory_order_release);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int my_wake(void)
{
    if (thread_wake < 0) {
        thread_wake = keep_out_of_the_way(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        pthread_setspecific(wake_key, (void *)(intptr_t)(thread_wake + 1));
    }
    return thread_wake;
}

void enlist(struct waiter *waiter, const void *object)
{
    struct waiter **end = &waiters;
    sigset_t before;

    *waiter = (struct waiter){object, my_wake(), false, NULL};
    lock_list(&before);
    while (*end)
        end = &(*end)->next;
    *end = waiter;
    atomic_fetch_add(&waiter_count, 1);
    unlock_list(&before);
}

static void unlink_waiter(struct waiter **place)
{
    *place = (*place)->next;
    atomic_fetch_sub(&waiter_count, 1);
}

bool delist(struct waiter *waiter)
{
    sigset_t before;
    uint64_t ignored;

    lock_list(&before);
    for (struct waiter **place = &waiters; *place; place = &(*place)->next)
        if (*place == waiter) {
            unlink_waiter(place);
            break;
        }
    unlock_list(&before);
    if (waiter->woken && read(waiter->wake, &ignored, sizeof ignored) < 0)
        return true; /* the byte count was taken already: nothing else can be wrong with an eventfd */
    return waiter->woken;
}

int wake_waiters(const void *object, int wanted)
{
    static const uint64_t ONE = 1;
    sigset_t before;
    int woken = 0;

    if (atomic_load(&waiter_count) == 0)
        return 0;
    lock_list(&before);
    for (struct waiter **place = &waiters; *place && woken < wanted;) {
        struct waiter *waiter = *place;
        if (waiter->object != object) {
            place = &waiter->next;
            continue;
        }
        unlink_waiter(place);
        waiter->woken = true;
        ssize_t written = write(waiter->wake, &ONE, sizeof ONE);
        (void)written; /* a counter of 1 cannot overflow */
        woken++;
    }
    unlock_list(&before);
    return woken;
}

static void thread_ends(void *wake_plus_one)
{
    close_own((int)(intptr_t)wake_plus_one - 1);
    thread_wake = -1;
}

void forget_waiters_of_parent(void)
{
    waiters = NULL;
    atomic_store(&waiter_count, 0);
    atomic_flag_clear(&list_lock);
    thread_wake = -1; /* closed with the other descriptors of the parent */
    pthread_setspecific(wake_key, NULL);
}

__attribute__((constructor)) static void start_waiting(void)
{
    if (clock_on())
        pthread_key_create(&wake_key, thread_ends);
}

/* Steps grow, so that a long wait stays cheap. */
uint64_t next_step(uint64_t *step)
{
    *step = *step == 0 ? STEP_FIRST_NS : *step < STEP_LAST_NS ? *step * 2 : *step;
    return moment_in(*step);
}

int wait_step(uint64_t *step, uint64_t moment)
{
    uint64_t next = next_step(step);

    return wait_until(next < moment ? next : moment);
}

bool is_short_wait(uint64_t moment)
{
    return moment - clock_now() <= SHORT_WAIT_NS;
}

/* ---- conditions ---- */

static bool is_shared_condition(const pthread_cond_t *condition)
{
#ifdef __GLIBC__
    return condition->__data.__wrefs & 1; /* glibc: nptl/pthread_cond_common.c, __PTHREAD_COND_SHARED_MASK */
#else
    (void)condition;
    return false;
#endif
}

static int wait_on_condition(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t moment)
{
    struct waiter waiter;
    uint64_t step = 0;

    pthread_testcancel();
    if (moment <= clock_now()) {
        count_idle_read();
        return ETIMEDOUT;
    }
    if (is_shared_condition(condition)) { /* spurious wake-ups are legal: the caller looks each time */
        pthread_mutex_unlock(mutex);
        wait_step(&step, moment);
        pthread_mutex_lock(mutex);
        return moment <= clock_now() ? ETIMEDOUT : 0;
    }
    enlist(&waiter, condition); /* before the mutex is free, so that no signal is lost */
    pthread_mutex_unlock(mutex);
    enum wait_end end = watch_wake(waiter.wake, moment, is_short_wait(moment));
    bool woken = delist(&waiter);
    pthread_mutex_lock(mutex);
    return woken || end != WAIT_OVER ? 0 : ETIMEDOUT;
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                                  clockid_t clock, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_cond_clockwait)(condition, mutex, clock, time);
    if (!valid_timespec(time))
        return EINVAL;
    return wait_on_condition(condition, mutex, moment_of(clock, time));
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                                  const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_cond_timedwait)(condition, mutex, time);
    if (!valid_timespec(time))
        return EINVAL;
    /* The condition knows its clock and does not tell; the two readings are decades apart, though. */
    bool monotonic = span_of(time) < realtime_at_zero();
    return wait_on_condition(condition, mutex, moment_of(monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, time));
}

EXPORT int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    if (!clock_on() || is_shared_condition(condition))
        return REAL(pthread_cond_wait)(condition, mutex);
    wait_on_condition(condition, mutex, CLOCK_FOREVER);
    return 0;
}

EXPORT int pthread_cond_signal(pthread_cond_t *condition)
{
    if (clock_on())
        wake_waiters(condition, 1);
    return REAL(pthread_cond_signal)(condition);
}

EXPORT int pthread_cond_broadcast(pthread_cond_t *condition)
{
    if (clock_on())
        wake_waiters(condition, INT_MAX);
    return REAL(pthread_cond_broadcast)(condition);
}

/* C11's conditions are POSIX's in the C library, under another name. */

static int c11_result(int error)
{
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

EXPORT int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(cnd_timedwait)(condition, mutex, time);
    return c11_result(pthread_cond_clockwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex,
                                             CLOCK_REALTIME, time));
}

EXPORT int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return c11_result(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

EXPORT int cnd_signal(cnd_t *condition)
{
    return c11_result(pthread_cond_signal((pthread_cond_t *)condition));
}

EXPORT int cnd_broadcast(cnd_t *condition)
{
    return c11_result(pthread_cond_broadcast((pthread_cond_t *)condition));
}

/* ---- semaphores ---- */

static bool is_shared_semaphore(const sem_t *semaphore)
{
#if defined(__GLIBC__) && __SIZEOF_POINTER__ == 8
    return ((const int *)semaphore)[2] != 0; /* glibc: struct new_sem, member `private`, 0 or FUTEX_SHARED */
#else
    (void)semaphore;
    return false;
#endif
}

static int wait_on_semaphore(sem_t *semaphore, uint64_t moment)
{
    uint64_t step = 0;
    bool shared = is_shared_semaphore(semaphore);

    pthread_testcancel();
    while (sem_trywait(semaphore) < 0) {
        if (moment <= clock_now()) {
            count_idle_read();
            errno = ETIMEDOUT;
            return -1;
        }
        if (shared) {
            if (wait_step(&step, moment) < 0)
                return -1;
            continue;
        }
        struct waiter waiter;
        enlist(&waiter, semaphore);
        bool taken = sem_trywait(semaphore) == 0; /* posted before we stood in the list */
        enum wait_end end = taken ? WAIT_WOKEN : watch_wake(waiter.wake, moment, false);
        bool woken = delist(&waiter);
        if (taken && woken)
            wake_waiters(semaphore, 1); /* that post was meant for somebody: pass it on */
        if (taken)
            return 0;
        if (end == WAIT_INTERRUPTED && !woken) {
            errno = EINTR;
            return -1;
        }
    }
    return 0;
}

EXPORT int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(sem_clockwait)(semaphore, clock, time);
    if (!valid_timespec(time)) {
        errno = EINVAL;
        return -1;
    }
    return wait_on_semaphore(semaphore, moment_of(clock, time));
}

EXPORT int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict time)
{
    return clock_on() ? sem_clockwait(semaphore, CLOCK_REALTIME, time) : REAL(sem_timedwait)(semaphore, time);
}

EXPORT int sem_wait(sem_t *semaphore)
{
    if (!clock_on() || is_shared_semaphore(semaphore))
        return REAL(sem_wait)(semaphore);
    return wait_on_semaphore(semaphore, CLOCK_FOREVER);
}

EXPORT int sem_post(sem_t *semaphore)
{
    int result = REAL(sem_post)(semaphore);

    if (result == 0 && clock_on())
        wake_waiters(semaphore, 1);
    return result;
}
