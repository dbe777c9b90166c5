/* The files in which a Linux host describes itself show the simulated host: VIRTLAB_HOST_FILES says where they are.
 *
 * "/" in bubblewrap, where they are mounted over the machine's own and nothing needs to be done here. Anything else
 * is a folder: opens of /proc/meminfo and its kin, and of /sys/devices/system/{cpu,node}, lead there. That covers
 * what goes through the C library's open(), fopen() and opendir(); system calls made in assembly, and the opens of
 * the C library's own, find the machine.
 */
#include "library.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROC "/proc/"

static const char *const PROC_FILES[] = {"cpuinfo", "loadavg", "meminfo", "stat", "uptime", "vmstat"};
static const char *const SYS_FOLDERS[] = {"/sys/devices/system/cpu", "/sys/devices/system/node"};

static const char *files_root(void)
{
    const char *root = getenv("VIRTLAB_HOST_FILES");

    return root && *root == '/' ? root : NULL;
}

static bool is_proc_file(const char *name)
{
    for (size_t i = 0; i < sizeof PROC_FILES / sizeof *PROC_FILES; i++)
        if (strcmp(name, PROC_FILES[i]) == 0)
            return true;
    return false;
}

static bool is_host_file(const char *path)
{
    if (strncmp(path, PROC, strlen(PROC)) == 0 && is_proc_file(path + strlen(PROC)))
        return true;
    for (size_t i = 0; i < sizeof SYS_FOLDERS / sizeof *SYS_FOLDERS; i++) {
        size_t length = strlen(SYS_FOLDERS[i]);
        if (strncmp(path, SYS_FOLDERS[i], length) == 0 && (path[length] == '/' || !path[length]))
            return true;
    }
    return false;
}

const char *host_file(const char *path, char *room, size_t size)
{
    if (!path || path[0] != '/' || (path[1] != 'p' && path[1] != 's'))
        return path; /* most opens end here */
    const char *root = is_host_file(path) ? files_root() : NULL;
    if (!root || !root[1])
        return path;
    int length = snprintf(room, size, "%s%s", root, path);
    return length > 0 && (size_t)length < size ? room : path;
}

/* The same for a name in an open folder, which may be /proc (lscpu opens it first). */
static const char *host_file_at(int directory, const char *path, char *room, size_t size)
{
    char link[sizeof "/proc/self/fd/" + 11], folder[sizeof PROC], whole[HOST_FILE_ROOM];

    if (directory < 0 || !path || !is_proc_file(path))
        return host_file(path, room, size);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, folder, sizeof folder);
    if (length != strlen(PROC) - 1 || memcmp(folder, PROC, (size_t)length) != 0)
        return path;
    snprintf(whole, sizeof whole, PROC "%s", path);
    const char *found = host_file(whole, room, size);
    return found == whole ? path : found;
}

ssize_t read_host_file(const char *path, char *text, size_t size)
{
    char room[HOST_FILE_ROOM];

    if (!files_root())
        return -1;
    int file = (int)kernel(SYS_openat, AT_FDCWD, host_file(path, room, sizeof room), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t got = read(file, text, size - 1);
    kernel(SYS_close, file);
    if (got >= 0)
        text[got] = '\0';
    return got;
}

/* ---- opens ---- */

/* The third argument of open(), which is there only where the flags say so. */
#define MODE_AFTER(flags)                                    \
    ({                                                       \
        mode_t mode_ = 0;                                    \
        if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
            va_list rest_;                                   \
            va_start(rest_, flags);                          \
            mode_ = va_arg(rest_, mode_t);                   \
            va_end(rest_);                                   \
        }                                                    \
        mode_;                                               \
    })

EXPORT int open(const char *path, int flags, ...)
{
    char room[HOST_FILE_ROOM];
    mode_t mode = MODE_AFTER(flags);
    return REAL(open)(host_file(path, room, sizeof room), flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    char room[HOST_FILE_ROOM];
    mode_t mode = MODE_AFTER(flags);
    return REAL(open64)(host_file(path, room, sizeof room), flags, mode);
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
    char room[HOST_FILE_ROOM];
    mode_t mode = MODE_AFTER(flags);
    return REAL(openat)(directory, host_file_at(directory, path, room, sizeof room), flags, mode);
}

EXPORT int openat64(int directory, const char *path, int flags, ...)
{
    char room[HOST_FILE_ROOM];
    mode_t mode = MODE_AFTER(flags);
    return REAL(openat64)(directory, host_file_at(directory, path, room, sizeof room), flags, mode);
}

EXPORT FILE *fopen(const char *restrict path, const char *restrict mode)
{
    char room[HOST_FILE_ROOM];
    return REAL(fopen)(host_file(path, room, sizeof room), mode);
}

EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode)
{
    char room[HOST_FILE_ROOM];
    return REAL(fopen64)(host_file(path, room, sizeof room), mode);
}

EXPORT DIR *opendir(const char *path)
{
    char room[HOST_FILE_ROOM];
    return REAL(opendir)(host_file(path, room, sizeof room));
}

/* ---- what the headers call in place of open() where a program is built with _FORTIFY_SOURCE ---- */

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

EXPORT int __open_2(const char *path, int flags)
{
    char room[HOST_FILE_ROOM];
    return REAL(__open_2)(host_file(path, room, sizeof room), flags);
}

EXPORT int __open64_2(const char *path, int flags)
{
    char room[HOST_FILE_ROOM];
    return REAL(__open64_2)(host_file(path, room, sizeof room), flags);
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
    char room[HOST_FILE_ROOM];
    return REAL(__openat_2)(directory, host_file_at(directory, path, room, sizeof room), flags);
}

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
    char room[HOST_FILE_ROOM];
    return REAL(__openat64_2)(directory, host_file_at(directory, path, room, sizeof room), flags);
}
