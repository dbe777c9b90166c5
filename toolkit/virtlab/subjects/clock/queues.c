/* Message queues and asynchronous input and output: waits for what others do, with a time-out. */
#include "library.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>

static const struct timespec LONG_AGO = {0, 0};

/* Wait until a queue may have what we want; false where the time is over or a signal came, which errno tells. */
static bool queue_is_ready(mqd_t queue, short events, uint64_t moment)
{
    struct pollfd fds = {queue, events, 0}; /* a descriptor, on Linux */
    int ready = watch(&fds, 1, moment, NULL);

    if (ready == 0)
        errno = ETIMEDOUT;
    return ready > 0;
}

static bool waits(mqd_t queue, const struct timespec *time)
{
    return clock_on() && time && !(fcntl(queue, F_GETFL) & O_NONBLOCK);
}

EXPORT ssize_t mq_timedreceive(mqd_t queue, char *restrict message, size_t size, unsigned *restrict priority,
                               const struct timespec *restrict time)
{
    if (!waits(queue, time))
        return REAL(mq_timedreceive)(queue, message, size, priority, time);
    if (!valid_timespec(time)) {
        errno = EINVAL;
        return -1;
    }
    for (;;) { /* another may take the message before us */
        ssize_t got = REAL(mq_timedreceive)(queue, message, size, priority, &LONG_AGO);
        if (got >= 0 || errno != ETIMEDOUT || !queue_is_ready(queue, POLLIN, moment_of(CLOCK_REALTIME, time)))
            return got;
    }
}

EXPORT int mq_timedsend(mqd_t queue, const char *message, size_t size, unsigned priority,
                        const struct timespec *time)
{
    if (!waits(queue, time))
        return REAL(mq_timedsend)(queue, message, size, priority, time);
    if (!valid_timespec(time)) {
        errno = EINVAL;
        return -1;
    }
    for (;;) {
        int sent = REAL(mq_timedsend)(queue, message, size, priority, &LONG_AGO);
        if (sent == 0 || errno != ETIMEDOUT || !queue_is_ready(queue, POLLOUT, moment_of(CLOCK_REALTIME, time)))
            return sent;
    }
}

/* Input and output on files take real time and no virtual one: only what has not come by then is waited for. */
static const struct timespec IO_PATIENCE = {0, 50000000};

static bool one_is_done(const struct aiocb *const requests[], int count)
{
    for (int i = 0; i < count; i++)
        if (requests[i] && aio_error(requests[i]) != EINPROGRESS)
            return true;
    return false;
}

EXPORT int aio_suspend(const struct aiocb *const requests[], int count, const struct timespec *span)
{
    uint64_t step = 0;

    if (!clock_on() || !span)
        return REAL(aio_suspend)(requests, count, span);
    if (!valid_timespec(span)) {
        errno = EINVAL;
        return -1;
    }
    uint64_t moment = moment_in(span_of(span));
    if (REAL(aio_suspend)(requests, count, &IO_PATIENCE) == 0)
        return 0;
    while (errno == EAGAIN && !one_is_done(requests, count)) {
        if (moment <= clock_now())
            return -1; /* errno is EAGAIN */
        if (wait_step(&step, moment) == 0)
            errno = EAGAIN;
    }
    return one_is_done(requests, count) ? 0 : -1;
}
