/* The processors that the program sees are the simulated host's: VIRTLAB_PCPUS says how many, all of them online.
 *
 * Covers what the C library tells (and with it nproc and Python's os.cpu_count()), not the files of /proc and /sys.
 */
#include "library.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
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
    long pcpus = name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF ? host_pcpus() : 0;

    return pcpus ? pcpus : REAL(sysconf)(name);
}

EXPORT int get_nprocs(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

EXPORT int get_nprocs_conf(void)
{
    return (int)sysconf(_SC_NPROCESSORS_CONF);
}

/* Put all processors of the host into a set; 0 or an error number. */
static int all_of(long pcpus, size_t size, cpu_set_t *set)
{
    if (size * 8 < (size_t)pcpus)
        return EINVAL; /* as the kernel says where the set is too small for the machine */
    CPU_ZERO_S(size, set);
    for (long pcpu = 0; pcpu < pcpus; pcpu++)
        CPU_SET_S((size_t)pcpu, size, set);
    return 0;
}

EXPORT int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set)
{
    long pcpus = host_pcpus();

    if (!pcpus)
        return REAL(sched_getaffinity)(process, size, set);
    int error = all_of(pcpus, size, set);
    if (!error)
        return 0;
    errno = error;
    return -1;
}

EXPORT int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
    long pcpus = host_pcpus();

    return pcpus ? all_of(pcpus, size, set) : REAL(pthread_getaffinity_np)(thread, size, set);
}
