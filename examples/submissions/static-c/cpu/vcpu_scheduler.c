/* Pins through virsh, and is linked statically: it runs on the paced clock. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char *argv[]) {
    int interval_s = argc == 2 ? atoi(argv[1]) : 1;
    for (;;) {
        for (int number = 1; number <= 8; number++) {
            char command[64];
            snprintf(command, sizeof command, "virsh vcpupin aos_vm%d 0 %d", number, number % 4);
            if (system(command) != 0)
                return 1;
        }
        sleep(interval_s);
    }
}
