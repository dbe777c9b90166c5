/* Writes past the end of an array that has room for four guests. */
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
    unsigned long long *used_ns = malloc(4 * sizeof *used_ns);
    for (int i = 0; i < count; i++) {
        virDomainInfo info;
        virDomainGetInfo(domains[i], &info);
        used_ns[i] = info.cpuTime; /* there are eight guests */
        virDomainFree(domains[i]);
    }
    free(used_ns);
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
        work(conn);
        sleep(interval_s);
    }
    virConnectClose(conn);
    return 0;
}
