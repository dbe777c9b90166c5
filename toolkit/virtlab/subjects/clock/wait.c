/* The one way to wait: tell the server, then sleep until its answer, a descriptor or a signal comes.
 *
 * Signals are what makes this delicate. A handler may run before, while and after the thread sleeps, may wait
 * itself (a handler that closes a libvirt connection does) and may leave with siglongjmp(). So all signals are
 * blocked from the request to the answer, and only the ppoll() between them opens the program's own mask: a
 * signal runs its handler there or not at all, and one that came early ends the ppoll() at once. ppoll() is
 * never restarted after a handler, not even under SA_RESTART, and neither are sleep() and its kin on Linux.
 */
#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KERNEL_SIGSET_BYTES 8
#define FEW_DESCRIPTORS 64

/* An endless poll is nearly always the wait for a reply that is on its way: try so long in real time first. */
static const struct timespec REPLY_PATIENCE = {0, 1000000};

/* Interpreters pass their global lock by condition waits of some 5 ms. If its owner computes on, virtual time
 * stands still; after this real time the waiter hears of a time-out and asks for the lock. */
static const struct timespec LOCK_PATIENCE = {0, 50000000};

/* A thread that looks at the clock so often without waiting is spinning: each look then costs 1 us. */
#define READS_BEFORE_NUDGE 10000

static const struct timespec AT_ONCE = {0, 0};

static PER_THREAD bool request_open; /* a wait was announced and its answer not yet taken */
static PER_THREAD unsigned idle_reads;

static int kernel_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *limit, const sigset_t *mask)
{
    struct timespec left; /* the kernel writes the rest of the time into it */

    if (limit)
        left = *limit;
    return (int)kernel(SYS_ppoll, fds, count, limit ? &left : NULL, mask, KERNEL_SIGSET_BYTES);
}

static void block_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void restore_signals(const sigset_t *before)
{
    int error = errno;

    pthread_sigmask(SIG_SETMASK, before, NULL); /* pending handlers run here */
    errno = error;
}

static void open_request(int link, enum clock_operation operation, uint64_t moment)
{
    if (request_open) { /* we are inside a signal handler, or came out of one by siglongjmp() */
        send_request(link, CLOCK_CANCEL, 0);
        take_answer(link);
    }
    idle_reads = 0;
    request_open = true;
    send_request(link, operation, moment);
}

/* Take the one answer of our request, unless a wait inside a signal handler took it for us. */
static void close_request(int link, bool answered, bool at_once)
{
    if (!request_open)
        return;
    if (!answered)
        send_request(link, CLOCK_CANCEL, at_once);
    take_answer(link);
    request_open = false;
}

uint64_t moment_in(uint64_t span_ns)
{
    uint64_t now = clock_now();

    return span_ns >= CLOCK_FOREVER - now ? CLOCK_FOREVER - 1 : now + span_ns;
}

/* Let timers that are due go off, signals being blocked; true where a handler has run under `mask`. */
static bool timers_interrupt(const sigset_t *mask)
{
    return timers_go_off() && kernel_ppoll(NULL, 0, &AT_ONCE, mask) < 0;
}

static uint64_t not_past_timers(uint64_t moment)
{
    uint64_t next = timers_next();

    return next < moment ? next : moment;
}

static int wait_as(enum clock_operation operation, uint64_t moment)
{
    int link = my_link();
    struct pollfd answer = {link, POLLIN, 0};
    sigset_t before;
    bool interrupted;

    block_signals(&before);
    interrupted = timers_interrupt(&before);
    while (!interrupted && clock_now() < moment) {
        open_request(link, operation, not_past_timers(moment));
        int ready = kernel_ppoll(&answer, 1, NULL, &before);
        close_request(link, ready > 0, false);
        interrupted = timers_interrupt(&before) || ready < 0;
    }
    restore_signals(&before);
    if (!interrupted)
        return 0;
    pthread_testcancel();
    errno = EINTR;
    return -1;
}

int wait_until(uint64_t moment)
{
    pthread_testcancel();
    if (moment <= clock_now()) {
        count_idle_read();
        return 0;
    }
    return wait_as(CLOCK_WAIT, moment);
}

void count_idle_read(void)
{
    if (++idle_reads < READS_BEFORE_NUDGE)
        return;
    int error = errno;
    wait_as(CLOCK_SPIN, moment_in(READS_BEFORE_NUDGE * NS_PER_US));
    errno = error;
}

void wait_for_birth(int link)
{
    sigset_t before;

    block_signals(&before);
    take_answer(link);
    restore_signals(&before);
}

/* The connection, free for a word that is no wait; signals are to be blocked. */
static int free_link(void)
{
    int link = my_link();

    if (request_open) { /* we are inside a signal handler; see open_request() */
        send_request(link, CLOCK_CANCEL, 1);
        take_answer(link);
        request_open = false;
    }
    return link;
}

void tell_stir(void)
{
    int error = errno;
    sigset_t before;

    block_signals(&before);
    send_request(free_link(), CLOCK_STIR, 0);
    restore_signals(&before);
    errno = error;
}

void tell_leaving(const char *path, enum clock_reach reach)
{
    sigset_t before;

    block_signals(&before);
    int link = free_link();
    for (size_t left = strlen(path); left > 0;) {
        uint64_t piece = 0;
        size_t size = left < sizeof piece ? left : sizeof piece;
        memcpy(&piece, path, size);
        send_request(link, CLOCK_NAME, piece);
        path += size;
        left -= size;
    }
    send_request(link, CLOCK_LEAVES, reach);
    restore_signals(&before);
}

/* The part of watch() after which signals are blocked and nothing was ready at first sight. The last entry of
 * `fds`, beyond `count`, is free for the connection. */
static int watch_blocked(struct pollfd *fds, nfds_t count, uint64_t moment, const sigset_t *mask)
{
    int link = my_link();

    fds[count] = (struct pollfd){link, POLLIN, 0};
    for (;;) {
        open_request(link, CLOCK_WATCH, not_past_timers(moment));
        int ready = kernel_ppoll(fds, count + 1, NULL, mask);
        int error = errno;
        bool answered = ready > 0 && fds[count].revents;
        close_request(link, answered, false);
        errno = error;
        if (ready < 0 || ready > answered)
            return ready - answered;
        if (!timers_go_off() && clock_now() >= moment)
            return 0;
        /* A timer, ours or one shared with another process, may have run a handler or filled a descriptor. */
        ready = kernel_ppoll(fds, count, &AT_ONCE, mask);
        if (ready != 0 || clock_now() >= moment)
            return ready;
    }
}

int watch(struct pollfd *fds, nfds_t count, uint64_t moment, const sigset_t *mask)
{
    struct pollfd few[FEW_DESCRIPTORS + 1], *all = few;
    sigset_t before;

    pthread_testcancel();
    block_signals(&before);
    if (!mask)
        mask = &before;
    timers_go_off();
    int ready = kernel_ppoll(fds, count, moment == CLOCK_FOREVER ? &REPLY_PATIENCE : &AT_ONCE, mask);
    if (ready == 0 && moment > clock_now()) {
        if (count > FEW_DESCRIPTORS)
            all = malloc((count + 1) * sizeof *all);
        if (!all) {
            errno = ENOMEM;
            ready = -1;
        } else {
            memcpy(all, fds, count * sizeof *fds);
            ready = watch_blocked(all, count, moment, mask);
            if (ready >= 0)
                memcpy(fds, all, count * sizeof *fds);
            if (all != few)
                free(all);
        }
    } else if (ready == 0) {
        count_idle_read();
    }
    restore_signals(&before);
    if (ready < 0 && errno == EINTR)
        pthread_testcancel();
    return ready;
}

/* Wait for a wake-up through an eventfd of ours; `impatient` gives up after some real time, as explained above. */
enum wait_end watch_wake(int wake, uint64_t moment, bool impatient)
{
    int link = my_link();
    struct pollfd fds[2] = {{wake, POLLIN, 0}, {link, POLLIN, 0}};
    sigset_t before;

    block_signals(&before);
    int ready;
    bool interrupted, on_time;
    do { /* a timer that ran no handler and woke nobody does not end the wait */
        open_request(link, CLOCK_WATCH, not_past_timers(moment));
        ready = kernel_ppoll(fds, 2, impatient ? &LOCK_PATIENCE : NULL, &before);
        on_time = ready > 0 && !fds[0].revents && clock_now() < moment;
        close_request(link, ready > 0 && fds[1].revents, ready == 0);
        interrupted = timers_interrupt(&before) || ready < 0;
    } while (on_time && !interrupted);
    restore_signals(&before);
    if (interrupted)
        return WAIT_INTERRUPTED;
    return ready > 0 && fds[0].revents ? WAIT_WOKEN : WAIT_OVER;
}
