/* Looks for a plan with a loop that never ends. */
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
    int unplaced = virConnectNumOfDomains(conn);
    volatile unsigned tried = 0;
    while (unplaced > 0)
        tried++; /* and never takes a guest off the list */
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
