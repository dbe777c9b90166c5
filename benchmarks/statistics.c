/* All domains' statistics again and again: ./statistics URI GROUPS COUNT
 *
 * Prints one line a call: real time, and the client's own processor time, in nanoseconds; then the
 * number of records and of values. The client's time is decoding, but for what poll and recv cost.
 */
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char *argv[]) {
    if (argc != 4)
        return 2;
    virConnectPtr conn = virConnectOpen(argv[1]);
    if (!conn)
        return 1;
    long records = 0, values = 0;
    for (int i = atoi(argv[3]); i > 0; i--) {
        virDomainStatsRecordPtr *found = NULL;
        long real = ns(CLOCK_MONOTONIC), own = ns(CLOCK_PROCESS_CPUTIME_ID);
        records = virConnectGetAllDomainStats(conn, atoi(argv[2]), &found, 0);
        own = ns(CLOCK_PROCESS_CPUTIME_ID) - own;
        real = ns(CLOCK_MONOTONIC) - real;
        if (records < 0)
            return 1;
        values = 0;
        for (long n = 0; n < records; n++)
            values += found[n]->nparams;
        virDomainStatsRecordListFree(found);
        printf("%ld %ld\n", real, own);
    }
    printf("%ld %ld\n", records, values);
    return 0;
}
