/* The table of timers that end a wait from outside (timers.c), for the three kinds of them. */
#ifndef VIRTLAB_CLOCK_TIMERS_H
#define VIRTLAB_CLOCK_TIMERS_H

#include <stddef.h>

#include "library.h"

#define TIMERS_MAX 64

enum timer_kind {
    TIMER_FREE,
    TIMER_ALARM,      /* alarms.c: the process has one */
    TIMER_DESCRIPTOR, /* timerfd.c: an eventfd stands for it */
    TIMER_POSIX,      /* posix_timers.c */
};

struct deadline {
    uint64_t moment;   /* of the next expiration; CLOCK_FOREVER: disarmed */
    uint64_t interval; /* ns to the one after; 0: none */
};

struct timer {
    enum timer_kind kind;
    struct deadline own;
    struct deadline *due; /* `own`, or in memory that children share: a timer descriptor's */
    clockid_t clock;
    int descriptor;        /* TIMER_DESCRIPTOR: one of those that are for it */
    struct sigevent event; /* TIMER_POSIX: what to do */
    size_t stack_size;     /* of the thread to start; 0: the usual one */
    int overrun;           /* expirations that the last signal stands for, beyond the first */
};

extern struct timer timers[TIMERS_MAX]; /* the first is the alarm */

void lock_timers(sigset_t *before); /* for some instructions; signals are blocked meanwhile */
void unlock_timers(const sigset_t *before);
bool any_timers(void);              /* whether there has ever been one: nearly no program has */
struct timer *new_timer(struct timer content); /* NULL where the table is full; disarmed */

/* Arm a timer for `moment` (CLOCK_FOREVER: disarm it), and tell what was left of it. */
struct itimerspec set_timer(struct timer *timer, uint64_t moment, uint64_t interval);
struct itimerspec left_of(const struct timer *timer, uint64_t now);

/* What timer_settime() and its kin ask for: the moment, or CLOCK_FOREVER; false with EINVAL for nonsense. */
bool moment_asked(const struct itimerspec *value, bool absolute, clockid_t clock, uint64_t *moment);

/* posix_timers.c: a timer has expired so many times; true where a thread is to be started for it. */
bool expire_posix_timer(struct timer *timer, uint64_t times);
void start_timer_thread(const struct timer *timer);

#endif
