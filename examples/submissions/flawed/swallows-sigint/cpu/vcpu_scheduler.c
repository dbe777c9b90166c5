/* Balances by count, in a loop inside the loop, where nobody looks at the flag. */
#include <libvirt/libvirt.h>
#include <signal.h>
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
    for (int i = 0; i < count; i++) {
        unsigned char map = 1 << (i % 4);
        virDomainPinVcpu(domains[i], 0, &map, 1);
        virDomainFree(domains[i]);
    }
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
