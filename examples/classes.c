/* Writes the 96 class shards of a file into a folder, loses any 32 of them, rebuilds the file from the
 * 64 that are left, and compares.
 *
 *     classes FILE [FOLDER]
 *
 * The shards are FOLDER/class-00 to class-95, and the rebuilt file is FOLDER/rebuilt. Without FOLDER
 * they go to a temporary one that is removed at the end, also when the program is interrupted or fails.
 * Takes memory and room of about twice the file's size each. Ends with 0 only if the rebuilt file is the
 * same. C11 and POSIX.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { CLASSES = 96, NEEDED = 64, PATH_SIZE = 4096, CELLS = 20 };

/* ---- an end that leaves nothing behind ------------------------------------------------ */

static volatile sig_atomic_t signal_seen; /* 0: none */
static char temporary[PATH_SIZE];         /* the folder to remove at the end; empty: none */

static void on_signal(int number)
{
    signal_seen = number;
}

/* Removes the temporary folder with all that is in it. atexit calls it. */
static void remove_temporary(void)
{
    DIR *folder = temporary[0] != '\0' ? opendir(temporary) : NULL;
    if (folder == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    }
    (void)closedir(folder);
    (void)rmdir(temporary);
    temporary[0] = '\0';
}

/* After a signal the program ends as if the signal had ended it, once the folder is gone. */
static void stop_if_interrupted(void)
{
    const int number = signal_seen;
    if (number != 0) {
        remove_temporary();
        (void)fflush(stdout);
        (void)fprintf(stderr, "\nclasses: interrupted\n");
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
}

static void give_up(const char *what)
{
    stop_if_interrupted();
    (void)fflush(stdout);
    fprintf(stderr, "classes: %s\n", what);
    exit(1);
}

static void give_up_on(const char *path)
{
    stop_if_interrupted();
    perror(path);
    exit(1);
}

static void must(const char *what, atlas_status status)
{
    stop_if_interrupted();
    if (status != ATLAS_STATUS_OK) {
        fprintf(stderr, "classes: %s: %s: %s\n", what, atlas_status_name((int32_t)status),
                atlas_last_error_message());
        exit(1);
    }
}

/* ---- progress ---------------------------------------------------------------------------- */

static const char *step_name;
static double step_began;
static int step_shown; /* the last percentage */

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Formats a time such as 1.57 s, 20.4 ms or 83 us: three digits suffice. */
static const char *time_text(double seconds)
{
    static char text[32];
    const double value = seconds >= 1 ? seconds : seconds >= 1e-3 ? 1e3 * seconds : 1e6 * seconds;
    const char *unit = seconds >= 1 ? "s" : seconds >= 1e-3 ? "ms" : "us";
    (void)snprintf(text, sizeof text, "%.*f %s", value >= 100 ? 0 : value >= 10 ? 1 : 2, value, unit);
    return text;
}

/* A bar on a terminal, where the line of end() takes its place; nothing elsewhere. */
static void show(uint64_t done, uint64_t total)
{
    const int percent = total == 0 ? 100 : (int)(100.0 * (double)done / (double)total);
    stop_if_interrupted();
    if (percent != step_shown && isatty(1) == 1) {
        char cells[CELLS + 1];
        memset(cells, '-', CELLS);
        memset(cells, '#', (size_t)percent * CELLS / 100);
        cells[CELLS] = '\0';
        printf("\r%-24s [%s] %3d%%", step_name, cells, percent);
        (void)fflush(stdout);
    }
    step_shown = percent;
}

/* Cancels the call once a signal came; must() then ends the program. */
static bool on_progress(const atlas_progress *progress, void *user_data)
{
    (void)user_data;
    if (signal_seen != 0) {
        return false;
    }
    show(progress->bytes_done, progress->bytes_total);
    return true;
}

static void begin(const char *name)
{
    step_name = name;
    step_shown = -1;
    step_began = now();
}

static void end(uint64_t bytes)
{
    const double seconds = now() - step_began;
    printf("%s%-24s %10s", isatty(1) == 1 ? "\r" : "", step_name, time_text(seconds));
    if (bytes > 0 && seconds > 0) {
        printf(" %8.2f GB/s", (double)bytes / seconds / 1e9);
    }
    printf("          \n");
    (void)fflush(stdout);
}

/* ---- files ---------------------------------------------------------------------------------- */

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
        give_up_on(path);
    }
}

static uint8_t *read_file(const char *path, size_t *size)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &info) != 0) {
        give_up_on(path);
    }
    *size = (size_t)info.st_size;
    uint8_t *bytes = (uint8_t *)malloc(*size > 0 ? *size : 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) {
        give_up("a file was not read");
    }
    (void)fclose(file);
    return bytes;
}

static uint64_t size_of_file(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        give_up_on(path);
    }
    return (uint64_t)info.st_size;
}

/* The shards of 96 classes are 1.5 times the file and their proofs; 64 of them lie beside the rebuilt file. */
static void check_room(const char *path, const char *folder, uint64_t size)
{
    const double needed = 2.2 * (double)size + 1e6;
    struct statvfs info;
    printf("%s: %.1f MB; this takes about %.1f MB in %s, and as much memory\n", path, (double)size / 1e6,
           needed / 1e6, folder);
    if (statvfs(folder, &info) == 0 && (double)info.f_bavail * (double)info.f_frsize < needed) {
        give_up("the folder has less room: name another one behind the file");
    }
}

/* ---- the job ------------------------------------------------------------------------------- */

/* Projects the file, and writes one file a class. */
static void write_classes(const char *path, const char *folder, const atlas_operation *operation,
                          uint8_t root[32])
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
    begin("project, K = 64");
    must("projecting", atlas_projection_create(ATLAS_PROJECTION_R96_FOURIER, source, &options, operation, &projection));
    must("the root", atlas_projection_root(projection, operation, root));
    end(size);
    begin("extract 96 classes");
    must("extracting", atlas_shard_extract_classes(projection, NULL, classes, CLASSES, operation, shards));
    end(size);
    begin("serialise and write");
    for (unsigned i = 0; i < CLASSES; i++) {
        atlas_buffer encoded;
        must("serialising", atlas_shard_serialize(shards[i], &encoded));
        atlas_shard_destroy(shards[i]);
        write_file(class_path(folder, i), &encoded);
        written += encoded.size;
        atlas_buffer_free(&encoded);
        show(i + 1, CLASSES);
    }
    end(size);
    atlas_projection_destroy(projection);
    atlas_source_destroy(source);
    printf("%llu bytes in 96 shards, %.3f times the file\n", (unsigned long long)written,
           size > 0 ? (double)written / (double)size : 0.0);
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
            give_up_on("remove");
        }
        printf(" %u", lost);
    }
    printf("\n");
}

/* Rebuilds from the shards that are left. */
static void rebuild(const char *folder, const char *target, const atlas_operation *operation,
                    const uint8_t root[32], uint64_t size)
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
    begin("read, verify, decode 64");
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
        show(i + 1, CLASSES);
    }
    end(size);
    begin("transform and hash anew");
    must("finishing", atlas_reconstruction_finish(reconstruction, operation, &projection));
    end(size);
    atlas_projection_destroy(projection);
    atlas_reconstruction_destroy(reconstruction);
}

/* True if both files have the same bytes. */
static bool same_bytes(const char *left, const char *right)
{
    static uint8_t bytes[2][1 << 16];
    FILE *files[2] = {fopen(left, "rb"), fopen(right, "rb")};
    if (files[0] == NULL || files[1] == NULL) {
        give_up_on(files[0] == NULL ? left : right);
    }
    bool same = true;
    size_t count = 1;
    while (same && count > 0) {
        count = fread(bytes[0], 1, sizeof bytes[0], files[0]);
        same = fread(bytes[1], 1, sizeof bytes[1], files[1]) == count && memcmp(bytes[0], bytes[1], count) == 0;
    }
    same = same && ferror(files[0]) == 0 && ferror(files[1]) == 0;
    (void)fclose(files[0]);
    (void)fclose(files[1]);
    return same;
}

static const char usage[] =
    "usage: classes FILE [FOLDER]\n"
    "\n"
    "Writes the 96 class shards of FILE into FOLDER, or a temporary folder that is removed at\n"
    "the end, loses any 32 of them, rebuilds the file from the other 64, and compares.\n";

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    char target[PATH_SIZE];
    uint8_t root[32];
    atlas_operation operation;
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        printf("%s", usage);
        return 0;
    }
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "%s", usage);
        return 2;
    }
    const char *folder = argv[2];
    const uint64_t size = size_of_file(argv[1]);
    catch_signals();
    if (folder == NULL) {
        char name[PATH_SIZE];
        if (snprintf(name, sizeof name, "%s/atlas-classes-XXXXXX", base != NULL ? base : P_tmpdir) >=
            (int)sizeof name) {
            give_up("the path of TMPDIR is too long");
        }
        if (mkdtemp(name) == NULL) {
            give_up_on(name);
        }
        memcpy(temporary, name, sizeof temporary);
        (void)atexit(remove_temporary);
        folder = temporary;
    }
    if (snprintf(target, sizeof target, "%s/rebuilt", folder) >= (int)sizeof target) {
        give_up("the name of the folder is too long");
    }
    check_room(argv[1], folder, size);
    atlas_operation_init(&operation);
    operation.progress = on_progress;
    write_classes(argv[1], folder, &operation, root);
    lose_classes(folder);
    rebuild(folder, target, &operation, root, size);
    if (!same_bytes(argv[1], target)) {
        give_up("the rebuilt file is another one");
    }
    printf("Rebuilt %llu bytes from 64 of 96 classes, byte for byte.\n", (unsigned long long)size);
    return 0;
}
