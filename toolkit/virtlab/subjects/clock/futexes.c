/* Raw futexes with a time-out, as the libraries of C++ and Rust use them for their own locks and channels.
 *
 * The waiter stands in the list of locks.c under the word's address instead of in the kernel, and who wakes the word
 * wakes it there. Another process is out of the list's reach, so a word that may be shared is looked at in steps, too.
 * Waits without a time-out stay the kernel's, and so do those for locks that inherit priorities.
 */
#include "library.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

static long failed(int error)
{
    errno = error;
    return -1;
}

static uint32_t value_of(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* The end of the next step, or of the wait where nobody but ourselves can wake the word. */
static uint64_t next_look(uint64_t *step, uint64_t moment, bool shared)
{
    uint64_t next = shared ? next_step(step) : moment;

    return next < moment ? next : moment;
}

static long wait_for(const uint32_t *word, uint32_t value, uint64_t moment, bool shared)
{
    uint64_t step = 0;
    struct waiter waiter;
    enum wait_end end;

    if (value_of(word) != value)
        return failed(EAGAIN);
    if (moment <= clock_now()) {
        count_idle_read();
        return failed(ETIMEDOUT);
    }
    enlist(&waiter, word);
    if (value_of(word) != value) /* changed, and perhaps woken, before we stood in the list */
        return delist(&waiter) ? 0 : failed(EAGAIN);
    do
        end = watch_wake(waiter.wake, next_look(&step, moment, shared), is_short_wait(moment));
    while (end == WAIT_OVER && shared && clock_now() < moment && value_of(word) == value);
    if (delist(&waiter))
        return 0;
    if (end == WAIT_INTERRUPTED)
        return failed(EINTR);
    return shared && value_of(word) != value ? 0 : failed(ETIMEDOUT);
}

static long wake(const long given[CALL_ARGUMENTS])
{
    int wanted = (int)given[2];
    int woken = wake_waiters((const void *)given[0], wanted);

    if (woken >= wanted)
        return woken;
    long others = kernel(SYS_futex, given[0], given[1], wanted - woken, given[3], given[4], given[5]);
    return others < 0 ? others : woken + others;
}

bool virtual_futex(const long given[CALL_ARGUMENTS], long *result)
{
    const uint32_t *word = (const uint32_t *)given[0];
    int operation = (int)given[1], command = operation & FUTEX_CMD_MASK;
    const struct timespec *time = (const struct timespec *)given[3];

    switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        if (!time)
            return false;
        if (!valid_timespec(time)) {
            *result = failed(EINVAL);
            return true;
        }
        clockid_t clock = operation & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
        uint64_t moment = command == FUTEX_WAIT ? moment_in(span_of(time)) : moment_of(clock, time);
        *result = wait_for(word, (uint32_t)given[2], moment, !(operation & FUTEX_PRIVATE_FLAG));
        return true;
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
        *result = wake(given);
        return true;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
        wake_waiters(word, INT_MAX); /* too many at worst: they look at the word again */
        wake_waiters((const void *)given[4], command == FUTEX_WAKE_OP ? INT_MAX : 0);
        return false;
    default:
        return false;
    }
}
