/* Random orders of calls with random arguments: inputs of the fuzz target c_api, those that are kept and random ones.
 *
 *   api_orders [COUNT [SEED]]    so many random inputs, 300 by default
 */
#include "check.h"

#include "../fuzz/c_api.c"

#define BESIDE "../fuzz/corpus/c_api"

/* Runs each file of the folder; returns their number. */
static size_t run_kept(const char *name)
{
    char path[2 * PATH_MAX];
    size_t count = 0;
    DIR *kept = opendir(name);
    if (kept == NULL) {
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(kept)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (file != NULL) {
            static uint8_t input[4096];
            const size_t size = fread(input, 1, sizeof input, file);
            (void)fclose(file);
            (void)atlas_fuzz_c_api(input, size);
            count++;
        }
    }
    (void)closedir(kept);
    return count;
}

int main(int argc, char **argv)
{
    const long count = argc > 1 ? atol(argv[1]) : getenv("ATLAS_TEST_SMALL") != NULL ? 40 : 300;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    char folder_of_source[PATH_MAX] = __FILE__;
    char *const slash = strrchr(folder_of_source, '/');
    (void)snprintf(slash != NULL ? slash + 1 : folder_of_source, sizeof BESIDE, "%s", BESIDE);
    const size_t kept = run_kept(folder_of_source);
    CHECK(kept > 0);
    for (long i = 0; i < count; i++) {
        uint8_t *input = random_bytes(800, seed * 1000003 + (uint64_t)i);
        (void)atlas_fuzz_c_api(input, 40 + (size_t)i % 760);
        free(input);
    }
    (void)printf("%zu kept inputs and %ld random ones\n", kept, count);
    return 0;
}
