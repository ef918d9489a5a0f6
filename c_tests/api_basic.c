/* Version, features, names of statuses, the digest, and buffers. */
#include "check.h"

static void the_version_text_is_the_version_number(void)
{
    const uint32_t version = atlas_manifold_version();
    char text[64];
    (void)snprintf(text, sizeof text, "%u.%u.%u", (unsigned)(version >> 16),
                   (unsigned)(version >> 8 & 0xFFU), (unsigned)(version & 0xFFU));
    CHECK(version != 0);
    CHECK(strcmp(text, atlas_manifold_version_string()) == 0);
}

static void features_are_known_bits(void)
{
    const uint64_t known = ATLAS_FEATURE_PARALLEL | ATLAS_FEATURE_COMPRESSION |
                           ATLAS_FEATURE_STREAMING | ATLAS_FEATURE_BENCHMARKS |
                           ATLAS_FEATURE_CONTAINER | ATLAS_FEATURE_PARITY | ATLAS_FEATURE_ZSTD |
                           ATLAS_FEATURE_LZ4 | ATLAS_FEATURE_OPENCL;
    CHECK((atlas_manifold_features() & ~known) == 0);
    CHECK((atlas_manifold_features() & ATLAS_FEATURE_CONTAINER) != 0);
    CHECK(atlas_manifold_features() == atlas_manifold_features());
}

static void every_status_has_a_name_of_its_own(void)
{
    static const char *const words[] = {
        "OK",          "INVALID_ARGUMENT", "OUT_OF_MEMORY", "OUT_OF_RANGE", "IO",
        "CONSERVATION", "WITNESS",         "FORMAT",        "UNSUPPORTED",  "STATE",
        "INCOMPLETE",  "CONFLICT",         "CANCELLED",     "LIMIT",        "INTERNAL"};
    for (int32_t status = 0; status <= ATLAS_STATUS_INTERNAL; status++) {
        CHECK(strstr(atlas_status_name(status), words[status]) != NULL);
        for (int32_t other = 0; other < status; other++) {
            CHECK(strcmp(atlas_status_name(status), atlas_status_name(other)) != 0);
        }
    }
}

static void any_other_number_has_a_name_too(void)
{
    const int32_t others[] = {-1, -14, 15, 16, 255, 256, 4096, INT32_MIN, INT32_MAX, INT32_MIN + 1};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const char *name = atlas_status_name(others[i]);
        CHECK(name != NULL && name[0] != '\0');
        for (int32_t status = 0; status <= ATLAS_STATUS_INTERNAL; status++) {
            CHECK(strcmp(name, atlas_status_name(status)) != 0);
        }
    }
}

static void digests_are_blake3(void)
{
    uint8_t digest[34];
    memset(digest, 0xEE, sizeof digest);
    atlas_digest256(NULL, 0, digest + 1);
    CHECK(digest_is(digest + 1, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"));
    CHECK(digest[0] == 0xEE && digest[33] == 0xEE);
    atlas_digest256("", 0, digest + 1);
    CHECK(digest_is(digest + 1, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"));
    atlas_digest256("abc", 3, digest + 1);
    CHECK(digest_is(digest + 1, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"));
    /* The published test vectors count 0, 1, … 250, 0, …; one of 1,025 bytes has two chunks. */
    uint8_t input[1025];
    for (size_t i = 0; i < sizeof input; i++) {
        input[i] = (uint8_t)(i % 251);
    }
    atlas_digest256(input, sizeof input, digest + 1);
    CHECK(digest_is(digest + 1, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"));
}

static void a_buffer_can_be_freed_twice(void)
{
    const char text[] = "a small domain";
    atlas_projection *projection = projected_bytes(text, sizeof text);
    atlas_shard *shard = extracted(projection, 2, 5);
    atlas_buffer buffer;
    memset(&buffer, 0xEE, sizeof buffer);
    CHECK_OK(atlas_shard_serialize(shard, &buffer));
    CHECK(buffer.data != NULL && buffer.size > sizeof text);
    atlas_buffer_free(&buffer);
    CHECK(buffer.data == NULL && buffer.size == 0);
    atlas_buffer_free(&buffer);
    CHECK(buffer.data == NULL && buffer.size == 0);
    atlas_buffer_free(NULL);
    atlas_shard_destroy(shard);
    atlas_projection_destroy(projection);
}

static void init_functions_fill_in_the_documented_defaults(void)
{
    atlas_operation operation;
    memset(&operation, 0xA5, sizeof operation);
    atlas_operation_init(&operation);
    CHECK_EQ(operation.struct_size, sizeof operation);
    CHECK(operation.pool == NULL && operation.progress == NULL && operation.user_data == NULL);
    CHECK(operation.memory_limit == 0);

    atlas_projection_options options;
    memset(&options, 0xA5, sizeof options);
    atlas_projection_options_init(&options);
    CHECK_EQ(options.struct_size, sizeof options);
    CHECK_EQ(options.conservation, ATLAS_CONSERVATION_TRACK);
    CHECK_EQ(options.r96_data_classes, 96);
    CHECK(options.key == NULL);

    atlas_extract_options extract;
    memset(&extract, 0xA5, sizeof extract);
    atlas_extract_options_init(&extract);
    CHECK_EQ(extract.struct_size, sizeof extract);
    CHECK_EQ(extract.strategy, ATLAS_PARALLEL_DEFAULT);
    CHECK(extract.max_threads == 0);

    atlas_verify_options verify;
    memset(&verify, 0xA5, sizeof verify);
    atlas_verify_options_init(&verify);
    CHECK_EQ(verify.struct_size, sizeof verify);
    CHECK(verify.expected_root == NULL && verify.key == NULL);

    atlas_limits limits;
    memset(&limits, 0xA5, sizeof limits);
    atlas_limits_init(&limits);
    CHECK_EQ(limits.struct_size, sizeof limits);
    CHECK_EQ(limits.max_payload_size, UINT64_C(1) << 30);
    CHECK_EQ(limits.max_proof_size, UINT64_C(64) << 20);

    atlas_reconstruction_options rebuild;
    memset(&rebuild, 0xA5, sizeof rebuild);
    atlas_reconstruction_options_init(&rebuild);
    CHECK_EQ(rebuild.struct_size, sizeof rebuild);
    CHECK(rebuild.expected_root == NULL && rebuild.key == NULL && rebuild.spool_path == NULL);
    CHECK(rebuild.max_domain_size == 0);
}

int main(void)
{
    TEST(the_version_text_is_the_version_number);
    TEST(features_are_known_bits);
    TEST(every_status_has_a_name_of_its_own);
    TEST(any_other_number_has_a_name_too);
    TEST(digests_are_blake3);
    TEST(a_buffer_can_be_freed_twice);
    TEST(init_functions_fill_in_the_documented_defaults);
    return 0;
}
