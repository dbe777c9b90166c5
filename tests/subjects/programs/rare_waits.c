/* The rarer ways to wait, one case per name given as the first argument; prints what it saw in virtual time. */
#define _GNU_SOURCE
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define BEGIN_S 1767225600 /* CLOCK_REALTIME at virtual time 0 */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - 100) + (double)t.tv_nsec / 1e9;
}

static struct timespec at(int second) { return (struct timespec){BEGIN_S + second, 0}; }

/* Results are evaluated before the time is read. */
static void tell(const char *what, long result)
{
    int error = errno;
    printf("%s %ld%s%s at %.3f\n", what, result, result < 0 ? " " : "", result < 0 ? strerror(error) : "", now());
}

/* ---- POSIX timers ---- */

static volatile sig_atomic_t rings, value;

static void on_ring(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    rings++;
    value = info->si_value.sival_int;
}

static void handle(int number)
{
    struct sigaction action = {.sa_sigaction = on_ring, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(number, &action, NULL);
}

static void timer_signals(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
    struct itimerspec every = {{1, 500000000}, {2, 0}}, once = {{0, 0}, {BEGIN_S + 20, 0}}, left;
    timer_t timer, alarm;
    sigset_t set;
    handle(SIGRTMIN);
    tell("made", timer_create(CLOCK_MONOTONIC, &event, &timer));
    timer_settime(timer, 0, &every, NULL);
    for (int i = 0; i < 2; i++)
        pause();
    printf("%d rings, value %d\n", (int)rings, (int)value);
    timer_gettime(timer, &left);
    printf("next in %ld.%03ld\n", (long)left.it_value.tv_sec, left.it_value.tv_nsec / 1000000);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sleep(7);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    printf("%d rings, overrun %d at %.3f\n", (int)rings, timer_getoverrun(timer), now());
    timer_delete(timer);
    handle(SIGALRM);
    tell("made", timer_create(CLOCK_REALTIME, NULL, &alarm)); /* SIGALRM unless told otherwise */
    timer_settime(alarm, TIMER_ABSTIME, &once, NULL);
    unsigned rest = sleep(60);
    printf("%u s left at %.3f\n", rest, now());
    event.sigev_signo = 4711;
    tell("nonsense", timer_create(CLOCK_MONOTONIC, &event, &timer));
}

static sem_t semaphore;

static void on_expiry(union sigval given)
{
    sleep(1); /* a thread of its own, so it may wait */
    printf("thread %d at %.3f\n", given.sival_int, now());
    sem_post(&semaphore);
}

static void timer_threads(void)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_expiry, .sigev_value.sival_int = 7};
    struct itimerspec every = {{3, 0}, {2, 0}};
    timer_t timer;
    sem_init(&semaphore, 0, 0);
    tell("made", timer_create(CLOCK_MONOTONIC, &event, &timer));
    timer_settime(timer, 0, &every, NULL);
    for (int i = 0; i < 3; i++)
        sem_wait(&semaphore);
    timer_delete(timer);
    sleep(10);
    printf("end %.3f\n", now());
}

/* ---- locks with a time-out ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *holder(void *unused)
{
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&rwlock);
    sleep(10);
    pthread_rwlock_unlock(&rwlock);
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void timed_locks(void)
{
    struct timespec two = at(2), four = at(4), six = at(6), later = at(60), bad = {0, -1};
    pthread_t thread;
    pthread_create(&thread, NULL, holder, NULL);
    usleep(1000);
    tell("mutex", pthread_mutex_timedlock(&mutex, &two));
    tell("read", pthread_rwlock_timedrdlock(&rwlock, &four));
    tell("write", pthread_rwlock_timedwrlock(&rwlock, &six));
    tell("nonsense", pthread_mutex_timedlock(&mutex, &bad));
    int error = pthread_mutex_timedlock(&mutex, &later);
    printf("mutex %d %s\n", error, now() >= 10 && now() < 10.065 ? "soon after 10" : "at another time");
    tell("join", pthread_timedjoin_np(thread, NULL, &later));
}

static mtx_t c11_mutex;
static cnd_t c11_condition;

static int c11_thread(void *unused)
{
    struct timespec span = {3, 0};
    (void)unused;
    thrd_sleep(&span, NULL);
    mtx_lock(&c11_mutex);
    cnd_signal(&c11_condition);
    mtx_unlock(&c11_mutex);
    return 5;
}

static void c11(void)
{
    struct timespec two = at(2), later = at(60);
    thrd_t thread;
    int result;
    mtx_init(&c11_mutex, mtx_timed);
    cnd_init(&c11_condition);
    mtx_lock(&c11_mutex);
    tell("timed out", cnd_timedwait(&c11_condition, &c11_mutex, &two) == thrd_timedout);
    thrd_create(&thread, c11_thread, NULL);
    tell("signalled", cnd_timedwait(&c11_condition, &c11_mutex, &later) == thrd_success);
    mtx_unlock(&c11_mutex);
    thrd_join(thread, &result);
    tell("joined", result);
}

/* ---- raw futexes, as other languages' libraries use them ---- */

static uint32_t word;

static long futex(uint32_t *address, int operation, uint32_t number, const struct timespec *time)
{
    return syscall(SYS_futex, address, operation, number, time, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void *waker(void *unused)
{
    sleep(3);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    long woken = futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL);
    printf("woke %ld\n", woken);
    return unused;
}

static void futexes(void)
{
    struct timespec span = {2, 500000000}, moment = {200, 0}, real = at(20), bad = {0, -1};
    pthread_t thread;
    tell("relative", futex(&word, FUTEX_WAIT_PRIVATE, 0, &span));
    tell("changed", futex(&word, FUTEX_WAIT_PRIVATE, 1, &span));
    pthread_create(&thread, NULL, waker, NULL);
    tell("woken", futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &moment));
    pthread_join(thread, NULL);
    tell("calendar", futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, &real));
    tell("shared", futex(&word, FUTEX_WAIT, 1, &span));
    tell("nonsense", futex(&word, FUTEX_WAIT_PRIVATE, 1, &bad));
}

/* ---- other raw calls ---- */

struct two { const sigset_t *mask; size_t size; };

static void raw_waits(void)
{
    struct timespec span = {1, 0};
    struct timeval time = {1, 0};
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerval soon = {{0, 0}, {1, 0}};
    sigset_t none;
    sigemptyset(&none);
    struct two mask = {&none, 8};
    int ends[2], epoll = epoll_create1(0);
    if (pipe(ends)) return;
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    struct pollfd fds = {ends[0], POLLIN, 0};
    tell("poll", syscall(SYS_poll, &fds, 1, 1000));
    tell("ppoll", syscall(SYS_ppoll, &fds, 1, &span, NULL, 8));
    tell("select", syscall(SYS_select, 0, NULL, NULL, NULL, &time));
    tell("pselect6", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &span, &mask));
    tell("epoll_wait", syscall(SYS_epoll_wait, epoll, &event, 1, 1000));
    tell("epoll_pwait", syscall(SYS_epoll_pwait, epoll, &event, 1, 1000, NULL, 8));
    tell("epoll_pwait2", syscall(SYS_epoll_pwait2, epoll, &event, 1, &span, NULL, 8));
    tell("rt_sigtimedwait", syscall(SYS_rt_sigtimedwait, &none, NULL, &span, 8));
    handle(SIGALRM);
    syscall(SYS_setitimer, ITIMER_REAL, &soon, NULL);
    tell("pause", syscall(SYS_pause));
    fflush(stdout);
    if (syscall(SYS_fork) == 0) {
        sleep(1);
        tell("child", 0);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    tell("parent", 0);
}

#if defined(__x86_64__)
static long by_instruction(long number, long a, long b, long c, long d)
{
    register long fourth __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}

static void *sleeper(void *span)
{
    by_instruction(SYS_nanosleep, (long)span, 0, 0, 0);
    printf("thread at %.3f\n", now());
    return NULL;
}

static void assembly(void)
{
    struct timespec span = {2, 0}, bad = {0, -1}, read = {0, 0};
    struct pollfd fds = {0, 0, 0};
    pthread_t thread;
    sigset_t all;
    tell("nanosleep", by_instruction(SYS_nanosleep, (long)&span, 0, 0, 0));
    printf("nonsense %ld\n", by_instruction(SYS_nanosleep, (long)&bad, 0, 0, 0));
    by_instruction(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&read, 0, 0);
    printf("reads %ld\n", (long)read.tv_sec);
    tell("poll", by_instruction(SYS_poll, (long)&fds, 0, 1500, 0));
    printf("futex %ld", by_instruction(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, (long)&span));
    printf(" at %.3f\n", now());
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    tell("all signals blocked", by_instruction(SYS_nanosleep, (long)&span, 0, 0, 0));
    pthread_create(&thread, NULL, sleeper, &span);
    sleep(1);
    printf("main at %.3f\n", now());
    pthread_join(thread, NULL);
    printf("others as ever %d\n", by_instruction(SYS_getpid, 0, 0, 0, 0) == getpid());
}
#endif

/* ---- sockets ---- */

static void *talker(void *ends)
{
    sleep(2);
    if (write(((int *)ends)[1], "x", 1) != 1) printf("nothing written\n");
    return NULL;
}

static void socket_timeouts(void)
{
    struct timeval span = {4, 250000}, told = {0, 0};
    socklen_t size = sizeof told;
    char buffer[65536] = {0};
    struct msghdr message = {0};
    pthread_t thread;
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof span);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &span, sizeof span);
    getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &told, &size);
    printf("told %ld.%06ld\n", (long)told.tv_sec, (long)told.tv_usec);
    tell("recv", recv(ends[0], buffer, 1, 0));
    tell("read", read(ends[0], buffer, 1));
    tell("recvmsg", recvmsg(ends[0], &message, 0));
    tell("at once", recv(ends[0], buffer, 1, MSG_DONTWAIT));
    pthread_create(&thread, NULL, talker, ends);
    tell("recv", recv(ends[0], buffer, 1, 0));
    pthread_join(thread, NULL);
    while (send(ends[0], buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        continue;
    tell("send", send(ends[0], buffer, 1, 0));
    tell("write", write(ends[0], buffer, 1));
    span.tv_usec = -1;
    tell("nonsense", setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof span));
    span = (struct timeval){1, 0};
    syscall(SYS_setsockopt, ends[0], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof span);
    int copy = fcntl(ends[0], F_DUPFD, 40);
    close(ends[0]);
    tell("copy", recv(copy, buffer, 1, 0));
    tell("raw", syscall(SYS_recvfrom, copy, buffer, 1, 0, NULL, NULL));
    close(copy);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    getsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &told, &size);
    printf("a new one has none: %ld\n", (long)told.tv_sec);
}

/* ---- queues, semaphores of System V, asynchronous input ---- */

static void queues(void)
{
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
    struct timespec two = at(2), five = at(5), span = {1, 500000000};
    struct sembuf take = {0, -1, 0}, give = {0, 1, 0};
    char name[64], buffer[8];
    snprintf(name, sizeof name, "/virtlab-%d", (int)getpid());
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
    mq_unlink(name);
    tell("receive", mq_timedreceive(queue, buffer, sizeof buffer, NULL, &two));
    tell("send", mq_timedsend(queue, "one", 4, 0, &five));
    tell("send", mq_timedsend(queue, "two", 4, 0, &five));
    tell("receive", mq_timedreceive(queue, buffer, sizeof buffer, NULL, &two));
    int set = semget(IPC_PRIVATE, 1, 0600);
    tell("semtimedop", semtimedop(set, &take, 1, &span));
    semop(set, &give, 1);
    tell("semtimedop", semtimedop(set, &take, 1, &span));
    semctl(set, 0, IPC_RMID);
    int ends[2];
    if (pipe(ends)) return;
    struct aiocb request = {.aio_fildes = ends[0], .aio_buf = buffer, .aio_nbytes = 1};
    const struct aiocb *const requests[] = {&request};
    aio_read(&request);
    tell("aio_suspend", aio_suspend(requests, 1, &span));
    if (write(ends[1], "x", 1) != 1) return;
    tell("aio_suspend", aio_suspend(requests, 1, &span));
}

/* ---- a signal from a virtual alarm ends each wait ---- */

static void interrupted(void)
{
    struct timespec span = {60, 0}, rest = {0, 0}, later = at(600);
    struct timeval minute = {60, 0};
    struct epoll_event event;
    struct pollfd fds = {-1, POLLIN, 0};
    int ends[2], epoll = epoll_create1(0);
    char buffer;
    handle(SIGALRM);
    sem_init(&semaphore, 0, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return;
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
    alarm(1), tell("nanosleep", nanosleep(&span, &rest));
    printf("rest %ld\n", (long)rest.tv_sec);
    alarm(1), tell("poll", poll(&fds, 1, 60000));
    alarm(1), tell("poll for ever", poll(&fds, 1, -1));
    alarm(1), tell("select", select(0, NULL, NULL, NULL, &minute));
    alarm(1), tell("epoll_wait", epoll_wait(epoll, &event, 1, 60000));
    alarm(1), tell("sem_timedwait", sem_timedwait(&semaphore, &later));
    alarm(1), tell("recv", recv(ends[0], &buffer, 1, 0));
    alarm(1), tell("futex", futex(&word, FUTEX_WAIT_PRIVATE, 0, &span));
    alarm(1), tell("usleep", usleep(60000000));
    alarm(0);
}

/* ---- vfork ---- */

static void vforked(void)
{
    int status;
    pid_t child = vfork();
    if (child == 0) {
        execlp("sleep", "sleep", "4", (char *)NULL);
        _exit(1);
    }
    sleep(1);
    tell("parent", 0);
    waitpid(child, &status, 0);
    tell("child", WEXITSTATUS(status));
}

/* ---- copies of timer descriptors ---- */

static long times_on(int descriptor)
{
    uint64_t times = 0;
    return read(descriptor, &times, sizeof times) == sizeof times ? (long)times : -1;
}

static void timer_copies(void)
{
    struct itimerspec every = {{1, 0}, {1, 0}}, slowly = {{0, 0}, {5, 0}}, told;
    int first = timerfd_create(CLOCK_MONOTONIC, 0), pipe_ends[2], copies = 0;
    timerfd_settime(first, 0, &every, NULL);
    int second = dup(first), third = dup2(first, 50), fourth = dup3(first, 51, O_CLOEXEC);
    int fifth = fcntl(first, F_DUPFD, 60), sixth = (int)syscall(SYS_fcntl, first, F_DUPFD_CLOEXEC, 61);
    close(first);
    tell("second", times_on(second));
    close(second);
    tell("third", times_on(third));
    sleep(2);
    tell("third", times_on(third));
    if (pipe(pipe_ends) < 0 || dup2(pipe_ends[0], third) < 0)
        return;
    struct pollfd fds = {fourth, POLLIN, 0};
    tell("poll of the fourth", poll(&fds, 1, -1));
    timerfd_settime(fifth, 0, &slowly, NULL);
    timerfd_gettime(fourth, &told);
    tell("left on the fourth", told.it_value.tv_sec);
    tell("not a timer", timerfd_gettime(third, &told));
    close_range((unsigned)fourth, (unsigned)fifth, 0);
    uint64_t times = 0;
    long got = syscall(SYS_read, sixth, &times, sizeof times);
    tell("sixth", got == sizeof times ? (long)times : got);
    syscall(SYS_close, sixth);
    tell("closed", times_on(sixth));
    for (int i = 0; i < 200; i++) { /* more than there may be at once */
        int timer = timerfd_create(CLOCK_MONOTONIC, 0), copy = dup(timer);
        copies += copy >= 0;
        close(timer);
        close(copy);
    }
    tell("made", copies);
}

/* ---- a timer descriptor that a child inherits ---- */

static void inherited_timer(void)
{
    struct itimerspec every = {{1, 0}, {1, 0}}, slowly = {{0, 0}, {4, 0}};
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(timer, 0, &every, NULL);
    if (fork() == 0) {
        tell("child", times_on(timer)); /* its parent waits where the library does not see it */
        tell("child", times_on(timer));
        timerfd_settime(timer, 0, &slowly, NULL);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    tell("parent", times_on(timer));
    if (fork() == 0) {
        close(timer);
        _exit(0);
    }
    wait(NULL);
    timerfd_settime(timer, 0, &every, NULL);
    if (fork() == 0) {
        sleep(5);
        _exit(0);
    }
    sleep(3); /* both wait at each of its moments */
    tell("parent", times_on(timer));
    wait(NULL);
}

/* ---- many messages at once, and input in pieces ---- */

static void messages(void)
{
    struct mmsghdr headers[3] = {0};
    struct timespec span = {2, 0};
    struct timeval limit = {1, 0};
    struct iovec piece = {.iov_base = (char[8]){0}, .iov_len = 8};
    int ends[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
    for (int i = 0; i < 3; i++)
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
    if (fork() == 0) {
        for (int i = 0; i < 6; i++) {
            sleep(1);
            send(ends[1], "x", 1, 0);
        }
        _exit(0);
    }
    tell("two in time", recvmmsg(ends[0], headers, 3, 0, &span));
    span.tv_sec = 10;
    tell("three", syscall(SYS_recvmmsg, ends[0], headers, 3, 0, &span));
    printf("left %ld\n", (long)span.tv_sec);
    tell("one at once", recvmmsg(ends[0], headers, 3, MSG_WAITFORONE, NULL));
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    tell("none", recvmmsg(ends[0], headers, 3, 0, NULL));
    tell("readv", readv(ends[0], &piece, 1));
    span.tv_nsec = -1;
    tell("nonsense", recvmmsg(ends[0], headers, 3, 0, &span));
    wait(NULL);
}

/* ---- signals that end the waits of others ---- */

static void *long_sleeper(void *unused)
{
    (void)unused;
    tell("woken", sleep(100));
    return NULL;
}

static void woken_by_others(void)
{
    pthread_t thread;
    handle(SIGUSR1);
    handle(SIGCHLD);
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, long_sleeper, NULL);
        sleep(1);
        pthread_kill(thread, SIGUSR1);
        sleep(1); /* the other has woken before */
        pthread_join(thread, NULL);
        if (fork() == 0) {
            sleep(2);
            _exit(0);
        }
        tell("child", sleep(10));
        wait(NULL);
    }
    signal(SIGCHLD, SIG_DFL);
    pid_t stopped = fork();
    if (stopped == 0) {
        sleep(1);
        sleep(1);
        _exit(0);
    }
    usleep(500000);
    kill(stopped, SIGSTOP);
    tell("stopped", sleep(3));
    kill(stopped, SIGCONT);
    tell("over", waitpid(stopped, NULL, 0) == stopped);
}

/* ---- asking after a child that has closed its pipe and is about to end ---- */

#define HELD_BYTES (1 << 20) /* giving memory back takes its time */

static void ending_children(void)
{
    int missed = 0, ends[2];
    char byte;
    for (int i = 0; i < 20 && pipe(ends) == 0; i++) {
        pid_t child = fork();
        if (child == 0) {
            dup2(ends[1], 1);
            for (int held = 0; held < 20; held++) {
                int memory = memfd_create("held", MFD_CLOEXEC);
                if (ftruncate(memory, HELD_BYTES) == 0)
                    memset(mmap(NULL, HELD_BYTES, PROT_WRITE, MAP_SHARED, memory, 0), 1, HELD_BYTES);
            }
            close(ends[1]);
            _exit(0);
        }
        close(ends[1]);
        while (read(ends[0], &byte, 1) > 0)
            continue;
        missed += waitpid(child, NULL, WNOHANG) != child;
        close(ends[0]);
    }
    tell("missed", missed);
}

static void elapsed(void)
{
    struct tms used;
    clock_t begin = times(&used);
    sleep(3);
    long ticks = (long)(times(&used) - begin);
    tell("times", ticks / sysconf(_SC_CLK_TCK));
    tell("raw", (syscall(SYS_times, NULL) - (long)begin) / sysconf(_SC_CLK_TCK));
    tell("io_uring", syscall(SYS_io_uring_setup, 4, NULL));
    sigset_t none;
    sigemptyset(&none);
    handle(SIGALRM);
    alarm(2);
    tell("rt_sigsuspend", syscall(SYS_rt_sigsuspend, &none, 8));
}

int main(int count, char **arguments)
{
    static const struct { const char *name; void (*run)(void); } CASES[] = {
        {"timer_signals", timer_signals}, {"timer_threads", timer_threads}, {"timed_locks", timed_locks},
        {"c11", c11}, {"futexes", futexes}, {"raw_waits", raw_waits}, {"socket_timeouts", socket_timeouts},
        {"queues", queues}, {"interrupted", interrupted}, {"vforked", vforked},
        {"timer_copies", timer_copies}, {"inherited_timer", inherited_timer}, {"messages", messages},
        {"woken_by_others", woken_by_others}, {"ending_children", ending_children}, {"elapsed", elapsed},
#if defined(__x86_64__)
        {"assembly", assembly},
#endif
    };
    for (size_t i = 0; count == 2 && i < sizeof CASES / sizeof *CASES; i++)
        if (strcmp(CASES[i].name, arguments[1]) == 0) {
            CASES[i].run();
            return 0;
        }
    return 2;
}
