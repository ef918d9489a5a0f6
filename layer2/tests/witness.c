/* Witnesses, and the registration of the digest. */
#include <string.h>

#include "../src/record.h"
#include "atlas_conservation.h"
#include "check.h"

#define SIZE 2000

static void other_digest(const void *data, size_t size, uint8_t digest[32])
{
    (void)data;
    (void)size;
    memset(digest, 0, 32);
}

static void the_digest_is_registered_once(void)
{
    CHECK_GIVES(ATLAS_E_INVALID, atlas_conservation_set_digest(NULL), ATLAS_E_INVALID);
    CHECK_GIVES(ATLAS_OK, atlas_conservation_set_digest(check_digest), ATLAS_OK);
    CHECK_GIVES(ATLAS_E_STATE, atlas_conservation_set_digest(other_digest), ATLAS_E_STATE);
    CHECK_GIVES(ATLAS_OK, atlas_conservation_set_digest(check_digest), ATLAS_OK);
    CHECK_GIVES(ATLAS_E_INVALID, atlas_conservation_set_digest(NULL), ATLAS_E_INVALID);
}

static void bad_arguments_are_refused(void)
{
    const uint8_t byte = 1;
    CHECK_GIVES(NULL, atlas_witness_generate(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(NULL, atlas_witness_generate(&byte, 0), ATLAS_E_INVALID);
    atlas_witness_t *const witness = atlas_witness_generate(&byte, 1);
    CHECK(witness != NULL && atlas_get_last_error() == ATLAS_OK);
    CHECK_GIVES(false, atlas_witness_verify(NULL, &byte, 1), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_witness_verify(witness, NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_witness_verify(witness, &byte, 0), ATLAS_E_INVALID);
    CHECK_GIVES(true, atlas_witness_verify(witness, &byte, 1), ATLAS_OK);
    atlas_witness_destroy(witness);
    CHECK(atlas_get_last_error() == ATLAS_OK);
}

static void every_flipped_bit_is_seen(void)
{
    uint8_t data[SIZE];
    check_fill(data, SIZE, 5);
    atlas_witness_t *const witness = atlas_witness_generate(data, SIZE);
    CHECK(witness != NULL);
    for (size_t i = 0; i < SIZE; i += 7) {
        const uint8_t flip = (uint8_t)(1u << (i % 8));
        data[i] ^= flip;
        CHECK_GIVES(false, atlas_witness_verify(witness, data, SIZE), ATLAS_E_WITNESS);
        data[i] ^= flip;
        CHECK_GIVES(true, atlas_witness_verify(witness, data, SIZE), ATLAS_OK);
    }
    atlas_witness_destroy(witness);
}

/* The residue stays the same, so that only the digest detects the change. */
static void exchanged_bytes_are_seen(void)
{
    uint8_t data[4] = {1, 2, 3, 4};
    atlas_witness_t *const witness = atlas_witness_generate(data, sizeof data);
    CHECK(witness != NULL);
    data[1] = 3;
    data[2] = 2;
    CHECK_GIVES(false, atlas_witness_verify(witness, data, sizeof data), ATLAS_E_WITNESS);
    atlas_witness_destroy(witness);
}

static void another_length_is_seen(void)
{
    const uint8_t data[8] = {0};
    atlas_witness_t *const witness = atlas_witness_generate(data, 4);
    CHECK(witness != NULL);
    CHECK_GIVES(false, atlas_witness_verify(witness, data, 3), ATLAS_E_INVALID);
    CHECK_GIVES(false, atlas_witness_verify(witness, data, 5), ATLAS_E_INVALID);
    CHECK_GIVES(true, atlas_witness_verify(witness, data + 4, 4), ATLAS_OK);
    atlas_witness_destroy(witness);
}

static void records_differ_in_each_digest_byte(void)
{
    const uint8_t byte = 1;
    const atlas_l2_record record = atlas_l2_record_of(&byte, 1);
    CHECK(record.has_digest && record.residue == 1 && record.len == 1);
    for (size_t i = 0; i < ATLAS_L2_DIGEST_SIZE; i++) {
        atlas_l2_record other = record;
        CHECK(atlas_l2_record_agree(&record, &other));
        other.digest[i] ^= 0x80;
        CHECK(!atlas_l2_record_agree(&record, &other));
    }
}

int main(void)
{
    the_digest_is_registered_once();
    bad_arguments_are_refused();
    every_flipped_bit_is_seen();
    exchanged_bytes_are_seen();
    another_length_is_seen();
    records_differ_in_each_digest_byte();
    return 0;
}
