/* The connection of each thread to the clock server, and the page with the time.
 *
 * A connection is dialled when a thread first needs one, or by the parent before the thread exists (births.c).
 * Its descriptor lies at 900 or above, out of the way of programs that count on getting small numbers, and
 * close() and close_range() (handles.c) leave it alone: a program that closes everything at its start keeps its
 * clock.
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_OWN_DESCRIPTOR 900
#define EXIT_CLOCK_LOST 97

static enum { UNKNOWN, OFF, ON } state;
static volatile const struct clock_page *page;
static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static pthread_key_t link_key;
static unsigned char own[DESCRIPTORS_MAX]; /* 1: this descriptor belongs to the library */

static PER_THREAD int thread_link = -1;

static _Noreturn void die(const char *what)
{
    dprintf(STDERR_FILENO, "virtlab clock: %s: %s\n", what, strerror(errno));
    _exit(EXIT_CLOCK_LOST);
}

/* ---- descriptors of our own ---- */

int keep_out_of_the_way(int descriptor)
{
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_OWN_DESCRIPTOR);
    if (moved < 0)
        moved = descriptor; /* the limit on descriptors is low: stay where we are */
    else
        kernel(SYS_close, descriptor);
    if (moved < DESCRIPTORS_MAX)
        own[moved] = 1;
    return moved;
}

void close_own(int descriptor)
{
    if (descriptor < DESCRIPTORS_MAX)
        own[descriptor] = 0;
    kernel(SYS_close, descriptor);
}

bool is_own(int descriptor)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS_MAX && own[descriptor];
}

void forget_links_of_parent(int keep)
{
    for (int descriptor = 0; descriptor < DESCRIPTORS_MAX; descriptor++)
        if (own[descriptor] && descriptor != keep)
            close_own(descriptor);
}

/* ---- requests and answers ---- */

void send_request(int link, enum clock_operation operation, uint64_t argument)
{
    struct clock_request request = {operation, (uint32_t)kernel(SYS_gettid), argument};
    ssize_t sent;

    do
        sent = send(link, &request, sizeof request, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent != sizeof request)
        die("the clock server has gone");
}

uint64_t take_answer(int link)
{
    uint64_t now;
    ssize_t got;

    do
        got = recv(link, &now, sizeof now, MSG_WAITALL);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        errno = ECONNRESET;
    if (got != sizeof now)
        die("the clock server has gone");
    return now;
}

int dial(enum clock_operation introduction, uint64_t argument)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int link = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, socket_path, sizeof socket_path);
    /* The system call itself: connect() is redirected for libvirt's sockets. */
    if (link < 0 || kernel(SYS_connect, link, &address, sizeof address) < 0)
        die(socket_path);
    link = keep_out_of_the_way(link);
    send_request(link, introduction, argument);
    take_answer(link);
    return link;
}

bool leads_to_server(int descriptor)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address;

    return getpeername(descriptor, (struct sockaddr *)&address, &length) == 0 &&
           strncmp(address.sun_path, socket_path, sizeof socket_path) == 0;
}

int my_link(void)
{
    if (thread_link < 0)
        adopt_link(dial(CLOCK_HELLO, 0));
    return thread_link;
}

void adopt_link(int link)
{
    thread_link = link;
    pthread_setspecific(link_key, (void *)(intptr_t)(link + 1)); /* never NULL, which has no destructor */
}

void drop_link(int link)
{
    close_own(link);
    if (link == thread_link)
        thread_link = -1;
}

static void thread_ends(void *link_plus_one)
{
    drop_link((int)(intptr_t)link_plus_one - 1);
}

/* ---- the page, and the start ---- */

static const struct clock_page *map_page(void)
{
    const char *path = getenv("VIRTLAB_CLOCK_PAGE");
    if (!path)
        die("VIRTLAB_CLOCK_PAGE is not set");
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        die(path);
    void *mapped = mmap(NULL, sizeof(struct clock_page), PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        die(path);
    kernel(SYS_close, file);
    return mapped;
}

/* Other libraries may read the clock before our constructor has run, so every entrance comes through here. */
static void start(void)
{
    const char *path = getenv("VIRTLAB_CLOCK_SOCKET");
    if (!path || !*path) {
        state = OFF;
        return;
    }
    if (strlen(path) >= sizeof socket_path) {
        errno = ENAMETOOLONG;
        die("VIRTLAB_CLOCK_SOCKET");
    }
    strcpy(socket_path, path);
    page = map_page();
    pthread_key_create(&link_key, thread_ends);
    state = ON;
}

__attribute__((constructor)) static void register_first_thread(void)
{
    if (!clock_on())
        return;
    take_turn_of_birth();
    my_link();
}

bool clock_on(void)
{
    if (state == UNKNOWN)
        start();
    return state == ON;
}

uint64_t clock_now(void)
{
    return __atomic_load_n(&page->now_ns, __ATOMIC_ACQUIRE);
}

uint64_t realtime_at_zero(void)
{
    return page->realtime_at_zero_ns;
}

uint64_t monotonic_at_zero(void)
{
    return page->monotonic_at_zero_ns;
}
