/* Balances by count, over a new connection in each interval, which it never closes. */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static void work(void) {
    virConnectPtr conn = virConnectOpen("qemu:///system");
    virDomainPtr *domains;
    int count = conn ? virConnectListAllDomains(conn, &domains, 0) : -1;
    if (count < 0)
        exit(1);
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
    while (!stopping) {
        work();
        sleep(interval_s);
    }
    return 0;
}
