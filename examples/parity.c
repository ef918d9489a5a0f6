/* Protects a file by a parity file, damages a copy of it in three ways, and repairs the copy:
 *
 *   parity FILE
 *
 * The copy and its parity file are in a temporary folder that is removed at the end, also when the program is
 * interrupted or fails. C11 and POSIX.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static volatile sig_atomic_t signal_seen; /* 0: none */

static void on_signal(int number) { signal_seen = number; }

/* Ends a call after a signal. */
static bool go_on(const atlas_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return signal_seen == 0;
}

/* Tells the first damaged units; true, since nobody changed this copy on purpose. */
static bool tell(const atlas_damage *damage, void *user_data)
{
    static const char *const kinds[] = {"differ", "cannot be read", "are missing", "have lost their digest"};
    unsigned *count = (unsigned *)user_data;
    if ((*count)++ < 3) {
        printf("  %llu bytes at offset %llu %s\n", (unsigned long long)damage->length,
               (unsigned long long)damage->offset, damage->kind < 4 ? kinds[damage->kind] : "are damaged");
    }
    return true;
}

static bool copy_file(const char *from, const char *to)
{
    static char buffer[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    bool good = in != NULL && out != NULL;
    size_t got = 0;
    while (good && signal_seen == 0 && (got = fread(buffer, 1, sizeof buffer, in)) > 0) {
        good = fwrite(buffer, 1, got, out) == got;
    }
    good = in != NULL && !ferror(in) && fclose(in) == 0 && good;
    return out != NULL && fclose(out) == 0 && good;
}

/* A burst of zeros, single bits, and a lost end: together no more than the parity rebuilds. */
static bool damage_file(const char *path, const atlas_parity_info *info)
{
    static const char zeros[4096];
    const uint64_t size = info->protected_size, share = info->parity_columns / 4;
    const uint64_t part = share * info->rows * info->unit_size, start = size / 3 / info->unit_size * info->unit_size;
    const uint64_t bits = size == 0 ? 0 : share / 2 + 1;
    FILE *file = fopen(path, "r+b");
    bool good = file != NULL;
    for (uint64_t at = start; good && at < start + part; at += sizeof zeros) {
        good = fseek(file, (long)at, SEEK_SET) == 0 && fwrite(zeros, 1, sizeof zeros, file) == sizeof zeros;
    }
    for (uint64_t i = 0; good && i < bits; i++) {
        int byte = 0;
        good = fseek(file, (long)(size / 9 * i), SEEK_SET) == 0 && (byte = fgetc(file)) != EOF
            && fseek(file, -1, SEEK_CUR) == 0 && fputc(byte ^ 1, file) != EOF;
    }
    good = file != NULL && fclose(file) == 0 && good;
    printf("damaged: %llu bytes of zeros, %llu bits, and %llu bytes cut off\n", (unsigned long long)part,
           (unsigned long long)bits, (unsigned long long)part);
    return good && truncate(path, (off_t)(size - part)) == 0;
}

/* Says why, if something of the library failed. */
static bool is_ok(atlas_status status)
{
    if (status != ATLAS_STATUS_OK && signal_seen == 0) {
        fprintf(stderr, "parity: %s\n", atlas_last_error_message());
    }
    return status == ATLAS_STATUS_OK;
}

static bool protect(const char *copy, const char *atp, const atlas_operation *operation)
{
    atlas_source *source = NULL;
    const bool good = is_ok(atlas_source_open_file(copy, ATLAS_FILE_IO_READ, &source))
        && is_ok(atlas_parity_create(source, atp, NULL, operation));
    atlas_source_destroy(source);
    return good;
}

static bool is_intact(const atlas_parity *parity, const char *copy, const atlas_operation *operation)
{
    atlas_source *source = NULL;
    const bool good = is_ok(atlas_source_open_file(copy, ATLAS_FILE_IO_READ, &source))
        && is_ok(atlas_parity_check(parity, source, NULL, NULL, operation, NULL));
    atlas_source_destroy(source);
    return good;
}

static bool run(const char *file, const char *copy, const char *atp)
{
    atlas_operation operation;
    atlas_repair_options options;
    atlas_parity *parity = NULL;
    atlas_parity_info info = {.struct_size = sizeof info};
    atlas_parity_report report = {.struct_size = sizeof report};
    unsigned count = 0;
    atlas_operation_init(&operation);
    operation.progress = go_on;
    atlas_repair_options_init(&options);
    options.mode = ATLAS_REPAIR_IN_PLACE;
    if (!copy_file(file, copy)) {
        fprintf(stderr, "parity: %s cannot be copied to %s\n", file, copy);
        return false;
    }
    bool good = protect(copy, atp, &operation) && is_ok(atlas_parity_open(atp, NULL, &operation, &parity))
        && is_ok(atlas_parity_get_info(parity, &info));
    if (good) {
        printf("%llu bytes protected by %llu of parity: any %u of %u units a row, bursts of up to %llu bytes\n",
               (unsigned long long)info.protected_size, (unsigned long long)info.parity_size, info.parity_columns,
               info.data_columns + info.parity_columns, (unsigned long long)info.burst_size);
        good = damage_file(copy, &info)
            && is_ok(atlas_parity_repair(parity, copy, &options, tell, &count, &operation, &report));
    }
    if (good) {
        printf("%llu units of %u bytes repaired in %llu rows\n", (unsigned long long)report.repaired_units,
               info.unit_size, (unsigned long long)report.damaged_rows);
        good = is_intact(parity, copy, &operation);
        printf("%s\n", good ? "checked again: every byte is as it was" : "the copy is not what it was");
    }
    atlas_parity_destroy(parity);
    return good;
}

int main(int argc, char **argv)
{
    char folder[PATH_SIZE], copy[PATH_SIZE + 16], atp[PATH_SIZE + 16];
    const char *base = getenv("TMPDIR");
    struct sigaction action;
    if (argc != 2) {
        fprintf(stderr, "usage: parity FILE\n");
        return 1;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)snprintf(folder, sizeof folder, "%s/atlas-parity-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "parity: no folder %s can be made\n", folder);
        return 1;
    }
    (void)snprintf(copy, sizeof copy, "%s/copy", folder);
    (void)snprintf(atp, sizeof atp, "%s/copy.atp", folder);
    const bool good = run(argv[1], copy, atp);
    (void)unlink(copy);
    (void)unlink(atp);
    (void)rmdir(folder);
    if (signal_seen != 0) {
        fprintf(stderr, "parity: interrupted\n");
        (void)signal(signal_seen, SIG_DFL);
        (void)raise(signal_seen);
    }
    return good ? 0 : 1;
}
