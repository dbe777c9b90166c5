/* What the files of the clock library share. Theory: link.c (connections), wait.c (the one way to wait). */
#ifndef VIRTLAB_CLOCK_LIBRARY_H
#define VIRTLAB_CLOCK_LIBRARY_H

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "protocol.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull
#define DESCRIPTORS_MAX 65536 /* higher ones are not followed */

/* The library hides everything but the functions that it puts in front of the C library's. */
#define EXPORT __attribute__((visibility("default")))
#define PER_THREAD __thread __attribute__((tls_model("initial-exec")))

/* The C library's own function behind one of ours, looked up once. */
#define REAL(name)                                                                  \
    ({                                                                              \
        static __typeof__(&name) real_;                                             \
        if (!real_) real_ = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name);  \
        real_;                                                                      \
    })

/* A system call of our own, past our syscall(). */
#define kernel(...) REAL(syscall)(__VA_ARGS__)
long syscall(long number, ...);

/* ---- link.c: the connection of each thread ---- */
bool clock_on(void);                       /* false: VIRTLAB_CLOCK_SOCKET is unset and time is real */
uint64_t clock_now(void);                  /* virtual ns; meaningful only when the clock is on */
uint64_t realtime_at_zero(void);           /* CLOCK_REALTIME at virtual time 0, in ns */
uint64_t monotonic_at_zero(void);          /* CLOCK_MONOTONIC at virtual time 0, in ns */
int my_link(void);                         /* this thread's connection, made on first use */
int dial(enum clock_operation introduction, uint64_t argument); /* a new connection, acknowledged */
void adopt_link(int link);                 /* make a connection this thread's own */
void drop_link(int link);                  /* close a connection for good */
void forget_links_of_parent(int keep);     /* in a fork child: close the copies of all but one */
void send_request(int link, enum clock_operation operation, uint64_t argument);
uint64_t take_answer(int link);
int keep_out_of_the_way(int descriptor);   /* move a descriptor of ours up, and own it: close() leaves it alone */
void close_own(int descriptor);
bool is_own(int descriptor);

bool leads_to_server(int descriptor);

/* ---- wait.c: waiting for a virtual moment ---- */
enum wait_end { WAIT_OVER, WAIT_WOKEN, WAIT_INTERRUPTED };
uint64_t moment_in(uint64_t span_ns);      /* now + span, never reaching CLOCK_FOREVER */
int wait_until(uint64_t moment);           /* 0, or -1 with EINTR after a signal handler ran */
int watch(struct pollfd *fds, nfds_t count, uint64_t moment, const sigset_t *mask); /* as ppoll */
enum wait_end watch_wake(int wake, uint64_t moment, bool impatient);
void wait_for_birth(int link);             /* the second answer to BORN */
void count_idle_read(void);                /* one more look at the clock without a wait */
void tell_stir(void);                      /* a signal was sent, perhaps to a thread that waits */
void tell_leaving(const char *path, enum clock_reach reach); /* this program starts now, and has no clock */

/* ---- times.c: conversions ---- */
bool valid_timespec(const struct timespec *time);
uint64_t span_of(const struct timespec *time);
struct timespec timespec_of(uint64_t ns);
uint64_t moment_of(clockid_t clock, const struct timespec *time); /* virtual ns of an absolute time */

/* ---- sockets.c ---- */
bool socket_is_ready(int descriptor, short events, int flags); /* false, with errno, where its time-out is over */
void forget_timeouts_on(unsigned first, unsigned last); /* these descriptors are closed */
void copy_timeouts(int from, int to);      /* one descriptor is a copy of the other now */

/* ---- timers.c, timerfd.c: what ends a wait from outside ---- */
uint64_t timers_next(void);                /* the moment that no wait goes past, CLOCK_FOREVER where none */
bool timers_go_off(void);                  /* those that are due; tells whether there was one */
void forget_timers_of_parent(void);
void forget_timers_on(unsigned first, unsigned last); /* these descriptors are closed */
void copy_timer(int from, int to);         /* one descriptor is a copy of the other now */

/* ---- reach.c ---- */
enum clock_reach reach_of(const char *path); /* of the program in a file */

/* ---- programs.c ---- */
void take_turn_of_birth(void);             /* in a program that was spawned, once, before anything else of it */

/* ---- host_files.c: the simulated host's /proc and /sys ---- */
#define HOST_FILE_ROOM 256
const char *host_file(const char *path, char *room, size_t size); /* where to open it: path itself, or in room */
ssize_t read_host_file(const char *path, char *text, size_t size); /* its text, closed by 0; -1: there is none */

/* ---- processors.c ---- */
bool processor_call(long number, const long given[], long *answer); /* a system call; false: not one of ours */

/* ---- memory_calls.c ---- */
long host_pages(int name);                 /* what sysconf() says of pages of memory; 0: ask the machine */

/* ---- raw.c, futexes.c: system calls by number ---- */
#define CALL_ARGUMENTS 6
bool virtual_call(long number, const long given[CALL_ARGUMENTS], long *result);  /* false: ask the kernel */
bool virtual_futex(const long given[CALL_ARGUMENTS], long *result);

/* ---- locks.c: who waits for which object of the program ---- */
struct waiter {
    const void *object;
    int wake; /* an eventfd */
    bool woken;
    struct waiter *next;
};
void enlist(struct waiter *waiter, const void *object);
bool delist(struct waiter *waiter);        /* true where somebody woke it, even if its time was over as well */
int wake_waiters(const void *object, int wanted); /* the first of them; tells how many there were */
bool is_short_wait(uint64_t moment);       /* an interpreter that waits for its global lock asks for some 5 ms */
uint64_t next_step(uint64_t *step);        /* the moment of the next look; the step is 0 to begin with */
int wait_step(uint64_t *step, uint64_t moment); /* let virtual time pass until then */
void forget_waiters_of_parent(void);

#endif
