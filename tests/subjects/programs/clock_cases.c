/* One small case per name given as the first argument; prints what it saw in virtual time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - 100) + (double)t.tv_nsec / 1e9;
}

static volatile sig_atomic_t stopped;
static void on_signal(int number) { (void)number; stopped = 1; }

static void handle(int number, int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(number, &action, NULL);
}

static void sleeps(void)
{
    struct timespec half = {0, 500000000}, at = {110, 0};
    sleep(2);
    usleep(250000);
    nanosleep(&half, NULL);
    printf("%.3f\n", now());
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    printf("%.3f %ld\n", now(), (long)time(NULL));
}

static void loop(void)
{
    unsigned left = 0;
    int rounds = 0;
    handle(SIGINT, SA_RESTART);
    while (!stopped) {
        left = sleep(2);
        rounds++;
    }
    printf("%d rounds, %u s left at %.3f\n", rounds, left, now());
}

static void interrupted(void)
{
    struct timespec span = {5, 0}, rest = {0, 0};
    handle(SIGINT, SA_RESTART);
    int result = nanosleep(&span, &rest);
    printf("%d %s rest %ld.%03ld\n", result, strerror(errno), (long)rest.tv_sec, rest.tv_nsec / 1000000);
}

static void sleep_in_handler(int number) { (void)number; sleep(1); stopped = 1; }

static void nested(void)
{
    signal(SIGINT, sleep_in_handler);
    while (!stopped)
        sleep(4);
    printf("%.3f\n", now());
    usleep(500000);
    printf("%.3f\n", now());
}

static void stubborn(void)
{
    signal(SIGINT, SIG_IGN);
    for (;;)
        sleep(3);
}

static void waits_for_descriptors(void)
{
    int ends[2], epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    struct timeval span = {3, 0};
    fd_set set;
    if (pipe(ends)) return;
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    struct pollfd fds = {ends[0], POLLIN, 0};
    printf("poll %d", poll(&fds, 1, 1500));
    printf(" %.3f\n", now());
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    printf("select %d", select(ends[0] + 1, &set, NULL, NULL, &span));
    printf(" %.3f left %ld\n", now(), (long)span.tv_sec);
    printf("epoll %d", epoll_wait(epoll, &event, 1, 500));
    printf(" %.3f\n", now());
    if (write(ends[1], "x", 1) != 1) return;
    printf("ready %d", poll(&fds, 1, 1500));
    printf(" %d %.3f\n", epoll_wait(epoll, &event, 1, -1), now());
}

static void spin(void)
{
    while (now() < 2.0)
        ;
    printf("%s\n", now() < 2.02 ? "2 s" : "too late");
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void *worker(void *number)
{
    for (int round = 1; round <= 5; round++) {
        usleep(1000 * (useconds_t)((long)number + 1));
        pthread_mutex_lock(&mutex);
        printf("%ld:%.3f ", (long)number, now());
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t all[4];
    for (long i = 0; i < 4; i++)
        pthread_create(&all[i], NULL, worker, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(all[i], NULL);
    printf("end %.3f\n", now());
}

static void *signaller(void *semaphore)
{
    sleep(3);
    pthread_cond_signal(&condition);
    sleep(4);
    sem_post(semaphore);
    return NULL;
}

static void locks(void)
{
    struct timespec at = {1767225600 + 2, 0};
    pthread_t thread;
    sem_t semaphore;
    sem_init(&semaphore, 0, 0);
    pthread_mutex_lock(&mutex);
    int result = pthread_cond_timedwait(&condition, &mutex, &at);
    printf("condition %s %.3f\n", strerror(result), now());
    pthread_create(&thread, NULL, signaller, &semaphore);
    at.tv_sec += 60;
    result = pthread_cond_timedwait(&condition, &mutex, &at);
    printf("condition %s %.3f\n", strerror(result), now());
    at.tv_sec = 1767225600 + 7;
    result = sem_timedwait(&semaphore, &at);
    printf("semaphore %d %.3f\n", result, now());
    result = sem_wait(&semaphore);
    printf("semaphore %d %.3f\n", result, now());
    pthread_join(thread, NULL);
}

static void children(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        sleep(5);
        _exit(7);
    }
    waitpid(child, &status, 0);
    printf("%d %.3f\n", WEXITSTATUS(status), now());
    fflush(stdout);
    if ((child = fork()) == 0) {
        execlp("sleep", "sleep", "5", (char *)NULL);
        _exit(1);
    }
    sleep(2);
    printf("%.3f\n", now());
    waitpid(child, &status, 0);
    printf("%.3f\n", now());
}

/* Parent, child's thread and, in the end, the child itself sleep in calls that the library does not see. */
static int gate[2];

static void *pass_gate(void *unused)
{
    char byte;
    (void)unused;
    int got = (int)read(gate[0], &byte, 1);
    printf("%d byte at %.3f\n", got, now());
    sleep(2);
    return NULL;
}

static void unseen_waits(void)
{
    pthread_t thread;
    if (pipe(gate) < 0)
        return;
    if (fork() == 0) {
        pthread_create(&thread, NULL, pass_gate, NULL);
        sleep(1);
        printf("opened at %.3f\n", now());
        if (write(gate[1], "x", 1) == 1)
            pthread_join(thread, NULL);
        printf("joined at %.3f\n", now());
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    printf("child over at %.3f\n", now());
}

static void close_everything(void)
{
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    closefrom(3);
    sleep(2);
    printf("%.3f\n", now());
}

static void redirect(void)
{
    static const char *const PATHS[] = {"/run/libvirt/libvirt-sock", "/var/run/libvirt/libvirt-sock-ro",
                                        "/run/libvirt/virtqemud-sock", "/run/libvirt/other"};
    struct stat found;
    for (int i = 0; i < 4; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        strcpy(address.sun_path, PATHS[i]);
        printf("%d%d%d%d ", access(PATHS[i], F_OK), stat(PATHS[i], &found),
               faccessat(AT_FDCWD, PATHS[i], F_OK, 0), connect(fd, (void *)&address, sizeof address));
        close(fd);
    }
    time_t begin = time(NULL);
    printf("%s\n", begin < 1767225600 + 10 && begin >= 1767225600 ? "virtual" : "real");
}

static void raw_calls(void)
{
    struct timespec span = {1, 500000000}, at = {105, 0}, bad = {0, -1}, read = {0, 0};
    long result = syscall(SYS_nanosleep, &span, NULL);
    printf("%ld %.3f\n", result, now());
    result = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &read);
    printf("%ld %ld.%03ld\n", result, (long)read.tv_sec, read.tv_nsec / 1000000);
    result = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, NULL);
    printf("%ld %s %d\n", result, strerror(errno), syscall(SYS_getpid) == getpid());
}

static void epoll_pwait2_case(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct timespec span = {2, 500000}, bad = {0, 1000000000};
    int ends[2], epoll = epoll_create1(0);
    if (pipe(ends)) return;
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    int found = epoll_pwait2(epoll, &event, 1, &span, NULL);
    printf("%d %.4f\n", found, now());
    found = epoll_pwait2(epoll, &event, 1, &bad, NULL);
    printf("%d %s\n", found, strerror(errno));
    if (write(ends[1], "x", 1) != 1) return;
    found = epoll_pwait2(epoll, &event, 1, &span, NULL);
    printf("%d %.4f\n", found, now());
}

static void *sender(void *process)
{
    sleep(4);
    kill((pid_t)(long)process, SIGUSR1);
    return NULL;
}

static void signal_wait(void)
{
    struct timespec span = {3, 0};
    siginfo_t info = {0};
    pthread_t thread;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int number = sigtimedwait(&set, &info, &span);
    printf("%d %s %.3f\n", number, strerror(errno), now());
    pthread_create(&thread, NULL, sender, (void *)(long)getpid());
    span.tv_sec = 60;
    number = sigtimedwait(&set, &info, &span);
    printf("%d %d %.3f\n", number == SIGUSR1, info.si_pid == getpid(), now());
    pthread_join(thread, NULL);
    kill(getpid(), SIGUSR1);
    number = sigtimedwait(&set, &info, &span);
    printf("%d %.3f\n", number == SIGUSR1, now());
}

static volatile sig_atomic_t rings;
static void on_ring(int number) { (void)number; rings++; }

static void alarms(void)
{
    struct sigaction action = {.sa_handler = on_ring};
    struct itimerval every = {{1, 500000}, {0, 250000}}, off = {{0, 0}, {0, 0}};
    sigset_t none;
    sigemptyset(&none);
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    int paused = pause();
    printf("%d %s %.3f\n", paused, strerror(errno), now());
    alarm(2);
    unsigned left = sleep(5);
    printf("%u s left at %.3f\n", left, now());
    alarm(30);
    sleep(1);
    unsigned was = alarm(0);
    printf("%u, then none at %.3f\n", was, now());
    rings = 0;
    setitimer(ITIMER_REAL, &every, NULL);
    while (rings < 3)
        sigsuspend(&none);
    setitimer(ITIMER_REAL, &off, &every);
    printf("%d rings at %.3f, then none for %ld us\n", (int)rings, now(), (long)every.it_value.tv_usec);
    sleep(10);
    printf("%d rings at %.3f\n", (int)rings, now());
    signal(SIGALRM, SIG_IGN);
    alarm(1);
    left = sleep(3);
    printf("%u s left at %.3f\n", left, now());
    signal(SIGALRM, SIG_DFL);
    fflush(stdout);
    alarm(1);
    sleep(3);
    printf("still here\n");
}

static void timer_descriptors(void)
{
    struct itimerspec every = {{2, 0}, {0, 500000000}}, at = {{0, 0}, {110, 0}}, off = {{0, 0}, {0, 0}};
    int periodic = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), once = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t times = 0;
    timerfd_settime(periodic, 0, &every, NULL);
    for (int i = 0; i < 3; i++) {
        if (read(periodic, &times, sizeof times) != sizeof times) return;
        printf("%d at %.3f\n", (int)times, now());
    }
    sleep(4);
    if (read(periodic, &times, sizeof times) != sizeof times) return;
    printf("%d at %.3f\n", (int)times, now());
    timerfd_settime(periodic, 0, &off, &every);
    printf("was due in %ld s\n", (long)every.it_value.tv_sec);
    timerfd_settime(once, TFD_TIMER_ABSTIME, &at, NULL);
    struct pollfd fds = {once, POLLIN, 0};
    int before = poll(&fds, 1, 1000);
    printf("%d at %.3f\n", before, now());
    int after = poll(&fds, 1, 5000);
    ssize_t got = read(once, &times, sizeof times);
    printf("%d %d %d at %.3f\n", after, (int)got, (int)times, now());
    got = read(once, &times, sizeof times);
    printf("%d %s\n", (int)got, strerror(errno));
    close(once);
    close(periodic);
}

static void waited_alarms(void)
{
    struct itimerval every = {{2, 0}, {2, 0}};
    siginfo_t info = {0};
    sigset_t set;
    int number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 3; i++)
        if (sigwait(&set, &number) == 0)
            printf("%d %.3f\n", number == SIGALRM, now());
    number = sigwaitinfo(&set, &info);
    printf("%d %d %.3f\n", number == SIGALRM, info.si_signo == SIGALRM, now());
}

int main(int count, char **arguments)
{
    static const struct { const char *name; void (*run)(void); } CASES[] = {
        {"sleeps", sleeps}, {"loop", loop}, {"interrupted", interrupted}, {"nested", nested},
        {"stubborn", stubborn}, {"descriptors", waits_for_descriptors}, {"spin", spin}, {"threads", threads},
        {"locks", locks}, {"children", children}, {"close", close_everything}, {"redirect", redirect},
        {"raw", raw_calls}, {"epoll_pwait2", epoll_pwait2_case}, {"sigtimedwait", signal_wait},
        {"alarms", alarms}, {"timerfd", timer_descriptors}, {"sigwait", waited_alarms},
        {"unseen", unseen_waits},
    };
    for (size_t i = 0; count == 2 && i < sizeof CASES / sizeof *CASES; i++)
        if (strcmp(CASES[i].name, arguments[1]) == 0) {
            CASES[i].run();
            return 0;
        }
    return 2;
}
