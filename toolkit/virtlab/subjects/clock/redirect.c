/* Libvirt's well-known sockets lead to the lab's: a program with a hard-coded qemu:///system works unchanged.
 * Looks at the files that describe the host lead to the simulated host's (host_files.c).
 *
 * Active when VIRTLAB_LIBVIRT_DIR is set, with or without the clock. The client library looks whether a socket
 * exists before it connects, so those looks are redirected too. The lab has no virtqemud-sock: the redirected
 * look finds nothing, and the client falls back to libvirt-sock.
 */
#include "library.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

struct redirection {
    char path[HOST_FILE_ROOM];
};

static const char *const SOCKET_NAMES[] = {
    "libvirt-sock", "libvirt-sock-ro", "virtqemud-sock", "virtqemud-sock-ro",
};

/* What follows `prefix` in `path`, or NULL. An unset prefix matches nothing. */
static const char *after(const char *path, const char *prefix)
{
    size_t length = prefix ? strlen(prefix) : 0;

    return length && strncmp(path, prefix, length) == 0 ? path + length : NULL;
}

static const char *socket_name_in(const char *path)
{
    const char *rest = after(path, "/run");

    if (!rest) rest = after(path, "/var/run");
    if (!rest || !after(rest, "/libvirt/")) rest = after(path, getenv("XDG_RUNTIME_DIR"));
    if (!rest && (rest = after(path, getenv("HOME")))) rest = after(rest, "/.cache");
    if (!rest || !(rest = after(rest, "/libvirt/")))
        return NULL;
    for (size_t i = 0; i < sizeof SOCKET_NAMES / sizeof *SOCKET_NAMES; i++)
        if (strcmp(rest, SOCKET_NAMES[i]) == 0)
            return SOCKET_NAMES[i];
    return NULL;
}

/* The path to use in place of `path`, which stays as it is unless it names one of libvirt's sockets. */
static const char *redirected_socket(const char *path, struct redirection *room)
{
    const char *directory = getenv("VIRTLAB_LIBVIRT_DIR");
    const char *name = path && directory && *directory ? socket_name_in(path) : NULL;

    if (!name)
        return path;
    int length = snprintf(room->path, SOCKET_PATH_BYTES, "%s/%s", directory, name);
    return length > 0 && (size_t)length < SOCKET_PATH_BYTES ? room->path : path;
}

/* The same for looks, which may be at a file of the host as well. */
static const char *redirected(const char *path, struct redirection *room)
{
    const char *socket = redirected_socket(path, room);

    return socket != path ? socket : host_file(path, room->path, sizeof room->path);
}

EXPORT int connect(int descriptor, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    const struct sockaddr_un *unix_address = (const struct sockaddr_un *)address.__sockaddr__;
    struct sockaddr_un changed = {.sun_family = AF_UNIX};
    struct redirection room;
    char asked[sizeof unix_address->sun_path + 1] = {0};
    const size_t path_at = offsetof(struct sockaddr_un, sun_path);

    if (unix_address && length > path_at && length <= sizeof *unix_address && unix_address->sun_family == AF_UNIX) {
        memcpy(asked, unix_address->sun_path, length - path_at);
        const char *path = redirected_socket(asked, &room);
        if (path != asked) {
            strcpy(changed.sun_path, path);
            return REAL(connect)(descriptor, (const struct sockaddr *)&changed, sizeof changed);
        }
    }
    return REAL(connect)(descriptor, address, length);
}

/* ---- looks: does the socket exist? ---- */

EXPORT int access(const char *path, int mode)
{
    struct redirection room;
    return REAL(access)(redirected(path, &room), mode);
}

EXPORT int euidaccess(const char *path, int mode)
{
    struct redirection room;
    return REAL(euidaccess)(redirected(path, &room), mode);
}

EXPORT int eaccess(const char *path, int mode)
{
    return euidaccess(path, mode);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
    struct redirection room;
    return REAL(faccessat)(directory, redirected(path, &room), mode, flags);
}

EXPORT int stat(const char *restrict path, struct stat *restrict result)
{
    struct redirection room;
    return REAL(stat)(redirected(path, &room), result);
}

EXPORT int stat64(const char *restrict path, struct stat64 *restrict result)
{
    struct redirection room;
    return REAL(stat64)(redirected(path, &room), result);
}

EXPORT int lstat(const char *restrict path, struct stat *restrict result)
{
    struct redirection room;
    return REAL(lstat)(redirected(path, &room), result);
}

EXPORT int lstat64(const char *restrict path, struct stat64 *restrict result)
{
    struct redirection room;
    return REAL(lstat64)(redirected(path, &room), result);
}

EXPORT int fstatat(int directory, const char *restrict path, struct stat *restrict result, int flags)
{
    struct redirection room;
    return REAL(fstatat)(directory, redirected(path, &room), result, flags);
}

EXPORT int fstatat64(int directory, const char *restrict path, struct stat64 *restrict result, int flags)
{
    struct redirection room;
    return REAL(fstatat64)(directory, redirected(path, &room), result, flags);
}

EXPORT int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict result)
{
    struct redirection room;
    return REAL(statx)(directory, redirected(path, &room), flags, mask, result);
}

/* ---- the names under which glibc before 2.33 exported the looks; old programs call them ---- */

int __xstat(int version, const char *path, struct stat *result);
int __xstat64(int version, const char *path, struct stat64 *result);
int __lxstat(int version, const char *path, struct stat *result);
int __lxstat64(int version, const char *path, struct stat64 *result);

EXPORT int __xstat(int version, const char *path, struct stat *result)
{
    (void)version;
    return stat(path, result);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *result)
{
    (void)version;
    return stat64(path, result);
}

EXPORT int __lxstat(int version, const char *path, struct stat *result)
{
    (void)version;
    return lstat(path, result);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *result)
{
    (void)version;
    return lstat64(path, result);
}
