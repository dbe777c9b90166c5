/* Divides by the time between two samples, which is 0 at the first one. */
#include <libvirt/libvirt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_sigint(int number) {
    (void)number;
    stopping = 1;
}

static void work(virConnectPtr conn) {
    static time_t before_s;
    time_t now_s = time(NULL);
    long elapsed_s = before_s ? now_s - before_s : 0;
    before_s = now_s;
    printf("%ld samples a second\n", virConnectNumOfDomains(conn) / elapsed_s);
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
