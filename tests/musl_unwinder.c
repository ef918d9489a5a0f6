/* The one call of glibc that GCC's unwinder makes, for musl: where the unwind tables of the code at `code` are. */
#define _GNU_SOURCE 1
#include <link.h>
#include <pthread.h>
#include <stddef.h>

/* The unwinder's references to these are weak, and take nothing out of a static libc. */
int (*const unwinder_needs_once)(pthread_once_t *, void (*)(void)) = pthread_once;
int (*const unwinder_needs_lock)(pthread_mutex_t *) = pthread_mutex_lock;
int (*const unwinder_needs_unlock)(pthread_mutex_t *) = pthread_mutex_unlock;

/* The struct of <dlfcn.h> of glibc 2.35, for processors without a field for the base of data. */
struct dl_find_object {
    unsigned long long flags;
    void *map_start, *map_end;
    void *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) code;
    struct dl_find_object *found;
};

static int look(struct dl_phdr_info *object, size_t size, void *data)
{
    const struct search *search = data;
    int is_here = 0;
    void *tables = NULL;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const ElfW(Addr) start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && search->code >= start && search->code - start < part->p_memsz) {
            search->found->map_start = (void *)start;
            search->found->map_end = (void *)(start + part->p_memsz);
            is_here = 1;
        } else if (part->p_type == PT_GNU_EH_FRAME) {
            tables = (void *)start;
        }
    }
    search->found->eh_frame = tables;
    return is_here && tables != NULL;
}

int _dl_find_object(void *code, struct dl_find_object *found)
{
    struct search search = {(ElfW(Addr))code, found};
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
