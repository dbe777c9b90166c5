/* Divides by the time between two samples, which is 0 at the first one. */
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
    static int samples;
    int elapsed_s = samples++ ? 1 : 0;
    int domains = virConnectNumOfDomains(conn);
    printf("%d samples a second\n", domains / elapsed_s);
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
