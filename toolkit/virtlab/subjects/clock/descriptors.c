/* Waiting for descriptors or a virtual moment: poll, select, epoll and pending signals, all by way of watch(). */
#include "library.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

static uint64_t moment_in_ms(int ms)
{
    return ms < 0 ? CLOCK_FOREVER : moment_in((uint64_t)ms * NS_PER_MS);
}

static uint64_t moment_in_span(const struct timespec *span)
{
    return span ? moment_in(span_of(span)) : CLOCK_FOREVER;
}

/* ---- poll ---- */

EXPORT int poll(struct pollfd *fds, nfds_t count, int ms)
{
    if (!clock_on())
        return REAL(poll)(fds, count, ms);
    if (count == 0 && ms >= 0)
        return wait_until(moment_in_ms(ms));
    return watch(fds, count, moment_in_ms(ms), NULL);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *span, const sigset_t *mask)
{
    if (!clock_on())
        return REAL(ppoll)(fds, count, span, mask);
    if (span && !valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    return watch(fds, count, moment_in_span(span), mask);
}

/* What a program built with _FORTIFY_SOURCE calls instead; the sizes were its compiler's concern. */
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t size)
{
    (void)size;
    return poll(fds, count, ms);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *span, const sigset_t *mask,
                       size_t size)
{
    (void)size;
    return ppoll(fds, count, span, mask);
}

/* ---- select ---- */

struct sets {
    fd_set *read, *write, *except;
};

static bool is_in(int descriptor, const fd_set *set)
{
    return set && FD_ISSET(descriptor, set);
}

static nfds_t to_poll(int count, struct sets sets, struct pollfd *fds)
{
    nfds_t used = 0;

    for (int fd = 0; fd < count; fd++) {
        int events = (is_in(fd, sets.read) ? POLLIN : 0) | (is_in(fd, sets.write) ? POLLOUT : 0) |
                     (is_in(fd, sets.except) ? POLLPRI : 0);
        if (events)
            fds[used++] = (struct pollfd){fd, (short)events, 0};
    }
    return used;
}

static int put(int descriptor, fd_set *set, bool ready)
{
    if (!set || !ready)
        return 0;
    FD_SET(descriptor, set);
    return 1;
}

/* Fill the sets from poll's findings, with the kernel's own table of which event counts as which. */
static int from_poll(struct sets sets, const struct pollfd *fds, nfds_t used)
{
    int found = 0;

    if (sets.read) FD_ZERO(sets.read);
    if (sets.write) FD_ZERO(sets.write);
    if (sets.except) FD_ZERO(sets.except);
    for (nfds_t i = 0; i < used; i++) {
        int asked = fds[i].events, got = fds[i].revents;
        if (got & POLLNVAL) {
            errno = EBADF;
            return -1;
        }
        found += put(fds[i].fd, sets.read, (asked & POLLIN) && (got & (POLLIN | POLLHUP | POLLERR)));
        found += put(fds[i].fd, sets.write, (asked & POLLOUT) && (got & (POLLOUT | POLLERR)));
        found += put(fds[i].fd, sets.except, (asked & POLLPRI) && (got & POLLPRI));
    }
    return found;
}

static int select_until(int count, struct sets sets, uint64_t moment, const sigset_t *mask)
{
    struct pollfd fds[FD_SETSIZE];

    if (count < 0 || count > FD_SETSIZE) {
        errno = EINVAL;
        return -1;
    }
    nfds_t used = to_poll(count, sets, fds);
    if (watch(fds, used, moment, mask) < 0)
        return -1;
    return from_poll(sets, fds, used);
}

EXPORT int select(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                  struct timeval *restrict span)
{
    if (!clock_on())
        return REAL(select)(count, read, write, except, span);
    if (span && (span->tv_sec < 0 || span->tv_usec < 0)) {
        errno = EINVAL;
        return -1;
    }
    struct timespec exact = {span ? span->tv_sec : 0, span ? span->tv_usec % 1000000 * 1000 : 0};
    if (span)
        exact.tv_sec += span->tv_usec / 1000000;
    uint64_t moment = moment_in_span(span ? &exact : NULL);
    int found = select_until(count, (struct sets){read, write, except}, moment, NULL);
    if (span) { /* Linux leaves the time that was not used */
        uint64_t now = clock_now(), left = moment > now ? moment - now : 0;
        span->tv_sec = (time_t)(left / NS_PER_S);
        span->tv_usec = (suseconds_t)(left % NS_PER_S / NS_PER_US);
    }
    return found;
}

EXPORT int pselect(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                   const struct timespec *restrict span, const sigset_t *restrict mask)
{
    if (!clock_on())
        return REAL(pselect)(count, read, write, except, span, mask);
    if (span && !valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    return select_until(count, (struct sets){read, write, except}, moment_in_span(span), mask);
}

/* ---- epoll: its descriptor can itself be polled ---- */

static int epoll_until(int epoll, struct epoll_event *events, int max, uint64_t moment, const sigset_t *mask)
{
    struct pollfd fds = {epoll, POLLIN, 0};
    int ready = watch(&fds, 1, moment, mask);

    /* Even at the end of the time ask the real one: it also judges bad arguments. */
    return ready < 0 ? ready : REAL(epoll_pwait)(epoll, events, max, 0, mask);
}

EXPORT int epoll_pwait(int epoll, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
    if (!clock_on())
        return REAL(epoll_pwait)(epoll, events, max, ms, mask);
    return epoll_until(epoll, events, max, moment_in_ms(ms), mask);
}

EXPORT int epoll_wait(int epoll, struct epoll_event *events, int max, int ms)
{
    if (!clock_on())
        return REAL(epoll_wait)(epoll, events, max, ms);
    return epoll_until(epoll, events, max, moment_in_ms(ms), NULL);
}

EXPORT int epoll_pwait2(int epoll, struct epoll_event *events, int max, const struct timespec *span,
                        const sigset_t *mask)
{
    if (!clock_on())
        return REAL(epoll_pwait2)(epoll, events, max, span, mask);
    if (span && !valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    return epoll_until(epoll, events, max, moment_in_span(span), mask);
}

/* ---- signals that are waited for: a descriptor tells when one is pending ---- */

EXPORT int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info,
                        const struct timespec *restrict span)
{
    static const struct timespec AT_ONCE = {0, 0};

    /* Without a limit only a timer of ours needs virtual time to bring the signal. */
    if (!clock_on() || (!span && timers_next() == CLOCK_FOREVER))
        return REAL(sigtimedwait)(set, info, span);
    if (span && !valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    uint64_t moment = moment_in_span(span);
    int number = REAL(sigtimedwait)(set, info, &AT_ONCE);
    if (number >= 0 || errno != EAGAIN)
        return number;
    int pending = signalfd(-1, set, SFD_CLOEXEC);
    if (pending < 0)
        return -1;
    pending = keep_out_of_the_way(pending);
    int ready;
    do { /* another thread may take the signal before us: then go on waiting */
        struct pollfd fds = {pending, POLLIN, 0};
        ready = watch(&fds, 1, moment, NULL);
        number = ready < 0 ? -1 : REAL(sigtimedwait)(set, info, &AT_ONCE);
    } while (ready > 0 && number < 0 && errno == EAGAIN);
    int error = errno;
    close_own(pending);
    errno = error;
    return number;
}

EXPORT int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
    return sigtimedwait(set, info, NULL);
}

EXPORT int sigwait(const sigset_t *restrict set, int *restrict number)
{
    int got;

    if (!clock_on() || timers_next() == CLOCK_FOREVER)
        return REAL(sigwait)(set, number);
    do /* a handler of another signal does not end it */
        got = sigtimedwait(set, NULL, NULL);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    *number = got;
    return 0;
}
