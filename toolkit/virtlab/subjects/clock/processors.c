/* The processors that the program sees are the simulated host's: VIRTLAB_PCPUS says how many, all of them online.
 *
 * Covers what the C library tells (and with it nproc and Python's os.cpu_count()); the files are in host_files.c.
 * A thread may bind itself to any of them: it is told so afterwards, and so are the children that it forks. In
 * truth it runs where the lab lets it.
 */
#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define PCPUS_MAX 16384 /* as many as fit into a CPU map of libvirt's protocol */

/* How many the host has, or 0 where nobody said so. */
static long host_pcpus(void)
{
    const char *given = getenv("VIRTLAB_PCPUS");
    long pcpus = given ? strtol(given, NULL, 10) : 0;

    return pcpus > 0 && pcpus <= PCPUS_MAX ? pcpus : 0;
}

EXPORT long sysconf(int name)
{
    bool processors = name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF;
    long answer = processors ? host_pcpus() : host_pages(name);

    return answer ? answer : REAL(sysconf)(name);
}

EXPORT int get_nprocs(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

EXPORT int get_nprocs_conf(void)
{
    return (int)sysconf(_SC_NPROCESSORS_CONF);
}

/* Where this thread has bound itself; empty: nowhere. */
static PER_THREAD unsigned char bound[PCPUS_MAX / 8];
static PER_THREAD bool is_bound;

static bool is_myself(pid_t thread)
{
    return !thread || thread == (pid_t)kernel(SYS_gettid);
}

static bool may_run_on(long pcpu, bool myself)
{
    return !myself || !is_bound || bound[pcpu / 8] >> pcpu % 8 & 1;
}

/* Put the processors on which a thread may run into a set; 0 or an error number. */
static int tell_affinity(bool myself, long pcpus, size_t size, cpu_set_t *set)
{
    if (size * 8 < (size_t)pcpus)
        return EINVAL; /* as the kernel says where the set is too small for the machine */
    CPU_ZERO_S(size, set);
    for (long pcpu = 0; pcpu < pcpus; pcpu++)
        if (may_run_on(pcpu, myself))
            CPU_SET_S((size_t)pcpu, size, set);
    return 0;
}

/* Bind this thread, or do nothing about another; 0 or an error number. */
static int take_affinity(bool myself, long pcpus, size_t size, const cpu_set_t *set)
{
    unsigned char wanted[PCPUS_MAX / 8] = {0};
    bool any = false;

    for (long pcpu = 0; pcpu < pcpus && (size_t)pcpu < size * 8; pcpu++) {
        if (!CPU_ISSET_S((size_t)pcpu, size, set))
            continue;
        wanted[pcpu / 8] |= (unsigned char)(1 << pcpu % 8);
        any = true;
    }
    if (!any)
        return EINVAL; /* none of them is there */
    if (myself) {
        memcpy(bound, wanted, sizeof bound);
        is_bound = true;
    }
    return 0;
}

static int from_error(int error)
{
    if (!error)
        return 0;
    errno = error;
    return -1;
}

EXPORT int sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set)
{
    long pcpus = host_pcpus();

    if (!pcpus)
        return REAL(sched_getaffinity)(thread, size, set);
    return from_error(tell_affinity(is_myself(thread), pcpus, size, set));
}

EXPORT int sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set)
{
    long pcpus = host_pcpus();

    if (!pcpus)
        return REAL(sched_setaffinity)(thread, size, set);
    return from_error(take_affinity(is_myself(thread), pcpus, size, set));
}

EXPORT int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
    long pcpus = host_pcpus();

    if (!pcpus)
        return REAL(pthread_getaffinity_np)(thread, size, set);
    return tell_affinity(pthread_equal(thread, pthread_self()), pcpus, size, set);
}

EXPORT int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
    long pcpus = host_pcpus();

    if (!pcpus)
        return REAL(pthread_setaffinity_np)(thread, size, set);
    return take_affinity(pthread_equal(thread, pthread_self()), pcpus, size, set);
}

/* The program's own work is not simulated: it is on the first processor where it may be. */
EXPORT int sched_getcpu(void)
{
    long pcpus = host_pcpus();

    if (!pcpus)
        return REAL(sched_getcpu)();
    for (long pcpu = 0; pcpu < pcpus; pcpu++)
        if (may_run_on(pcpu, true))
            return (int)pcpu;
    return 0;
}

/* The cell of a processor, by the links in the host's files; 0 where there are none. */
static unsigned cell_of(long pcpu)
{
    char path[sizeof "/sys/devices/system/node/node/cpu" + 2 * 20];

    for (unsigned cell = 0; cell < PCPUS_MAX; cell++) {
        snprintf(path, sizeof path, "/sys/devices/system/node/node%u/cpu%ld", cell, pcpu);
        if (access(path, F_OK) == 0)
            return cell;
        *strrchr(path, '/') = '\0';
        if (access(path, F_OK) != 0)
            break; /* that was the last cell */
    }
    return 0;
}

EXPORT int getcpu(unsigned *processor, unsigned *cell)
{
    if (!host_pcpus())
        return REAL(getcpu)(processor, cell);
    unsigned pcpu = (unsigned)sched_getcpu();
    if (processor)
        *processor = pcpu;
    if (cell)
        *cell = cell_of(pcpu);
    return 0;
}

/* ---- the system calls themselves, by way of syscall(2) ---- */

#define MAP_STEP 8 /* bytes by which the kernel's maps of processors grow */

static long raw_getaffinity(pid_t thread, size_t size, cpu_set_t *set)
{
    size_t needed = ((size_t)host_pcpus() + MAP_STEP * 8 - 1) / (MAP_STEP * 8) * MAP_STEP;

    if (size % MAP_STEP) {
        errno = EINVAL;
        return -1;
    }
    if (sched_getaffinity(thread, size < needed ? size : needed, set) < 0)
        return -1;
    return (long)needed; /* it tells how many bytes it wrote, where the function says 0 */
}

bool processor_call(long number, const long given[], long *answer)
{
    bool ours = number == SYS_sched_getaffinity || number == SYS_sched_setaffinity || number == SYS_getcpu;

    if (!ours || !host_pcpus())
        return false;
    if (number == SYS_sched_getaffinity)
        *answer = raw_getaffinity((pid_t)given[0], (size_t)given[1], (cpu_set_t *)given[2]);
    else if (number == SYS_sched_setaffinity)
        *answer = sched_setaffinity((pid_t)given[0], (size_t)given[1], (const cpu_set_t *)given[2]);
    else
        *answer = getcpu((unsigned *)given[0], (unsigned *)given[1]);
    return true;
}
