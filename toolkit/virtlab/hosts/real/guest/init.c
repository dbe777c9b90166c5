/* PID 1 of the micro-guest: load the drivers, start the guest agent, look after processes.
 *
 * A program instead of a shell script, because each process that a script starts costs an emulated
 * guest ten milliseconds and more. Called as `shutdown` (which the guest agent runs) it asks PID 1
 * to power the guest off.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AGENT_PORT "org.qemu.guest_agent.0"
#define PORTS "/sys/class/virtio-ports"
#define TRIES 1000 /* of 10 ms each, before the guest goes on without an agent */

static volatile sig_atomic_t power_off;

static void say(const char *form, ...)
{
    va_list values;
    va_start(values, form);
    dprintf(1, "virtlab-guest: ");
    vdprintf(1, form, values);
    dprintf(1, "\n");
    va_end(values);
}

static void pause_ms(long ms)
{
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&span, NULL);
}

/* Read a small file of the kernel's; returns what was read, without the last line's end. */
static char *contents(const char *path, char *into, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, into, size - 1);
    if (file >= 0)
        close(file);
    into[got > 0 ? got : 0] = '\0';
    into[strcspn(into, "\n")] = '\0';
    return into;
}

static void mount_all(void)
{
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("run", "/run", "tmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console >= 0) {
        dup2(console, 0), dup2(console, 1), dup2(console, 2);
        if (console > 2)
            close(console);
    }
}

/* Load the modules that /lib/modules.order lists, each after those that it needs. */
static void load_modules(void)
{
    FILE *order = fopen("/lib/modules.order", "re");
    char path[256];
    while (order && fgets(path, sizeof path, order)) {
        path[strcspn(path, "\n")] = '\0';
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0 || (syscall(SYS_finit_module, file, "", 0) && errno != EEXIST))
            say("module %s: %s", path, strerror(errno));
        if (file >= 0)
            close(file);
    }
    if (order)
        fclose(order);
}

/* The name that the domain gives on the kernel's command line becomes the host name. */
static void take_name(void)
{
    char line[4096], *word = contents("/proc/cmdline", line, sizeof line);
    for (char *rest = NULL; (word = strtok_r(rest ? NULL : word, " ", &rest));)
        if (!strncmp(word, "virtlab.name=", 13))
            sethostname(word + 13, strlen(word + 13));
}

/* Find the agent's serial port; without udev there is no link with its name. */
static int find_port(char *device, size_t size)
{
    DIR *ports = opendir(PORTS);
    struct dirent *entry;
    char path[512], name[128];
    int found = 0;
    while (ports && !found && (entry = readdir(ports))) {
        snprintf(path, sizeof path, PORTS "/%s/name", entry->d_name);
        if (entry->d_name[0] != '.' && !strcmp(contents(path, name, sizeof name), AGENT_PORT)) {
            snprintf(device, size, "/dev/%s", entry->d_name);
            found = !access(device, R_OK | W_OK);
        }
    }
    if (ports)
        closedir(ports);
    return found;
}

static pid_t start_agent(const char *device)
{
    pid_t child = fork();
    if (child)
        return child;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int log = open("/run/qemu-ga.log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(log, 1), dup2(log, 2);
    /* The agent must outlive a guest that runs out of memory: it is how we look into it. */
    int score = open("/proc/self/oom_score_adj", O_WRONLY);
    if (score < 0 || write(score, "-1000", 5) != 5)
        dprintf(2, "the agent may be killed when memory runs out\n");
    close(score);
    execl("/usr/sbin/qemu-ga", "qemu-ga", "--method=virtio-serial", "--path", device,
          "--statedir=/run", "--pidfile=/run/qemu-ga.pid", NULL);
    _exit(127);
}

static void on_power(int number)
{
    (void)number;
    power_off = 1;
}

int main(int count, char **words)
{
    if (strstr(words[0], "shutdown")) {
        (void)count;
        return kill(1, SIGTERM) ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    mount_all();
    load_modules();
    take_name();
    mkdir("/run/workload", 0755);
    struct sigaction action = {.sa_handler = on_power};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del comes as SIGINT */

    char device[300] = "", up[64];
    for (int tries = 0; tries < TRIES && !find_port(device, sizeof device); tries++)
        pause_ms(10);
    pid_t agent = *device ? start_agent(device) : -1;
    say("up %s s, %s", strtok(contents("/proc/uptime", up, sizeof up), " "),
        *device ? device : "no port for a guest agent");
    while (!power_off) {
        pid_t gone = wait(NULL);
        if (gone < 0 && errno == ECHILD)
            pause_ms(1000);
        if (gone > 0 && gone == agent) {
            pause_ms(200); /* an agent that can't start must not take the whole vCPU */
            agent = start_agent(device);
        }
    }
    reboot(RB_POWER_OFF);
    return EXIT_FAILURE;
}
