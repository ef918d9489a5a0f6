/* Common parts of the tests of containers, after check.h. */
#ifndef ATLAS_CONTAINER_TESTS_H
#define ATLAS_CONTAINER_TESTS_H

static inline atlas_container *created(const char *path, uint32_t type, const atlas_projection_options *options,
                                const atlas_container_create_options *create)
{
    atlas_container *container = NULL;
    CHECK_OK(atlas_container_create(path, type, options, create, NULL, &container));
    CHECK(container != NULL);
    return container;
}

static inline atlas_container *opened(const char *path, uint32_t mode)
{
    atlas_container *container = NULL;
    CHECK_OK(atlas_container_open(path, mode, NULL, NULL, NULL, &container));
    CHECK(container != NULL);
    return container;
}

static inline atlas_container_info info_of(const atlas_container *container)
{
    atlas_container_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_container_get_info(container, &info));
    return info;
}

static inline atlas_generation_info generation_of(const atlas_container *container, uint64_t generation)
{
    atlas_generation_info info;
    memset(&info, 0xA5, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_container_get_generation(container, generation, &info));
    return info;
}

static inline atlas_projection *snapshot_of(const atlas_container *container, uint64_t generation, bool verify)
{
    atlas_projection *snapshot = NULL;
    CHECK_OK(atlas_container_snapshot(container, generation, verify, NULL, &snapshot));
    CHECK(snapshot != NULL);
    return snapshot;
}

static inline uint64_t committed(atlas_container *container, const atlas_projection *projection)
{
    uint64_t generation = 0;
    CHECK_OK(atlas_container_commit(container, projection, NULL, NULL, &generation));
    return generation;
}

static inline uint64_t imported(atlas_container *container, const void *data, size_t size)
{
    uint64_t generation = 0;
    atlas_source *source = borrowed(data, size);
    CHECK_OK(atlas_container_import(container, source, NULL, 0, NULL, NULL, &generation));
    atlas_source_destroy(source);
    return generation;
}

static inline void replace(atlas_projection *projection, uint64_t offset, uint64_t length, const void *bytes,
                    size_t size)
{
    const atlas_delta delta = {
        .type = ATLAS_CHANGE_UPDATE, .offset = offset, .length = length, .data = bytes, .data_size = size};
    CHECK_OK(atlas_projection_apply(projection, &delta));
}

/* Checks that the projection has exactly these bytes: reads them whole and at chosen offsets. */
static inline void check_bytes(const atlas_projection *projection, const uint8_t *data, size_t size)
{
    atlas_projection_info info;
    info.struct_size = (uint32_t)sizeof info;
    CHECK_OK(atlas_projection_get_info(projection, &info));
    CHECK_EQ(info.domain_size, size);
    uint8_t *found = random_bytes(size, 5);
    CHECK_OK(atlas_projection_read(projection, 0, found, size));
    CHECK(size == 0 || memcmp(found, data, size) == 0);
    for (size_t part = 1; part < size; part = 3 * part + 1) {
        CHECK_OK(atlas_projection_read(projection, size - part, found, part));
        CHECK(memcmp(found, data + size - part, part) == 0);
    }
    CHECK_STATUS(atlas_projection_read(projection, size, found, 1), ATLAS_STATUS_OUT_OF_RANGE);
    free(found);
}

static inline void check_generation(const atlas_container *container, uint64_t generation, const uint8_t *data,
                             size_t size)
{
    for (int verify = 0; verify < 2; verify++) {
        atlas_projection *snapshot = snapshot_of(container, generation, verify != 0);
        check_bytes(snapshot, data, size);
        CHECK_OK(atlas_projection_verify(snapshot, NULL));
        const atlas_generation_info info = generation_of(container, generation);
        uint8_t root[32];
        root_of(snapshot, root);
        CHECK(memcmp(root, info.root, 32) == 0);
        CHECK_EQ(info.domain_size, size);
        CHECK_EQ(info.residue, residue_of(data, size));
        atlas_projection_destroy(snapshot);
    }
}

static inline uint64_t size_of_file(const char *path)
{
    struct stat info;
    CHECK(stat(path, &info) == 0);
    return (uint64_t)info.st_size;
}

/* Returns the bytes of the file. The caller releases them with free(). */
static inline uint8_t *bytes_of_file(const char *path, size_t *size)
{
    *size = (size_t)size_of_file(path);
    uint8_t *bytes = random_bytes(*size, 1);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fread(bytes, 1, *size, file) == *size);
    CHECK(fclose(file) == 0);
    return bytes;
}

static inline void change_byte(const char *path, uint64_t offset)
{
    uint8_t byte = 0;
    const int file = open(path, O_RDWR);
    CHECK(file >= 0 && pread(file, &byte, 1, (off_t)offset) == 1);
    byte ^= 1;
    CHECK(pwrite(file, &byte, 1, (off_t)offset) == 1 && close(file) == 0);
}

/* Sets the last byte so that the sum becomes 0 mod 96. */
static inline void balance(uint8_t *data, size_t size)
{
    if (size > 0) {
        data[size - 1] = 0;
        data[size - 1] = (uint8_t)((96 - residue_of(data, size)) % 96);
    }
}

static inline void not_opened(const char *path, uint32_t mode, const atlas_verify_options *verify,
                       const atlas_container_open_options *options, int status)
{
    atlas_container *container = (atlas_container *)(void *)&status;
    CHECK_STATUS(atlas_container_open(path, mode, verify, options, NULL, &container), status);
    CHECK(container == NULL);
}

static inline atlas_source *file_source(const char *path, uint32_t io)
{
    atlas_source *source = NULL;
    CHECK_OK(atlas_source_open_file(path, io, &source));
    return source;
}

/* The reported damage. `all` holds the first reports; `stop_at` is the number of the report at which the
 * callback cancels, or 0 to never cancel. */
typedef struct damages {
    size_t count, stop_at;
    atlas_damage all[16];
} damages;

static inline bool on_damage(const atlas_damage *damage, void *user_data)
{
    damages *self = (damages *)user_data;
    CHECK_EQ(damage->struct_size, sizeof *damage);
    CHECK_EQ(damage->reserved, 0);
    if (self->count < 16) {
        self->all[self->count] = *damage;
    }
    return ++self->count != self->stop_at;
}

#endif
