/* A program's own libzstd and liblz4, of other versions than the library has inside. */
#include <lz4.h>
#include <string.h>
#include <zstd.h>

#define LARGEST 4000000u

static char packed[LARGEST + LARGEST / 64 + 1024];
static char back[LARGEST];

int check_own_codecs(const unsigned char *bytes, unsigned size)
{
    size_t length;
    int short_length;
    if (size > LARGEST || ZSTD_versionNumber() != ZSTD_VERSION_NUMBER || LZ4_versionNumber() != LZ4_VERSION_NUMBER) {
        return 0;
    }
    length = ZSTD_compress(packed, sizeof packed, bytes, size, 5);
    if (ZSTD_isError(length) || ZSTD_decompress(back, sizeof back, packed, length) != size ||
        memcmp(bytes, back, size) != 0) {
        return 0;
    }
    memset(back, 0, sizeof back);
    short_length = LZ4_compress_default((const char *)bytes, packed, (int)size, (int)sizeof packed);
    return short_length > 0 &&
           LZ4_decompress_safe(packed, back, short_length, (int)sizeof back) == (int)size &&
           memcmp(bytes, back, size) == 0;
}
