/* Time-outs of sockets, SO_RCVTIMEO and SO_SNDTIMEO: kept here, and waited for in virtual time before the call.
 *
 * The kernel is given none. A copy of the descriptor keeps what was set before it was made; one that was passed to
 * another process has none.
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t spans_ns[2][DESCRIPTORS_MAX]; /* to receive and to send; 0: none. Untouched pages cost nothing */
static volatile bool any;

static uint64_t *span_on(int descriptor, short events)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS_MAX ? &spans_ns[events == POLLOUT][descriptor] : NULL;
}

void forget_timeouts_on(unsigned first, unsigned last)
{
    for (unsigned i = first; any && i <= last && i < DESCRIPTORS_MAX; i++)
        spans_ns[0][i] = spans_ns[1][i] = 0;
}

void copy_timeouts(int from, int to)
{
    for (int i = 0; any && i < 2; i++)
        if (from >= 0 && from < DESCRIPTORS_MAX && to < DESCRIPTORS_MAX)
            spans_ns[i][to] = spans_ns[i][from];
}

/* The time-out that a socket option names, or NULL for any other option. */
static uint64_t *span_of_option(int descriptor, int level, int option)
{
    if (!clock_on() || level != SOL_SOCKET || (option != SO_RCVTIMEO && option != SO_SNDTIMEO))
        return NULL;
    return span_on(descriptor, option == SO_SNDTIMEO ? POLLOUT : POLLIN);
}

EXPORT int setsockopt(int descriptor, int level, int option, const void *value, socklen_t size)
{
    uint64_t *span = span_of_option(descriptor, level, option);
    const struct timeval none = {0, 0};
    struct timeval wanted;
    int result = REAL(setsockopt)(descriptor, level, option, value, size);

    if (!span || result < 0)
        return result;
    memcpy(&wanted, value, sizeof wanted); /* the kernel found it good, and is to forget it */
    any = true;
    *span = (uint64_t)wanted.tv_sec * NS_PER_S + (uint64_t)wanted.tv_usec * NS_PER_US;
    return REAL(setsockopt)(descriptor, level, option, &none, sizeof none);
}

EXPORT int getsockopt(int descriptor, int level, int option, void *restrict value, socklen_t *restrict size)
{
    uint64_t *span = span_of_option(descriptor, level, option);

    if (!span || *span == 0 || *size < sizeof(struct timeval))
        return REAL(getsockopt)(descriptor, level, option, value, size);
    struct timeval told = {(time_t)(*span / NS_PER_S), (suseconds_t)(*span % NS_PER_S / NS_PER_US)};
    memcpy(value, &told, sizeof told);
    *size = sizeof told;
    return 0;
}

bool socket_is_ready(int descriptor, short events, int flags)
{
    uint64_t *span = any ? span_on(descriptor, events) : NULL;
    struct pollfd fds = {descriptor, events, 0};

    if (!span || *span == 0 || flags & MSG_DONTWAIT || fcntl(descriptor, F_GETFL) & O_NONBLOCK)
        return true; /* the call itself will see */
    int ready = watch(&fds, 1, moment_in(*span), NULL);
    if (ready == 0)
        errno = EAGAIN; /* as the kernel tells a time-out */
    return ready > 0;
}

/* ---- receiving; read() is in timerfd.c ---- */

EXPORT ssize_t recv(int descriptor, void *buffer, size_t size, int flags)
{
    return socket_is_ready(descriptor, POLLIN, flags) ? REAL(recv)(descriptor, buffer, size, flags) : -1;
}

EXPORT ssize_t recvfrom(int descriptor, void *restrict buffer, size_t size, int flags, __SOCKADDR_ARG from,
                        socklen_t *restrict length)
{
    if (!socket_is_ready(descriptor, POLLIN, flags))
        return -1;
    return REAL(recvfrom)(descriptor, buffer, size, flags, from, length);
}

EXPORT ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
    return socket_is_ready(descriptor, POLLIN, flags) ? REAL(recvmsg)(descriptor, message, flags) : -1;
}

EXPORT ssize_t readv(int descriptor, const struct iovec *pieces, int count)
{
    return socket_is_ready(descriptor, POLLIN, 0) ? REAL(readv)(descriptor, pieces, count) : -1;
}

/* As in the kernel, the time is looked at after each message, and does not end the wait for one (recvmmsg(2), BUGS). */
EXPORT int recvmmsg(int descriptor, struct mmsghdr *messages, unsigned count, int flags, struct timespec *span)
{
    unsigned got = 0;

    if (!clock_on())
        return REAL(recvmmsg)(descriptor, messages, count, flags, span);
    if (span && !valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    uint64_t moment = span ? moment_in(span_of(span)) : CLOCK_FOREVER;
    while (got < count && socket_is_ready(descriptor, POLLIN, flags) &&
           REAL(recvmmsg)(descriptor, messages + got, 1, flags & ~MSG_WAITFORONE, NULL) == 1) {
        got++;
        if (moment <= clock_now())
            break;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
    }
    if (span)
        *span = timespec_of(moment > clock_now() ? moment - clock_now() : 0);
    return got || !count ? (int)got : -1;
}

EXPORT int accept(int descriptor, __SOCKADDR_ARG from, socklen_t *restrict length)
{
    return socket_is_ready(descriptor, POLLIN, 0) ? REAL(accept)(descriptor, from, length) : -1;
}

EXPORT int accept4(int descriptor, __SOCKADDR_ARG from, socklen_t *restrict length, int flags)
{
    return socket_is_ready(descriptor, POLLIN, 0) ? REAL(accept4)(descriptor, from, length, flags) : -1;
}

/* What a program built with _FORTIFY_SOURCE calls instead. */
ssize_t __recv_chk(int descriptor, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int descriptor, void *restrict buffer, size_t size, size_t room, int flags,
                       __SOCKADDR_ARG from, socklen_t *restrict length);

EXPORT ssize_t __recv_chk(int descriptor, void *buffer, size_t size, size_t room, int flags)
{
    return size > room ? REAL(__recv_chk)(descriptor, buffer, size, room, flags)
                       : recv(descriptor, buffer, size, flags);
}

EXPORT ssize_t __recvfrom_chk(int descriptor, void *restrict buffer, size_t size, size_t room, int flags,
                              __SOCKADDR_ARG from, socklen_t *restrict length)
{
    return size > room ? REAL(__recvfrom_chk)(descriptor, buffer, size, room, flags, from, length)
                       : recvfrom(descriptor, buffer, size, flags, from, length);
}

/* ---- sending ---- */

EXPORT ssize_t send(int descriptor, const void *buffer, size_t size, int flags)
{
    return socket_is_ready(descriptor, POLLOUT, flags) ? REAL(send)(descriptor, buffer, size, flags) : -1;
}

EXPORT ssize_t sendto(int descriptor, const void *buffer, size_t size, int flags, __CONST_SOCKADDR_ARG to,
                      socklen_t length)
{
    if (!socket_is_ready(descriptor, POLLOUT, flags))
        return -1;
    return REAL(sendto)(descriptor, buffer, size, flags, to, length);
}

EXPORT ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    return socket_is_ready(descriptor, POLLOUT, flags) ? REAL(sendmsg)(descriptor, message, flags) : -1;
}

EXPORT ssize_t write(int descriptor, const void *buffer, size_t size)
{
    return socket_is_ready(descriptor, POLLOUT, 0) ? REAL(write)(descriptor, buffer, size) : -1;
}

EXPORT ssize_t writev(int descriptor, const struct iovec *pieces, int count)
{
    return socket_is_ready(descriptor, POLLOUT, 0) ? REAL(writev)(descriptor, pieces, count) : -1;
}
