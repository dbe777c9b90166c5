/* Balances by count, and divides by the number of guests even where none runs. */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static void work(virConnectPtr conn) {
    virDomainPtr *domains;
    int count = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
    if (count < 0)
        return;
    unsigned long long used_ns = 0;
    for (int i = 0; i < count; i++) {
        unsigned char map = 1 << (i % 4);
        virDomainInfo info;
        virDomainPinVcpu(domains[i], 0, &map, 1);
        if (virDomainGetInfo(domains[i], &info) == 0)
            used_ns += info.cpuTime;
        virDomainFree(domains[i]);
    }
    free(domains);
    printf("on average %llu ns\n", used_ns / count);
}

int main(int argc, char *argv[]) {
    int interval_s = argc == 2 ? atoi(argv[1]) : 1;
    signal(SIGINT, on_sigint);
    virConnectPtr conn = virConnectOpen("qemu:///system");
    if (!conn)
        return 1;
    while (!stopping) {
        work(conn);
        sleep(interval_s);
    }
    virConnectClose(conn);
    return 0;
}
