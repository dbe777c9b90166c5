/* Time one libvirt call again and again: ./roundtrip URI CALL COUNT
 *
 * CALL is info (virDomainGetInfo of the first domain) or list (virConnectListAllDomains). Prints
 * the 50th and 99th percentile of the round trip in nanoseconds.
 */
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int by_value(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char *argv[]) {
    if (argc != 4)
        return 2;
    int count = atoi(argv[3]), listing = !strcmp(argv[2], "list");
    long *spans = calloc(count, sizeof *spans);
    virConnectPtr conn = virConnectOpen(argv[1]);
    virDomainPtr *domains = NULL, *listed = NULL;
    if (!conn || !spans || virConnectListAllDomains(conn, &domains, 0) < 1)
        return 1;
    for (int i = 0; i < count; i++) {
        virDomainInfo info;
        long begin = now_ns();
        int failed = listing ? virConnectListAllDomains(conn, &listed, 0) < 0
                             : virDomainGetInfo(domains[0], &info) < 0;
        spans[i] = now_ns() - begin;
        if (failed)
            return 1;
    }
    qsort(spans, count, sizeof *spans, by_value);
    printf("%ld %ld\n", spans[count / 2], spans[count * 99 / 100]);
    return 0;
}
