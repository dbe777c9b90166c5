/* Stand-ins for the processes of QEMU: real processes with QEMU's command line and thread names that only sleep.
 *
 * subjects/stand_ins.py tells when which guest runs. Its word comes to a keeper inside the sandbox, so that the
 * stand-ins are in the program's process-number space and end with it. A preloaded library needs no program of its
 * own: three roles are played by /usr/bin/true, whose main() is never reached.
 *
 *   lead      VIRTLAB_STAND_INS, a socket's path: starts the keeper, waits until the guests of time 0 are there, and
 *             becomes the program that its arguments name
 *   keeper    VIRTLAB_KEEPER: starts and ends stand-ins at the lab's word; looks like libvirtd
 *   stand-in  VIRTLAB_VCPUS, their number: names its threads and sleeps
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define EXIT_FAILED 97
#define LAB 3  /* the keeper's descriptors: its connection to the lab, and what the lead waits for */
#define GATE 4
#define READY 3 /* a stand-in's: it says that it is there */
#define STACK_BYTES (64 * 1024)
#define ARGUMENTS_MAX 64
#define REQUEST_MAX 16384

enum stand_in_operation { STAND_IN_START = 1, STAND_IN_STOP = 2, STAND_IN_GO = 3 };

/* Both the request and its answer are followed by nothing else; START has `size` bytes of texts behind it: the
 * number of vCPUs and the arguments, each closed by a 0. The answer to START is the process's number, else 0. */
struct stand_in_request {
    uint32_t operation;
    uint32_t argument; /* of START the size, of STOP the process's number */
};

static _Noreturn void fail(const char *what)
{
    dprintf(STDERR_FILENO, "virtlab stand-ins: %s: %s\n", what, strerror(errno));
    _exit(EXIT_FAILED);
}

/* Become this same program in another role. */
static _Noreturn void become(char *const arguments[], char *role)
{
    char preload[PATH_MAX + sizeof "LD_PRELOAD="];
    char *environment[] = {preload, role, NULL};
    Dl_info own;

    if (!dladdr((void *)(uintptr_t)&become, &own) || !own.dli_fname)
        _exit(EXIT_FAILED);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", own.dli_fname);
    syscall(SYS_execve, SELF, arguments, environment);
    _exit(EXIT_FAILED);
}

static bool read_whole(int descriptor, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(descriptor, (char *)bytes + done, size - done);
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Put a descriptor at a number, open over an exec. */
static void settle(int descriptor, int number)
{
    if (descriptor != number)
        dup2(descriptor, number);
    fcntl(number, F_SETFD, 0);
}

/* ---- the stand-in ---- */

static void *sleep_for_good(void *unused)
{
    for (;;)
        syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
    return unused;
}

static _Noreturn void stand_in(long vcpus)
{
    pthread_attr_t small;
    char name[32];

    prctl(PR_SET_NAME, "qemu-system-x86");
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (long vcpu = 0; vcpu < vcpus; vcpu++) {
        pthread_t thread;
        if (REAL(pthread_create)(&thread, &small, sleep_for_good, NULL))
            break; /* the limit on processes */
        snprintf(name, sizeof name, "CPU %ld/KVM", vcpu);
        pthread_setname_np(thread, name);
    }
    if (write(READY, "r", 1) < 0)
        _exit(EXIT_FAILED);
    syscall(SYS_close, READY);
    sleep_for_good(NULL);
    _exit(0);
}

/* ---- the keeper ---- */

/* Start a stand-in and wait until it is there; its process number, or 0. */
static uint32_t start(char *texts, size_t size)
{
    char *arguments[ARGUMENTS_MAX] = {NULL}, role[32], answer;
    int ready[2], count = 0;
    size_t at = strlen(texts) + 1;

    snprintf(role, sizeof role, "VIRTLAB_VCPUS=%ld", strtol(texts, NULL, 10));
    for (; at < size && count < ARGUMENTS_MAX - 1; at += strlen(texts + at) + 1)
        arguments[count++] = texts + at;
    if (pipe(ready) < 0)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        settle(ready[1], READY);
        syscall(SYS_close_range, READY + 1, ~0u, 0);
        become(arguments, role);
    }
    syscall(SYS_close, ready[1]);
    if (child < 0 || !read_whole(ready[0], &answer, 1))
        child = 0;
    syscall(SYS_close, ready[0]);
    return (uint32_t)child;
}

static uint32_t stop(pid_t stand_in)
{
    kill(stand_in, SIGKILL);
    waitpid(stand_in, NULL, 0);
    return 0;
}

static _Noreturn void keep(void)
{
    static char texts[REQUEST_MAX + 1];
    struct stand_in_request request;

    prctl(PR_SET_NAME, "libvirtd");
    while (read_whole(LAB, &request, sizeof request)) {
        uint32_t answer = 0;
        if (request.operation == STAND_IN_START) {
            if (request.argument > REQUEST_MAX || !read_whole(LAB, texts, request.argument))
                break;
            texts[request.argument] = '\0';
            answer = start(texts, request.argument);
        } else if (request.operation == STAND_IN_STOP) {
            answer = stop((pid_t)request.argument);
        } else {
            syscall(SYS_close, GATE);
        }
        if (send(LAB, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
            break;
    }
    _exit(0); /* and with it go the stand-ins */
}

/* ---- the lead ---- */

static int call_lab(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int lab = socket(AF_UNIX, SOCK_STREAM, 0);

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(path);
    }
    strcpy(address.sun_path, path);
    if (lab < 0 || syscall(SYS_connect, lab, &address, sizeof address) < 0)
        fail(path);
    return lab;
}

static _Noreturn void become_keeper(int lab, int gate)
{
    char *arguments[] = {"/usr/sbin/libvirtd", NULL};
    int nothing = open("/dev/null", O_RDWR);
    /* Out of the way of the numbers that they get. */
    int lab_above = fcntl(lab, F_DUPFD, GATE + 1), gate_above = fcntl(gate, F_DUPFD, GATE + 1);

    for (int each = 0; each < LAB; each++)
        dup2(nothing, each);
    settle(lab_above, LAB);
    settle(gate_above, GATE);
    syscall(SYS_close_range, GATE + 1, ~0u, 0);
    become(arguments, "VIRTLAB_KEEPER=1");
}

static _Noreturn void lead(const char *path, char **arguments)
{
    int lab = call_lab(path), gate[2];
    char nothing;

    if (pipe2(gate, O_CLOEXEC) < 0)
        fail("pipe");
    pid_t between = fork(); /* ends at once, so that the keeper is nobody's child but the first process's */
    if (between < 0)
        fail("fork");
    if (between == 0) {
        if (fork() == 0)
            become_keeper(lab, gate[1]);
        _exit(0);
    }
    waitpid(between, NULL, 0);
    syscall(SYS_close, lab);
    syscall(SYS_close, gate[1]);
    while (read(gate[0], &nothing, 1) > 0)
        ;
    syscall(SYS_close, gate[0]);
    unsetenv("VIRTLAB_STAND_INS");
    syscall(SYS_execve, arguments[1], arguments + 1, environ);
    fail(arguments[1]);
}

/* Before every other constructor: none of them is to take these processes for the program. */
__attribute__((constructor(101))) static void take_role(int count, char **arguments, char **environment)
{
    const char *path = getenv("VIRTLAB_STAND_INS"), *vcpus = getenv("VIRTLAB_VCPUS");

    (void)environment;
    if (vcpus)
        stand_in(strtol(vcpus, NULL, 10));
    if (getenv("VIRTLAB_KEEPER"))
        keep();
    if (path && count > 1)
        lead(path, arguments);
}
