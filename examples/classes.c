/* Writes the 96 class shards of a file into a folder, loses any 32 of them, rebuilds the file from the
 * 64 that are left, and compares.
 *
 *     classes FILE [FOLDER]
 *
 * The shards are FOLDER/class-00 to class-95, and the rebuilt file is FOLDER/rebuilt. Without FOLDER
 * they go to a temporary one that is removed at the end. Takes memory of about 1.7 times the file's
 * size for the shards, and of twice the size to compare at the end; rebuilding itself takes little.
 * C11 and POSIX.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CLASSES = 96, NEEDED = 64, PATH_SIZE = 4096 };

static void give_up(const char *what)
{
    fprintf(stderr, "classes: %s\n", what);
    exit(1);
}

static void must(const char *what, atlas_status status)
{
    if (status != ATLAS_STATUS_OK) {
        fprintf(stderr, "classes: %s: %s: %s\n", what, atlas_status_name((int32_t)status),
                atlas_last_error_message());
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double began;

static void step(const char *what, uint64_t bytes)
{
    const double seconds = now() - began;
    printf("%-34s %9.3f ms", what, 1e3 * seconds);
    if (bytes > 0 && seconds > 0) {
        printf(" %8.2f GB/s of the file", (double)bytes / seconds / 1e9);
    }
    printf("\n");
    began = now();
}

static const char *class_path(const char *folder, unsigned number)
{
    static char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/class-%02u", folder, number) >= (int)sizeof path) {
        give_up("the name of the folder is too long");
    }
    return path;
}

static void write_file(const char *path, const atlas_buffer *bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes->data, 1, bytes->size, file) != bytes->size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static uint8_t *read_file(const char *path, size_t *size)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &info) != 0) {
        perror(path);
        exit(1);
    }
    *size = (size_t)info.st_size;
    uint8_t *bytes = (uint8_t *)malloc(*size > 0 ? *size : 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) {
        give_up("a file was not read");
    }
    (void)fclose(file);
    return bytes;
}

/* Projects the file, and writes one file a class. */
static uint64_t write_classes(const char *path, const char *folder, uint8_t root[32])
{
    atlas_source *source = NULL;
    atlas_projection *projection = NULL;
    atlas_projection_options options;
    atlas_shard *shards[CLASSES];
    uint8_t classes[CLASSES];
    uint64_t written = 0;
    for (unsigned i = 0; i < CLASSES; i++) {
        classes[i] = (uint8_t)i;
    }
    atlas_projection_options_init(&options);
    options.r96_data_classes = NEEDED;
    must("opening", atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source));
    const uint64_t size = atlas_source_size(source);
    must("projecting", atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, source, &options, NULL, &projection));
    must("the root", atlas_projection_root(projection, NULL, root));
    step("project, K = 64", size);
    must("extracting", atlas_shard_extract_classes(projection, NULL, classes, CLASSES, NULL, shards));
    step("extract 96 classes in one pass", size);
    for (unsigned i = 0; i < CLASSES; i++) {
        atlas_buffer encoded;
        must("serialising", atlas_shard_serialize(shards[i], &encoded));
        atlas_shard_destroy(shards[i]);
        write_file(class_path(folder, i), &encoded);
        written += encoded.size;
        atlas_buffer_free(&encoded);
    }
    step("serialise and write them", size);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    printf("%llu bytes in 96 shards, %.3f times the file\n", (unsigned long long)written,
           size > 0 ? (double)written / (double)size : 0.0);
    return size;
}

/* Removes 32 of the 96, another choice each time. */
static void lose_classes(const char *folder)
{
    unsigned order[CLASSES];
    for (unsigned i = 0; i < CLASSES; i++) {
        order[i] = i;
    }
    srand((unsigned)time(NULL) ^ (unsigned)getpid());
    printf("lost:");
    for (unsigned i = 0; i < CLASSES - NEEDED; i++) {
        const unsigned other = i + (unsigned)rand() % (CLASSES - i);
        const unsigned lost = order[other];
        order[other] = order[i];
        if (remove(class_path(folder, lost)) != 0) {
            perror("remove");
            exit(1);
        }
        printf(" %u", lost);
    }
    printf("\n");
    began = now();
}

/* Rebuilds from what is there. */
static void rebuild(const char *folder, const char *target, const uint8_t root[32], uint64_t size)
{
    atlas_reconstruction *reconstruction = NULL;
    atlas_reconstruction_options options;
    atlas_verify_options trust;
    atlas_projection *projection = NULL;
    atlas_reconstruction_options_init(&options);
    options.expected_root = root;
    options.spool_path = target;
    atlas_verify_options_init(&trust);
    trust.expected_root = root;
    must("reconstruction", atlas_reconstruction_create(&options, &reconstruction));
    for (unsigned i = 0; i < CLASSES; i++) {
        size_t encoded_size = 0;
        atlas_shard *shard = NULL;
        if (access(class_path(folder, i), F_OK) != 0) {
            continue;
        }
        uint8_t *encoded = read_file(class_path(folder, i), &encoded_size);
        must("verifying", atlas_shard_deserialize(encoded, encoded_size, NULL, &trust, NULL, &shard));
        must("adding", atlas_reconstruction_add(reconstruction, shard, NULL));
        atlas_shard_destroy(shard);
        free(encoded);
    }
    step("read, verify and decode 64 classes", size);
    must("finishing", atlas_reconstruction_finish(reconstruction, NULL, &projection));
    step("transform and hash the whole anew", size);
    atlas_projection_destroy(projection);
    atlas_reconstruction_destroy(reconstruction);
}

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    char temporary[PATH_SIZE];
    char target[PATH_SIZE];
    uint8_t root[32];
    size_t sizes[2];
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: classes FILE [FOLDER]\n");
        return 2;
    }
    const bool own = argc == 2;
    if (snprintf(temporary, sizeof temporary, "%s/atlas-classes-XXXXXX", base != NULL ? base : P_tmpdir) >=
        (int)sizeof temporary) {
        give_up("the path of TMPDIR is too long");
    }
    const char *folder = own ? mkdtemp(temporary) : argv[2];
    if (folder == NULL || snprintf(target, sizeof target, "%s/rebuilt", folder) >= (int)sizeof target) {
        give_up("no folder for the shards");
    }
    began = now();
    const uint64_t size = write_classes(argv[1], folder, root);
    lose_classes(folder);
    rebuild(folder, target, root, size);
    uint8_t *before = read_file(argv[1], &sizes[0]);
    uint8_t *after = read_file(target, &sizes[1]);
    const bool same = sizes[0] == sizes[1] && memcmp(before, after, sizes[0]) == 0;
    free(before);
    free(after);
    if (own) {
        for (unsigned i = 0; i < CLASSES; i++) {
            (void)remove(class_path(folder, i));
        }
        (void)remove(target);
        (void)rmdir(folder);
    }
    if (!same) {
        give_up("the rebuilt file is another one");
    }
    printf("Rebuilt %llu bytes from 64 of 96 classes, byte for byte.\n", (unsigned long long)size);
    return 0;
}
