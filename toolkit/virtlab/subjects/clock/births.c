/* New threads and children.
 *
 * The parent registers them before they exist and as waiting for their turn, so that time cannot slip past a
 * birth and the newborn never runs beside its parent.
 *
 * fork() is seen through pthread_atfork(), which also covers forks inside the C library (daemon, forkpty). The
 * child then dials a connection of its own, since the server reads the process number off the dialling process.
 */
#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

struct birth {
    void *(*body)(void *);
    void *argument;
    int link;
};

static void *live(void *given)
{
    struct birth birth = *(struct birth *)given;

    free(given);
    adopt_link(birth.link);
    wait_for_birth(birth.link);
    return birth.body(birth.argument);
}

EXPORT int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                          void *(*body)(void *), void *restrict argument)
{
    if (!clock_on())
        return REAL(pthread_create)(thread, attributes, body, argument);
    struct birth *birth = malloc(sizeof *birth);
    if (!birth)
        return EAGAIN;
    *birth = (struct birth){body, argument, dial(CLOCK_BORN, CLOCK_BORN_THREAD)};
    int link = birth->link;
    int error = REAL(pthread_create)(thread, attributes, live, birth);
    if (error) {
        drop_link(link);
        free(birth);
    }
    return error;
}

/* C11's threads return an int and are POSIX's otherwise. */
struct c11_body {
    thrd_start_t body;
    void *argument;
};

static void *live_as_c11(void *given)
{
    struct c11_body body = *(struct c11_body *)given;

    free(given);
    return (void *)(intptr_t)body.body(body.argument);
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t body, void *argument)
{
    if (!clock_on())
        return REAL(thrd_create)(thread, body, argument);
    struct c11_body *kept = malloc(sizeof *kept);
    if (!kept)
        return thrd_nomem;
    *kept = (struct c11_body){body, argument};
    int error = pthread_create(thread, NULL, live_as_c11, kept);
    if (error == 0)
        return thrd_success;
    free(kept);
    return error == EAGAIN ? thrd_nomem : thrd_error;
}

static PER_THREAD int child_link = -1;

static void before_fork(void)
{
    my_link(); /* so that the parent is known before its child */
    child_link = dial(CLOCK_BORN, CLOCK_BORN_CHILD);
}

static void after_fork_in_parent(void)
{
    drop_link(child_link);
    child_link = -1;
}

static void after_fork_in_child(void)
{
    int link = child_link;

    child_link = -1;
    forget_links_of_parent(link);
    forget_waiters_of_parent();
    forget_timers_of_parent();
    wait_for_birth(link);
    adopt_link(dial(CLOCK_HELLO, 0));
    drop_link(link);
}

/* vfork() returns twice on one stack and cannot be wrapped; POSIX lets it be fork(). */
EXPORT pid_t vfork(void)
{
    return fork();
}

__attribute__((constructor)) static void follow_forks(void)
{
    if (clock_on())
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
