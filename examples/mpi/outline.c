/* One outline of one file, made by many processes.
 *
 *     mpirun -n 4 outline FILE OUTLINE            the bytes stay in FILE, which all ranks can read
 *     mpirun -n 4 outline --memory SIZE OUTLINE   each rank has its own part of SIZE bytes in memory
 *
 * Every rank imports its part into a container of its own, OUTLINE.part0 and so on; rank 0 merges these. Then every rank
 * reads and verifies the part of the next rank. The root does not depend on the number of ranks. If any rank fails, all
 * end with 1, and neither OUTLINE nor a part is left. C11, POSIX and MPI; the library itself knows nothing of MPI.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <inttypes.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TILE = 1 << 20, PATH_SIZE = 4096 };

static int rank, ranks;

/* Says why, if it is an error. */
static bool done(const char *what, atlas_status status)
{
    if (status != ATLAS_STATUS_OK) {
        fprintf(stderr, "rank %d: %s: %s: %s\n", rank, what, atlas_status_name((int32_t)status),
                atlas_last_error_message());
    }
    return status == ATLAS_STATUS_OK;
}

/* True if all ranks are well. */
static bool all(bool mine)
{
    int each = mine, every = 0;
    (void)MPI_Allreduce(&each, &every, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    return every != 0;
}

/* First byte of a rank's part: whole MiB, since only the last part of a merge may have a shorter tile. */
static uint64_t start_of(int number, uint64_t size)
{
    const uint64_t tiles = size / TILE + (size % TILE != 0), n = (uint64_t)ranks, k = (uint64_t)number;
    /* tiles * k / n without a product that overflows */
    const uint64_t start = (tiles / n * k + tiles % n * k / n) * TILE;
    return start < size ? start : size;
}

static void part_path(char *path, const char *outline, int number)
{
    (void)snprintf(path, PATH_SIZE, "%s.part%d", outline, number);
}

/* The bytes that stand for a simulation's. */
static void compute(uint8_t *bytes, uint64_t first, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const uint64_t at = (first + i) / 8 * UINT64_C(0x9e3779b97f4a7c15);
        bytes[i] = (uint8_t)(at >> 32 ^ at >> 11);
    }
}

/* Imports this rank's part. The base of the part is its own range, not all of the file. */
static bool import_part(const char *path, const atlas_source *file, uint64_t size, bool *made)
{
    const uint64_t start = start_of(rank, size), length = start_of(rank + 1, size) - start;
    atlas_source *part = NULL;
    atlas_container *container = NULL;
    uint8_t *memory = NULL;
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    bool well = true;
    if (file != NULL) {
        well = done("a range", atlas_source_range(file, start, length, &part));
        create.base = part;
    } else {
        memory = malloc(length > 0 ? (size_t)length : 1);
        well = memory != NULL;
        if (well) {
            compute(memory, start, (size_t)length);
            well = done("memory", atlas_source_borrow(memory, (size_t)length, NULL, NULL, &part));
        }
    }
    if (well) {
        *made = done(path, atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, &create, NULL, &container));
        well = *made && done("importing", atlas_container_import(container, part, NULL, 0, NULL, NULL, NULL));
    }
    atlas_container_destroy(container);
    atlas_source_destroy(part);
    free(memory);
    return well;
}

/* Merges all parts into `outline`, on one rank. Reads their trees, and nothing of the file. */
static bool merge(const char *outline, const atlas_source *file, uint8_t root[32], bool *made)
{
    const atlas_container **parts = calloc((size_t)ranks, sizeof *parts);
    atlas_container *merged = NULL;
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    create.base = file;
    bool well = parts != NULL;
    for (int i = 0; well && i < ranks; i++) {
        char path[PATH_SIZE];
        part_path(path, outline, i);
        atlas_container *part = NULL;
        well = done(path, atlas_container_open(path, ATLAS_CONTAINER_READ, NULL, NULL, NULL, &part));
        parts[i] = part;
    }
    if (well) {
        well = done("merging", atlas_container_merge(parts, (size_t)ranks, outline, &create, NULL, NULL, &merged));
        *made = well;
    }
    if (well) {
        atlas_generation_info info = {.struct_size = sizeof info};
        well = done("the root", atlas_container_get_generation(merged, 0, &info));
        memcpy(root, info.root, 32);
    }
    atlas_container_destroy(merged);
    for (int i = 0; parts != NULL && i < ranks; i++) {
        atlas_container_destroy((atlas_container *)parts[i]);
    }
    free(parts);
    return well;
}

/* Reads the next rank's part through the merged container, against the root. */
static bool verify_next(const char *outline, const atlas_source *file, const uint8_t root[32], uint64_t size)
{
    const int next = (rank + 1) % ranks;
    const uint64_t end = start_of(next + 1, size);
    atlas_container *container = NULL;
    atlas_projection *snapshot = NULL;
    uint8_t *bytes = malloc(TILE);
    atlas_verify_options verify;
    atlas_container_open_options options;
    atlas_verify_options_init(&verify);
    atlas_container_open_options_init(&options);
    verify.expected_root = root;
    options.base = file;
    bool well = bytes != NULL &&
                done("opening", atlas_container_open(outline, ATLAS_CONTAINER_READ, &verify, &options, NULL, &container)) &&
                done("a snapshot", atlas_container_snapshot(container, 0, 1, NULL, &snapshot));
    for (uint64_t at = start_of(next, size); well && at < end; at += TILE) {
        const size_t count = end - at < TILE ? (size_t)(end - at) : TILE;
        well = done("verifying", atlas_projection_read(snapshot, at, bytes, count));
    }
    atlas_projection_destroy(snapshot);
    atlas_container_destroy(container);
    free(bytes);
    return well;
}

static bool run(const char *name, bool in_memory, const char *outline)
{
    atlas_source *file = NULL;
    char path[PATH_SIZE];
    bool part_made = false, merged_made = false, well = strlen(outline) < PATH_SIZE - 32;
    if (well && !in_memory) {
        well = done(name, atlas_source_open_file(name, ATLAS_FILE_IO_READ, &file));
    }
    uint64_t size = in_memory ? strtoull(name, NULL, 10) : atlas_source_size(file), first = size;
    /* A file that grows is cut alike everywhere, or nowhere. */
    (void)MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    well = all(well && first == size);
    part_path(path, outline, rank);
    well = well && all(import_part(path, file, size, &part_made));
    uint8_t root[32] = {0};
    if (well) {
        well = all(rank != 0 || merge(outline, file, root, &merged_made));
    }
    if (part_made) {
        (void)unlink(path);
    }
    if (well) {
        (void)MPI_Bcast(root, 32, MPI_BYTE, 0, MPI_COMM_WORLD);
        well = all(verify_next(outline, file, root, size));
    }
    if (!well && merged_made) {
        (void)unlink(outline);
    }
    if (well && rank == 0) {
        for (int i = 0; i < 32; i++) {
            printf("%02x", root[i]);
        }
        printf("  %" PRIu64 " bytes by %d ranks\n", size, ranks);
    }
    atlas_source_destroy(file);
    return well;
}

int main(int argc, char **argv)
{
    (void)MPI_Init(&argc, &argv);
    (void)MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    (void)MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const bool in_memory = argc == 4 && strcmp(argv[1], "--memory") == 0;
    bool well = false;
    if (in_memory || argc == 3) {
        well = run(argv[argc - 2], in_memory, argv[argc - 1]);
    } else if (rank == 0) {
        fprintf(stderr, "usage: outline FILE OUTLINE, or outline --memory SIZE OUTLINE\n");
    }
    (void)MPI_Finalize();
    return well ? 0 : 1;
}
