/* The calls that tell about memory and load without a file: what they answer is read from the host's files.
 *
 * sysinfo(), getloadavg(), and the page counts of sysconf(). Without VIRTLAB_HOST_FILES the machine answers.
 */
#include "library.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define TEXT_BYTES 8192
#define BYTES_PER_KIB 1024ul
#define LOADS 3

/* The value in KiB that stands after a name in /proc/meminfo, 0 where it is missing. */
static unsigned long kib_of(const char *meminfo, const char *name)
{
    const char *found = strstr(meminfo, name);

    return found ? strtoul(found + strlen(name), NULL, 10) : 0;
}

/* What /proc/loadavg says: the averages, and how many threads there are. */
static bool read_load(double averages[LOADS], unsigned long *threads)
{
    char text[TEXT_BYTES], *at = text;

    if (read_host_file("/proc/loadavg", text, sizeof text) <= 0)
        return false;
    for (int i = 0; i < LOADS; i++)
        averages[i] = strtod(at, &at);
    strtoul(at, &at, 10);
    *threads = *at == '/' ? strtoul(at + 1, NULL, 10) : 0;
    return true;
}

EXPORT int getloadavg(double averages[], int count)
{
    double all[LOADS];
    unsigned long threads;

    if (count < 0 || !read_load(all, &threads))
        return REAL(getloadavg)(averages, count);
    if (count > LOADS)
        count = LOADS;
    memcpy(averages, all, (size_t)count * sizeof *all);
    return count;
}

EXPORT int sysinfo(struct sysinfo *info)
{
    char meminfo[TEXT_BYTES], uptime[TEXT_BYTES];
    double averages[LOADS];
    unsigned long threads;

    if (read_host_file("/proc/meminfo", meminfo, sizeof meminfo) <= 0 ||
        read_host_file("/proc/uptime", uptime, sizeof uptime) <= 0 || !read_load(averages, &threads))
        return REAL(sysinfo)(info);
    *info = (struct sysinfo){
        .uptime = strtol(uptime, NULL, 10),
        .totalram = kib_of(meminfo, "MemTotal:") * BYTES_PER_KIB,
        .freeram = kib_of(meminfo, "MemFree:") * BYTES_PER_KIB,
        .sharedram = kib_of(meminfo, "Shmem:") * BYTES_PER_KIB,
        .bufferram = kib_of(meminfo, "Buffers:") * BYTES_PER_KIB,
        .totalswap = kib_of(meminfo, "SwapTotal:") * BYTES_PER_KIB,
        .freeswap = kib_of(meminfo, "SwapFree:") * BYTES_PER_KIB,
        .procs = (unsigned short)threads,
        .mem_unit = 1,
    };
    for (int i = 0; i < LOADS; i++)
        info->loads[i] = (unsigned long)(averages[i] * (1 << SI_LOAD_SHIFT) + 0.5);
    return 0;
}

long host_pages(int name)
{
    char meminfo[TEXT_BYTES];

    if (name != _SC_PHYS_PAGES && name != _SC_AVPHYS_PAGES)
        return 0;
    if (read_host_file("/proc/meminfo", meminfo, sizeof meminfo) <= 0)
        return 0;
    unsigned long kib = kib_of(meminfo, name == _SC_PHYS_PAGES ? "MemTotal:" : "MemFree:");
    return (long)(kib * BYTES_PER_KIB) / getpagesize();
}

EXPORT long get_phys_pages(void)
{
    return sysconf(_SC_PHYS_PAGES);
}

EXPORT long get_avphys_pages(void)
{
    return sysconf(_SC_AVPHYS_PAGES);
}
