/* Balances by count, and has a loop inside the loop that never sees SIGINT. */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static void work(virConnectPtr conn) {
    virDomainPtr *domains;
    int count = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
    for (int i = 0; i < count; i++) {
        unsigned char map = 1 << (i % 4);
        virDomainPinVcpu(domains[i], 0, &map, 1);
        virDomainFree(domains[i]);
    }
    if (count >= 0)
        free(domains);
}

int main(int argc, char *argv[]) {
    int interval_s = argc == 2 ? atoi(argv[1]) : 1;
    signal(SIGINT, on_sigint);
    virConnectPtr conn = virConnectOpen("qemu:///system");
    if (!conn)
        return 1;
    while (!stopping) {
        for (;;) {
            work(conn);
            sleep(interval_s);
        }
    }
    virConnectClose(conn);
    return 0;
}
