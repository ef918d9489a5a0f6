/* The whole job on a real file: project it, cut it into a few hundred shards, send them through
 * bytes, verify each alone, see tampering refused, rebuild in random order, and compare.
 *
 *     demo FILE
 *
 * Shows progress while it works (a bar on a terminal, lines elsewhere) and then a table. The file is
 * read and never written; everything else happens in memory. Ends with 0 only if everything was as
 * it must be. C11 and POSIX.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WANTED_SHARDS = 300, MAX_STEPS = 16, MEMORY_PER_BYTE = 4 };

/* ---- results and times ----------------------------------------------------------- */

typedef struct step {
    const char *name;
    double seconds;
    uint64_t bytes; /* 0: no rate is shown */
} step;

static step steps[MAX_STEPS];
static size_t step_count;
static double step_began;

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Formats a time such as 1.57 s, 20.4 ms or 83 us: three digits suffice. */
static const char *time_text(double seconds)
{
    static char text[32];
    const double value = seconds >= 1 ? seconds : seconds >= 1e-3 ? 1e3 * seconds : 1e6 * seconds;
    const char *unit = seconds >= 1 ? "s" : seconds >= 1e-3 ? "ms" : "us";
    (void)snprintf(text, sizeof text, "%.*f %s", value >= 100 ? 0 : value >= 10 ? 1 : 2, value, unit);
    return text;
}

/* ---- progress ----------------------------------------------------------------------- */

typedef struct bar {
    const char *name;
    bool terminal;
    int shown; /* the last percentage */
} bar;

static bar progress_bar;

/* With a name of 24 characters a line has 53: it stays one line on a narrow terminal. */
enum { CELLS = 20 };

static void show(uint64_t done, uint64_t total)
{
    const int percent = total == 0 ? 100 : (int)(100.0 * (double)done / (double)total);
    if (percent == progress_bar.shown) {
        return;
    }
    if (progress_bar.terminal) {
        char cells[CELLS + 1];
        memset(cells, '-', CELLS);
        memset(cells, '#', (size_t)percent * CELLS / 100);
        cells[CELLS] = '\0';
        printf("\r%-24s [%s] %3d%%", progress_bar.name, cells, percent);
    } else if (percent == 100 || percent / 25 > progress_bar.shown / 25) {
        printf("%-24s %3d%%\n", progress_bar.name, percent);
    }
    progress_bar.shown = percent;
    (void)fflush(stdout);
}

static bool on_progress(const atlas_progress *progress, void *user_data)
{
    (void)user_data;
    show(progress->bytes_done, progress->bytes_total);
    return true;
}

static void begin(const char *name)
{
    progress_bar.name = name;
    progress_bar.shown = -1;
    step_began = now();
}

static void end(uint64_t bytes)
{
    const step done = {progress_bar.name, now() - step_began, bytes};
    show(1, 1);
    if (progress_bar.terminal) {
        printf("\n");
    }
    if (step_count < MAX_STEPS) {
        steps[step_count++] = done;
    }
}

/* ---- failures ------------------------------------------------------------------------ */

static void give_up(const char *what)
{
    (void)fflush(stdout);
    fprintf(stderr, "\ndemo: %s\n", what);
    exit(1);
}

/* Ends the program where a call of the library failed. */
static void must(const char *what, atlas_status status)
{
    if (status != ATLAS_STATUS_OK) {
        char message[600];
        (void)snprintf(message, sizeof message, "%s: %s: %s", what,
                       atlas_status_name((int32_t)status), atlas_last_error_message());
        give_up(message);
    }
}

static void *memory(size_t count, size_t size)
{
    void *found = calloc(count > 0 ? count : 1, size);
    if (found == NULL) {
        give_up("there is not enough memory");
    }
    return found;
}

/* ---- the job ----------------------------------------------------------------------------- */

typedef struct job {
    const char *path;
    const uint8_t *file; /* mapped, for the comparison and the digest */
    uint64_t size;
    atlas_operation operation;
    atlas_projection *projection;
    atlas_projection_info info;
    uint8_t root[32];
    atlas_region *regions;
    atlas_shard **shards;
    atlas_buffer *encoded;
    atlas_shard **arrived;
    size_t count;
    uint64_t encoded_bytes;
    char refusal[400];
    atlas_projection *rebuilt;
    uint8_t digest[2][32];
} job;

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void open_file(job *self)
{
    struct stat info;
    const int file = open(self->path, O_RDONLY);
    if (file < 0 || fstat(file, &info) != 0) {
        fprintf(stderr, "demo: cannot read %s: %s\n", self->path, strerror(errno));
        exit(1);
    }
    if (!S_ISREG(info.st_mode)) {
        fprintf(stderr, "demo: %s is not a regular file\n", self->path);
        exit(1);
    }
    if ((uintmax_t)info.st_size > SIZE_MAX / 4) {
        give_up("the file is larger than this machine's address space");
    }
    self->size = (uint64_t)info.st_size;
    if (self->size > 0) {
        void *mapped = mmap(NULL, (size_t)self->size, PROT_READ, MAP_SHARED, file, 0);
        if (mapped == MAP_FAILED) {
            fprintf(stderr, "demo: cannot map %s: %s\n", self->path, strerror(errno));
            exit(1);
        }
        self->file = (const uint8_t *)mapped;
    }
    (void)close(file);
}

static void project(job *self)
{
    atlas_source *source = NULL;
    begin("project");
    must("opening the file", atlas_source_open_file(self->path, ATLAS_FILE_IO_READ, &source));
    must("projecting", atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL,
                                               &self->operation, &self->projection));
    must("the root", atlas_projection_root(self->projection, &self->operation, self->root));
    end(self->size);
    atlas_source_destroy(source);
    self->info.struct_size = (uint32_t)sizeof self->info;
    must("the properties", atlas_projection_get_info(self->projection, &self->info));
    if (self->info.domain_size != self->size) {
        give_up("the file changed its size meanwhile");
    }
}

/* Regions of many sizes that cover the file without a gap; an empty file has the empty one. */
static void choose_regions(job *self)
{
    const uint64_t average = self->size / WANTED_SHARDS + 1;
    uint64_t state = UINT64_C(88172645463325252);
    self->regions = (atlas_region *)memory(2 * WANTED_SHARDS + 2, sizeof *self->regions);
    for (uint64_t offset = 0; self->count == 0 || offset < self->size;) {
        uint64_t length = average / 2 + 1 + random_next(&state) % average;
        length = length > self->size - offset ? self->size - offset : length;
        self->regions[self->count].offset = offset;
        self->regions[self->count++].length = length;
        offset += length;
    }
}

static void extract(job *self)
{
    self->shards = (atlas_shard **)memory(self->count, sizeof *self->shards);
    begin("extract shards");
    must("extracting", atlas_shard_extract_batch(self->projection, self->regions, self->count, NULL,
                                                 &self->operation, self->shards));
    end(self->size);
}

static void serialize(job *self)
{
    self->encoded = (atlas_buffer *)memory(self->count, sizeof *self->encoded);
    begin("serialise shards");
    for (size_t i = 0; i < self->count; i++) {
        must("serialising", atlas_shard_serialize(self->shards[i], &self->encoded[i]));
        self->encoded_bytes += self->encoded[i].size;
        show(i + 1, self->count);
    }
    end(self->encoded_bytes);
    for (size_t i = 0; i < self->count; i++) {
        atlas_shard_destroy(self->shards[i]);
        self->shards[i] = NULL;
    }
}

/* Each shard alone, from its bytes and the root, as a receiver verifies it. */
static void verify(job *self)
{
    atlas_verify_options trust;
    atlas_verify_options_init(&trust);
    trust.expected_root = self->root;
    self->arrived = (atlas_shard **)memory(self->count, sizeof *self->arrived);
    begin("verify each shard alone");
    for (size_t i = 0; i < self->count; i++) {
        must("verifying", atlas_shard_deserialize(self->encoded[i].data, self->encoded[i].size, NULL,
                                                  &trust, NULL, &self->arrived[i]));
        show(i + 1, self->count);
    }
    end(self->encoded_bytes);
}

/* One byte of one payload is flipped, and the checksum at the end made anew, as an attacker would:
 * the proof to the root refuses it. */
static void tamper(job *self)
{
    atlas_buffer *one = &self->encoded[self->count / 2];
    atlas_verify_options trust;
    atlas_verify_options_init(&trust);
    trust.expected_root = self->root;
    const size_t payload_end = one->size - 32;
    const size_t at = self->size == 0 ? 24 + 16 : payload_end - 1;
    atlas_shard *shard = NULL;
    begin("flip one byte");
    one->data[at] ^= 1;
    const atlas_status plain =
        atlas_shard_deserialize(one->data, one->size, NULL, &trust, NULL, &shard);
    if (plain == ATLAS_STATUS_OK || shard != NULL) {
        give_up("a shard with a flipped byte was accepted");
    }
    atlas_digest256(one->data, payload_end, one->data + payload_end);
    const atlas_status signed_anew =
        atlas_shard_deserialize(one->data, one->size, NULL, &trust, NULL, &shard);
    (void)snprintf(self->refusal, sizeof self->refusal,
                   "%s as it is; %s with its checksum made anew:\n              %s",
                   atlas_status_name((int32_t)plain), atlas_status_name((int32_t)signed_anew),
                   atlas_last_error_message());
    if (signed_anew != ATLAS_STATUS_WITNESS || shard != NULL) {
        give_up("a tampered shard was not refused as WITNESS");
    }
    end(0);
    for (size_t i = 0; i < self->count; i++) {
        atlas_buffer_free(&self->encoded[i]);
    }
}

static void rebuild(job *self)
{
    uint64_t state = 2463534242U;
    for (size_t i = self->count; i > 1; i--) {
        const size_t other = (size_t)(random_next(&state) % i);
        atlas_shard *saved = self->arrived[i - 1];
        self->arrived[i - 1] = self->arrived[other];
        self->arrived[other] = saved;
    }
    atlas_reconstruction_options options;
    atlas_reconstruction_options_init(&options);
    options.expected_root = self->root;
    atlas_reconstruction *reconstruction = NULL;
    begin("rebuild in random order");
    must("reconstruction", atlas_reconstruction_create(&options, &reconstruction));
    for (size_t i = 0; i < self->count; i++) {
        must("adding a shard", atlas_reconstruction_add(reconstruction, self->arrived[i], NULL));
        atlas_shard_destroy(self->arrived[i]);
        self->arrived[i] = NULL;
        show(i + 1, self->count + 1);
    }
    if (!atlas_reconstruction_is_complete(reconstruction)) {
        give_up("all shards are there and the file is not complete");
    }
    must("finishing", atlas_reconstruction_finish(reconstruction, NULL, &self->rebuilt));
    end(self->size);
    atlas_reconstruction_destroy(reconstruction);
}

/* Reads the rebuilt domain once: byte for byte against the file, and its digest. */
static void compare(job *self)
{
    uint8_t *bytes = (uint8_t *)memory((size_t)self->size, 1);
    const size_t chunk = (size_t)8 << 20;
    uint8_t root[32];
    begin("compare byte for byte");
    for (size_t at = 0; at < self->size; at += chunk) {
        const size_t rest = (size_t)self->size - at;
        const size_t size = rest < chunk ? rest : chunk;
        must("reading", atlas_projection_read(self->rebuilt, at, bytes + at, size));
        if (memcmp(bytes + at, self->file + at, size) != 0) {
            give_up("the rebuilt bytes differ from the file");
        }
        show(at + size, self->size);
    }
    end(self->size);
    begin("BLAKE3 of the file");
    atlas_digest256(self->file, (size_t)self->size, self->digest[0]);
    end(self->size);
    atlas_digest256(bytes, (size_t)self->size, self->digest[1]);
    free(bytes);
    if (memcmp(self->digest[0], self->digest[1], 32) != 0) {
        give_up("the digest of the rebuilt bytes is another one");
    }
    must("the root", atlas_projection_root(self->rebuilt, NULL, root));
    if (memcmp(root, self->root, 32) != 0) {
        give_up("the root of the rebuilt bytes is another one");
    }
}

/* ---- the report ---------------------------------------------------------------------------- */

static void print_hex(const char *name, const uint8_t digest[32])
{
    printf("%-13s ", name);
    for (int i = 0; i < 32; i++) {
        printf("%02x", digest[i]);
    }
    printf("\n");
}

static void report(const job *self)
{
    printf("\n%-24s %10s %10s\n", "step", "time", "GB/s");
    for (size_t i = 0; i < step_count; i++) {
        printf("%-24s %10s", steps[i].name, time_text(steps[i].seconds));
        if (steps[i].bytes > 0 && steps[i].seconds > 0) {
            printf(" %10.2f\n", (double)steps[i].bytes / steps[i].seconds / 1e9);
        } else {
            printf(" %10s\n", "-");
        }
    }
    printf("\n%-13s %s\n", "file", self->path);
    printf("%-13s %llu bytes in %llu tiles\n", "size", (unsigned long long)self->size,
           (unsigned long long)self->info.tile_count);
    printf("%-13s %zu, %llu bytes serialised\n", "shards", self->count,
           (unsigned long long)self->encoded_bytes);
    printf("%-13s %u (correction %u)\n", "residue", (unsigned)self->info.residue,
           (unsigned)self->info.correction);
    print_hex("root", self->root);
    print_hex("BLAKE3", self->digest[0]);
    print_hex("  rebuilt", self->digest[1]);
    printf("%-13s %s\n", "flipped byte", self->refusal);
    printf("\nAll as it must be: the file was rebuilt byte for byte, and tampering was refused.\n");
}

static void clean_up(job *self)
{
    atlas_projection_destroy(self->rebuilt);
    atlas_projection_destroy(self->projection);
    free(self->arrived);
    free(self->encoded);
    free(self->shards);
    free(self->regions);
    if (self->file != NULL) {
        (void)munmap((void *)(uintptr_t)self->file, (size_t)self->size);
    }
}

static const char usage[] =
    "usage: demo FILE\n"
    "\n"
    "Projects FILE, cuts it into a few hundred shards, verifies each alone, flips a byte\n"
    "and sees it refused, rebuilds the file from the shards in random order, and compares.\n"
    "FILE is only read. It needs memory of about four times the file's size.\n";

static void say_what_it_needs(const job *self)
{
    printf("%s: %.1f MB; the demonstration takes about %.1f MB of memory\n\n", self->path,
           (double)self->size / 1e6, MEMORY_PER_BYTE * (double)self->size / 1e6 + 10);
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        printf("%s", usage);
        return 0;
    }
    if (argc != 2) {
        fprintf(stderr, "%s", usage);
        return 2;
    }
    if (atlas_manifold_version() >> 8 != ATLAS_MANIFOLD_VERSION >> 8) {
        give_up("the library has another version than the header");
    }
    job self;
    memset(&self, 0, sizeof self);
    self.path = argv[1];
    atlas_operation_init(&self.operation);
    self.operation.progress = on_progress;
    progress_bar.terminal = isatty(1) == 1;
    open_file(&self);
    say_what_it_needs(&self);
    project(&self);
    choose_regions(&self);
    extract(&self);
    serialize(&self);
    verify(&self);
    tamper(&self);
    rebuild(&self);
    compare(&self);
    report(&self);
    clean_up(&self);
    return 0;
}
