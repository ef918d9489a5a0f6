/* Benchmarks: defaults, NULL, sizes of structs, a small run, its formats, cancelling, limits. No check
 * depends on how long anything takes. */
#include "check.h"

#include <math.h>

enum { DOMAIN = 65536 };

static const uint64_t sizes[] = {DOMAIN};

static atlas_benchmark_config small_config(void)
{
    atlas_benchmark_config config;
    memset(&config, 0xA5, sizeof config);
    atlas_benchmark_config_init(&config);
    config.warmup_iterations = 1;
    config.iterations = small_run() ? 1 : 2;
    config.max_seconds = 1e6;
    config.data_sizes = sizes;
    config.data_size_count = 1;
    return config;
}

static atlas_benchmark_report *ran(const atlas_benchmark_config *config, const atlas_operation *operation)
{
    atlas_benchmark_report *report = NULL;
    CHECK_OK(atlas_benchmark_run(config, operation, &report));
    CHECK(report != NULL);
    return report;
}

static atlas_benchmark_result result_at(const atlas_benchmark_report *report, size_t index)
{
    atlas_benchmark_result result;
    memset(&result, 0xA5, sizeof result);
    result.struct_size = (uint32_t)sizeof result;
    CHECK_OK(atlas_benchmark_report_get(report, index, &result));
    return result;
}

static void defaults_are_those_of_the_header(void)
{
    atlas_benchmark_config config;
    memset(&config, 0xA5, sizeof config);
    atlas_benchmark_config_init(&config);
    CHECK_EQ(config.struct_size, sizeof config);
    CHECK_EQ(config.warmup_iterations, 3);
    CHECK_EQ(config.iterations, 10);
    CHECK(config.max_seconds > 4.99 && config.max_seconds < 5.01);
    CHECK(config.data_sizes == NULL && config.data_size_count == 0);
    atlas_benchmark_config_init(NULL);
}

static void without_the_feature_every_call_is_unsupported(void)
{
    atlas_benchmark_report *report = (atlas_benchmark_report *)(void *)&report;
    atlas_benchmark_result result = {.struct_size = sizeof result, .iterations = 77};
    atlas_buffer text = {(uint8_t *)&result, 1};
    CHECK_STATUS(atlas_benchmark_run(NULL, NULL, &report), ATLAS_STATUS_UNSUPPORTED);
    CHECK(report == NULL);
    CHECK(atlas_benchmark_report_count(NULL) == 0);
    CHECK_STATUS(atlas_benchmark_report_get(NULL, 0, &result), ATLAS_STATUS_UNSUPPORTED);
    CHECK(result.iterations == 0);
    CHECK_STATUS(atlas_benchmark_report_format(NULL, ATLAS_REPORT_TEXT, &text), ATLAS_STATUS_UNSUPPORTED);
    CHECK(text.data == NULL && text.size == 0);
    atlas_benchmark_report_destroy(NULL);
}

#define REFUSED(call)                                      \
    do {                                                   \
        CHECK_STATUS(call, ATLAS_STATUS_INVALID_ARGUMENT); \
        CHECK_SAYS("NULL");                                \
    } while (0)

static void null_is_refused(const atlas_benchmark_report *report)
{
    atlas_benchmark_result result = {.struct_size = sizeof result, .iterations = 77};
    atlas_buffer text = {(uint8_t *)&result, 1};
    REFUSED(atlas_benchmark_run(NULL, NULL, NULL));
    REFUSED(atlas_benchmark_report_get(NULL, 0, &result));
    CHECK(result.iterations == 0 && result.name == NULL);
    REFUSED(atlas_benchmark_report_get(report, 0, NULL));
    REFUSED(atlas_benchmark_report_format(NULL, ATLAS_REPORT_TEXT, &text));
    CHECK(text.data == NULL && text.size == 0);
    REFUSED(atlas_benchmark_report_format(report, ATLAS_REPORT_TEXT, NULL));
    CHECK(atlas_benchmark_report_count(NULL) == 0);
    atlas_benchmark_report_destroy(NULL);
    atlas_benchmark_config config = small_config();
    config.data_sizes = NULL;
    atlas_benchmark_report *made = (atlas_benchmark_report *)(void *)&config;
    REFUSED(atlas_benchmark_run(&config, NULL, &made));
    CHECK(made == NULL);
}

static void wrong_configurations_are_refused(void)
{
    const uint64_t none[] = {DOMAIN, 0}, huge[] = {UINT64_MAX};
    for (unsigned wrong = 0; wrong < 10; wrong++) {
        atlas_benchmark_config config = small_config();
        int wanted = ATLAS_STATUS_INVALID_ARGUMENT;
        switch (wrong) {
        case 0: config.iterations = 0; break;
        case 1: config.max_seconds = 0.0; break;
        case 2: config.max_seconds = -1.0; break;
        case 3: config.max_seconds = (double)INFINITY; break;
        case 4: config.max_seconds = (double)NAN; break;
        case 5: config.data_size_count = 0; break;
        case 6: config.data_sizes = none; config.data_size_count = 2; break;
        case 7: config.data_sizes = huge; wanted = ATLAS_STATUS_OUT_OF_MEMORY; break;
        case 8: config.struct_size = 0; break;
        default: config.struct_size = (uint32_t)sizeof config - 1; break;
        }
        atlas_benchmark_report *report = (atlas_benchmark_report *)(void *)&config;
        CHECK_STATUS(atlas_benchmark_run(&config, NULL, &report), wanted);
        CHECK(report == NULL);
        if (wrong == 6) {
            CHECK_EQ(last_error().index, 1);
        }
    }
}

/* Refused before anything runs, so that no size that is taken needs a run. */
static void struct_sizes_of_the_config(void)
{
    const size_t ends[] = {
        offsetof(atlas_benchmark_config, struct_size) + 4, offsetof(atlas_benchmark_config, warmup_iterations) + 4,
        offsetof(atlas_benchmark_config, iterations) + 4, offsetof(atlas_benchmark_config, max_seconds) + 8,
        offsetof(atlas_benchmark_config, data_sizes) + sizeof(const uint64_t *), sizeof(atlas_benchmark_config)};
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.memory_limit = 1;
    for (uint32_t size = 0; size <= sizeof(atlas_benchmark_config) + 16; size++) {
        struct {
            atlas_benchmark_config config;
            uint8_t newer[16];
        } both;
        memset(&both, 0, sizeof both);
        both.config = small_config();
        both.config.struct_size = size;
        bool known = size > sizeof(atlas_benchmark_config);
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            known = known || ends[i] == size;
        }
        atlas_benchmark_report *report = NULL;
        const atlas_status status = atlas_benchmark_run(&both.config, &operation, &report);
        CHECK(report == NULL);
        if (size == ends[4]) { /* sizes, of which an older caller says no number */
            CHECK_STATUS(status, ATLAS_STATUS_INVALID_ARGUMENT);
            CHECK_SAYS("data_sizes");
        } else {
            CHECK_STATUS(status, known ? ATLAS_STATUS_LIMIT : ATLAS_STATUS_INVALID_ARGUMENT);
        }
        if (size > sizeof(atlas_benchmark_config)) {
            both.newer[size - sizeof(atlas_benchmark_config) - 1] = 1;
            CHECK_STATUS(atlas_benchmark_run(&both.config, &operation, &report),
                         ATLAS_STATUS_INVALID_ARGUMENT);
        }
    }
}

static void struct_sizes_of_the_result(const atlas_benchmark_report *report)
{
    const atlas_benchmark_result whole = result_at(report, 1);
    CHECK_EQ(whole.reserved, 0);
    for (uint32_t size = 0; size <= sizeof whole + 16; size++) {
        uint8_t bytes[sizeof(atlas_benchmark_result) + 32];
        atlas_benchmark_result *result = (atlas_benchmark_result *)malloc(sizeof bytes);
        CHECK(result != NULL);
        memset(result, 0xA5, sizeof bytes);
        result->struct_size = size;
        const atlas_status status = atlas_benchmark_report_get(report, 1, result);
        memcpy(bytes, result, sizeof bytes);
        free(result);
        /* Two fields of 4 bytes, a pointer, and from there on 8 bytes each. */
        const size_t numbers = offsetof(atlas_benchmark_result, data_size);
        const bool known = size == 4 || size == 8 || size == offsetof(atlas_benchmark_result, name) + sizeof whole.name ||
                           (size > numbers && (size - numbers) % 8 == 0) || size > sizeof whole;
        const size_t filled = size < sizeof whole ? size : sizeof whole;
        CHECK_STATUS(status, known ? ATLAS_STATUS_OK : ATLAS_STATUS_INVALID_ARGUMENT);
        if (known) {
            CHECK(memcmp(bytes + 4, (const uint8_t *)&whole + 4, filled - 4) == 0);
            CHECK(all_bytes(bytes + size, sizeof bytes - size, 0xA5));
        } else {
            CHECK(all_bytes(bytes + 4, sizeof bytes - 4, 0xA5));
        }
    }
}

static void results_are_complete(const atlas_benchmark_report *report, uint32_t iterations)
{
    /* All of them, in this order, and the features that each requires. */
    static const struct {
        const char *name;
        uint64_t feature;
    } wanted[] = {
        {"memcpy", 0},
        {"BLAKE3", 0},
        {"linear projection", 0},
        {"R96 projection", 0},
        {"R96 extraction of classes", 0},
        {"R96 inverse", 0},
        {"R96 decode", 0},
        {"streaming", ATLAS_FEATURE_STREAMING},
        {"verification", 0},
        {"single shard", 0},
        {"batch of shards", 0},
        {"verification of shards", 0},
        {"reconstruction", 0},
        {"transformation", 0},
        {"incremental insert", 0},
        {"incremental update", 0},
        {"incremental update with root", 0},
        {"incremental rollback", 0},
        {"compression none", ATLAS_FEATURE_COMPRESSION},
        {"compression DEFLATE", ATLAS_FEATURE_COMPRESSION},
        {"compression conservation-aware", ATLAS_FEATURE_COMPRESSION},
        {"compression Zstandard", ATLAS_FEATURE_ZSTD},
        {"compression LZ4", ATLAS_FEATURE_LZ4},
        {"decompression none", ATLAS_FEATURE_COMPRESSION},
        {"decompression DEFLATE", ATLAS_FEATURE_COMPRESSION},
        {"decompression conservation-aware", ATLAS_FEATURE_COMPRESSION},
        {"decompression Zstandard", ATLAS_FEATURE_ZSTD},
        {"decompression LZ4", ATLAS_FEATURE_LZ4},
    };
    const uint64_t features = atlas_manifold_features();
    const size_t count = atlas_benchmark_report_count(report);
    for (size_t i = 0; i < count; i++) {
        const atlas_benchmark_result result = result_at(report, i);
        CHECK_EQ(result.struct_size, sizeof result);
        CHECK_EQ(result.data_size, DOMAIN);
        CHECK_EQ(result.iterations, iterations);
        CHECK(result.min_ns > 0.0 && result.min_ns <= result.median_ns && result.median_ns <= result.max_ns);
        CHECK(result.min_ns <= result.mean_ns && result.mean_ns <= result.max_ns);
        CHECK(result.stddev_ns >= 0.0 && result.bytes_per_second > 0.0);
    }
    size_t found = 0;
    for (size_t at = 0; at < sizeof wanted / sizeof wanted[0]; at++) {
        if ((features & wanted[at].feature) == wanted[at].feature) {
            CHECK(found < count);
            CHECK(strcmp(result_at(report, found).name, wanted[at].name) == 0);
            found++;
        }
    }
    CHECK_EQ(found, count);
    atlas_benchmark_result result = {.struct_size = sizeof result, .iterations = 77};
    CHECK_STATUS(atlas_benchmark_report_get(report, count, &result), ATLAS_STATUS_OUT_OF_RANGE);
    CHECK_EQ(last_error().index, count);
    CHECK(result.iterations == 0);
    CHECK_STATUS(atlas_benchmark_report_get(report, SIZE_MAX, &result), ATLAS_STATUS_OUT_OF_RANGE);
}

/* The text as a C string; free() it. */
static char *formatted(const atlas_benchmark_report *report, uint32_t format)
{
    atlas_buffer buffer = {NULL, 0};
    CHECK_OK(atlas_benchmark_report_format(report, format, &buffer));
    CHECK(buffer.data != NULL && buffer.size > 0);
    char *text = (char *)malloc(buffer.size + 1);
    CHECK(text != NULL);
    memcpy(text, buffer.data, buffer.size);
    text[buffer.size] = '\0';
    CHECK_EQ(strlen(text), buffer.size);
    atlas_buffer_free(&buffer);
    return text;
}

static void every_format_has_every_result(const atlas_benchmark_report *report)
{
    const size_t count = atlas_benchmark_report_count(report);
    for (uint32_t format = ATLAS_REPORT_TEXT; format <= ATLAS_REPORT_CSV; format++) {
        char *text = formatted(report, format);
        for (size_t i = 0; i < count; i++) {
            CHECK(strstr(text, result_at(report, i).name) != NULL);
        }
        size_t lines = 0, columns = 0;
        for (const char *at = text; *at != '\0'; at++) {
            if (*at == '\n') {
                lines++;
                columns = 0;
            } else if (((unsigned char)*at & 0xC0U) != 0x80U && format == ATLAS_REPORT_TEXT) {
                columns++; /* every byte but those that continue a character of UTF-8 */
                CHECK(columns <= 100);
            }
        }
        CHECK(text[strlen(text) - 1] == '\n');
        CHECK(format == ATLAS_REPORT_CSV ? lines == count + 1 : lines > count);
        CHECK((text[0] == '{') == (format == ATLAS_REPORT_JSON));
        free(text);
    }
    atlas_buffer buffer = {(uint8_t *)&buffer, 1};
    CHECK_STATUS(atlas_benchmark_report_format(report, 3, &buffer), ATLAS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS("3 is not a known report format: there are ATLAS_REPORT_TEXT (0), ATLAS_REPORT_JSON (1), "
               "ATLAS_REPORT_CSV (2)");
    CHECK(buffer.data == NULL && buffer.size == 0);
    CHECK_STATUS(atlas_benchmark_report_format(report, UINT32_MAX, &buffer), ATLAS_STATUS_INVALID_ARGUMENT);
}

typedef struct watch {
    size_t calls, stop_at;
    atlas_progress last;
} watch;

static bool on_progress(const atlas_progress *progress, void *user_data)
{
    watch *seen = (watch *)user_data;
    CHECK_EQ(progress->struct_size, sizeof *progress);
    CHECK(progress->chunks_done >= seen->last.chunks_done && progress->bytes_done >= seen->last.bytes_done);
    CHECK(progress->chunks_done <= progress->chunks_total && progress->bytes_done <= progress->bytes_total);
    seen->last = *progress;
    return ++seen->calls != seen->stop_at;
}

static void progress_counts_cases_and_cancels(const atlas_benchmark_report *before)
{
    const atlas_benchmark_config config = small_config();
    const size_t count = atlas_benchmark_report_count(before);
    watch seen = {0};
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.progress = on_progress;
    operation.user_data = &seen;
    atlas_benchmark_report *report = ran(&config, &operation);
    CHECK_EQ(seen.last.chunks_done, count);
    CHECK_EQ(seen.last.chunks_total, count);
    CHECK_EQ(seen.last.bytes_done, seen.last.bytes_total);
    CHECK_EQ(seen.calls, count * (size_t)(1 + config.warmup_iterations + config.iterations + 1));
    atlas_benchmark_report_destroy(report);

    const size_t stops[] = {1, 2, 3, count, seen.calls};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        watch cancels = {.stop_at = stops[i]};
        operation.user_data = &cancels;
        report = (atlas_benchmark_report *)(void *)&cancels;
        CHECK_STATUS(atlas_benchmark_run(&config, &operation, &report), ATLAS_STATUS_CANCELLED);
        CHECK(report == NULL);
        CHECK_EQ(cancels.calls, stops[i]);
    }
}

static void pools_and_limits_are_used(void)
{
    atlas_benchmark_config config = small_config();
    config.warmup_iterations = 0;
    config.iterations = 1;
    atlas_pool *pool = NULL;
    CHECK_OK(atlas_pool_create(1, &pool));
    atlas_operation operation;
    atlas_operation_init(&operation);
    operation.pool = pool;
    const size_t threads = thread_count();
    atlas_benchmark_report_destroy(ran(&config, &operation));
    CHECK_EQ(thread_count(), threads);
    operation.memory_limit = DOMAIN;
    atlas_benchmark_report *report = NULL;
    CHECK_STATUS(atlas_benchmark_run(&config, &operation, &report), ATLAS_STATUS_LIMIT);
    CHECK_EQ(last_error().index, 0);
    operation.memory_limit = 8 * TILE;
    atlas_benchmark_report_destroy(ran(&config, &operation));
    atlas_pool_destroy(pool);
}

int main(void)
{
    TEST(defaults_are_those_of_the_header);
    if ((atlas_manifold_features() & ATLAS_FEATURE_BENCHMARKS) == 0) {
        TEST(without_the_feature_every_call_is_unsupported);
        return 0;
    }
    pools_and_limits_are_used(); /* first: no thread was started before */
    const atlas_benchmark_config config = small_config();
    atlas_benchmark_report *report = ran(&config, NULL);
    results_are_complete(report, config.iterations);
    every_format_has_every_result(report);
    null_is_refused(report);
    TEST(wrong_configurations_are_refused);
    TEST(struct_sizes_of_the_config);
    struct_sizes_of_the_result(report);
    progress_counts_cases_and_cancels(report);
    atlas_benchmark_report_destroy(report);
    return 0;
}
