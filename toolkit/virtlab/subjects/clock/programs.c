/* Starting programs: exec and posix_spawn, so that a child cannot lose its clock unnoticed.
 *
 * The lab's variables are put back where a program clears its environment (`env -i`): on a real host time would
 * go on for the child, too. A program that the clock does not reach all the same is told to the server before it
 * starts. A spawned child is registered before it exists, as a forked one is (births.c): it inherits the
 * connection, whose number it finds in a variable.
 *
 * system() and popen() spawn inside the C library and do not come by here. They start a shell, which does.
 */
#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_MAX 16
#define ARGUMENTS_MAX 4096
#define BIRTH_VARIABLE "VIRTLAB_CLOCK_BIRTH"
#define PRELOAD "LD_PRELOAD="

/* ---- the environment ---- */

static char *kept[KEPT_MAX]; /* the lab's variables as they were at the start, "NAME=value" */
static int kept_count;
static char own_path[PATH_MAX];

static bool is_labs(const char *variable)
{
    bool ours = strncmp(variable, "VIRTLAB_", 8) == 0 && strncmp(variable, BIRTH_VARIABLE, strlen(BIRTH_VARIABLE)) != 0;

    return ours || strncmp(variable, "ASAN_OPTIONS=", 13) == 0;
}

__attribute__((constructor)) static void remember_environment(void)
{
    Dl_info own;

    if (dladdr(own_path, &own) && own.dli_fname)
        snprintf(own_path, sizeof own_path, "%s", own.dli_fname);
    for (char **each = environ; each && *each && kept_count < KEPT_MAX; each++)
        if (is_labs(*each) && (kept[kept_count] = strdup(*each)))
            kept_count++;
}

/* The variable of that name ("NAME=" and more) in an environment, or NULL. */
static char *variable_in(char *const *environment, const char *name)
{
    size_t length = strcspn(name, "=") + 1;

    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, length) == 0)
            return *environment;
    return NULL;
}

static size_t count_of(char *const *list)
{
    size_t count = 0;

    while (list && list[count])
        count++;
    return count;
}

/* An environment with all that the lab has put into ours, in freshly allocated memory; the given one where nothing
 * is missing. */
static char **with_lab(char *const *given, const char *birth)
{
    char *preload = variable_in(given, PRELOAD);
    bool loaded = kept_count == 0 || (preload && strstr(preload, own_path));
    bool whole = loaded && !birth;

    for (int i = 0; i < kept_count; i++)
        whole = whole && variable_in(given, kept[i]);
    if (whole)
        return (char **)given;
    size_t count = count_of(given), used = 0;
    char **made = malloc((count + (size_t)kept_count + 3) * sizeof *made);
    if (!made)
        return (char **)given;
    for (size_t i = 0; i < count; i++)
        if (loaded || given[i] != preload)
            made[used++] = given[i];
    for (int i = 0; i < kept_count; i++)
        if (!variable_in(given, kept[i]))
            made[used++] = kept[i];
    if (!loaded) {
        const char *theirs = preload ? preload + strlen(PRELOAD) : "";
        size_t room = strlen(PRELOAD) + strlen(own_path) + strlen(theirs) + 2;
        char *both = malloc(room);
        if (both) {
            snprintf(both, room, "%s%s%s%s", PRELOAD, own_path, *theirs ? ":" : "", theirs);
            made[used++] = both;
        }
    }
    if (birth)
        made[used++] = (char *)birth;
    made[used] = NULL;
    return made;
}

/* Give back what with_lab() has made; only a call that did not become another program comes to it. */
static void drop(char **made, char *const *given)
{
    if (made == given)
        return;
    char *preload = variable_in(made, PRELOAD);
    if (preload && preload != variable_in(given, PRELOAD))
        free(preload);
    free(made);
}

/* ---- programs out of reach ---- */

static void tell_if_unreached(const char *path)
{
    if (!clock_on() || !path)
        return;
    int error = errno;
    enum clock_reach reach = reach_of(path);
    if (reach != CLOCK_REACHED)
        tell_leaving(path, reach);
    errno = error;
}

/* Where execvp() and its kin would find a program; the name itself where it has a slash. */
static const char *found_on_path(const char *name, char room[PATH_MAX])
{
    const char *path = getenv("PATH");

    if (!name || strchr(name, '/'))
        return name;
    for (const char *part = path ? path : "/bin:/usr/bin"; part; part = strchr(part, ':')) {
        part += *part == ':';
        int length = (int)strcspn(part, ":");
        snprintf(room, PATH_MAX, "%.*s%s%s", length, part, length ? "/" : "", name);
        if (access(room, X_OK) == 0)
            return room;
    }
    return NULL;
}

/* ---- exec ---- */

EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    char **made = with_lab(environment, NULL);

    tell_if_unreached(path);
    int result = REAL(execve)(path, arguments, made);
    int error = errno;
    drop(made, environment);
    errno = error;
    return result;
}

EXPORT int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}

EXPORT int execvpe(const char *name, char *const arguments[], char *const environment[])
{
    char room[PATH_MAX], **made = with_lab(environment, NULL);

    tell_if_unreached(found_on_path(name, room));
    int result = REAL(execvpe)(name, arguments, made);
    int error = errno;
    drop(made, environment);
    errno = error;
    return result;
}

EXPORT int execvp(const char *name, char *const arguments[])
{
    return execvpe(name, arguments, environ);
}

EXPORT int fexecve(int file, char *const arguments[], char *const environment[])
{
    char path[64], **made = with_lab(environment, NULL);

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    tell_if_unreached(path);
    int result = REAL(fexecve)(file, arguments, made);
    int error = errno;
    drop(made, environment);
    errno = error;
    return result;
}

/* Gather variable arguments up to their NULL; what is `after` it is the environment of execle(). */
static bool gather(char *arguments[ARGUMENTS_MAX], const char *first, va_list *rest)
{
    size_t count = 0;

    for (const char *each = first; count < ARGUMENTS_MAX; each = va_arg(*rest, const char *)) {
        arguments[count++] = (char *)each;
        if (!each)
            return true;
    }
    errno = E2BIG;
    return false;
}

EXPORT int execl(const char *path, const char *first, ...)
{
    char *arguments[ARGUMENTS_MAX];
    va_list rest;

    va_start(rest, first);
    bool whole = gather(arguments, first, &rest);
    va_end(rest);
    return whole ? execve(path, arguments, environ) : -1;
}

EXPORT int execlp(const char *name, const char *first, ...)
{
    char *arguments[ARGUMENTS_MAX];
    va_list rest;

    va_start(rest, first);
    bool whole = gather(arguments, first, &rest);
    va_end(rest);
    return whole ? execvpe(name, arguments, environ) : -1;
}

EXPORT int execle(const char *path, const char *first, ...)
{
    char *arguments[ARGUMENTS_MAX], *const *environment = environ;
    va_list rest;

    va_start(rest, first);
    bool whole = gather(arguments, first, &rest);
    if (whole)
        environment = va_arg(rest, char *const *);
    va_end(rest);
    return whole ? execve(path, arguments, environment) : -1;
}

/* ---- posix_spawn ---- */

typedef __typeof__(&posix_spawn) spawner;

static int spawn(spawner real, pid_t *child, const char *name, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[])
{
    char birth[64];

    if (!clock_on()) {
        char **made = with_lab(environment, NULL);
        int error = real(child, name, actions, attributes, arguments, made);
        drop(made, environment);
        return error;
    }
    my_link(); /* so that the parent is known before its child */
    int link = dial(CLOCK_BORN, CLOCK_BORN_CHILD);
    fcntl(link, F_SETFD, 0); /* the child is to inherit it */
    snprintf(birth, sizeof birth, "%s=%d", BIRTH_VARIABLE, link);
    char **made = with_lab(environment, birth);
    int error = real(child, name, actions, attributes, arguments, made);
    drop(made, environment);
    drop_link(link);
    return error;
}

EXPORT int posix_spawn(pid_t *restrict child, const char *restrict path,
                       const posix_spawn_file_actions_t *restrict actions,
                       const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                       char *const environment[restrict])
{
    tell_if_unreached(path);
    return spawn(REAL(posix_spawn), child, path, actions, attributes, arguments, environment);
}

EXPORT int posix_spawnp(pid_t *restrict child, const char *restrict name,
                        const posix_spawn_file_actions_t *restrict actions,
                        const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                        char *const environment[restrict])
{
    char room[PATH_MAX];

    tell_if_unreached(found_on_path(name, room));
    return spawn(REAL(posix_spawnp), child, name, actions, attributes, arguments, environment);
}

/* In a new program: take the turn that its parent has asked for it, if it was spawned. */
void take_turn_of_birth(void)
{
    const char *given = getenv(BIRTH_VARIABLE);

    if (!given)
        return;
    int link = atoi(given);
    unsetenv(BIRTH_VARIABLE);
    if (!leads_to_server(link))
        return; /* closed by the parent's file actions */
    wait_for_birth(link);
    my_link();
    close_own(link);
}
