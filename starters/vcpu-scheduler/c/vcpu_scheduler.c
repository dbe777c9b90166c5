/* A vCPU scheduler to start from: ./vcpu_scheduler INTERVAL
 *
 * Every INTERVAL seconds it measures how busy each vCPU was, and prints that. It moves nothing yet:
 * deciding is your part, in decide() below.
 */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One vCPU, as it was seen in the last interval. */
struct vcpu {
    char uuid[VIR_UUID_STRING_BUFLEN]; /* of its guest: ids and the order of guests may change */
    char guest[64];
    unsigned int number;      /* of the vCPU in its guest */
    unsigned long long time;  /* ns that it ran since its start, at the last look */
    double share;             /* of one pCPU, in the last interval; below 0: not known yet */
    int pcpu;                 /* on which it ran last */
    int seen;                 /* in this round: guests come and go */
};

static volatile sig_atomic_t stopping;
static struct vcpu *vcpus;
static size_t count;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

/* Return what is kept of a vCPU; a new one is added. */
static struct vcpu *find(const char *uuid, unsigned int number) {
    for (size_t i = 0; i < count; i++)
        if (vcpus[i].number == number && strcmp(vcpus[i].uuid, uuid) == 0)
            return &vcpus[i];
    struct vcpu *more = realloc(vcpus, (count + 1) * sizeof *vcpus);
    if (more == NULL) {
        perror("vcpu_scheduler");
        exit(1);
    }
    vcpus = more;
    struct vcpu *v = &vcpus[count++];
    memset(v, 0, sizeof *v);
    snprintf(v->uuid, sizeof v->uuid, "%s", uuid);
    v->number = number;
    v->share = -1;
    return v;
}

/* Read how long each vCPU of a guest has run, and work out its share of the last interval. */
static void measure(virDomainPtr domain, double interval_s) {
    char uuid[VIR_UUID_STRING_BUFLEN];
    int vcpu_count = virDomainGetMaxVcpus(domain);
    if (vcpu_count < 1 || virDomainGetUUIDString(domain, uuid) < 0)
        return; /* it has just ended */
    virVcpuInfo *info = calloc(vcpu_count, sizeof *info);
    if (info == NULL)
        return;
    vcpu_count = virDomainGetVcpus(domain, info, vcpu_count, NULL, 0);
    for (int i = 0; i < vcpu_count; i++) {
        struct vcpu *v = find(uuid, info[i].number);
        /* The first look at a vCPU has nothing to be compared with. */
        if (v->time > 0 && info[i].cpuTime >= v->time)
            v->share = (info[i].cpuTime - v->time) / 1e9 / interval_s;
        v->time = info[i].cpuTime;
        v->pcpu = info[i].cpu;
        v->seen = 1;
        snprintf(v->guest, sizeof v->guest, "%s", virDomainGetName(domain));
    }
    free(info);
}

/* Forget the vCPUs of guests that are gone. */
static void forget(void) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (vcpus[i].seen) {
            vcpus[i].seen = 0;
            vcpus[kept++] = vcpus[i];
        }
    count = kept;
}

/* YOUR PART. vcpus[0 .. count - 1] tell who used how much of a pCPU, and where; there are pcpus
 * pCPUs. Where a vCPU should run elsewhere, look up its guest with virDomainLookupByUUIDString and
 * tell libvirt with virDomainPinVcpu. Its mask has one bit for each pCPU: pCPU n is bit n % 8 of
 * byte n / 8, in VIR_CPU_MAPLEN(pcpus) bytes.
 */
static void decide(virConnectPtr conn, int pcpus) {
    (void)conn;
    (void)pcpus;
    for (size_t i = 0; i < count; i++)
        if (vcpus[i].share >= 0)
            printf("%s vCPU %u ran %.0f %% of the time, last on pCPU %d\n", vcpus[i].guest,
                   vcpus[i].number, 100 * vcpus[i].share, vcpus[i].pcpu);
    fflush(stdout);
}

static void round_once(virConnectPtr conn, double interval_s) {
    virDomainPtr *domains = NULL;
    virNodeInfo node;
    if (virNodeGetInfo(conn, &node) < 0)
        return;
    int running = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
    for (int i = 0; i < running; i++) {
        measure(domains[i], interval_s);
        virDomainFree(domains[i]);
    }
    free(domains);
    forget();
    decide(conn, node.cpus);
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
    free(vcpus);
    virConnectClose(conn);
    return 0;
}
