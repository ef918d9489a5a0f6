/* A host that loads the library at run time, works with it, and closes it, again and again; also
 * while a thread that used it still lives. The library is argv[1] or ATLAS_MANIFOLD_LIBRARY.
 *
 * Nothing of the library is linked here: check.h's handles are not used. */
#define _XOPEN_SOURCE 700

#include "atlas_manifold.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAIL(what) fail(__LINE__, what)
#define NEED(condition) ((condition) ? (void)0 : FAIL(#condition))

static void fail(int line, const char *what)
{
    fprintf(stderr, "dlopen_basic.c:%d: failed: %s\n", line, what);
    exit(1);
}

/* The functions that are looked up, each with the header's own type. */
#define FUNCTIONS(use)                                                                           \
    use(atlas_manifold_version) use(atlas_last_error_message) use(atlas_operation_init)          \
    use(atlas_pool_create) use(atlas_pool_destroy) use(atlas_source_borrow)                      \
    use(atlas_source_destroy) use(atlas_projection_create) use(atlas_projection_destroy)         \
    use(atlas_projection_root) use(atlas_projection_read) use(atlas_shard_extract_batch)         \
    use(atlas_shard_data) use(atlas_shard_verify) use(atlas_shard_destroy)

/* Only the types of the functions are used, so that nothing is to be linked. */
#define DECLARE(name) __typeof__(name) *name##_;
typedef struct library {
    void *handle;
    FUNCTIONS(DECLARE)
} library;

static void *symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (found == NULL) {
        FAIL(name);
    }
    return found;
}

/* POSIX has a function's address fit an object pointer; C has no cast for it. */
#define LOOK_UP(name)                                                             \
    {                                                                             \
        void *address = symbol(self->handle, #name);                              \
        memcpy(&self->name##_, &address, sizeof address);                         \
    }

static void library_open(library *self, const char *path)
{
    self->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (self->handle == NULL) {
        FAIL(dlerror());
    }
    FUNCTIONS(LOOK_UP)
}

enum { SIZE = 5 * 1024 * 1024 / 2, REGIONS = 40 };
static uint8_t data[SIZE];
static uint8_t first_root[32];

static void work(const library *self, bool own_pool)
{
    atlas_pool *pool = NULL;
    atlas_operation operation;
    self->atlas_operation_init_(&operation);
    if (own_pool) {
        NEED(self->atlas_pool_create_(2, &pool) == ATLAS_STATUS_OK);
        operation.pool = pool;
    }
    atlas_source *source = NULL;
    NEED(self->atlas_source_borrow_(data, SIZE, NULL, NULL, &source) == ATLAS_STATUS_OK);
    atlas_projection *projection = NULL;
    NEED(self->atlas_projection_create_(ATLAS_PROJECTION_LINEAR, source, NULL, &operation,
                                        &projection) == ATLAS_STATUS_OK);
    self->atlas_source_destroy_(source);
    uint8_t root[32];
    NEED(self->atlas_projection_root_(projection, &operation, root) == ATLAS_STATUS_OK);
    NEED(memcmp(root, first_root, 32) == 0);
    atlas_region regions[REGIONS];
    atlas_shard *shards[REGIONS];
    for (size_t i = 0; i < REGIONS; i++) {
        regions[i].offset = i * (SIZE / REGIONS);
        regions[i].length = SIZE / REGIONS;
    }
    NEED(self->atlas_shard_extract_batch_(projection, regions, REGIONS, NULL, &operation, shards) ==
         ATLAS_STATUS_OK);
    for (size_t i = 0; i < REGIONS; i++) {
        const uint8_t *bytes = NULL;
        size_t size = 0;
        NEED(self->atlas_shard_data_(shards[i], &bytes, &size) == ATLAS_STATUS_OK);
        NEED(size == regions[i].length && memcmp(bytes, data + regions[i].offset, size) == 0);
        NEED(self->atlas_shard_verify_(shards[i], NULL, &operation) == ATLAS_STATUS_OK);
        self->atlas_shard_destroy_(shards[i]);
    }
    /* Leaves a text in this thread's storage. */
    NEED(self->atlas_projection_read_(projection, SIZE, root, 1) == ATLAS_STATUS_OUT_OF_RANGE);
    NEED(strlen(self->atlas_last_error_message_()) > 0);
    self->atlas_projection_destroy_(projection);
    self->atlas_pool_destroy_(pool);
}

typedef struct guest {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *path;
    int state; /* 1: has used the library, 2: may end */
} guest;

static void set_state(guest *self, int state)
{
    NEED(pthread_mutex_lock(&self->lock) == 0);
    self->state = state;
    NEED(pthread_cond_broadcast(&self->changed) == 0);
    NEED(pthread_mutex_unlock(&self->lock) == 0);
}

static void wait_state(guest *self, int state)
{
    NEED(pthread_mutex_lock(&self->lock) == 0);
    while (self->state < state) {
        NEED(pthread_cond_wait(&self->changed, &self->lock) == 0);
    }
    NEED(pthread_mutex_unlock(&self->lock) == 0);
}

/* Uses the library, and ends only when everybody has closed it. */
static void *live_longer(void *argument)
{
    guest *self = (guest *)argument;
    library here;
    library_open(&here, self->path);
    work(&here, false);
    NEED(dlclose(here.handle) == 0);
    set_state(self, 1);
    wait_state(self, 2);
    return NULL;
}

static void close_while_a_thread_lives(const char *path)
{
    guest self;
    memset(&self, 0, sizeof self);
    self.path = path;
    NEED(pthread_mutex_init(&self.lock, NULL) == 0);
    NEED(pthread_cond_init(&self.changed, NULL) == 0);
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, live_longer, &self) == 0);
    wait_state(&self, 1);
    library here;
    library_open(&here, path);
    work(&here, true);
    NEED(dlclose(here.handle) == 0);
    set_state(&self, 2);
    NEED(pthread_join(thread, NULL) == 0);
    NEED(pthread_cond_destroy(&self.changed) == 0);
    NEED(pthread_mutex_destroy(&self.lock) == 0);
}

/* Resident bytes; 0 where the system does not tell. */
static size_t resident(void)
{
    unsigned long total = 0;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) {
        return 0;
    }
    const int got = fscanf(file, "%lu %lu", &total, &pages);
    (void)fclose(file);
    return got == 2 ? (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Number of lines of a file of the system, 0 without the file. */
static size_t lines_of(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t lines = 0;
    if (file != NULL) {
        for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
            lines += c == '\n';
        }
        (void)fclose(file);
    }
    return lines;
}

static size_t threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    size_t names = 0;
    if (folder != NULL) {
        while (readdir(folder) != NULL) {
            names++;
        }
        (void)closedir(folder);
    }
    return names;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : getenv("ATLAS_MANIFOLD_LIBRARY");
    if (path == NULL) {
        fprintf(stderr, "usage: dlopen_basic LIBRARY (or ATLAS_MANIFOLD_LIBRARY=LIBRARY)\n");
        return 2;
    }
    const char *small = getenv("ATLAS_TEST_SMALL");
    const int rounds = small != NULL && small[0] != '\0' && small[0] != '0' ? 4 : 800;
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (uint8_t)(i * 31 + i / 4099);
    }
    library first;
    library_open(&first, path);
    NEED(first.atlas_manifold_version_() == ATLAS_MANIFOLD_VERSION);
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    NEED(first.atlas_source_borrow_(data, SIZE, NULL, NULL, &source) == ATLAS_STATUS_OK);
    NEED(first.atlas_projection_create_(0, source, NULL, NULL, &projection) == ATLAS_STATUS_OK);
    NEED(first.atlas_projection_root_(projection, NULL, first_root) == ATLAS_STATUS_OK);
    first.atlas_projection_destroy_(projection);
    first.atlas_source_destroy_(source);
    NEED(dlclose(first.handle) == 0);
    size_t middle = 0;
    size_t middle_mappings = 0;
    size_t middle_threads = 0;
    for (int i = 0; i < rounds; i++) {
        library here;
        library_open(&here, path);
        work(&here, i % 3 != 0);
        NEED(dlclose(here.handle) == 0);
        if (i % 10 == 0) {
            close_while_a_thread_lives(path);
        }
        if (i == rounds / 2) {
            middle = resident();
            middle_mappings = lines_of("/proc/self/maps");
            middle_threads = threads();
        }
    }
    /* A thread that was joined is listed for a moment longer. */
    for (int i = 0; i < 1000 && threads() > middle_threads; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    NEED(threads() <= middle_threads);
    /* More than 10 KiB a round would be a leak, such as of the stacks of its threads. Used buffers of a
     * MiB for each thread that is at work are kept, and a late round may be the first to have two; a
     * mapping more may be the stack or the arena of a thread that came late. */
    if (rounds > 100 && (resident() > middle + ((size_t)4 << 20) || lines_of("/proc/self/maps") > middle_mappings + 8)) {
        fprintf(stderr, "%zu resident bytes and %zu mappings in the middle, %zu and %zu at the end\n", middle,
                middle_mappings, resident(), lines_of("/proc/self/maps"));
        FAIL("memory grows");
    }
    return 0;
}
