/* Locks and joins with a time-out: tried again and again, in growing steps of virtual time.
 *
 * A wake-up as in locks.c would need a hook in every unlock. Steps find a lock that became free late by the length of
 * one, at most 64 ms of virtual time, and at the same instant in each run.
 */
#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <threads.h>

typedef int (*attempt)(void *object, void *argument); /* 0, EBUSY, or another error that ends the wait */

static int try_until(attempt try, void *object, void *argument, clockid_t clock, const struct timespec *time)
{
    uint64_t step = 0;
    int error = try(object, argument);

    if (error != EBUSY)
        return error; /* POSIX: the time need not be valid where the lock is free */
    if (!valid_timespec(time))
        return EINVAL;
    uint64_t moment = moment_of(clock, time);
    while (error == EBUSY) {
        if (moment <= clock_now())
            return ETIMEDOUT;
        wait_step(&step, moment);
        error = try(object, argument);
    }
    return error;
}

/* ---- mutexes ---- */

static int try_mutex(void *mutex, void *unused)
{
    (void)unused;
    return pthread_mutex_trylock(mutex);
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *restrict mutex, clockid_t clock,
                                   const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_mutex_clocklock)(mutex, clock, time);
    return try_until(try_mutex, mutex, NULL, clock, time);
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_mutex_timedlock)(mutex, time);
    return try_until(try_mutex, mutex, NULL, CLOCK_REALTIME, time);
}

/* C11's mutexes are POSIX's in the C library, under another name. */
EXPORT int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(mtx_timedlock)(mutex, time);
    int error = try_until(try_mutex, mutex, NULL, CLOCK_REALTIME, time);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

/* ---- read-write locks ---- */

static int try_read(void *lock, void *unused)
{
    (void)unused;
    return pthread_rwlock_tryrdlock(lock);
}

static int try_write(void *lock, void *unused)
{
    (void)unused;
    return pthread_rwlock_trywrlock(lock);
}

EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *restrict lock, clockid_t clock,
                                      const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_rwlock_clockrdlock)(lock, clock, time);
    return try_until(try_read, lock, NULL, clock, time);
}

EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_rwlock_timedrdlock)(lock, time);
    return try_until(try_read, lock, NULL, CLOCK_REALTIME, time);
}

EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *restrict lock, clockid_t clock,
                                      const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_rwlock_clockwrlock)(lock, clock, time);
    return try_until(try_write, lock, NULL, clock, time);
}

EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict time)
{
    if (!clock_on())
        return REAL(pthread_rwlock_timedwrlock)(lock, time);
    return try_until(try_write, lock, NULL, CLOCK_REALTIME, time);
}

/* ---- joins ---- */

static int try_join(void *thread, void *result)
{
    return pthread_tryjoin_np(*(pthread_t *)thread, result);
}

EXPORT int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *time)
{
    if (!clock_on() || !time)
        return REAL(pthread_clockjoin_np)(thread, result, clock, time);
    return try_until(try_join, &thread, result, clock, time);
}

EXPORT int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *time)
{
    if (!clock_on() || !time)
        return REAL(pthread_timedjoin_np)(thread, result, time);
    return try_until(try_join, &thread, result, CLOCK_REALTIME, time);
}

/* ---- System V semaphores: a span, not a moment, and signals end the wait ---- */

#define OPERATIONS_MAX 500 /* SEMOPM of Linux */

EXPORT int semtimedop(int set, struct sembuf *given, size_t count, const struct timespec *span)
{
    struct sembuf now[OPERATIONS_MAX];
    uint64_t step = 0;
    bool at_once = false;

    if (!clock_on() || !span || count > OPERATIONS_MAX)
        return REAL(semtimedop)(set, given, count, span);
    if (!valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        at_once |= given[i].sem_flg & IPC_NOWAIT;
        now[i] = given[i];
        now[i].sem_flg |= IPC_NOWAIT;
    }
    uint64_t moment = moment_in(span_of(span));
    int result;
    while ((result = semop(set, now, count)) < 0 && errno == EAGAIN && !at_once) {
        if (moment <= clock_now()) {
            errno = EAGAIN; /* a time-out looks the same */
            return -1;
        }
        if (wait_step(&step, moment) < 0)
            return -1;
    }
    return result;
}
