/* The loads of a scenario, as a guest runs them: `workload duty|batch|memory`.
 *
 * Work is counted in iterations and not in the guest's CPU time, because a guest that is emulated
 * sees no steal: its clock says that it ran while its vCPU thread waited on the host. How many
 * iterations a second of a whole pCPU makes is found once, from outside, by the processor time that two
 * batches of known size take on the host, and handed to every load. A contended loop's cycle then
 * stretches, as a scenario's duty means it.
 *
 * Each load writes what it achieved to its report, a file of one JSON object, once a second and when
 * it ends. A duty then looks for a new rate in the file REPORT.rate: what an iteration costs changes
 * where a guest is emulated, and only the host can tell.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define MIB (1024L * 1024L)
#define STEP_NS 20000000LL /* between touches; waking up costs an emulated guest 0.3 ms and more */

struct options {
    double duty, period_ms, rate, work_s, mib_s, hold_s;
    long until_mib; /* 0: until the guest's own out-of-memory killer ends it */
    int vcpu, keep;
    const char *report;
};

static volatile sig_atomic_t stopped;
static volatile uint64_t sink;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static void fail(const char *what, const char *value)
{
    fprintf(stderr, "workload: %s: %s\n", what, value);
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void sleep_ns(int64_t span)
{
    struct timespec left = {span / NS_PER_S, span % NS_PER_S};
    if (span > 0)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL); /* a signal ends it: stopped is looked at */
}

/* One iteration is one step of a linear congruential generator: no memory, no branches. */
static void work(int64_t iterations)
{
    uint64_t state = sink;
    for (int64_t done = 0; done < iterations; done++)
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    sink = state;
}

static void report(const struct options *o, const char *load, const char *state, double amount,
                   const char *unit, int64_t began)
{
    char text[512];
    int length = snprintf(text, sizeof text,
                          "{\"load\": \"%s\", \"state\": \"%s\", \"elapsed_s\": %.3f, \"%s\": %.9g}\n",
                          load, state, (now_ns() - began) / 1e9, unit, amount);
    if (!o->report) {
        if (strcmp(state, "running"))
            fputs(text, stdout);
        return;
    }
    /* Renamed into place, so that nobody reads half a report. */
    char fresh[4096];
    snprintf(fresh, sizeof fresh, "%s.new", o->report);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || write(file, text, length) != length || rename(fresh, o->report))
        fail(o->report, strerror(errno));
    close(file);
}

static void bind_to(int vcpu)
{
    if (vcpu < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(vcpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) {
        char name[32];
        snprintf(name, sizeof name, "vCPU %d", vcpu);
        fail(name, strerror(errno));
    }
}

/* Where the host leaves a new rate, if it knows of this load. */
static const char *rate_path(const struct options *o)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s.rate", o->report ? o->report : "");
    return path;
}

/* The rate that the host has found meanwhile, or the one that is known. */
static double rate_now(const struct options *o, double known)
{
    char text[64];
    int file = open(rate_path(o), O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    double found = strtod(text, NULL); /* 0 while it is being written */
    return found >= 1 && found <= 1e12 ? found : known;
}

static int duty(const struct options *o)
{
    int64_t began = now_ns(), shown = began;
    double rate = o->rate, each_s = o->duty * o->period_ms / 1e3, done = 0;
    int64_t sleep_each = llround((1 - o->duty) * o->period_ms * 1e6);
    unlink(rate_path(o)); /* of the load that was here before */
    while (!stopped) {
        int64_t work_each = llround(each_s * rate);
        work(work_each);
        done += work_each;
        sleep_ns(sleep_each);
        if (now_ns() - shown >= NS_PER_S) {
            shown = now_ns();
            report(o, "duty", "running", done / o->rate, "work_s", began);
            rate = rate_now(o, rate);
        }
    }
    report(o, "duty", "stopped", done / o->rate, "work_s", began);
    return 0;
}

static int batch(const struct options *o)
{
    int64_t began = now_ns(), shown = began;
    double done = 0, whole = o->work_s * o->rate, step = o->rate / 1000;
    while (!stopped && done < whole) {
        double next = fmin(step, whole - done);
        work(llround(next));
        done += next;
        if (now_ns() - shown >= NS_PER_S) {
            shown = now_ns();
            report(o, "batch", "running", done / o->rate, "work_s", began);
        }
    }
    report(o, "batch", done < whole ? "stopped" : "done", done / o->rate, "work_s", began);
    return 0;
}

/* Touch new memory at the given rate. Each page gets bytes of its own, so that none is merged. */
static int memory(const struct options *o)
{
    long page = sysconf(_SC_PAGESIZE);
    int64_t began = now_ns(), shown = began;
    long held = 0, mapped = 0, wanted = o->until_mib ? o->until_mib * MIB : LONG_MAX;
    char **parts = NULL;
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0) {
        if (write(score, "500", 3) != 3) /* this is the program that the killer is to choose */
            fprintf(stderr, "workload: oom_score_adj: %s\n", strerror(errno));
        close(score);
    }
    const char *state = "running";
    while (!stopped && held < wanted) {
        double due = (now_ns() - began) / 1e9 * o->mib_s * MIB;
        while (!stopped && held < due && held < wanted) {
            if (held == mapped) {
                parts = realloc(parts, (mapped / MIB + 1) * sizeof *parts);
                char *part = parts ? mmap(NULL, MIB, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
                if (part == MAP_FAILED)
                    fail("no more memory", strerror(errno));
                parts[mapped / MIB] = part;
                mapped += MIB;
            }
            char *at = parts[held / MIB] + held % MIB;
            *(long *)at = held + getpid();
            held += page;
        }
        if (now_ns() - shown >= NS_PER_S) {
            shown = now_ns();
            report(o, "memory", state, held / (double)MIB, "held_mib", began);
        }
        sleep_ns(STEP_NS);
    }
    state = stopped ? "stopped" : "holding";
    report(o, "memory", state, held / (double)MIB, "held_mib", began);
    int64_t until = now_ns() + (int64_t)(o->hold_s * NS_PER_S);
    while (!stopped && (o->keep || now_ns() < until))
        sleep_ns(o->keep ? NS_PER_S : until - now_ns());
    report(o, "memory", stopped ? "stopped" : "released", 0, "held_mib", began);
    return 0;
}

static double number(const char *name, const char *text, double least, double most)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= least && value <= most)) {
        fprintf(stderr, "workload: --%s %s: give a number from %g to %g\n", name, text, least, most);
        exit(2);
    }
    return value;
}

int main(int count, char **words)
{
    static const struct option known[] = {
        {"duty", 1, 0, 'd'},      {"period-ms", 1, 0, 'p'}, {"rate", 1, 0, 'r'},
        {"work-s", 1, 0, 'w'},    {"mib-s", 1, 0, 'm'},
        {"until-mib", 1, 0, 'u'}, {"hold-s", 1, 0, 'h'},    {"keep", 0, 0, 'k'},
        {"vcpu", 1, 0, 'v'},      {"report", 1, 0, 'o'},    {0, 0, 0, 0}};
    struct options o = {.period_ms = 0.5, .vcpu = -1};
    const char *load = count > 1 ? words[1] : "";
    for (int key, at = 0; (key = getopt_long(count - (count > 1), words + (count > 1), "", known, &at)) >= 0;)
        switch (key) {
        case 'd': o.duty = number("duty", optarg, 1e-6, 1); break;
        case 'p': o.period_ms = number("period-ms", optarg, 0.01, 60000); break;
        case 'r': o.rate = number("rate", optarg, 1, 1e12); break;
        case 'w': o.work_s = number("work-s", optarg, 1e-6, 86400); break;
        case 'm': o.mib_s = number("mib-s", optarg, 1e-3, 1e6); break;
        case 'u': o.until_mib = number("until-mib", optarg, 1, 16 * MIB); break;
        case 'h': o.hold_s = number("hold-s", optarg, 0, 86400); break;
        case 'v': o.vcpu = number("vcpu", optarg, 0, 1023); break;
        case 'k': o.keep = 1; break;
        case 'o': o.report = optarg; break;
        default: return 2; /* getopt has said what is wrong */
        }
    struct sigaction action = {.sa_handler = on_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    bind_to(o.vcpu);
    if (!strcmp(load, "duty") && o.duty > 0 && o.rate > 0)
        return duty(&o);
    if (!strcmp(load, "batch") && o.work_s > 0 && o.rate > 0)
        return batch(&o);
    if (!strcmp(load, "memory") && o.mib_s > 0)
        return memory(&o);
    fputs("usage: workload duty --duty SHARE --rate ITERATIONS_PER_S [--period-ms MS]\n"
          "       workload batch --work-s S --rate ITERATIONS_PER_S\n"
          "       workload memory --mib-s MIB [--until-mib MIB] [--hold-s S] [--keep]\n"
          "  each: [--vcpu N] [--report FILE]\n", stderr);
    return 2;
}
