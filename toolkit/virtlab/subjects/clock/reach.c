/* Which programs the clock does not reach: those into which the dynamic loader puts no library, and Go's.
 *
 * subjects/clock_reach.py asks the same about the program under test itself.
 */
#include "library.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEAD_BYTES 4096 /* the program headers stand there, and in practice the loader's name and the notes */
#define INTERPRETERS_MAX 4 /* as the kernel follows them, fs/exec.c */

struct head {
    size_t size;
    union {
        char bytes[HEAD_BYTES];
        ElfW(Ehdr) elf;
    };
};

/* The loader of the process that we are in: a program with the same one takes the library, too. */
static int find_own_loader(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_INTERP)
            *(const char **)found = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    return 1; /* the program itself comes first */
}

static const char *own_loader(void)
{
    const char *found = NULL;

    dl_iterate_phdr(find_own_loader, &found);
    return found;
}

static bool read_head(const char *path, struct head *head)
{
    int file = (int)kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return false;
    ssize_t got = kernel(SYS_read, file, head->bytes, sizeof head->bytes);
    kernel(SYS_close, file);
    head->size = got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* What a segment holds as far as it lies in the head; NULL where it does not. */
static const char *contents(const struct head *head, const ElfW(Phdr) *segment)
{
    bool inside = segment->p_offset < head->size && segment->p_filesz <= head->size - segment->p_offset;
    return inside ? head->bytes + segment->p_offset : NULL;
}

static enum clock_reach reach_of_elf(const struct head *head)
{
    const char *loader = NULL, *mine = own_loader();
    const ElfW(Ehdr) *elf = &head->elf;

    if (head->size < sizeof *elf || elf->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
        return CLOCK_OTHER_LOADER;
    if (elf->e_phentsize != sizeof(ElfW(Phdr)) || elf->e_phoff > head->size ||
        elf->e_phnum > (head->size - elf->e_phoff) / sizeof(ElfW(Phdr)))
        return CLOCK_REACHED; /* nothing that any linker makes; the kernel will have its say */
    for (int i = 0; i < elf->e_phnum; i++) {
        const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(head->bytes + elf->e_phoff) + i;
        const char *bytes = contents(head, segment);
        if (segment->p_type == PT_NOTE && bytes && memmem(bytes, segment->p_filesz, "Go\0", 4))
            return CLOCK_GO;
        if (segment->p_type == PT_INTERP)
            loader = bytes;
    }
    if (!loader)
        return CLOCK_STATIC;
    return !mine || strcmp(loader, mine) == 0 ? CLOCK_REACHED : CLOCK_OTHER_LOADER;
}

/* The interpreter of a script, cut out of its first line; NULL for anything else. */
static char *interpreter_in(struct head *head)
{
    if (head->size < 3 || memcmp(head->bytes, "#!", 2) != 0)
        return NULL;
    head->bytes[head->size < sizeof head->bytes ? head->size : sizeof head->bytes - 1] = 0;
    char *name = head->bytes + 2 + strspn(head->bytes + 2, " \t");
    name[strcspn(name, " \t\r\n")] = 0;
    return *name ? name : NULL;
}

enum clock_reach reach_of(const char *path)
{
    struct head head;

    for (int i = 0; i < INTERPRETERS_MAX && path && read_head(path, &head); i++) {
        if (head.size >= SELFMAG && memcmp(head.bytes, ELFMAG, SELFMAG) == 0)
            return reach_of_elf(&head);
        path = interpreter_in(&head);
    }
    return CLOCK_REACHED; /* it cannot be read or run: the call itself will say so */
}
