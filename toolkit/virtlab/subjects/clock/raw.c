/* Raw system calls: those that read a clock, wait for a time, start a program or ask about the machine do as the
 * C library's functions do.
 *
 * They come by way of syscall(2), which C++'s and Rust's libraries use too, or from instructions in the program's
 * own code (assembly.c). All others go to the kernel as they are, the library's own (`kernel()`) among them.
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static long from_error(int error)
{
    if (!error)
        return 0;
    errno = error;
    return -1;
}

/* The kernel takes a null pointer for "do not tell me", and so must we. */
static long raw_gettimeofday(struct timeval *time, void *zone)
{
    return time ? gettimeofday(time, zone) : 0;
}

/* The last argument of pselect6 is a pointer to these two. */
struct pselect_mask {
    const sigset_t *mask;
    size_t size;
};

static long raw_pselect(const long *given)
{
    const struct pselect_mask *mask = (const struct pselect_mask *)given[5];

    return pselect((int)given[0], (fd_set *)given[1], (fd_set *)given[2], (fd_set *)given[3],
                   (const struct timespec *)given[4], mask ? mask->mask : NULL);
}

#define TIME(n) ((const struct timespec *)given[n])
#define SET(n) ((const sigset_t *)given[n])
#define EVENTS(n) ((struct epoll_event *)given[n])
#define NUMBER(n) ((int)given[n])

static bool timed_call(long number, const long given[CALL_ARGUMENTS], long *result)
{
    switch (number) {
    case SYS_clock_gettime:
        *result = clock_gettime((clockid_t)given[0], (struct timespec *)given[1]);
        return true;
    case SYS_gettimeofday:
        *result = raw_gettimeofday((struct timeval *)given[0], (void *)given[1]);
        return true;
    case SYS_nanosleep:
        *result = nanosleep(TIME(0), (struct timespec *)given[1]);
        return true;
    case SYS_clock_nanosleep:
        *result = from_error(clock_nanosleep((clockid_t)given[0], NUMBER(1), TIME(2), (struct timespec *)given[3]));
        return true;
    case SYS_ppoll:
        *result = ppoll((struct pollfd *)given[0], (nfds_t)given[1], TIME(2), SET(3));
        return true;
    case SYS_pselect6:
        *result = raw_pselect(given);
        return true;
    case SYS_epoll_pwait:
        *result = epoll_pwait(NUMBER(0), EVENTS(1), NUMBER(2), NUMBER(3), SET(4));
        return true;
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
        *result = epoll_pwait2(NUMBER(0), EVENTS(1), NUMBER(2), TIME(3), SET(4));
        return true;
#endif
    case SYS_rt_sigtimedwait:
        *result = sigtimedwait(SET(0), (siginfo_t *)given[1], TIME(2));
        return true;
    case SYS_futex:
        return virtual_futex(given, result);
    case SYS_setitimer:
        *result = setitimer((__itimer_which_t)given[0], (const struct itimerval *)given[1],
                            (struct itimerval *)given[2]);
        return true;
    case SYS_getitimer:
        *result = getitimer((__itimer_which_t)given[0], (struct itimerval *)given[1]);
        return true;
    case SYS_timerfd_create:
        *result = timerfd_create(NUMBER(0), NUMBER(1));
        return true;
    case SYS_timerfd_settime:
        *result = timerfd_settime(NUMBER(0), NUMBER(1), (const struct itimerspec *)given[2],
                                  (struct itimerspec *)given[3]);
        return true;
    case SYS_timerfd_gettime:
        *result = timerfd_gettime(NUMBER(0), (struct itimerspec *)given[1]);
        return true;
    case SYS_mq_timedreceive:
        *result = mq_timedreceive(NUMBER(0), (char *)given[1], (size_t)given[2], (unsigned *)given[3], TIME(4));
        return true;
    case SYS_mq_timedsend:
        *result = mq_timedsend(NUMBER(0), (const char *)given[1], (size_t)given[2], (unsigned)given[3], TIME(4));
        return true;
    case SYS_semtimedop:
        *result = semtimedop(NUMBER(0), (struct sembuf *)given[1], (size_t)given[2], TIME(3));
        return true;
    case SYS_times:
        *result = times((struct tms *)given[0]);
        return true;
    case SYS_rt_sigsuspend:
        *result = sigsuspend(SET(0));
        return true;
#ifdef SYS_futex_waitv
    case SYS_futex_waitv:
#endif
    case SYS_io_uring_setup: /* time-outs of the kernel's: programs take other ways where these are missing */
        *result = from_error(ENOSYS);
        return true;
    case SYS_execve:
        *result = execve((const char *)given[0], (char *const *)given[1], (char *const *)given[2]);
        return true;
#ifdef SYS_time /* the older calls, which newer machines do not have */
    case SYS_time:
        *result = time((time_t *)given[0]);
        return true;
    case SYS_poll:
        *result = poll((struct pollfd *)given[0], (nfds_t)given[1], NUMBER(2));
        return true;
    case SYS_select:
        *result = select(NUMBER(0), (fd_set *)given[1], (fd_set *)given[2], (fd_set *)given[3],
                         (struct timeval *)given[4]);
        return true;
    case SYS_epoll_wait:
        *result = epoll_wait(NUMBER(0), EVENTS(1), NUMBER(2), NUMBER(3));
        return true;
    case SYS_pause:
        *result = pause();
        return true;
    case SYS_alarm:
        *result = (long)alarm((unsigned)given[0]);
        return true;
    case SYS_fork:
    case SYS_vfork:
        *result = fork();
        return true;
#endif
    default:
        return false;
    }
}

#define BYTES(n) ((char *)given[n])
#define SIZE(n) ((size_t)given[n])
#define ADDRESS(n) ((struct sockaddr *)given[n])
#define MESSAGE(n) ((struct msghdr *)given[n])
#define PIECES(n) ((const struct iovec *)given[n])

/* Calls that concern a descriptor of which the library knows a timer or a time-out, or other processes. */
static bool kept_call(long number, const long given[CALL_ARGUMENTS], long *result)
{
    switch (number) {
    case SYS_read:
        *result = read(NUMBER(0), BYTES(1), SIZE(2));
        return true;
    case SYS_close:
        *result = close(NUMBER(0));
        return true;
    case SYS_dup:
        *result = dup(NUMBER(0));
        return true;
    case SYS_dup3:
        *result = dup3(NUMBER(0), NUMBER(1), NUMBER(2));
        return true;
    case SYS_fcntl:
        *result = fcntl(NUMBER(0), NUMBER(1), given[2]);
        return true;
    case SYS_setsockopt:
        *result = setsockopt(NUMBER(0), NUMBER(1), NUMBER(2), BYTES(3), (socklen_t)given[4]);
        return true;
    case SYS_getsockopt:
        *result = getsockopt(NUMBER(0), NUMBER(1), NUMBER(2), BYTES(3), (socklen_t *)given[4]);
        return true;
    case SYS_recvfrom:
        *result = recvfrom(NUMBER(0), BYTES(1), SIZE(2), NUMBER(3), ADDRESS(4), (socklen_t *)given[5]);
        return true;
    case SYS_recvmsg:
        *result = recvmsg(NUMBER(0), MESSAGE(1), NUMBER(2));
        return true;
    case SYS_recvmmsg:
        *result = recvmmsg(NUMBER(0), (struct mmsghdr *)given[1], (unsigned)given[2], NUMBER(3),
                           (struct timespec *)given[4]);
        return true;
    case SYS_readv:
        *result = readv(NUMBER(0), PIECES(1), NUMBER(2));
        return true;
    case SYS_accept4:
        *result = accept4(NUMBER(0), ADDRESS(1), (socklen_t *)given[2], NUMBER(3));
        return true;
    case SYS_sendmsg:
        *result = sendmsg(NUMBER(0), MESSAGE(1), NUMBER(2));
        return true;
    case SYS_write:
        *result = write(NUMBER(0), BYTES(1), SIZE(2));
        return true;
    case SYS_writev:
        *result = writev(NUMBER(0), PIECES(1), NUMBER(2));
        return true;
    case SYS_kill:
        *result = kill((pid_t)given[0], NUMBER(1));
        return true;
    case SYS_tgkill:
        *result = tgkill((pid_t)given[0], (pid_t)given[1], NUMBER(2));
        return true;
    case SYS_wait4:
        *result = wait4((pid_t)given[0], (int *)given[1], NUMBER(2), (struct rusage *)given[3]);
        return true;
    case SYS_sendto:
        *result = sendto(NUMBER(0), BYTES(1), SIZE(2), NUMBER(3), ADDRESS(4), (socklen_t)given[5]);
        return true;
#ifdef SYS_dup2
    case SYS_dup2:
        *result = dup2(NUMBER(0), NUMBER(1));
        return true;
#endif
    default:
        return false;
    }
}

bool virtual_call(long number, const long given[CALL_ARGUMENTS], long *result)
{
    if (clock_on() && (timed_call(number, given, result) || kept_call(number, given, result)))
        return true;
    if (number != SYS_sysinfo)
        return processor_call(number, given, result);
    *result = sysinfo((struct sysinfo *)given[0]);
    return true;
}

EXPORT long syscall(long number, ...)
{
    long given[CALL_ARGUMENTS], result;
    va_list rest;

    /* Fewer may have been passed: what is read beyond them goes to a call that does not look at it. */
    va_start(rest, number);
    for (int i = 0; i < CALL_ARGUMENTS; i++)
        given[i] = va_arg(rest, long);
    va_end(rest);
    if (virtual_call(number, given, &result))
        return result;
    return REAL(syscall)(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
