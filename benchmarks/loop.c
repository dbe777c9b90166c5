/* A closed loop: compute so many iterations, sleep so many nanoseconds, again, for ever.
 *
 *     loop                              prints the picoseconds that one iteration takes
 *     loop ITERATIONS SLEEP_NS WAIT_NS  waits first, so that loops start in different phases
 *
 * Its timer has no slack, as that of a guest under KVM has none. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

enum { PROBE = 1000000, PROBES = 40 };

static volatile unsigned long long sink;

static void work(unsigned long long iterations)
{
    unsigned long long x = iterations | 1;
    for (unsigned long long i = 0; i < iterations; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    sink = x;
}

static long long cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static struct timespec span(const char *ns)
{
    long long value = atoll(ns);
    return (struct timespec){value / 1000000000, value % 1000000000};
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        long long least = 0;
        for (int i = 0; i < PROBES; i++) {
            long long began = cpu_ns();
            work(PROBE);
            long long took = cpu_ns() - began;
            least = i && least < took ? least : took;
        }
        printf("%lld\n", least * 1000 / PROBE);
        return 0;
    }
    unsigned long long iterations = strtoull(argv[1], NULL, 10);
    struct timespec pause = span(argv[2]), wait = span(argv[3]);
    prctl(PR_SET_TIMERSLACK, 1UL);
    nanosleep(&wait, NULL);
    for (;;) {
        work(iterations);
        if (pause.tv_sec || pause.tv_nsec)
            nanosleep(&pause, NULL);
    }
}
