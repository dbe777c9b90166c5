/* System calls by instructions in the program's own code, which no library can stand in front of.
 *
 * The kernel is asked to turn those that raw.c serves into a signal, SIGSYS (seccomp(2), SECCOMP_RET_TRAP), and the
 * handler does what raw.c does for syscall(2). The filter looks at where the instruction lies, and is set up
 * only where an object that is no part of the system holds such an instruction: other programs pay nothing for it.
 * It is inherited over exec(), where it finds nothing any more at those addresses.
 *
 * Not covered: code that is loaded later, and clocks that are read from the vDSO without the C library.
 */
#include "library.h"

#if defined(__x86_64__)

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define RANGES_MAX 8 /* executable segments of the program and of its own libraries */

static const int CALLS[] = {
    SYS_clock_gettime, SYS_gettimeofday, SYS_time, SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_ppoll,
    SYS_select, SYS_pselect6, SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_futex,
    SYS_setitimer, SYS_getitimer, SYS_alarm, SYS_pause, SYS_timerfd_create, SYS_timerfd_settime,
    SYS_timerfd_gettime, SYS_mq_timedreceive, SYS_mq_timedsend, SYS_semtimedop, SYS_execve,
    SYS_sysinfo, SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_getcpu,
};
#define CALL_COUNT (sizeof CALLS / sizeof *CALLS)

struct range {
    uint64_t first, last; /* addresses */
};

struct ranges {
    struct range all[RANGES_MAX];
    int count;
};

static bool is_of_the_system(const char *path)
{
    static const char *const PLACES[] = {"/usr/", "/lib", "linux-vdso", "/run/virtlab/"};
    Dl_info own;

    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++)
        if (strncmp(path, PLACES[i], strlen(PLACES[i])) == 0)
            return true;
    return dladdr(CALLS, &own) && own.dli_fname && strcmp(path, own.dli_fname) == 0;
}

/* The path of an object; the program itself comes with an empty name. */
static const char *path_of(const struct dl_phdr_info *info, char room[4096])
{
    if (*info->dlpi_name)
        return info->dlpi_name;
    long length = kernel(SYS_readlink, "/proc/self/exe", room, 4095);
    room[length > 0 ? length : 0] = 0;
    return room;
}

static int find_instructions(struct dl_phdr_info *info, size_t size, void *given)
{
    struct ranges *ranges = given;
    char room[4096];

    (void)size;
    if (is_of_the_system(path_of(info, room)))
        return 0;
    for (int i = 0; i < info->dlpi_phnum && ranges->count < RANGES_MAX; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const char *bytes = (const char *)(info->dlpi_addr + segment->p_vaddr);
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || !(segment->p_flags & PF_R))
            continue;
        struct range range = {(uint64_t)bytes, (uint64_t)bytes + segment->p_filesz};
        if (range.first >> 32 == range.last >> 32 && memmem(bytes, segment->p_filesz, "\x0f\x05", 2)) /* `syscall` */
            ranges->all[ranges->count++] = range;
    }
    return 0;
}

/* ---- the filter ---- */

#define DATA(member) ((uint32_t)offsetof(struct seccomp_data, member))
#define LOW_HALF DATA(instruction_pointer)
#define HIGH_HALF (LOW_HALF + 4)
#define FILTER_MAX (6 + CALL_COUNT + RANGES_MAX * 6 + 2)

struct program {
    struct sock_filter code[FILTER_MAX];
    unsigned short length;
};

static void add(struct program *program, struct sock_filter instruction)
{
    program->code[program->length++] = instruction;
}

/* Trap where the instruction lies in a range that does not cross a border of 4 GiB; else go on behind this. */
static void add_range(struct program *program, struct range range)
{
    add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, HIGH_HALF));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(range.first >> 32), 0, 4));
    add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, LOW_HALF));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)range.first, 0, 2));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)range.last, 1, 0));
    add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
}

static void build(struct program *program, const struct ranges *ranges)
{
    add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, DATA(arch)));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, DATA(nr)));
    for (size_t i = 0; i < CALL_COUNT; i++) /* found: over the rest and over the next line */
        add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)CALLS[i],
                                                  (uint8_t)(CALL_COUNT - i), 0));
    add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    for (int i = 0; i < ranges->count; i++)
        add_range(program, ranges->all[i]);
    add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/* ---- the handler ---- */

static volatile bool filtered;

static void serve_call(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const long given[CALL_ARGUMENTS] = {registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                                        registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
    int error = errno;
    long result;

    (void)number;
    if (!virtual_call(info->si_syscall, given, &result))
        result = kernel(info->si_syscall, given[0], given[1], given[2], given[3], given[4], given[5]);
    registers[REG_RAX] = result == -1 ? -errno : result;
    errno = error;
}

/* A trap that meets a blocked signal ends the program, so nobody may block this one. */
static const sigset_t *without_trap(int how, const sigset_t *set, sigset_t *room)
{
    if (!filtered || !set || how == SIG_UNBLOCK)
        return set;
    *room = *set;
    sigdelset(room, SIGSYS);
    return room;
}

EXPORT int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
    sigset_t room;
    return REAL(pthread_sigmask)(how, without_trap(how, set, &room), old);
}

EXPORT int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
    sigset_t room;
    return REAL(sigprocmask)(how, without_trap(how, set, &room), old);
}

__attribute__((constructor)) static void filter_instructions(void)
{
    struct ranges ranges = {.count = 0};
    struct program program = {.length = 0};
    struct sigaction action = {.sa_sigaction = serve_call, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (!clock_on())
        return;
    dl_iterate_phdr(find_instructions, &ranges);
    if (ranges.count == 0)
        return;
    build(&program, &ranges);
    struct sock_fprog filter = {program.length, program.code};
    sigaction(SIGSYS, &action, NULL);
    filtered = true;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* else only root may filter */
    if (kernel(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) != 0)
        filtered = false; /* a kernel without it: such calls stay real */
}

#endif
