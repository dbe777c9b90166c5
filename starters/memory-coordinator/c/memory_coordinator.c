/* A memory coordinator to start from: ./memory_coordinator INTERVAL
 *
 * Every INTERVAL seconds it reads how much memory each guest has and how much of it is unused, and
 * prints that. It changes nothing yet: deciding is your part, in decide() below.
 */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One guest, as it is now; sizes are in KiB, as everywhere in libvirt. */
struct guest {
    virDomainPtr domain;
    unsigned long long actual; /* what the balloon leaves it */
    unsigned long long unused; /* of that, what the guest does not use */
    unsigned long maximum;     /* the most that it can be given */
};

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

/* Read a guest's memory; return 0 where the guest does not tell it. */
static int measure(virDomainPtr domain, struct guest *guest) {
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int told = 0;
    guest->domain = domain;
    guest->maximum = virDomainGetMaxMemory(domain);
    int count = virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);
    /* Which figures come, and in which order, is the guest's choice. */
    for (int i = 0; i < count; i++) {
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) {
            guest->actual = stats[i].val;
            told |= 1;
        }
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_UNUSED) {
            guest->unused = stats[i].val;
            told |= 2;
        }
    }
    return guest->maximum > 0 && told == 3;
}

/* YOUR PART. guests[0 .. count - 1] tell who has how much and needs it or not. Where a guest should
 * have another size, tell libvirt with virDomainSetMemory(guests[i].domain, KIB); the balloon then
 * takes some time to get there. Take care of the host as well: virNodeGetMemoryStats says what it
 * has free.
 */
static void decide(virConnectPtr conn, struct guest *guests, int count) {
    (void)conn;
    for (int i = 0; i < count; i++)
        printf("%s has %llu MiB of at most %lu, %llu unused\n",
               virDomainGetName(guests[i].domain), guests[i].actual / 1024,
               guests[i].maximum / 1024, guests[i].unused / 1024);
    fflush(stdout);
}

static void round_once(virConnectPtr conn, int interval_s) {
    virDomainPtr *domains = NULL;
    int running = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
    if (running < 0)
        return;
    struct guest *guests = calloc(running + 1, sizeof *guests);
    int count = 0;
    for (int i = 0; guests != NULL && i < running; i++) {
        /* Without a period the guest tells what it had when it booted, for ever. */
        virDomainSetMemoryStatsPeriod(domains[i], interval_s, VIR_DOMAIN_AFFECT_LIVE);
        if (measure(domains[i], &guests[count]))
            count++;
    }
    if (guests != NULL)
        decide(conn, guests, count);
    for (int i = 0; i < running; i++)
        virDomainFree(domains[i]);
    free(domains);
    free(guests);
}

int main(int argc, char *argv[]) {
    int interval_s = argc == 2 ? atoi(argv[1]) : 0;
    if (interval_s < 1) {
        fprintf(stderr, "usage: %s INTERVAL (in seconds)\n", argv[0]);
        return 2;
    }
    signal(SIGINT, on_sigint);
    virConnectPtr conn = virConnectOpen("qemu:///system");
    if (conn == NULL)
        return 1; /* libvirt has said why */
    while (!stopping) {
        round_once(conn, interval_s);
        sleep(interval_s);
    }
    virConnectClose(conn);
    return 0;
}
