/* Common parts of the tests of accelerators, after check.h and container.h. */
#ifndef ATLAS_ACCELERATOR_TESTS_H
#define ATLAS_ACCELERATOR_TESTS_H

/* The working folder of the program, while a test works in the temporary one. */
static char outside[PATH_MAX];

static inline void enter_folder(void)
{
    CHECK(getcwd(outside, sizeof outside) != NULL && chdir(temp_dir()) == 0);
}

/* The temporary folder must be empty at the end. */
static inline void leave_folder(void) { CHECK(temp_names() == 0 && chdir(outside) == 0); }

enum { PROJECT, STREAM, VERIFY, FIND_DAMAGE, IMPORT, EDIT, CALLS };

/* One call of each kind that a device shares, in the temporary folder. `region` (NULL means all) is where
 * FIND_DAMAGE looks. */
static inline int shared_call(int kind, const atlas_projection *projection, const atlas_source *source,
                              const atlas_region *region, const atlas_operation *operation)
{
    atlas_projection *made = NULL;
    int status = 0;
    if (kind == PROJECT) {
        status = (int)atlas_projection_create(0, source, NULL, operation, &made);
    } else if (kind == STREAM) {
        status = (int)atlas_stream_project(0, source, NULL, NULL, operation, &made);
    } else if (kind == VERIFY) {
        status = (int)atlas_projection_verify(projection, operation);
    } else if (kind == FIND_DAMAGE) {
        status = (int)atlas_projection_find_damage(projection, region, region != NULL, NULL, NULL, operation);
    } else if (kind == EDIT) {
        /* An empty domain gets new tiles, which the root hashes. */
        const size_t size = 9 * TILE + 5;
        uint8_t *bytes = random_bytes(size, 77), root[32];
        const atlas_delta delta = {.type = ATLAS_CHANGE_INSERT, .data = bytes, .data_size = size};
        made = projected_bytes(NULL, 0);
        CHECK_OK(atlas_projection_apply(made, &delta));
        status = (int)atlas_projection_root(made, operation, root);
        free(bytes);
    } else {
        uint64_t generation = 0;
        atlas_container *container = created("shared.atlas", ATLAS_PROJECTION_LINEAR, NULL, NULL);
        status = (int)atlas_container_import(container, source, NULL, 0, NULL, operation, &generation);
        atlas_container_destroy(container);
        CHECK(unlink("shared.atlas") == 0);
    }
    atlas_projection_destroy(made);
    return status;
}

#endif
