/* atlas_manifold: large byte domains as verifiable tiles, shards that travel alone, and exact
 * reconstruction.
 *
 * Made by cbindgen from src/ffi; `make generate` renews it.
 *
 * Link
 *   CMake       find_package(AtlasManifold 0.2 REQUIRED)
 *               target_link_libraries(program PRIVATE AtlasManifold::AtlasManifold)
 *   pkg-config  cc program.c $(pkg-config --cflags --libs atlas_manifold)
 *   by hand     cc program.c -latlas_manifold
 *   static      cc program.c -l:libatlas_manifold.a -lpthread -lm -ldl -Wl,--gc-sections
 *
 * A first program
 *
 *   #include <atlas_manifold.h>
 *   #include <stdio.h>
 *
 *   int main(int argc, char **argv) {
 *     atlas_source *source = NULL;
 *     atlas_projection *projection = NULL;
 *     atlas_projection_info info = { .struct_size = sizeof info };
 *     uint8_t root[32];
 *     int failed = argc != 2
 *         || atlas_source_open_file(argv[1], ATLAS_FILE_IO_READ, &source)
 *         || atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection)
 *         || atlas_projection_get_info(projection, &info)
 *         || atlas_projection_root(projection, NULL, root);
 *     if (failed) {
 *       fprintf(stderr, "%s\n", argc == 2 ? atlas_last_error_message() : "usage: first FILE");
 *     } else {
 *       printf("%llu bytes, residue %u, root ", (unsigned long long)info.domain_size, info.residue);
 *       for (int i = 0; i < 32; i++) printf("%02x", root[i]);
 *       printf("\n");
 *     }
 *     atlas_projection_destroy(projection); // NULL does nothing
 *     atlas_source_destroy(source);
 *     return failed;
 *   }
 *
 * Parts      Version and errors; operations; sources; projections; shards; reconstruction; then
 *            streaming, incremental updates, compression, damage reports, containers, outlines, parity
 *            files, accelerators and the benchmark. A paragraph and an example open each part.
 * Errors     A function that can fail returns atlas_status; 0 is success. Out-parameters are set to
 *            NULL or 0 first. A failed call leaves the caller's objects unchanged. For the thread's last
 *            failure, atlas_last_error_message() returns the text and atlas_last_error_get() the numbers.
 *            Each function lists how it fails. In addition, every function can return INVALID_ARGUMENT (a
 *            NULL that is not allowed, an impossible struct_size) or INTERNAL (a defect in the library,
 *            such as a caught panic, for which Rust also prints a line to stderr).
 *            Reporting a failure needs no memory, and the destroy functions need none. Small blocks that the
 *            system refuses come from a reserve of 576 KiB in the library. A process whose memory runs
 *            out is aborted only if the reserve is used up too, in the start of a thread, or when the
 *            tables of the first parity file are made; docs/reliability.md has the figures.
 * Ownership  The caller owns each handle that create, open, copy, borrow, from_callback, range, concat,
 *            project, snapshot, extract, deserialize, compress, decompress, finish, merge and run return
 *            through `out`, and passes it to the destroy function of its type, which accepts NULL. Memory from the
 *            library goes back to the library, never to free().
 * Memory     Up to 64 MiB of used buffers stay for the next call, for the whole process, even after every
 *            handle is destroyed: atlas_manifold_trim() frees them. A memory_limit counts them too.
 * Threads    Any thread may call. A function that takes a const handle may run at the same time as any
 *            other function on that handle; functions that change it are serialised inside. Destroy a
 *            handle only when no call uses it. The library starts no thread before the first parallel
 *            call or atlas_pool_create() of more than one thread, and never uses a process-global pool.
 *            The library's own pool has one thread for each core that the calling thread or the main
 *            thread may use. A call needs 64 KiB of stack, or 192 KiB if it rebuilds a parity row that has
 *            lost 28 or more units. A thread that is cancelled (deferred) during a call is cancelled when
 *            the call returns.
 * Fork       The child makes its own library pool; a call with a pool that the caller made before the
 *            fork fails there with STATE. Do not use in the child a handle that another thread was using
 *            at the moment of the fork: it may stay locked forever. A projection and its snapshots count
 *            as one handle here. A file that is still being written (spool_path) belongs to the process
 *            that began it: in the child, adding to it or finishing it fails with STATE. After a fork in
 *            a callback, the call goes on in the parent and returns STATE in the child. Only the thread
 *            that made the call may return from the callback in the child.
 * Structs    Fill a struct that begins with struct_size with its *_init, which ignores NULL. For a struct
 *            that the library fills, set struct_size to sizeof and nothing else. Older, smaller sizes stay
 *            valid.
 * NULL       A NULL for options, limits or operation means the defaults of *_init.
 * Callbacks  Callbacks must not throw or longjmp. The progress callback runs on the thread that made the
 *            call. A callback that ends its thread (pthread_exit) counts as failed, a read callback with
 *            ECANCELED; the thread continues. Callbacks may hold locks and call the library with other
 *            handles: no call waits for the callback of another call (ATLAS_PARALLEL_POOL: unless such
 *            callbacks hold all threads of its pool).
 * Files      A file that the library writes appears under its name complete or not at all. Until then it has
 *            no name (Linux), or is named .atlas-*.tmp in the same folder and removed if the call fails. A
 *            killed process leaves such .tmp files, and so does a process that exceeds its file size limit
 *            without ignoring SIGXFSZ. Delete these files when no process writes there. Only regular files are
 *            replaced, and the new file keeps owner, group, mode and, on Linux, access list and extended
 *            attributes, or the call fails with IO. A new file, also a copy, has the attributes of any new file
 *            in its folder. The library never opens a file as descriptor 0, 1 or 2: while a call opens files, a
 *            number of these that is closed leads to `/`, neither readable nor writable, and no thread may open
 *            or close descriptors 0 to 2. Each call that opens a file by its path also closes it, which ends the
 *            record locks (fcntl, F_SETLK) of this process on that file: use F_OFD_SETLK or flock. Two kinds of
 *            calls change an existing file: a repair in place, and those that write a container (opening for
 *            writing, commit, import). Both may be stopped at any moment.
 * Sizes      Sizes of the domain are uint64_t, sizes of memory size_t. Paths are bytes on Unix, UTF-8 on
 *            Windows.
 * Unloading  The library stays mapped after dlclose(), so that threads that used it can still exit
 *            safely. Destroy your pools first.
 * Versions   Compare atlas_manifold_version() with ATLAS_MANIFOLD_VERSION.
 */

#ifndef ATLAS_MANIFOLD_H
#define ATLAS_MANIFOLD_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Marks a function that the library exports. */
#ifndef ATLAS_API
#if defined(__GNUC__)
#define ATLAS_API __attribute__((visibility("default")))
#else
#define ATLAS_API
#endif
#endif

/* The version of this header; atlas_manifold_version() gives the library's. */
#define ATLAS_MANIFOLD_VERSION_MAJOR 0
#define ATLAS_MANIFOLD_VERSION_MINOR 2
#define ATLAS_MANIFOLD_VERSION_PATCH 0
#define ATLAS_MANIFOLD_VERSION_STRING "0.2.0"
#define ATLAS_MANIFOLD_VERSION \
  (ATLAS_MANIFOLD_VERSION_MAJOR << 16 | ATLAS_MANIFOLD_VERSION_MINOR << 8 | \
   ATLAS_MANIFOLD_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* -----------------------------------------------------------------------------------------------
 * Version, errors and memory.
 *
 * A call that can fail returns an atlas_status. The message and the numbers of the thread's last
 * failure stay available until its next call that returns a status. A program compares the version
 * of the library in use with the version of its header, and asks atlas_manifold_features() before
 * it uses an optional part.
 *
 *   static int try_to_open(const char *path) {
 *     atlas_source *source = NULL;
 *     atlas_error_info info = { .struct_size = sizeof info };
 *     if (atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source) == ATLAS_STATUS_OK) {
 *       atlas_source_destroy(source);
 *       return 0;
 *     }
 *     atlas_last_error_get(&info);
 *     fprintf(stderr, "%s: %s (errno %d)\n", atlas_status_name(info.status),
 *             atlas_last_error_message(), info.os_error);
 *     return 1;
 *   }
 */

/**
 * Feature bit: work runs on several threads.
 */
#define ATLAS_FEATURE_PARALLEL 1

/**
 * Feature bit: shards can be compressed.
 */
#define ATLAS_FEATURE_COMPRESSION 2

/**
 * Feature bit: domains can be streamed.
 */
#define ATLAS_FEATURE_STREAMING 4

/**
 * Feature bit: the benchmark suite is built in.
 */
#define ATLAS_FEATURE_BENCHMARKS 8

/**
 * Feature bit: containers are built in. Always set.
 */
#define ATLAS_FEATURE_CONTAINER 16

/**
 * Feature bit: parity files can be made and used.
 */
#define ATLAS_FEATURE_PARITY 32

/**
 * Feature bit: ATLAS_COMPRESSION_ZSTD is built in.
 */
#define ATLAS_FEATURE_ZSTD 64

/**
 * Feature bit: ATLAS_COMPRESSION_LZ4 is built in.
 */
#define ATLAS_FEATURE_LZ4 128

/**
 * Feature bit: pools can have an OpenCL device.
 */
#define ATLAS_FEATURE_OPENCL 256

/**
 * Returns the version of the library in use: major << 16 | minor << 8 | patch.
 *
 * Compare it with ATLAS_MANIFOLD_VERSION, the version of the header that the program was compiled
 * with. Callable from any thread.
 */
ATLAS_API uint32_t atlas_manifold_version(void);

/**
 * Returns the version of the library in use as text, such as "0.2.0". The text lives as long as
 * the library.
 */
ATLAS_API const char *atlas_manifold_version_string(void);

/**
 * Returns the features that are built in, a set of ATLAS_FEATURE_ bits. Callable from any thread.
 */
ATLAS_API uint64_t atlas_manifold_features(void);

/**
 * Frees the used buffers and tables that the library keeps for the next call.
 *
 * The library keeps at most 64 MiB of buffers and 400 KiB of decompression states for the whole
 * process, besides the memory of live handles. On Linux with glibc, once every handle is
 * destroyed, resident memory returns to within 2 MiB of its value before the first call. Not
 * counted are the pages of the library's own file, which the system shares, and 9 MiB of tables
 * that stay once a parity file was made or repaired.
 *
 * The call also returns the free memory of malloc() to the system, for the whole process, which
 * takes some milliseconds with a large heap. The threads of the library's own pool stay; while
 * they work, the free memory of their allocator stays too. Later calls allocate again. Callable
 * from any thread, also during other calls, which keep the memory that they use.
 */
ATLAS_API void atlas_manifold_trim(void);

/**
 * Computes BLAKE3-256 of `size` bytes at `data`, which may be NULL if `size` is 0.
 *
 * The result is a suitable digest for atlas_conservation_set_digest() of Layer 2. Callable from
 * any thread. A NULL `digest` is ignored. NULL data with a size other than 0 gives 32 zero bytes.
 *
 */
ATLAS_API void atlas_digest256(const void *data, size_t size, uint8_t digest[32]);

/**
 * Bytes that the library allocated and the caller owns. Free them with atlas_buffer_free().
 */
typedef struct atlas_buffer {
  /**
   * First byte. NULL if size is 0.
   */
  uint8_t *data;
  /**
   * Number of bytes at data.
   */
  size_t size;
} atlas_buffer;

/**
 * Frees the bytes of a buffer and sets it to {NULL, 0}, so that a second call does nothing.
 *
 * NULL does nothing. Only for buffers that the library filled. One thread at a time per buffer.
 */
ATLAS_API void atlas_buffer_free(struct atlas_buffer *buffer);

/**
 * Outcome of a call. Numbers are never reused.
 */
typedef enum atlas_status {
  /**
   * Success.
   */
  ATLAS_STATUS_OK = 0,
  /**
   * An argument is NULL although NULL is not allowed, has an unknown enum value, or is an invalid
   * configuration.
   */
  ATLAS_STATUS_INVALID_ARGUMENT = 1,
  /**
   * A buffer whose size comes from outside could not be allocated, or a thread could not be
   * started.
   */
  ATLAS_STATUS_OUT_OF_MEMORY = 2,
  /**
   * An offset or a length lies outside the domain, or a number outside its range.
   */
  ATLAS_STATUS_OUT_OF_RANGE = 3,
  /**
   * The operating system or a callback failed. The message has the path and the reason.
   */
  ATLAS_STATUS_IO = 4,
  /**
   * The sum of bytes mod 96 differs from the required or recorded sum.
   */
  ATLAS_STATUS_CONSERVATION = 5,
  /**
   * A digest, a proof or a key does not match: the bytes differ from the projected bytes.
   */
  ATLAS_STATUS_WITNESS = 6,
  /**
   * Serialised data is malformed or truncated.
   */
  ATLAS_STATUS_FORMAT = 7,
  /**
   * A feature is not built in, or the data is of a newer version.
   */
  ATLAS_STATUS_UNSUPPORTED = 8,
  /**
   * The call is not valid in the present state of the handle.
   */
  ATLAS_STATUS_STATE = 9,
  /**
   * Shards are missing for reconstruction.
   */
  ATLAS_STATUS_INCOMPLETE = 10,
  /**
   * Overlapping shards disagree.
   */
  ATLAS_STATUS_CONFLICT = 11,
  /**
   * A progress callback returned false.
   */
  ATLAS_STATUS_CANCELLED = 12,
  /**
   * A limit set by the caller would be exceeded.
   */
  ATLAS_STATUS_LIMIT = 13,
  /**
   * Defect of the library, such as a caught panic.
   */
  ATLAS_STATUS_INTERNAL = 14,
} atlas_status;

/**
 * Returns the name of a status, such as "ATLAS_STATUS_WITNESS".
 *
 * Any number is allowed. The result is never NULL and lives as long as the library. Callable from
 * any thread.
 */
ATLAS_API const char *atlas_status_name(int32_t status);

/**
 * Last failure of a thread as numbers. Filled by atlas_last_error_get().
 */
typedef struct atlas_error_info {
  /**
   * sizeof(atlas_error_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Status that the call returned, an atlas_status. 0 after success.
   */
  int32_t status;
  /**
   * Error number (errno) of the operating system or of a callback, or 0.
   */
  int32_t os_error;
  /**
   * Always 0.
   */
  uint32_t reserved;
  /**
   * Index of the batch item, tile, chunk or class that failed. UINT64_MAX means none.
   */
  uint64_t index;
  /**
   * Offset in the domain, or in the bytes that were read. UINT64_MAX means none.
   */
  uint64_t offset;
  /**
   * Number of bytes from offset on. UINT64_MAX means none.
   */
  uint64_t length;
} atlas_error_info;

/**
 * Returns the message of the calling thread's last failed call, with the offending value and its
 * limit.
 *
 * Never NULL; empty after success. Borrowed until the thread's next call that returns a status:
 * copy it to keep it.
 */
ATLAS_API const char *atlas_last_error_message(void);

/**
 * Fills `info` with the calling thread's last failure as numbers. The status is 0 after success.
 *
 * This call leaves the last failure as it is. Fails with INVALID_ARGUMENT.
 */
ATLAS_API enum atlas_status atlas_last_error_get(struct atlas_error_info *info);

/* -----------------------------------------------------------------------------------------------
 * Operations: pool, progress and memory limit of a long call.
 *
 * Long calls accept an atlas_operation. It names the pool whose threads share the work, a callback
 * that follows the progress and can cancel, and a limit for the memory that the call allocates.
 * NULL means the library's own pool, no progress and no limit.
 *
 *   static bool show(const atlas_progress *now, void *user_data) {
 *     (void)user_data;
 *     printf("%llu of %llu bytes\n", (unsigned long long)now->bytes_done,
 *            (unsigned long long)now->bytes_total);
 *     return true; // false cancels
 *   }
 *   static atlas_status verify(const atlas_projection *projection) {
 *     atlas_operation operation;
 *     atlas_operation_init(&operation);
 *     operation.progress = show;
 *     operation.memory_limit = 64 << 20;
 *     return atlas_projection_verify(projection, &operation);
 *   }
 */

/**
 * Pool of worker threads, made by atlas_pool_create().
 */
typedef struct atlas_pool atlas_pool;

/**
 * Progress of a long call. Its values never decrease within a call.
 */
typedef struct atlas_progress {
  /**
   * sizeof(atlas_progress).
   */
  uint32_t struct_size;
  /**
   * Always 0.
   */
  uint32_t reserved;
  /**
   * Bytes of work done.
   */
  uint64_t bytes_done;
  /**
   * Total bytes of work. 0 means unknown.
   */
  uint64_t bytes_total;
  /**
   * Tiles, chunks, regions, shards or cases done.
   */
  uint64_t chunks_done;
  /**
   * Total number of tiles, chunks, regions, shards or cases.
   */
  uint64_t chunks_total;
} atlas_progress;

/**
 * Receives the progress of a call, on the thread that made the call. Returning false cancels.
 *
 * `progress` is borrowed for the callback. The callback may use other handles, but not the one in
 * use by the call, and must not throw or longjmp. Other changing calls on the stream or the
 * reconstruction wait for its return, so two threads whose callbacks change each other's handle
 * deadlock. After false the callback is not called again, and the call returns ATLAS_STATUS_CANCELLED.
 */
typedef bool (*atlas_progress_fn)(const struct atlas_progress *progress, void *user_data);

/**
 * Settings of a long call. Fill it with atlas_operation_init(). A NULL operation means these
 * defaults.
 */
typedef struct atlas_operation {
  /**
   * sizeof(atlas_operation).
   */
  uint32_t struct_size;
  /**
   * Pool whose threads share the work. NULL means the library's own pool of one thread per core,
   * made at the first parallel call. The calling thread and the threads of the pool share the work,
   * together at most as many threads as the pool has; work too small to share runs on the calling thread.
   * No other thread is used. (With ATLAS_PARALLEL_POOL the calling thread only waits, reports progress and
   * assembles the results.)
   */
  const struct atlas_pool *pool;
  /**
   * Progress callback. NULL means none.
   */
  atlas_progress_fn progress;
  /**
   * Passed to progress.
   */
  void *user_data;
  /**
   * Maximum number of bytes that the library may allocate during the call, including its result,
   * excluding thread stacks and mapped pages. 0 means no limit. The call uses fewer workers
   * before it returns ATLAS_STATUS_LIMIT.
   */
  uint64_t memory_limit;
} atlas_operation;

/**
 * Fills `operation` with the defaults: the library's pool, no progress, no memory limit.
 */
ATLAS_API void atlas_operation_init(struct atlas_operation *operation);

/**
 * Creates a pool of `threads` threads for the caller's calls. 0 means one per core; the maximum is
 * 1,024.
 *
 * With 1 no thread is started: all work and all callbacks run on the calling thread. `*out` is owned by the
 * caller: atlas_pool_destroy(). A pool may serve many calls at once. Its threads are named atlas-N, block
 * asynchronous signals and have a stack of 2 MiB. In a forked child every operation with the pool fails with
 * ATLAS_STATUS_STATE, even if the pool has one thread only. Fails with INVALID_ARGUMENT or OUT_OF_MEMORY
 * (also if a thread could not be started).
 */
ATLAS_API
enum atlas_status atlas_pool_create(uint32_t threads,
                                    struct atlas_pool **out);

/**
 * Returns the number of tasks that a pool can run at once. 0 for NULL.
 */
ATLAS_API uint32_t atlas_pool_threads(const struct atlas_pool *pool);

/**
 * Joins the threads of a pool and frees it. NULL does nothing. No call may be using it.
 *
 * In a forked child of the process that made the pool nothing is joined, because the threads
 * belong to the parent.
 */
ATLAS_API void atlas_pool_destroy(struct atlas_pool *pool);

/* -----------------------------------------------------------------------------------------------
 * Sources: files, memory and callbacks that hold the bytes of a domain.
 *
 * A source says where the bytes of a domain come from: a copy, the caller's memory, a file, a
 * callback, or ranges and sequences of other sources. Sources are reference-counted, so that the
 * caller may destroy a handle as soon as a projection was made from it.
 *
 *   static atlas_status join(const char *first, const char *second, atlas_source **out) {
 *     atlas_source *parts[2] = { NULL, NULL };
 *     atlas_status status = atlas_source_open_file(first, ATLAS_FILE_IO_READ, &parts[0]);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_source_open_file(second, ATLAS_FILE_IO_READ, &parts[1]);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_source_concat((const atlas_source *const *)parts, 2, out);
 *     atlas_source_destroy(parts[0]); // NULL does nothing
 *     atlas_source_destroy(parts[1]);
 *     return status;
 *   }
 */

/**
 * Origin of the bytes of a domain. Reference-counted: projections and their snapshots keep their
 * source alive, shards never do.
 */
typedef struct atlas_source atlas_source;

/**
 * Method of reading a file.
 */
typedef enum atlas_file_io {
  /**
   * Positioned reads. If the file shrinks or cannot be read later, the call that reads it fails.
   */
  ATLAS_FILE_IO_READ = 0,
  /**
   * Memory mapping. The caller guarantees that no process truncates or writes the file while a
   * projection reads it. Reading after the new end of a truncated file kills the process
   * (SIGBUS).
   */
  ATLAS_FILE_IO_MMAP = 1,
  /**
   * Memory mapping if no process can shorten the file, otherwise like ATLAS_FILE_IO_READ.
   *
   * Linux guarantees this for a file with the seal F_SEAL_SHRINK, for an immutable file on ext4, and for a
   * file on a file system that is mounted read-only as a whole and that no other machine writes to. A file
   * on a read-only mount of a file system that is mounted for writing elsewhere is not mapped. The caller
   * guarantees that no process writes to a file that is only sealed against shrinking, and that no
   * administrator revokes the other two guarantees in the meantime. If the disk fails, a mapping kills the
   * process (SIGBUS), and positioned reads fail with IO.
   */
  ATLAS_FILE_IO_AUTO = 2,
} atlas_file_io;

/**
 * Reads exactly `size` bytes at `offset` into `buffer`. Returns 0, or an errno value.
 *
 * The library calls it from several threads at once, unless the operation's pool has one thread. `buffer`
 * may be uninitialised. The callback must not throw or longjmp. It may call the library with other handles.
 */
typedef int (*atlas_read_at_fn)(void *user_data, uint64_t offset, void *buffer, size_t size);

/**
 * The library calls it once, from any thread, when the last object that reads a source is gone.
 */
typedef void (*atlas_release_fn)(void *user_data);

/**
 * Creates a source from a copy of `size` bytes at `data`, which may be NULL if `size` is 0.
 *
 * `*out` is owned by the caller: atlas_source_destroy(). Fails with INVALID_ARGUMENT or
 * OUT_OF_MEMORY. Costs one copy.
 */
ATLAS_API
enum atlas_status atlas_source_copy(const void *data,
                                    size_t size,
                                    struct atlas_source **out);

/**
 * Creates a source from memory of the caller, without a copy.
 *
 * `data` must stay readable and unchanged until `release` is called with `user_data`, once, from any thread,
 * when the last object that reads `data` is gone. `release` may be NULL; then `data` must stay until all
 * these objects are destroyed. On failure `release` is not called. `*out` is owned by the caller. Fails with
 * INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_source_borrow(const void *data,
                                      size_t size,
                                      atlas_release_fn release,
                                      void *user_data,
                                      struct atlas_source **out);

/**
 * Creates a source that reads a regular file. `io` is an atlas_file_io.
 *
 * `path` is copied: bytes on Unix, UTF-8 on Windows. The size of the source is the size of the file at this
 * moment. Hashing of tiles skips the holes of a sparse file; each call asks the file system for the holes
 * again. `*out` is owned by the caller. Fails with INVALID_ARGUMENT (not a regular file, unknown io), IO
 * (message with path and reason, os_error set), OUT_OF_MEMORY or UNSUPPORTED (mapping not built in).
 */
ATLAS_API
enum atlas_status atlas_source_open_file(const char *path,
                                         uint32_t io,
                                         struct atlas_source **out);

/**
 * Creates a source that reads a regular file through a descriptor. `io` is an atlas_file_io.
 *
 * `fd` is open for reading, without O_DIRECT. The library keeps a duplicate, so that the caller may close
 * `fd` at once. Its offset is neither used nor moved. Holes are searched through a file description that the
 * library opens itself (/proc/self/fd/N); if it cannot be opened, the file counts as dense. When the last
 * object that reads the source is gone the duplicate is closed, which ends the record locks (fcntl) of this
 * process on the file. The size of the source is the size of the file at this moment. `*out` is owned by the
 * caller. Callable from any thread. Fails with INVALID_ARGUMENT (not a regular file, not open for reading,
 * unknown io), IO (os_error set: EBADF if `fd` is not open), OUT_OF_MEMORY or UNSUPPORTED (mapping not built
 * in; Windows).
 */
ATLAS_API
enum atlas_status atlas_source_open_fd(int fd,
                                       uint32_t io,
                                       struct atlas_source **out);

/**
 * Creates a source of `size` bytes that `read_at` provides.
 *
 * `release` (may be NULL) is called once with `user_data`, from any thread, when the last object that reads
 * the source is gone; on failure it is not called. `*out` is owned by the caller. Fails with
 * INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_source_from_callback(uint64_t size,
                                             atlas_read_at_fn read_at,
                                             atlas_release_fn release,
                                             void *user_data,
                                             struct atlas_source **out);

/**
 * Creates a source from the `size` bytes of another source from `offset` on.
 *
 * No byte is copied. The new source keeps `source` alive, so that `source` may be destroyed right after this
 * call. A range of a file stays known as a part of that file. A size of 0 gives an empty source. `*out` is
 * owned by the caller: atlas_source_destroy(). Callable from any thread. Fails with INVALID_ARGUMENT,
 * OUT_OF_RANGE or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_source_range(const struct atlas_source *source,
                                     uint64_t offset,
                                     uint64_t size,
                                     struct atlas_source **out);

/**
 * Creates a source from the bytes of `count` sources in sequence.
 *
 * No byte is copied, and a source may occur twice. `sources` is copied and each source is kept alive, so
 * that the caller may destroy its handles right after the call. A read finds its part in O(log count); files
 * stay known as files. `sources` may be NULL if `count` is 0, which gives an empty source. `*out` is owned
 * by the caller: atlas_source_destroy(). Callable from any thread. Fails with INVALID_ARGUMENT (the message
 * says which source is NULL), LIMIT (2^64 bytes or more) or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_source_concat(const struct atlas_source *const *sources,
                                      size_t count,
                                      struct atlas_source **out);

/**
 * Returns the number of bytes of a source. 0 for NULL. Callable from any thread.
 */
ATLAS_API uint64_t atlas_source_size(const struct atlas_source *source);

/**
 * Releases the caller's reference to a source. NULL does nothing. Projections keep their own
 * reference.
 */
ATLAS_API void atlas_source_destroy(struct atlas_source *source);

/* -----------------------------------------------------------------------------------------------
 * Projections: addressable, verifiable views of a domain.
 *
 * A projection divides the bytes of a source into tiles of at most 1 MiB, each with a residue (sum
 * mod 96) and a witness (BLAKE3), under one root of 32 bytes. The root identifies the bytes:
 * shards, containers and later checks all refer to it.
 *
 *   static atlas_status root_of(const char *path, uint8_t root[32]) {
 *     atlas_source *source = NULL;
 *     atlas_projection *projection = NULL;
 *     atlas_status status = atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_projection_root(projection, NULL, root);
 *     atlas_projection_destroy(projection); // NULL does nothing
 *     atlas_source_destroy(source);
 *     return status;
 *   }
 */

/**
 * Addressable, verifiable view of a domain.
 */
typedef struct atlas_projection atlas_projection;

/**
 * Transformation from the bytes of a tile to its witnessed payload.
 */
typedef enum atlas_projection_type {
  /**
   * The bytes themselves.
   */
  ATLAS_PROJECTION_LINEAR = 0,
  /**
   * The exact Fourier transform over GF(12289), distributed over 96 resonance classes. Any
   * r96_data_classes of them rebuild the domain.
   */
  ATLAS_PROJECTION_R96_FOURIER = 1,
} atlas_projection_type;

/**
 * Requirement on the sum of all bytes.
 */
typedef enum atlas_conservation_policy {
  /**
   * Any sum is allowed; residue and correction are recorded.
   */
  ATLAS_CONSERVATION_TRACK = 0,
  /**
   * The sum must be 0 mod 96, also after every change.
   */
  ATLAS_CONSERVATION_STRICT = 1,
} atlas_conservation_policy;

/**
 * Options of a new projection. Fill it with atlas_projection_options_init().
 */
typedef struct atlas_projection_options {
  /**
   * sizeof(atlas_projection_options).
   */
  uint32_t struct_size;
  /**
   * Requirement on the sum of all bytes, an atlas_conservation_policy. Default TRACK.
   */
  uint32_t conservation;
  /**
   * K, 1..96. Any K of the 96 classes rebuild the domain, so that 96 - K may be lost; all
   * classes together have about 14/13 * 96/K of the domain's size. Default 96. Ignored for
   * LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * Key of 32 bytes, or NULL. With a key only its owners can make or verify witnesses. Copied,
   * and wiped after use.
   */
  const uint8_t *key;
} atlas_projection_options;

/**
 * Fills `options` with the defaults: TRACK, K = 96, no key.
 */
ATLAS_API void atlas_projection_options_init(struct atlas_projection_options *options);

/**
 * Projects a source: hashes all of its bytes and commits to their present values.
 *
 * `type` is an atlas_projection_type; `options` and `operation` may be NULL. The projection keeps the source
 * alive, so that the caller may destroy the source right after this call. `*out` is owned by the caller:
 * atlas_projection_destroy(). Costs about one BLAKE3 of the bytes, shared by the operation's threads, and at
 * most 448 bytes of memory per tile of 1 MiB; progress is reported once per tile. Fails with
 * INVALID_ARGUMENT, IO, CONSERVATION (STRICT; the message names the missing sum), LIMIT, STATE (pool from
 * before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_projection_create(uint32_t type,
                                          const struct atlas_source *source,
                                          const struct atlas_projection_options *options,
                                          const struct atlas_operation *operation,
                                          struct atlas_projection **out);

/**
 * Frees a projection. NULL does nothing. No call may be using it; snapshots and shards stay valid.
 */
ATLAS_API void atlas_projection_destroy(struct atlas_projection *projection);

/**
 * Properties of a projection's present state. Filled by atlas_projection_get_info().
 */
typedef struct atlas_projection_info {
  /**
   * sizeof(atlas_projection_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Type of the projection, an atlas_projection_type.
   */
  uint32_t type;
  /**
   * Number of bytes of the domain.
   */
  uint64_t domain_size;
  /**
   * Number of pages of 4,096 bytes. The last page may be shorter.
   */
  uint64_t page_count;
  /**
   * Number of tiles, each of 1 byte to 1 MiB.
   */
  uint64_t tile_count;
  /**
   * Sum of all bytes mod 96. The sums of parts add up to the sum of the whole, but the sum misses one in
   * 96 random corruptions; the root proves integrity.
   */
  uint32_t residue;
  /**
   * (96 - residue) mod 96, the value to add for a sum of 0 mod 96.
   */
  uint32_t correction;
  /**
   * Number of tiles in a row of the plane: ceil(sqrt(tile_count)).
   */
  uint32_t width;
  /**
   * Number of rows of the plane, equal to width.
   */
  uint32_t height;
  /**
   * K, the number of classes that rebuild the domain. 0 for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * 1 if witnesses are keyed, else 0.
   */
  uint32_t keyed;
  /**
   * 1 if all tiles but the last are full, as in a fresh or optimised projection, else 0.
   */
  uint32_t canonical;
  /**
   * Always 0.
   */
  uint32_t reserved;
} atlas_projection_info;

/**
 * Fills `info` with the properties of the present state. Callable from any thread. Fails with
 * INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_get_info(const struct atlas_projection *projection,
                                            struct atlas_projection_info *info);

/**
 * Computes the witness root: the 32 bytes to which the proof of every shard of this state leads.
 *
 * After edits it first hashes the edited tiles, with progress once per tile. Callable from any thread.
 * `operation` may be NULL. Fails with INVALID_ARGUMENT, STATE (pool from before a fork) or CANCELLED. After
 * edits it also fails with IO, WITNESS or CONSERVATION (the source no longer has the projected bytes of an
 * edited tile; the error's index is the tile), LIMIT or OUT_OF_MEMORY, and on a snapshot of a container with
 * FORMAT (a damaged record) or INCOMPLETE (no base is attached).
 *
 */
ATLAS_API
enum atlas_status atlas_projection_root(const struct atlas_projection *projection,
                                        const struct atlas_operation *operation,
                                        uint8_t root[32]);

/**
 * Properties of a tile. Filled by atlas_projection_get_tile().
 */
typedef struct atlas_tile_info {
  /**
   * sizeof(atlas_tile_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Sum of the tile's bytes mod 96.
   */
  uint32_t residue;
  /**
   * Offset of the tile's first byte in the domain.
   */
  uint64_t offset;
  /**
   * Number of bytes, 1 to 1,048,576.
   */
  uint64_t length;
  /**
   * Witness of the tile. LINEAR: BLAKE3 of its bytes, or keyed BLAKE3. R96: the top of a tree
   * over the digests of its 96 classes.
   */
  uint8_t witness[32];
} atlas_tile_info;

/**
 * Fills `info` with the properties of tile number `tile`. An edited tile is hashed first.
 *
 * Callable from any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE, for an edited tile with IO, WITNESS
 * or CONSERVATION (the source no longer has the projected bytes) or OUT_OF_MEMORY, and on a snapshot of a
 * container with these, FORMAT (a damaged record) or INCOMPLETE (no base is attached).
 */
ATLAS_API
enum atlas_status atlas_projection_get_tile(const struct atlas_projection *projection,
                                            uint64_t tile,
                                            struct atlas_tile_info *info);

/**
 * Creates a second handle on the present state, in O(1). Later updates of either handle do not
 * affect the other.
 *
 * Callable from any thread. `*out` is owned by the caller: atlas_projection_destroy(). Fails with
 * INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_projection_snapshot(const struct atlas_projection *projection,
                                            struct atlas_projection **out);

/**
 * Reads `size` bytes at `offset` into `buffer`. Either all bytes are read, or the call fails.
 *
 * The bytes are the present bytes of the source and are not verified, except on a snapshot of a container
 * with verify_reads; extract, verify and write_file verify them. `buffer` is borrowed for the call and may
 * be NULL if `size` is 0. Callable from any thread. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, IO or STATE
 * (an OpenCL buffer, in a forked child), and on a snapshot of a container with WITNESS, CONSERVATION or
 * FORMAT (damaged records, and with verify_reads damaged bytes), INCOMPLETE (no base is attached) or
 * OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_projection_read(const struct atlas_projection *projection,
                                        uint64_t offset,
                                        void *buffer,
                                        size_t size);

/**
 * Reads and hashes every byte again and compares with the witnesses.
 *
 * Callable from any thread. `operation` may be NULL; progress is reported once per tile. Fails with WITNESS
 * or, if all witnesses match, CONSERVATION, with the first tile that differs as the error's index,
 * INVALID_ARGUMENT, IO, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED, and on a
 * snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is attached).
 */
ATLAS_API
enum atlas_status atlas_projection_verify(const struct atlas_projection *projection,
                                          const struct atlas_operation *operation);

/**
 * Writes the domain to a file. Every byte is verified before it is written.
 *
 * The bytes go to a temporary file beside `path`, which is flushed to the disk and then renamed.
 * On failure an older file stays, unless only the flush of the folder failed, and nothing else remains.
 * Only the owner can read the temporary file; at the end it gets owner, group, mode, access list and
 * attributes of the file that it replaces, or those of a new file. If the process may not set one of these
 * attributes, the call fails with IO. A symbolic link is itself replaced, and its target stays. Anything else
 * but a regular file fails with INVALID_ARGUMENT. A tile of zeros becomes a hole.
 *
 * Callable from any thread. `operation` may be NULL; progress is reported once per tile. Fails with
 * INVALID_ARGUMENT, IO, WITNESS, CONSERVATION, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or
 * CANCELLED, and on a snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is
 * attached).
 */
ATLAS_API
enum atlas_status atlas_projection_write_file(const struct atlas_projection *projection,
                                              const char *path,
                                              const struct atlas_operation *operation);

/**
 * Scaling, then rotation, then translation of the tile plane.
 */
typedef struct atlas_transform_params {
  /**
   * Scaling factor, greater than 0 and finite.
   */
  double scaling_factor;
  /**
   * Rotation in radians, counter-clockwise about the origin.
   */
  double rotation_angle;
  /**
   * Translation of x, applied last.
   */
  double translation_x;
  /**
   * Translation of y, applied last.
   */
  double translation_y;
} atlas_transform_params;

/**
 * Maps the tile plane by `params`, after the earlier maps. The bytes stay as they are.
 *
 * Tile i is the unit square at column i mod width, row i / width. Serialised with other changes of
 * the handle. Fails with INVALID_ARGUMENT, also if the composed map has no inverse.
 */
ATLAS_API
enum atlas_status atlas_projection_transform(struct atlas_projection *projection,
                                             const struct atlas_transform_params *params);

/**
 * Computes the bounds of the four transformed corners of a tile: min x, min y, max x, max y.
 *
 * Callable from any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE.
 *
 */
ATLAS_API
enum atlas_status atlas_projection_tile_bounds(const struct atlas_projection *projection,
                                               uint64_t tile,
                                               double bounds[4]);

/**
 * Finds the tile at a point of the transformed plane, by the inverse map.
 *
 * Callable from any thread. Fails with INVALID_ARGUMENT (not finite) or OUT_OF_RANGE (no tile is
 * there).
 */
ATLAS_API
enum atlas_status atlas_projection_tile_at(const struct atlas_projection *projection,
                                           double x,
                                           double y,
                                           uint64_t *tile);

/* -----------------------------------------------------------------------------------------------
 * Shards: regions of a domain that verify alone.
 *
 * A shard carries the bytes of a region together with their proof against the root. Its serialised
 * form can be sent or stored anywhere; a reader that knows the root needs nothing else to verify
 * it.
 *
 *   static atlas_status send_region(const atlas_projection *projection, atlas_buffer *out) {
 *     atlas_shard *shard = NULL;
 *     atlas_region region = { .offset = 4096, .length = 1000 };
 *     atlas_status status = atlas_shard_extract(projection, &region, NULL, &shard);
 *     if (status == ATLAS_STATUS_OK) status = atlas_shard_serialize(shard, out);
 *     atlas_shard_destroy(shard);
 *     return status; // the receiver calls atlas_shard_deserialize() with expected_root
 *   }
 */

/**
 * Region of a domain with its bytes and their proof against the root. It owns its bytes.
 *
 * A handle is always consistent: its bytes were verified against the root that it names before the
 * handle was created.
 */
typedef struct atlas_shard atlas_shard;

/**
 * Part of a domain: `length` bytes from `offset` on.
 */
typedef struct atlas_region {
  /**
   * Offset of the first byte.
   */
  uint64_t offset;
  /**
   * Number of bytes. 0 is allowed.
   */
  uint64_t length;
} atlas_region;

/**
 * Extracts one region of a projection: copies its bytes once and verifies the copy.
 *
 * A region of length 0 (offset <= size) proves the root alone. A LINEAR shard discloses up to
 * 4,095 bytes on either side of its region when it is serialised; an R96 shard has all 96 classes
 * of the tiles that the region touches. A reader with the default atlas_limits refuses a shard of
 * more than 1 GiB. Callable from any thread. `operation` may be NULL; progress is reported as by
 * atlas_shard_extract_batch(). `*out` is owned by the caller: atlas_shard_destroy().
 *
 * LINEAR: costs one BLAKE3 of the tiles that the region touches; a second small region of a tile costs one
 * BLAKE3 of the groups of 16 KiB that it touches. R96: transforms the tiles that the region touches, every
 * time. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, IO, WITNESS (the source changed since it was projected),
 * CONSERVATION (the same, found by hashing earlier edits), LIMIT, STATE, OUT_OF_MEMORY or CANCELLED, and on
 * a snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is attached).
 */
ATLAS_API
enum atlas_status atlas_shard_extract(const struct atlas_projection *projection,
                                      const struct atlas_region *region,
                                      const struct atlas_operation *operation,
                                      struct atlas_shard **out);

/**
 * Distribution of a batch over threads. The shards are the same, bit for bit, with every strategy. If the
 * source has changed, the strategy may decide which region fails.
 */
typedef enum atlas_parallel_strategy {
  /**
   * All tasks run on the calling thread. For hosts that have no other thread to spare or run batches in
   * parallel themselves.
   */
  ATLAS_PARALLEL_SEQUENTIAL = 0,
  /**
   * A task has about one tile. The tasks run on the calling thread and on the operation's pool, or on the
   * library's pool if the operation has no pool. Use this strategy unless there is a reason for another
   * one. A batch too small for a second thread runs on the calling thread, because waking another thread
   * would take longer.
   */
  ATLAS_PARALLEL_DEFAULT = 1,
  /**
   * Like DEFAULT, but all tasks run on the operation's pool, even those of a small batch; the operation
   * must have a pool. For hosts whose calling thread must not do such work: it waits, reports progress and
   * assembles the shards. While callbacks of other calls hold all threads of the pool, it waits for these.
   */
  ATLAS_PARALLEL_POOL = 2,
  /**
   * Like DEFAULT, but a task has chunk_size regions. For many small regions whose neighbours lie in the
   * same tile. A tile that two tasks touch is hashed twice. A region larger than a thread's share of the
   * batch is split into its tiles.
   */
  ATLAS_PARALLEL_CHUNKED = 3,
  /**
   * Like DEFAULT, but the largest tasks run first, on at most max_threads threads. This suits regions of
   * very different sizes.
   */
  ATLAS_PARALLEL_WORK_STEALING = 4,
} atlas_parallel_strategy;

/**
 * Options of a batch. Fill it with atlas_extract_options_init().
 */
typedef struct atlas_extract_options {
  /**
   * sizeof(atlas_extract_options).
   */
  uint32_t struct_size;
  /**
   * Distribution over threads, an atlas_parallel_strategy. Default DEFAULT.
   */
  uint32_t strategy;
  /**
   * Maximum number of tasks in flight. 0, the default, means all threads of the pool.
   */
  uint32_t max_threads;
  /**
   * Regions per task with CHUNKED, greater than 0. Default 16.
   */
  uint32_t chunk_size;
} atlas_extract_options;

/**
 * Fills `options` with the defaults: strategy DEFAULT, on as many threads as the pool has.
 */
ATLAS_API void atlas_extract_options_init(struct atlas_extract_options *options);

/**
 * Extracts many regions of a projection. Either all regions are extracted, or the call fails without a
 * result.
 *
 * `out` has room for `region_count` handles, in the order of the regions, each owned by the
 * caller; on failure every entry is NULL. Regions in the same tile share one reading and hashing of the
 * tile: with LINEAR up to 256 regions whose pages in the tile add up to at most its size, with R96 up to 4
 * regions. For more regions the tile is read again. With CHUNKED only the regions of one task share.
 * `options` and `operation` may be NULL. Progress is reported at least once per MiB of payload, with R96 at
 * least once per 4 regions of a tile; its count of chunks is the sum, over the regions, of the tiles that
 * each of them touches. The call reports the error of the first region that fails, with its index in
 * atlas_error_info; an error while hashing earlier edits has no index. Callable from any thread. Fails as
 * atlas_shard_extract() does, and with INVALID_ARGUMENT (POOL without a pool, a chunk_size of 0).
 */
ATLAS_API
enum atlas_status atlas_shard_extract_batch(const struct atlas_projection *projection,
                                            const struct atlas_region *regions,
                                            size_t region_count,
                                            const struct atlas_extract_options *options,
                                            const struct atlas_operation *operation,
                                            struct atlas_shard **out);

/**
 * Extracts classes of an R96 projection in one pass over a region, one shard per class.
 *
 * `out` has room for `class_count` handles, in the order of `classes`, each owned by the caller; on failure
 * every entry is NULL. The region is rounded out to whole tiles; NULL means the whole domain. `operation`
 * may be NULL; progress is reported once per tile. Callable from any thread. Costs one transform of the
 * region, for any number of classes. Fails as atlas_shard_extract() does, and with INVALID_ARGUMENT (a class
 * given twice or above 95, a LINEAR projection).
 */
ATLAS_API
enum atlas_status atlas_shard_extract_classes(const struct atlas_projection *projection,
                                              const struct atlas_region *region,
                                              const uint8_t *classes,
                                              size_t class_count,
                                              const struct atlas_operation *operation,
                                              struct atlas_shard **out);

/**
 * Properties of a shard. Filled by atlas_shard_get_info().
 */
typedef struct atlas_shard_info {
  /**
   * sizeof(atlas_shard_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Type of the projection, an atlas_projection_type.
   */
  uint32_t type;
  /**
   * Number of bytes of the whole domain.
   */
  uint64_t domain_size;
  /**
   * Region of the domain that the shard covers. R96: whole tiles.
   */
  struct atlas_region region;
  /**
   * Size of the payload. LINEAR: region.length. R96: bytes of the packed coefficients.
   */
  uint64_t payload_size;
  /**
   * LINEAR: sum of the region's bytes mod 96. R96: 0.
   */
  uint32_t residue;
  /**
   * K, the number of classes that rebuild the domain. 0 for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * 1 if the shard's witnesses are keyed, else 0.
   */
  uint32_t keyed;
  /**
   * R96: bit r % 8 of byte r / 8 is set if the shard carries class r. LINEAR: all 0.
   */
  uint8_t class_mask[12];
  /**
   * Root of the projection state that the shard belongs to.
   */
  uint8_t root[32];
} atlas_shard_info;

/**
 * Fills `info` with the properties of a shard. Callable from any thread. Fails with
 * INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_shard_get_info(const struct atlas_shard *shard,
                                       struct atlas_shard_info *info);

/**
 * Returns the shard's bytes, borrowed until the shard is destroyed.
 *
 * LINEAR: the region's bytes. R96: the tiles in order, in each tile the classes ascending, in each
 * class its blocks, each of 128 coefficients of 14 bits. `*data` is never NULL, even if `*size` is
 * 0. Callable from any thread. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_shard_data(const struct atlas_shard *shard,
                                   const uint8_t **data,
                                   size_t *size);

/**
 * Reads `size` bytes of the domain at `offset`, which must lie inside the shard's region.
 *
 * R96: decodes the blocks that contain them. `buffer` is borrowed for the call and may be NULL if
 * `size` is 0. Callable from any thread. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, and for R96
 * with INCOMPLETE (fewer than K classes), FORMAT or WITNESS (the classes do not decode to bytes, which only
 * the maker of the root can cause) or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_shard_read(const struct atlas_shard *shard,
                                   uint64_t offset,
                                   void *buffer,
                                   size_t size);

/**
 * Trust settings of a verifier. Fill it with atlas_verify_options_init().
 *
 * With a key, the shard must be keyed with it. A keyed shard fails with ATLAS_STATUS_WITNESS if no
 * key is given. Without expected_root only self-consistency is checked: anyone can make a shard
 * that is consistent with a root of their own.
 */
typedef struct atlas_verify_options {
  /**
   * sizeof(atlas_verify_options).
   */
  uint32_t struct_size;
  /**
   * Root that the data must have, 32 bytes, or NULL.
   */
  const uint8_t *expected_root;
  /**
   * Key of 32 bytes, or NULL. Copied, and wiped after use.
   */
  const uint8_t *key;
} atlas_verify_options;

/**
 * Fills `options` with the defaults: no root, no key.
 */
ATLAS_API void atlas_verify_options_init(struct atlas_verify_options *options);

/**
 * Hashes a shard's bytes again and checks their proof against the trust settings.
 *
 * Callable from any thread. `options` and `operation` may be NULL; progress is reported once per
 * tile. Fails with INVALID_ARGUMENT, WITNESS or, if all witnesses match, CONSERVATION, LIMIT, STATE (pool
 * from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_shard_verify(const struct atlas_shard *shard,
                                     const struct atlas_verify_options *options,
                                     const struct atlas_operation *operation);

/**
 * Limits of a reader of serialised data, checked before any allocation. Fill it with
 * atlas_limits_init().
 */
typedef struct atlas_limits {
  /**
   * sizeof(atlas_limits).
   */
  uint32_t struct_size;
  /**
   * Maximum bytes of payload. Default 1 GiB.
   */
  uint64_t max_payload_size;
  /**
   * Maximum bytes of the proof of the payload, and of the memory for its tiles, 168 bytes each.
   * Default 64 MiB.
   */
  uint64_t max_proof_size;
} atlas_limits;

/**
 * Fills `limits` with the defaults.
 */
ATLAS_API void atlas_limits_init(struct atlas_limits *limits);

/**
 * Writes the one encoding of a shard (docs/format.md): the same bytes on every machine.
 *
 * A reader with the default atlas_limits refuses a payload of more than 1 GiB with LIMIT: split a
 * larger region into several shards, or raise the reader's max_payload_size. `*out` is owned by
 * the caller: atlas_buffer_free(). Callable from any thread. Fails with INVALID_ARGUMENT or
 * OUT_OF_MEMORY. Costs one copy and one BLAKE3 of the encoded bytes.
 */
ATLAS_API
enum atlas_status atlas_shard_serialize(const struct atlas_shard *shard,
                                        struct atlas_buffer *out);

/**
 * Reads the shard that `size` bytes at `data` encode, and verifies it before it creates a handle.
 *
 * `data` is borrowed for the call. `limits`, `verify` and `operation` may be NULL; progress is
 * reported once per MiB of the encoding, then once per tile. `*out` is owned by the caller:
 * atlas_shard_destroy(). Callable from any thread. Costs two BLAKE3 of the bytes. Fails with
 * FORMAT, UNSUPPORTED (a newer version), LIMIT, WITNESS, CONSERVATION, INVALID_ARGUMENT, STATE,
 * OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_shard_deserialize(const void *data,
                                          size_t size,
                                          const struct atlas_limits *limits,
                                          const struct atlas_verify_options *verify,
                                          const struct atlas_operation *operation,
                                          struct atlas_shard **out);

/**
 * Frees a shard. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_shard_destroy(struct atlas_shard *shard);

/* -----------------------------------------------------------------------------------------------
 * Reconstruction: the domain from its shards.
 *
 * A reconstruction collects the shards of one projection state, in any order, and verifies each
 * before it accepts its bytes. Once the domain is complete, finish returns it as a projection with
 * the same root.
 *
 *   static atlas_status rebuild(const atlas_shard *const *shards, size_t count, const char *path) {
 *     atlas_reconstruction *parts = NULL;
 *     atlas_projection *whole = NULL;
 *     atlas_status status = atlas_reconstruction_create(NULL, &parts);
 *     for (size_t i = 0; status == ATLAS_STATUS_OK && i < count; i++)
 *       status = atlas_reconstruction_add(parts, shards[i], NULL);
 *     if (status == ATLAS_STATUS_OK) status = atlas_reconstruction_finish(parts, NULL, &whole);
 *     if (status == ATLAS_STATUS_OK) status = atlas_projection_write_file(whole, path, NULL);
 *     atlas_projection_destroy(whole);
 *     atlas_reconstruction_destroy(parts);
 *     return status;
 *   }
 */

/**
 * Collector of the shards of one projection state until the domain is complete.
 */
typedef struct atlas_reconstruction atlas_reconstruction;

/**
 * Options of a reconstruction. Fill it with atlas_reconstruction_options_init().
 */
typedef struct atlas_reconstruction_options {
  /**
   * sizeof(atlas_reconstruction_options).
   */
  uint32_t struct_size;
  /**
   * Root that every shard must have, 32 bytes. NULL means the root of the first shard that
   * verifies.
   */
  const uint8_t *expected_root;
  /**
   * Key of 32 bytes, or NULL. Copied, and wiped after use.
   */
  const uint8_t *key;
  /**
   * Path of the rebuilt file. NULL means that the domain is collected in memory. Otherwise bytes go to a
   * new temporary file beside this path; atlas_reconstruction_finish() renames it to this path, and
   * destroy removes it. Permissions and links are handled as by atlas_projection_write_file(). Copied.
   */
  const char *spool_path;
  /**
   * Maximum size of the domain. A shard that claims a larger domain fails with ATLAS_STATUS_LIMIT. 0 means
   * no limit.
   */
  uint64_t max_domain_size;
} atlas_reconstruction_options;

/**
 * Fills `options` with the defaults: any root, no key, a domain of any size, collected in memory and not in
 * a file.
 */
ATLAS_API
void atlas_reconstruction_options_init(struct atlas_reconstruction_options *options);

/**
 * Begins a reconstruction. `options` may be NULL and is copied.
 *
 * `*out` is owned by the caller: atlas_reconstruction_destroy(). Fails with INVALID_ARGUMENT, IO (the
 * temporary file could not be made) or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_create(const struct atlas_reconstruction_options *options,
                                              struct atlas_reconstruction **out);

/**
 * Verifies a shard and copies the bytes that it adds. The shard stays the caller's.
 *
 * Duplicates and overlaps are harmless. Classes of R96 wait, in memory or in a second temporary file beside
 * spool_path, until a tile has K of them. Serialised with other calls on the handle. `operation` may be
 * NULL; progress is reported once per verified or decoded tile, and once per MiB or class written. Fails,
 * without any change, with WITNESS (the shard does not verify, or has another root, type, K or size than the
 * shards before it), LIMIT, IO, STATE (finished, or a pool from before a fork), INVALID_ARGUMENT,
 * OUT_OF_MEMORY or CANCELLED. R96: also fails with FORMAT, WITNESS or CONSERVATION if K classes of a tile
 * verify but do not decode to bytes with its witness and residue, which only the maker of the root can
 * cause.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_add(struct atlas_reconstruction *reconstruction,
                                           const struct atlas_shard *shard,
                                           const struct atlas_operation *operation);

/**
 * Returns true if every byte of the domain was added. False for NULL. Callable from any thread.
 */
ATLAS_API bool atlas_reconstruction_is_complete(const struct atlas_reconstruction *reconstruction);

/**
 * Returns the number of further classes that an R96 domain needs, the maximum over all tiles. 0
 * for LINEAR, before the first add and for NULL. Callable from any thread.
 */
ATLAS_API
uint32_t atlas_reconstruction_classes_needed(const struct atlas_reconstruction *reconstruction);

/**
 * Lists the byte ranges still missing (R96: with fewer than K classes), ascending and merged.
 * There are none before the first add.
 *
 * On entry `*count` is the capacity of `regions` (which may be NULL if it is 0); on return it is
 * the number of missing ranges. If the capacity is too small, the call still succeeds and fills in
 * the first ranges. Callable from any thread. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_missing(const struct atlas_reconstruction *reconstruction,
                                               struct atlas_region *regions,
                                               size_t *count);

/**
 * Returns the rebuilt domain as a projection with the same geometry and root.
 *
 * Hashes every byte again. A spool file gets its final name. `*out` is owned by the caller:
 * atlas_projection_destroy(). Serialised with other calls on the handle. `operation` may be NULL;
 * progress is reported once per tile. Fails, and leaves the handle usable, with INCOMPLETE (the
 * message says how much is missing), WITNESS (the root differs), IO, STATE (finished already, or a
 * pool from before a fork), INVALID_ARGUMENT, LIMIT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_finish(struct atlas_reconstruction *reconstruction,
                                              const struct atlas_operation *operation,
                                              struct atlas_projection **out);

/**
 * Frees a reconstruction and removes its temporary file. NULL does nothing. No call may be using
 * it; the projection that finish returned stays valid.
 */
ATLAS_API void atlas_reconstruction_destroy(struct atlas_reconstruction *reconstruction);

/* -----------------------------------------------------------------------------------------------
 * Streaming: projections in memory bounded by the configuration, not by the size of the domain.
 *
 * A stream projects a source in one call, chunk by chunk as the caller asks for it, or from bytes
 * that the caller pushes as they arrive. The projection equals that of atlas_projection_create()
 * on the same bytes.
 *
 *   static atlas_status receive(FILE *in, const char *path, atlas_projection **out) {
 *     char buffer[65536];
 *     atlas_stream *stream = NULL;
 *     atlas_status status = atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, path, NULL, NULL, NULL,
 *                                                  &stream);
 *     for (size_t n; status == ATLAS_STATUS_OK && (n = fread(buffer, 1, sizeof buffer, in)) > 0;)
 *       status = atlas_stream_push(stream, buffer, n);
 *     if (status == ATLAS_STATUS_OK) status = atlas_stream_finish(stream, out); // writes path
 *     atlas_stream_destroy(stream);
 *     return status;
 *   }
 */

/**
 * Settings of a stream, which do not change the result. Fill the struct with atlas_stream_config_init().
 */
typedef struct atlas_stream_config {
  /**
   * sizeof(atlas_stream_config).
   */
  uint32_t struct_size;
  /**
   * Bytes per chunk, 64 KiB to 256 MiB. Default 16 MiB. A chunk is the unit of progress, of
   * read-ahead and of atlas_stream_next().
   */
  uint64_t chunk_size;
  /**
   * Maximum number of chunks in flight, or of MiB if a chunk is smaller than 1 MiB. Greater than 0.
   * The default is 4. Ignored by atlas_stream_next(), which works on one chunk.
   */
  uint32_t parallel_chunks;
  /**
   * Number of chunks that the system is asked to read ahead, together at most 1 GiB. Default 2.
   */
  uint32_t prefetch_chunks;
  /**
   * Bytes of the next chunk returned with each chunk, at most chunk_size. Default 4,096.
   */
  uint64_t chunk_overlap;
  /**
   * Size of the largest positioned read, 4 KiB to 16 MiB. Default 1 MiB. Above 1 MiB it is
   * rounded down to whole MiB, and each worker has a buffer of that size, at most of chunk_size.
   * atlas_stream_next() reads at most 1 MiB at a time.
   */
  uint64_t io_buffer_size;
} atlas_stream_config;

/**
 * Fills `config` with the defaults: chunks of 16 MiB, 4 in flight, 2 read ahead, an overlap of 4,096
 * bytes, reads of 1 MiB.
 */
ATLAS_API
void atlas_stream_config_init(struct atlas_stream_config *config);

/**
 * A stream: chunks that are pulled from a source, or bytes that are pushed.
 */
typedef struct atlas_stream atlas_stream;

/**
 * Projects a source in one call, in memory bounded by the configuration.
 *
 * The result equals that of atlas_projection_create() on the same bytes, including the root. Each
 * worker reads into one buffer of its own; pages of a mapped file are released once they are
 * hashed. `type` is an atlas_projection_type; `options`, `config` and `operation` may be NULL. The
 * projection keeps the source alive, so that the caller may destroy the source right after this call. `*out`
 * is owned by the caller: atlas_projection_destroy(). Progress is reported once per chunk, in order; after
 * false each worker stops after its present read or tile. Fails with INVALID_ARGUMENT, IO, CONSERVATION
 * (STRICT), UNSUPPORTED, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_project(uint32_t type,
                                       const struct atlas_source *source,
                                       const struct atlas_projection_options *options,
                                       const struct atlas_stream_config *config,
                                       const struct atlas_operation *operation,
                                       struct atlas_projection **out);

/**
 * Opens a stream over a source, to be read chunk by chunk. Reads nothing yet.
 *
 * `type` is an atlas_projection_type. The stream keeps the source alive. `options`, `config` and `operation`
 * may be NULL and are copied; the operation's pool and user_data must outlive the stream. `*out` is owned by
 * the caller: atlas_stream_destroy(). After a failure or a cancellation only getters and destroy work, and
 * all other calls fail with STATE; the stream then holds no resources. Fails with INVALID_ARGUMENT,
 * UNSUPPORTED, LIMIT (the memory limit is too small for one worker and the result), STATE (pool from before
 * a fork) or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_stream_open(uint32_t type,
                                    const struct atlas_source *source,
                                    const struct atlas_projection_options *options,
                                    const struct atlas_stream_config *config,
                                    const struct atlas_operation *operation,
                                    struct atlas_stream **out);

/**
 * Opens a stream of bytes that the caller pushes as they arrive.
 *
 * `type` is an atlas_projection_type. The bytes go to a temporary file beside `spool_path` (copied).
 * atlas_stream_finish() flushes it to the disk and renames it to `spool_path`, replacing an existing file.
 * If `spool_path` is NULL, the bytes stay in memory, which counts towards the operation's memory limit.
 * Otherwise like atlas_stream_open(). The operation's progress has totals of 0 until the end. Fails as
 * atlas_stream_open() does, and with IO (the temporary file could not be made).
 */
ATLAS_API
enum atlas_status atlas_stream_open_push(uint32_t type,
                                         const char *spool_path,
                                         const struct atlas_projection_options *options,
                                         const struct atlas_stream_config *config,
                                         const struct atlas_operation *operation,
                                         struct atlas_stream **out);

/**
 * Adds `size` bytes at `data`, which are borrowed for the call. (NULL, 0) adds nothing.
 *
 * The pieces may have any size. Changing calls on a stream are serialised. Progress is reported at
 * the end of each chunk. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (finished, failed before,
 * a stream of a source, or a pool from before a fork), LIMIT, IO, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_push(struct atlas_stream *stream,
                                    const void *data,
                                    size_t size);

/**
 * A chunk, and the beginning of the next chunk. Filled by atlas_stream_next().
 */
typedef struct atlas_chunk {
  /**
   * sizeof(atlas_chunk), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Sum of the bytes at data mod 96.
   */
  uint32_t residue;
  /**
   * Number of the chunk, from 0.
   */
  uint64_t id;
  /**
   * Offset of data in the domain.
   */
  uint64_t offset;
  /**
   * Bytes of the chunk. Borrowed until the next changing call on the stream.
   */
  const uint8_t *data;
  /**
   * Number of bytes at data.
   */
  size_t size;
  /**
   * First bytes of the next chunk, which are read only once. Borrowed like data.
   */
  const uint8_t *overlap;
  /**
   * Number of bytes at overlap: min(chunk_overlap, bytes left).
   */
  size_t overlap_size;
} atlas_chunk;

/**
 * Reads and hashes the next chunk and returns it. `*has_chunk` is false at the end. An empty
 * domain has no chunk.
 *
 * The caller sets chunk->struct_size. The previous chunk becomes invalid. Progress is reported
 * once, before the chunk is returned. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (a push
 * stream, finished, failed before, or a pool from before a fork), IO, LIMIT, OUT_OF_MEMORY or
 * CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_next(struct atlas_stream *stream,
                                    struct atlas_chunk *chunk,
                                    bool *has_chunk);

/**
 * Reports the progress of a stream at once, from any thread, also during another call on it.
 *
 * The totals of a push stream are 0 until it is finished. The caller sets progress->struct_size.
 * Fails with INVALID_ARGUMENT or UNSUPPORTED.
 */
ATLAS_API
enum atlas_status atlas_stream_get_progress(const struct atlas_stream *stream,
                                            struct atlas_progress *progress);

/**
 * Returns true if every byte was processed: after the last chunk was returned, and after finish.
 * False for NULL. Callable from any thread.
 */
ATLAS_API bool atlas_stream_is_complete(const struct atlas_stream *stream);

/**
 * Processes the remaining bytes and returns the projection of the whole domain. Succeeds at most once per
 * stream.
 *
 * A spool file then has its final name, replacing an existing file. `*out` is owned by the caller:
 * atlas_projection_destroy(); it outlives the stream. Progress is reported once per chunk, and at the end
 * with the totals. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (finished, failed before, or a pool from
 * before a fork), IO, CONSERVATION (STRICT), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_finish(struct atlas_stream *stream,
                                      struct atlas_projection **out);

/**
 * Frees a stream, and removes its temporary file unless it is finished. NULL does nothing. No call
 * may be using it; the projection that finish returned stays valid.
 */
ATLAS_API void atlas_stream_destroy(struct atlas_stream *stream);

/* -----------------------------------------------------------------------------------------------
 * Incremental updates: edits of a projection, and their undoing.
 *
 * A delta inserts, replaces, deletes or moves bytes at a cost that depends on the change and not
 * on the size of the domain. The source itself is never written. A history of deltas can be rolled
 * back exactly.
 *
 *   static atlas_status append_line(atlas_projection *projection, uint64_t size) {
 *     atlas_delta delta = { .type = ATLAS_CHANGE_INSERT, .offset = size };
 *     delta.data = "one more line\n";
 *     delta.data_size = 14;
 *     atlas_status status = atlas_projection_apply(projection, &delta);
 *     if (status == ATLAS_STATUS_OK && atlas_projection_history_len(projection) > 100)
 *       status = atlas_projection_rollback(projection, 1);
 *     return status;
 *   }
 */

/**
 * Kind of a delta. Fields that a kind does not use are ignored.
 */
typedef enum atlas_change_type {
  /**
   * Inserts data before the byte at offset. An offset equal to the size of the domain appends.
   */
  ATLAS_CHANGE_INSERT = 0,
  /**
   * Replaces [offset, offset + length) by data of any size. Data of the same size moves no tile
   * boundary.
   */
  ATLAS_CHANGE_UPDATE = 1,
  /**
   * Removes [offset, offset + length).
   */
  ATLAS_CHANGE_DELETE = 2,
  /**
   * Cuts [offset, offset + length) and inserts it before the byte that was at destination before
   * the move. A destination equal to the size of the domain moves the range to the end. A destination at
   * either edge of the range changes nothing; a destination strictly inside the range fails with
   * ATLAS_STATUS_INVALID_ARGUMENT.
   */
  ATLAS_CHANGE_MOVE = 3,
} atlas_change_type;

/**
 * One change of a domain.
 *
 * A range outside the domain fails with ATLAS_STATUS_OUT_OF_RANGE. A delta without effect
 * succeeds, and counts in statistics and history.
 */
typedef struct atlas_delta {
  /**
   * Kind of the change, an atlas_change_type.
   */
  uint32_t type;
  /**
   * Offset of the first affected byte.
   */
  uint64_t offset;
  /**
   * Number of affected bytes. Ignored for INSERT.
   */
  uint64_t length;
  /**
   * Target of MOVE, an offset before the move.
   */
  uint64_t destination;
  /**
   * New bytes of INSERT and UPDATE. Copied. May be NULL if data_size is 0.
   */
  const void *data;
  /**
   * Number of bytes at data.
   */
  size_t data_size;
} atlas_delta;

/**
 * Settings of updates. Fill it with atlas_incremental_config_init().
 */
typedef struct atlas_incremental_config {
  /**
   * sizeof(atlas_incremental_config).
   */
  uint32_t struct_size;
  /**
   * Not 0: the residue after an update is checked against the residue of the change. Default 1.
   */
  uint32_t validate_conservation;
  /**
   * Not 0: a history is kept. Default 1.
   */
  uint32_t enable_rollback;
  /**
   * Maximum number of deltas in the history; the oldest are dropped beyond it. Default 1,000. 0 means that
   * no delta is kept.
   */
  uint64_t max_deltas;
} atlas_incremental_config;

/**
 * Statistics of the deltas applied to a projection. Filled by
 * atlas_projection_get_incremental_stats().
 */
typedef struct atlas_incremental_stats {
  /**
   * sizeof(atlas_incremental_stats), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Number of deltas of all kinds. A rollback does not reduce it.
   */
  uint64_t total_updates;
  /**
   * Number of deltas that insert.
   */
  uint64_t insert_operations;
  /**
   * Number of deltas that replace.
   */
  uint64_t update_operations;
  /**
   * Number of deltas that delete.
   */
  uint64_t delete_operations;
  /**
   * Number of deltas that move.
   */
  uint64_t move_operations;
  /**
   * Number of successful calls of atlas_projection_rollback().
   */
  uint64_t rollbacks;
  /**
   * Number of bytes inserted, deleted and moved. An update counts the longer of the old and the
   * new bytes.
   */
  uint64_t bytes_modified;
  /**
   * Number of calls refused with ATLAS_STATUS_CONSERVATION.
   */
  uint64_t conservation_violations;
  /**
   * Mean time per delta in nanoseconds.
   */
  uint64_t avg_update_time_ns;
} atlas_incremental_stats;

/**
 * Fills `config` with the defaults: updates are checked, and a history of 1,000 deltas is kept.
 */
ATLAS_API void atlas_incremental_config_init(struct atlas_incremental_config *config);

/**
 * Sets the configuration of later updates. NULL for `config` means the defaults.
 *
 * A shorter history drops the oldest deltas at once, and the call frees the memory that only they
 * needed. Serialised with other changes of the handle. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_configure_incremental(struct atlas_projection *projection,
                                                         const struct atlas_incremental_config *config);

/**
 * Applies one delta, or changes nothing.
 *
 * The cost depends on the change and not on the size of the domain. Edited tiles are hashed when a root, a
 * tile or a shard is requested. Serialised with other changes of the handle; readers see the state before or
 * after. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, OUT_OF_MEMORY, CONSERVATION (a STRICT projection would
 * no longer sum to 0 mod 96; the message names the missing sum), IO (reading the source), or WITNESS or
 * CONSERVATION if the source no longer has the projected bytes, and on a snapshot of a container with FORMAT
 * (a damaged record) or INCOMPLETE (no base is attached).
 */
ATLAS_API
enum atlas_status atlas_projection_apply(struct atlas_projection *projection,
                                         const struct atlas_delta *delta);

/**
 * Applies deltas in order, each to the result of the delta before it. Either all deltas are applied, or
 * none.
 *
 * A STRICT projection checks the net residue of the whole batch. Fails as atlas_projection_apply()
 * does, with the number of the delta as the error's index. `deltas` may be NULL if `count` is 0.
 */
ATLAS_API
enum atlas_status atlas_projection_apply_batch(struct atlas_projection *projection,
                                               const struct atlas_delta *deltas,
                                               size_t count);

/**
 * Undoes the last `count` applied deltas. A batch counts as its deltas.
 *
 * Restores bytes, size, residue, geometry and root exactly, at a cost that does not depend on the
 * amount of data that the deltas touched. A `count` beyond the history fails with OUT_OF_RANGE and
 * undoes nothing. Statistics keep their counts; transforms are not part of the history. Serialised
 * with other changes of the handle. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, or CONSERVATION if
 * a STRICT projection would end in the middle of a batch whose parts do not sum to 0 mod 96.
 */
ATLAS_API
enum atlas_status atlas_projection_rollback(struct atlas_projection *projection,
                                            uint64_t count);

/**
 * Returns the number of deltas that can be undone. 0 for NULL. Callable from any thread.
 */
ATLAS_API uint64_t atlas_projection_history_len(const struct atlas_projection *projection);

/**
 * Fills `stats` with the statistics of the deltas applied so far. Callable from any thread. Fails
 * with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_get_incremental_stats(const struct atlas_projection *projection,
                                                         struct atlas_incremental_stats *stats);

/**
 * Restores full tiles from offset 0, so that the root equals that of a fresh projection of the
 * same bytes.
 *
 * Hashes the tiles that change, empties the history and frees the memory that only the history needed.
 * `operation` may be NULL; progress is reported once per tile, with no lock held. Changes made by other
 * calls in between are hashed again at the end, which is not reported. Fails with INVALID_ARGUMENT, IO,
 * WITNESS or CONSERVATION (the source no longer has the projected bytes), LIMIT, STATE (pool from before a
 * fork), OUT_OF_MEMORY or CANCELLED, on a snapshot of a container with FORMAT (a damaged record) or
 * INCOMPLETE (no base is attached), and then changes nothing.
 */
ATLAS_API
enum atlas_status atlas_projection_optimize(struct atlas_projection *projection,
                                            const struct atlas_operation *operation);

/**
 * Inserts all bytes of a source before the byte at `offset`. If `offset` is the size of the domain, the
 * bytes are appended.
 *
 * The source is projected first. Its bytes are not copied; the projection keeps the source alive. The
 * insertion is one delta of the history. `operation` may be NULL; progress is reported once per tile of the
 * source. Fails with OUT_OF_RANGE, CONSERVATION (STRICT), IO, WITNESS (splitting a tile reads a source that
 * changed), LIMIT, STATE (pool from before a fork), INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED, on a
 * snapshot of a container with FORMAT (a damaged record) or INCOMPLETE (no base is attached), and then
 * changes nothing.
 */
ATLAS_API
enum atlas_status atlas_projection_insert_source(struct atlas_projection *projection,
                                                 uint64_t offset,
                                                 const struct atlas_source *source,
                                                 const struct atlas_operation *operation);

/* -----------------------------------------------------------------------------------------------
 * Compression: shards whose payload needs less space.
 *
 * A compressed shard is split into independent blocks, so that a small read decompresses little. A
 * payload that does not become smaller is stored as it is, which is no error. Decompression
 * verifies against the root like any other reader.
 *
 *   static atlas_status pack(const atlas_shard *shard, atlas_buffer *out) {
 *     atlas_compression_config config;
 *     atlas_compressed_shard *packed = NULL;
 *     atlas_compression_config_init(&config);
 *     config.algorithm = ATLAS_COMPRESSION_AUTO;
 *     atlas_status status = atlas_shard_compress(shard, &config, NULL, &packed);
 *     if (status == ATLAS_STATUS_OK) status = atlas_compressed_shard_serialize(packed, out);
 *     atlas_compressed_shard_destroy(packed);
 *     return status;
 *   }
 */

/**
 * Algorithm that compresses a payload.
 */
typedef enum atlas_compression_algorithm {
  /**
   * Stored without compression.
   */
  ATLAS_COMPRESSION_NONE = 0,
  /**
   * One raw DEFLATE stream (RFC 1951) per block.
   */
  ATLAS_COMPRESSION_DEFLATE = 1,
  /**
   * DEFLATE of each block, alone or after a split into byte planes, whichever is smaller.
   */
  ATLAS_COMPRESSION_CONSERVATION_AWARE = 2,
  /**
   * Zstandard, after byte planes if they help. Fails with UNSUPPORTED without
   * ATLAS_FEATURE_ZSTD.
   */
  ATLAS_COMPRESSION_ZSTD = 3,
  /**
   * LZ4, after byte planes if they help. Fails with UNSUPPORTED without ATLAS_FEATURE_LZ4.
   */
  ATLAS_COMPRESSION_LZ4 = 4,
  /**
   * The algorithm that suits a shard and the target, found by samples of the shard. A compressed shard
   * names the chosen algorithm, never AUTO.
   */
  ATLAS_COMPRESSION_AUTO = 5,
} atlas_compression_algorithm;

/**
 * Filter before the codec of ZSTD, LZ4 and AUTO. DEFLATE, which has no filter, and
 * CONSERVATION_AWARE, which chooses its own, accept only ATLAS_FILTER_AUTO. With AUTO as the
 * algorithm the other two filters restrict the choice to ZSTD and LZ4.
 */
typedef enum atlas_compression_filter {
  /**
   * Byte planes or none, chosen per block by a sample.
   */
  ATLAS_FILTER_AUTO = 0,
  /**
   * No filter.
   */
  ATLAS_FILTER_NONE = 1,
  /**
   * Byte planes unless they make a block larger.
   */
  ATLAS_FILTER_PLANES = 2,
} atlas_compression_filter;

/**
 * Criterion by which ATLAS_COMPRESSION_AUTO chooses an algorithm.
 */
typedef enum atlas_compression_target {
  /**
   * The same as SMALLEST, unless the result of LZ4 is at most a tenth larger.
   */
  ATLAS_TARGET_BALANCED = 0,
  /**
   * The shortest decompression time among the algorithms that save enough.
   */
  ATLAS_TARGET_FASTEST_READ = 1,
  /**
   * The smallest size. Of results that differ by less than a hundredth, the one that is faster to
   * decompress.
   */
  ATLAS_TARGET_SMALLEST = 2,
} atlas_compression_target;

/**
 * Fastest level.
 */
#define ATLAS_COMPRESSION_LEVEL_FAST 1

/**
 * Default level.
 */
#define ATLAS_COMPRESSION_LEVEL_BALANCED 6

/**
 * Level with the smallest results.
 */
#define ATLAS_COMPRESSION_LEVEL_BEST 9

/**
 * Settings of a compression. Fill it with atlas_compression_config_init().
 */
typedef struct atlas_compression_config {
  /**
   * sizeof(atlas_compression_config).
   */
  uint32_t struct_size;
  /**
   * Algorithm, an atlas_compression_algorithm. Default CONSERVATION_AWARE.
   */
  uint32_t algorithm;
  /**
   * Level, 0 (stored) to 9. Default 6.
   */
  uint32_t level;
  /**
   * Regions of fewer bytes are stored. Default 1,024.
   */
  uint64_t min_size_threshold;
  /**
   * A payload is stored if its compressed size exceeds this fraction of its size. Default 0.9.
   */
  double max_compression_ratio;
  /**
   * Not 0: the residue of the bytes is checked before they are encoded. Default 1. Decompression
   * always checks.
   */
  uint32_t preserve_conservation;
  /**
   * Not 0: the result is decompressed and compared before it is returned. Default 1.
   */
  uint32_t verify_integrity;
  /**
   * Bytes per independent block, 4 KiB to 1 MiB. Default 128 KiB.
   */
  uint64_t block_size;
  /**
   * Filter before the codec, an atlas_compression_filter. Default AUTO.
   */
  uint32_t filter;
  /**
   * Criterion of ATLAS_COMPRESSION_AUTO, an atlas_compression_target. Default BALANCED.
   */
  uint32_t target;
  /**
   * Not 0: codec_level replaces level. Fails with INVALID_ARGUMENT for ATLAS_COMPRESSION_AUTO.
   * Default 0.
   */
  uint32_t has_codec_level;
  /**
   * Level of the codec itself: -7 to 19 for ZSTD, where 0 means 3; 1 to 9 for DEFLATE; 1 for
   * LZ4. A compressed shard names the nearest level of 1 to 9, which correspond to 1, 2, 3, 5,
   * 7, 9, 12, 15 and 19 of ZSTD.
   */
  int32_t codec_level;
} atlas_compression_config;

/**
 * Fills `config` with the defaults.
 */
ATLAS_API void atlas_compression_config_init(struct atlas_compression_config *config);

/**
 * Shard with a compressed payload, or with a stored payload if compression would not make it smaller.
 *
 * Its blocks have digests of their own, which detect accidental damage. Decompression verifies the
 * bytes against the root.
 */
typedef struct atlas_compressed_shard atlas_compressed_shard;

/**
 * Compresses a shard's payload. A payload that does not become smaller is stored, which is no
 * error.
 *
 * The shard stays the caller's. A stored result shares its payload; either may be destroyed first. `config`
 * and `operation` may be NULL; progress is reported once per block (smaller blocks: per 128 KiB of them),
 * and with ATLAS_COMPRESSION_AUTO once when the algorithm is chosen. `*out` is owned by the caller:
 * atlas_compressed_shard_destroy(). Callable from any thread; the bytes are the same for every number of
 * threads. Fails with INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or
 * UNSUPPORTED (not built in), with CONSERVATION (preserve_conservation, and the sum of the bytes is not the
 * shard's: verify the shard), and with INTERNAL (verify_integrity) if a check of its own output finds a
 * defect.
 */
ATLAS_API
enum atlas_status atlas_shard_compress(const struct atlas_shard *shard,
                                       const struct atlas_compression_config *config,
                                       const struct atlas_operation *operation,
                                       struct atlas_compressed_shard **out);

/**
 * Restores the original shard exactly, verified as by atlas_shard_deserialize().
 *
 * `verify` and `operation` may be NULL; progress is reported once per block (smaller blocks: per 128 KiB
 * of them) and once per tile. If several checks fail, FORMAT for a damaged stream or WITNESS is
 * reported, and not CONSERVATION. `*out` is owned by the caller: atlas_shard_destroy(). Callable from any thread. Fails with FORMAT,
 * WITNESS, CONSERVATION, INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
 * CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_shard_decompress(const struct atlas_compressed_shard *compressed,
                                         const struct atlas_verify_options *verify,
                                         const struct atlas_operation *operation,
                                         struct atlas_shard **out);

/**
 * Reads `size` bytes of the payload from `offset` on, as atlas_shard_data() returns it.
 *
 * Decompresses only the blocks that contain them, and checks each against its own digest and
 * residue. A stored block is checked once, at its first read after
 * atlas_compressed_shard_deserialize(), and not at all if atlas_shard_compress() just computed its
 * digest. To verify against a root, decompress the shard. On failure the contents of `buffer` are
 * unspecified. `buffer` is borrowed for the call and may be NULL if `size` is 0. Callable from any
 * thread. Fails with OUT_OF_RANGE, FORMAT, WITNESS, CONSERVATION, INVALID_ARGUMENT, OUT_OF_MEMORY
 * or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_read(const struct atlas_compressed_shard *compressed,
                                              uint64_t offset,
                                              void *buffer,
                                              size_t size);

/**
 * Properties of a compressed shard. Filled by atlas_compressed_shard_get_info().
 */
typedef struct atlas_compressed_info {
  /**
   * sizeof(atlas_compressed_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Algorithm that was used, an atlas_compression_algorithm. NONE if stored.
   */
  uint32_t algorithm;
  /**
   * Level that was used. 0 if stored.
   */
  uint32_t level;
  /**
   * Sum of the payload's bytes mod 96, for R96 too.
   */
  uint32_t residue;
  /**
   * Size of the payload, as in atlas_shard_info; the number of bytes that can be read.
   */
  uint64_t original_size;
  /**
   * Number of bytes that represent the payload in the serialised form: its blocks and 12 bytes per block.
   * A payload is stored in whole pages, up to 8,190 bytes more than a region that does not end at them.
   */
  uint64_t compressed_size;
  /**
   * Filters of its blocks by their numbers in docs/format.md: bit f is set if a block has filter
   * f, and bit 0 if a block has none. 0 if there is no block.
   */
  uint32_t filters;
  /**
   * Always 0.
   */
  uint32_t reserved;
} atlas_compressed_info;

/**
 * Fills `info` with the properties of a compressed shard. Callable from any thread. Fails with
 * INVALID_ARGUMENT or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_get_info(const struct atlas_compressed_shard *compressed,
                                                  struct atlas_compressed_info *info);

/**
 * Writes the one encoding of a compressed shard (docs/format.md).
 *
 * A reader with the default atlas_limits refuses a shard of more than 1 GiB with LIMIT, even if it
 * is smaller when compressed. `*out` is owned by the caller: atlas_buffer_free(). Callable from
 * any thread. Fails with INVALID_ARGUMENT, OUT_OF_MEMORY or UNSUPPORTED (not built in). Costs one copy and
 * one BLAKE3 of the encoded bytes.
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_serialize(const struct atlas_compressed_shard *compressed,
                                                   struct atlas_buffer *out);

/**
 * Reads the compressed shard that `size` bytes at `data` encode. Its form is checked now, its
 * blocks when they are read, its proof when it is decompressed.
 *
 * `data` is borrowed for the call. `limits` may be NULL; max_payload_size limits the size after
 * decompression. `*out` is owned by the caller: atlas_compressed_shard_destroy(). Callable from
 * any thread. Costs one BLAKE3 of the bytes and one copy. Fails with FORMAT, UNSUPPORTED (a newer
 * version or algorithm, or not built in), LIMIT, INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_deserialize(const void *data,
                                                     size_t size,
                                                     const struct atlas_limits *limits,
                                                     struct atlas_compressed_shard **out);

/**
 * Frees a compressed shard. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_compressed_shard_destroy(struct atlas_compressed_shard *compressed);

/**
 * Compressor and decompressor of batches with one configuration and with statistics. Several
 * threads may use it at once.
 */
typedef struct atlas_compression_manager atlas_compression_manager;

/**
 * Statistics of a manager. Failed calls do not count. Filled by
 * atlas_compression_manager_get_stats().
 */
typedef struct atlas_compression_stats {
  /**
   * sizeof(atlas_compression_stats), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Number of shards passed to compression.
   */
  uint64_t compression_operations;
  /**
   * Number of compressed shards that were decompressed.
   */
  uint64_t decompression_operations;
  /**
   * Number of shards that became smaller.
   */
  uint64_t shards_compressed;
  /**
   * Number of shards that were stored.
   */
  uint64_t shards_stored;
  /**
   * Sum of original_size over the shards passed to compression.
   */
  uint64_t original_bytes;
  /**
   * Sum of compressed_size over the shards passed to compression.
   */
  uint64_t compressed_bytes;
  /**
   * original_bytes minus compressed_bytes, at least 0.
   */
  uint64_t saved_bytes;
  /**
   * compressed_bytes divided by original_bytes. 1.0 if there are none.
   */
  double average_ratio;
} atlas_compression_stats;

/**
 * Creates a manager that compresses with a copy of `config`. NULL means the defaults.
 *
 * `*out` is owned by the caller: atlas_compression_manager_destroy(). Fails with INVALID_ARGUMENT,
 * OUT_OF_MEMORY or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_compression_manager_create(const struct atlas_compression_config *config,
                                                   struct atlas_compression_manager **out);

/**
 * Compresses `count` shards in parallel. Either all shards are compressed, or the call fails without a
 * result.
 *
 * `out` has room for `count` handles, in the order of the shards, each owned by the caller; on
 * failure every entry is NULL. `operation` may be NULL; progress is reported once per block or 128
 * KiB and counts shards as chunks. Several threads may call this function at once. Fails as
 * atlas_shard_compress() does, with the shard's index in atlas_error_info.
 */
ATLAS_API
enum atlas_status atlas_compression_manager_compress_batch(struct atlas_compression_manager *manager,
                                                           const struct atlas_shard *const *shards,
                                                           size_t count,
                                                           const struct atlas_operation *operation,
                                                           struct atlas_compressed_shard **out);

/**
 * Decompresses and verifies `count` compressed shards in parallel. Either all shards are decompressed, or
 * the call fails without a result.
 *
 * `out` has room for `count` handles, in the order of the compressed shards, each owned by the
 * caller; on failure every entry is NULL. `verify` applies to all shards; `verify` and `operation` may be
 * NULL; progress is reported once per block (smaller blocks: per 128 KiB of them) and once per tile. Several
 * threads may call this function at once. Fails as atlas_shard_decompress() does, with the shard's index in atlas_error_info.
 */
ATLAS_API
enum atlas_status atlas_compression_manager_decompress_batch(struct atlas_compression_manager *manager,
                                                             const struct atlas_compressed_shard *const *compressed,
                                                             size_t count,
                                                             const struct atlas_verify_options *verify,
                                                             const struct atlas_operation *operation,
                                                             struct atlas_shard **out);

/**
 * Fills `stats` with the statistics of a manager. Callable during batches. Fails with
 * INVALID_ARGUMENT or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_compression_manager_get_stats(const struct atlas_compression_manager *manager,
                                                      struct atlas_compression_stats *stats);

/**
 * Frees a manager; its results stay valid. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_compression_manager_destroy(struct atlas_compression_manager *manager);

/* -----------------------------------------------------------------------------------------------
 * Damage reports: damaged ranges, and the callback that receives them.
 *
 * Searches and repairs report each damaged range to a callback of the caller. The same struct
 * serves containers, outlines and parity files.
 *
 *   static bool list(const atlas_damage *damage, void *user_data) {
 *     (void)user_data;
 *     printf("%llu bytes at offset %llu are damaged%s\n", (unsigned long long)damage->length,
 *            (unsigned long long)damage->offset, damage->repairable ? ", repairable" : "");
 *     return true; // false ends a search and skips the range in a repair
 *   }
 *   static atlas_status find_all(const atlas_projection *projection) {
 *     return atlas_projection_find_damage(projection, NULL, 0, list, NULL, NULL);
 *   }
 */

/**
 * Part of an object that a damaged range belongs to.
 */
typedef enum atlas_damage_part {
  /**
   * Bytes of the domain, or of the protected file.
   */
  ATLAS_DAMAGE_DATA = 0,
  /**
   * Record of a container.
   */
  ATLAS_DAMAGE_RECORD = 1,
  /**
   * Unit of a parity file.
   */
  ATLAS_DAMAGE_PARITY = 2,
  /**
   * Block of digests of a parity file.
   */
  ATLAS_DAMAGE_DIGESTS = 3,
} atlas_damage_part;

/**
 * Kind of damage.
 */
typedef enum atlas_damage_kind {
  /**
   * The bytes differ from the witnessed bytes: they were damaged, or changed by their owner.
   */
  ATLAS_DAMAGE_DIFFERS = 0,
  /**
   * The bytes cannot be read. os_error has the reason.
   */
  ATLAS_DAMAGE_UNREADABLE = 1,
  /**
   * The range lies after the end of the file.
   */
  ATLAS_DAMAGE_MISSING = 2,
  /**
   * The digest of the range is itself lost.
   */
  ATLAS_DAMAGE_UNKNOWN = 3,
} atlas_damage_kind;

/**
 * One damaged range. Filled by the library.
 */
typedef struct atlas_damage {
  /**
   * sizeof(atlas_damage).
   */
  uint32_t struct_size;
  /**
   * Part that the range belongs to, an atlas_damage_part.
   */
  uint32_t part;
  /**
   * Kind of the damage, an atlas_damage_kind.
   */
  uint32_t kind;
  /**
   * 1 if the range can be rebuilt from bytes that are available, else 0.
   */
  uint32_t repairable;
  /**
   * Error number (errno) of the operating system, or 0.
   */
  int32_t os_error;
  /**
   * Always 0.
   */
  uint32_t reserved;
  /**
   * Generation of a container. 0 means none.
   */
  uint64_t generation;
  /**
   * Index of the first tile, record, unit or block.
   */
  uint64_t index;
  /**
   * Offset of the first byte. For ATLAS_DAMAGE_DATA it counts in the domain or in the protected
   * file, never in a base; otherwise in the container or parity file.
   */
  uint64_t offset;
  /**
   * Length of the range in bytes.
   */
  uint64_t length;
} atlas_damage;

/**
 * Receives each damaged range, on the thread that made the call, with no lock held.
 *
 * `damage` is borrowed for the callback. The callback may use other handles, but not the one in
 * use by the call, and must not throw or longjmp. After false a search ends with ATLAS_STATUS_CANCELLED
 * without a further callback; a repair leaves this range as it is and continues. NULL means that the caller
 * only needs the status; some functions require a callback.
 */
typedef bool (*atlas_damage_fn)(const struct atlas_damage *damage, void *user_data);

/* -----------------------------------------------------------------------------------------------
 * Containers: projections that survive the process.
 *
 * A container is one file with the generations of a projection. A commit is durable on return and
 * never changes an older generation. The payload lies in the file, or stays in a source of the
 * caller's, the base; such a container is an outline.
 *
 *   static atlas_status save(const char *path, const atlas_source *source) {
 *     atlas_container *container = NULL;
 *     uint64_t generation = 0;
 *     atlas_status status = atlas_container_create(path, ATLAS_PROJECTION_LINEAR, NULL, NULL, NULL,
 *                                                  &container);
 *     if (status == ATLAS_STATUS_OK) // a later program opens the file and takes a snapshot
 *       status = atlas_container_import(container, source, NULL, 0, NULL, NULL, &generation);
 *     atlas_container_destroy(container);
 *     return status;
 *   }
 */

/**
 * One file with the generations of one projection. A committed generation survives crashes of the
 * process and of the machine.
 *
 * The payload lies in the file, or stays in a source of the caller's, the base; such a container is an
 * outline of it. One writer and any number of readers may use the file, in any processes. A generation never
 * changes. After fork() a child may only destroy the handle; other calls fail with ATLAS_STATUS_STATE.
 * Snapshots can still read there.
 */
typedef struct atlas_container atlas_container;

/**
 * Access of a handle.
 */
typedef enum atlas_container_mode {
  /**
   * Reading. Any number of other readers and one writer may use the file at the same time.
   */
  ATLAS_CONTAINER_READ = 0,
  /**
   * Reading and writing. Only one handle at a time may write.
   */
  ATLAS_CONTAINER_WRITE = 1,
} atlas_container_mode;

/**
 * Options of a new container. Fill it with atlas_container_create_options_init().
 */
typedef struct atlas_container_create_options {
  /**
   * sizeof(atlas_container_create_options).
   */
  uint32_t struct_size;
  /**
   * Base-2 logarithm of the block size, 12 to 16; a batch is a multiple of the block size. 0 means the
   * block size that the file system reports, at least the page size and at most 64 KiB.
   */
  uint32_t block_log2;
  /**
   * Not 0: the chaining values of the groups of 16 KiB are stored, 0.2 % of the domain, so that
   * verifying a byte reads at most one group. LINEAR only; fails with
   * ATLAS_STATUS_INVALID_ARGUMENT for R96.
   */
  uint32_t keep_chains;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * Id of 16 bytes, which makes the file reproducible. NULL means random. Copied.
   */
  const uint8_t *id;
  /**
   * Source whose bytes are not stored, even if they are read through another source of the same
   * file (device and inode). NULL means none. Kept alive.
   */
  const struct atlas_source *base;
  /**
   * Compression of runs of 4 KiB and more that this handle stores. The file does not remember
   * the setting. NULL means that the runs are stored without compression. min_size_threshold and
   * max_compression_ratio are ignored. Copied.
   */
  const struct atlas_compression_config *compression;
  /**
   * Bytes of memory for the loaded part of the tree. Default 64 MiB.
   */
  uint64_t cache_size;
} atlas_container_create_options;

/**
 * Fills `options` with the defaults: the file system's block size, no chaining values, a random id, no base,
 * no compression, a cache of 64 MiB.
 */
ATLAS_API
void atlas_container_create_options_init(struct atlas_container_create_options *options);

/**
 * Options of a handle. Fill it with atlas_container_open_options_init().
 */
typedef struct atlas_container_open_options {
  /**
   * sizeof(atlas_container_open_options).
   */
  uint32_t struct_size;
  /**
   * Not 0: opens the newest complete generation if a newer generation is damaged (lost in
   * atlas_container_info). With ATLAS_CONTAINER_WRITE the newer generations are cut off, so copy or repair
   * the file first.
   */
  uint32_t recover;
  /**
   * Base, as in atlas_container_set_base(). NULL means none. Kept alive.
   */
  const struct atlas_source *base;
  /**
   * Expected history of the newest generation or of one of its ancestors, 32 bytes. NULL allows
   * every history. The history of the oldest generation of a compacted container proves nothing
   * alone: opening fails with WITNESS unless expected_root or a key is given too. Copied.
   */
  const uint8_t *expected_history;
  /**
   * The same as in atlas_container_create_options.
   */
  const struct atlas_compression_config *compression;
  /**
   * The same as in atlas_container_create_options.
   */
  uint64_t cache_size;
  /**
   * Maximum size of a generation. A larger generation fails with ATLAS_STATUS_LIMIT. 0 means no limit.
   */
  uint64_t max_domain_size;
} atlas_container_open_options;

/**
 * Fills `options` with the defaults: no recovery, no base, any history, no compression, a cache of 64 MiB, a
 * domain of any size.
 */
ATLAS_API
void atlas_container_open_options_init(struct atlas_container_open_options *options);

/**
 * Options of a commit: the expected generation, the time and the note. Fill it with atlas_commit_options_init().
 */
typedef struct atlas_commit_options {
  /**
   * sizeof(atlas_commit_options).
   */
  uint32_t struct_size;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * Required number of the newest generation. Another number fails with ATLAS_STATUS_CONFLICT. 0
   * allows every number.
   */
  uint64_t expected;
  /**
   * Time of the commit, in nanoseconds since 1970. Readers do not interpret the time. 0 means no
   * time.
   */
  int64_t time;
  /**
   * Note of note_size bytes, or NULL. Copied.
   */
  const void *note;
  /**
   * Number of bytes at note, at most 1,024.
   */
  size_t note_size;
} atlas_commit_options;

/**
 * Fills `options` with the defaults: no expected generation, no time, no note.
 */
ATLAS_API void atlas_commit_options_init(struct atlas_commit_options *options);

/**
 * Properties of a container. Filled by atlas_container_get_info().
 */
typedef struct atlas_container_info {
  /**
   * sizeof(atlas_container_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Type of the projection, an atlas_projection_type.
   */
  uint32_t type;
  /**
   * K, the number of classes that rebuild the domain. 0 for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * 1 if digests are keyed, else 0.
   */
  uint32_t keyed;
  /**
   * Requirement on the sum of all bytes, an atlas_conservation_policy.
   */
  uint32_t conservation;
  /**
   * 1 if this handle may write, else 0.
   */
  uint32_t writable;
  /**
   * 1 if chaining values are stored, else 0.
   */
  uint32_t keeps_chains;
  /**
   * Block size in bytes. Every commit extends the file by a multiple of it.
   */
  uint32_t block_size;
  /**
   * Number of the newest generation. 0 means none.
   */
  uint64_t newest;
  /**
   * Number of the oldest kept generation. 0 means none.
   */
  uint64_t oldest;
  /**
   * Number of kept generations.
   */
  uint64_t generation_count;
  /**
   * Newest generation known to have been durable that recovery did not find. 0 means none.
   */
  uint64_t lost;
  /**
   * Size of the file up to the end of the newest generation.
   */
  uint64_t file_size;
  /**
   * Size of the base's address space in the newest generation. 0 means none.
   */
  uint64_t base_size;
  /**
   * Id of the file. Compaction keeps it.
   */
  uint8_t id[16];
} atlas_container_info;

/**
 * Properties of a generation. Filled by atlas_container_get_generation().
 */
typedef struct atlas_generation_info {
  /**
   * sizeof(atlas_generation_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Sum of all bytes mod 96. It is the file's claim until the whole tree is loaded.
   */
  uint32_t residue;
  /**
   * Number of the generation.
   */
  uint64_t generation;
  /**
   * Number of the previous kept generation. 0 means none.
   */
  uint64_t previous;
  /**
   * Time of the commit, in nanoseconds since 1970, as the committer set it. 0 means no time.
   */
  int64_t time;
  /**
   * Number of bytes of the domain.
   */
  uint64_t domain_size;
  /**
   * Number of tiles, each of at most 1 MiB.
   */
  uint64_t tile_count;
  /**
   * Number of bytes of the note.
   */
  uint64_t note_size;
  /**
   * Root of the projection.
   */
  uint8_t root[32];
  /**
   * Digest that commits to this generation and to all generations before it. It survives compaction.
   */
  uint8_t history[32];
} atlas_generation_info;

/**
 * Creates a new container without a generation, durable on return. The handle can write.
 *
 * `type` is an atlas_projection_type; `options`, `create` and `operation` may be NULL. `*out` is owned by
 * the caller: atlas_container_destroy(). Fails with IO (with EEXIST if a file of that name exists),
 * INVALID_ARGUMENT, UNSUPPORTED (the file system has no locks; compression not built in), STATE (pool from
 * before a fork) or OUT_OF_MEMORY, and then leaves no file. The creation reports no progress and is not
 * limited. An import that fails leaves the container without a generation: open it for writing and import
 * again.
 */
ATLAS_API
enum atlas_status atlas_container_create(const char *path,
                                         uint32_t type,
                                         const struct atlas_projection_options *options,
                                         const struct atlas_container_create_options *create,
                                         const struct atlas_operation *operation,
                                         struct atlas_container **out);

/**
 * Opens a container. Reads only a few records, independent of the size of the file.
 *
 * `mode` is an atlas_container_mode. `verify` (may be NULL) has the key, and the expected_root of
 * the newest generation; only the history covers time and note. `options` and `operation` may be
 * NULL. `*out` is owned by the caller: atlas_container_destroy(). Fails with FORMAT (no
 * container), WITNESS (another key or root; durable data is missing), STATE (another writer:
 * os_error EAGAIN; pool from before a fork), UNSUPPORTED (newer version; no working lock), LIMIT,
 * IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_open(const char *path,
                                       uint32_t mode,
                                       const struct atlas_verify_options *verify,
                                       const struct atlas_container_open_options *options,
                                       const struct atlas_operation *operation,
                                       struct atlas_container **out);

/**
 * Opens a container that any source holds, for reading: memory, a callback, a file.
 *
 * The handle keeps the source alive. Otherwise like atlas_container_open(). Fails with FORMAT,
 * WITNESS, UNSUPPORTED, LIMIT, IO, INVALID_ARGUMENT, STATE (pool from before a fork),
 * OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_open_source(const struct atlas_source *source,
                                              const struct atlas_verify_options *verify,
                                              const struct atlas_container_open_options *options,
                                              const struct atlas_operation *operation,
                                              struct atlas_container **out);

/**
 * Closes a handle and releases the writer's lock. NULL does nothing. No call may be using it.
 *
 * Snapshots stay valid and can still read. In a forked child nothing is unlocked.
 */
ATLAS_API void atlas_container_destroy(struct atlas_container *container);

/**
 * Fills `info` up to its struct_size with the properties of a container. Fails with INVALID_ARGUMENT or
 * STATE (in a forked child).
 */
ATLAS_API
enum atlas_status atlas_container_get_info(const struct atlas_container *container,
                                           struct atlas_container_info *info);

/**
 * Fills `info` with the properties of a generation. `generation` 0 means the newest.
 *
 * Reads fewer records than the logarithm of the distance from the newest generation. Fails with OUT_OF_RANGE
 * (the generation is not kept), WITNESS (a record on the way is damaged), FORMAT, IO, INVALID_ARGUMENT or
 * STATE (in a forked child).
 */
ATLAS_API
enum atlas_status atlas_container_get_generation(const struct atlas_container *container,
                                                 uint64_t generation,
                                                 struct atlas_generation_info *info);

/**
 * Copies the note of a generation, as much as fits. `generation` 0 means the newest. On entry `*size` is the
 * capacity of `buffer`; on return it is the size of the note.
 *
 * `buffer` may be NULL if `*size` is 0. Fails with OUT_OF_RANGE, WITNESS, FORMAT, IO, INVALID_ARGUMENT or
 * STATE (in a forked child).
 */
ATLAS_API
enum atlas_status atlas_container_get_note(const struct atlas_container *container,
                                           uint64_t generation,
                                           void *buffer,
                                           size_t *size);

/**
 * Creates a projection of a generation, in O(1). `generation` 0 means the newest, or the empty domain if
 * there is no generation. Its tree is loaded on demand.
 *
 * With `verify_reads` not 0, atlas_projection_read() returns only bytes that were checked against
 * their witness. The snapshot keeps the base that is attached now. A read uses at most 16 MiB of
 * memory. `operation` may be NULL. `*out` is owned by the caller: atlas_projection_destroy(); it
 * may outlive the container. Fails with OUT_OF_RANGE (the generation is not kept), WITNESS, FORMAT,
 * UNSUPPORTED, CONSERVATION (STRICT, and the generation's sum is not 0 mod 96), LIMIT, STATE, IO,
 * INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_snapshot(const struct atlas_container *container,
                                           uint64_t generation,
                                           uint32_t verify_reads,
                                           const struct atlas_operation *operation,
                                           struct atlas_projection **out);

/**
 * Stores the parts of a projection that are not stored yet and makes it the newest generation,
 * durable on return.
 *
 * The projection may be edited during the call. `options` and `operation` may be NULL. `*generation` is set
 * to the number of the new generation; `generation` may be NULL. The projection keeps the memory of its
 * edits: continue with a new snapshot to free it. Fails with INVALID_ARGUMENT (another type, K, key or
 * policy), CONFLICT (`expected` is not the newest generation), CONSERVATION (STRICT, or a source changed),
 * WITNESS (a source changed), STATE (the handle was opened for reading or by another process, or an earlier
 * flush failed), UNSUPPORTED (features of a newer version), LIMIT, IO, OUT_OF_MEMORY or CANCELLED, for a
 * snapshot of another container with FORMAT (a damaged record) or INCOMPLETE (no base is attached), and then
 * nothing was committed. After a failed flush the outcome is unknown, and all calls but destroy and getters
 * fail with STATE until the container is opened again.
 */
ATLAS_API
enum atlas_status atlas_container_commit(struct atlas_container *container,
                                         const struct atlas_projection *projection,
                                         const struct atlas_commit_options *options,
                                         const struct atlas_operation *operation,
                                         uint64_t *generation);

/**
 * Projects a source and makes it the newest generation, in one pass and in memory that does not
 * grow with the domain's size.
 *
 * The bytes of the base, or of another source of the same file, are not stored; only their digests are. A
 * tile equal to the newest generation's tile of the same index is reused.
 *
 * `regions` NULL with `region_count` 0 means the whole source. Otherwise the call reads only the tiles of 1
 * MiB that the regions touch, and, if the source has another size than the newest generation, the tail after
 * the end of the shorter one. The other tiles are those of the newest generation, without a check that the
 * source still has their bytes. Regions may overlap and come in any order; `regions` not NULL with
 * `region_count` 0 means none. `options` and `operation` may be NULL; progress is reported once per tile
 * read. `*generation` is set to the number of the new generation; `generation` may be NULL. Fails with
 * INVALID_ARGUMENT (regions after an edit that changed the length, which leaves other tiles than an import
 * makes), OUT_OF_RANGE (a region outside the source), CONFLICT (`expected` is not the newest generation),
 * CONSERVATION (STRICT), WITNESS (a source changed, or a record of the newest generation is damaged), FORMAT
 * (such a record is malformed), IO, STATE, UNSUPPORTED, LIMIT, OUT_OF_MEMORY or CANCELLED, each as
 * atlas_container_commit() does.
 */
ATLAS_API
enum atlas_status atlas_container_import(struct atlas_container *container,
                                         const struct atlas_source *source,
                                         const struct atlas_region *regions,
                                         size_t region_count,
                                         const struct atlas_commit_options *options,
                                         const struct atlas_operation *operation,
                                         uint64_t *generation);

/**
 * Attaches another base for later calls: the source in which bytes of an outline stay. NULL detaches it.
 *
 * Nothing is read. Snapshots that were taken before keep their base. Reading bytes that a shorter base lacks fails with INCOMPLETE; the additional
 * bytes of a longer base are ignored. The container keeps the source alive. Fails with STATE or
 * INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_container_set_base(struct atlas_container *container,
                                           const struct atlas_source *base);

/**
 * Looks for newer generations, in the file that has the path now. `*newest` is set to the number of the
 * newest generation; `newest` may be NULL.
 *
 * `operation` may be NULL; no progress is reported. Fails with STATE (the file lacks the generation that was
 * the newest for this handle: open the container again; pool from before a fork), WITNESS, FORMAT, LIMIT, IO,
 * INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_container_refresh(struct atlas_container *container,
                                          const struct atlas_operation *operation,
                                          uint64_t *newest);

/**
 * Writes the generations from `keep_from` on, and only the bytes that they need, to a new file
 * `path`, while commits continue. With `path` NULL the new file replaces the container itself.
 *
 * A `keep_from` before the oldest generation, also 0, keeps all generations; the number of the newest
 * generation keeps only this generation. When the container itself is replaced, readers keep the old file
 * and other changing calls wait. Snapshots that were taken before stay valid and keep the old file on the
 * disk; take new ones, because a commit of an old one stores its bytes again, except those of the base.
 * The call keeps lists of the compressed runs, some 320 bytes for each. `operation` may be NULL. Fails with
 * OUT_OF_RANGE (`keep_from` is after the newest generation), IO (with EEXIST if a file of that name exists),
 * UNSUPPORTED (several hard links, or attributes of the file that cannot be kept), WITNESS, FORMAT,
 * CONSERVATION (STRICT, and the sum of a kept generation is not 0 mod 96), STATE (also if the path of the
 * container leads to another file now, or the file with `.compact` after its name is open for writing), LIMIT
 * (max_domain_size or memory_limit), INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_compact(struct atlas_container *container,
                                          const char *path,
                                          uint64_t keep_from,
                                          const struct atlas_operation *operation);

/**
 * Checks the header, the chain of commit records, and every other record and tile of the generations from
 * `from` on; `from` 0 means all generations. If these are all generations and no damage was found, it then
 * checks that the bytes between records are zero. Slots (hints to the newest commit) are not checked.
 *
 * `damage` receives records by their offset, then tiles, generation by generation from the oldest; a tile
 * that several generations share is reported once, with the oldest of these generations. If a base was
 * changed in place, the earlier generations stay damaged: in that case pass info.newest as `from`. The call
 * keeps a list of the tiles, some 200 bytes for each. `damage` and `operation` may be NULL. Fails with the
 * status of the first fault in the order header, chain, generations from the oldest, zero bytes (WITNESS,
 * FORMAT, CONSERVATION, UNSUPPORTED); with INCOMPLETE if all bytes of the file are intact and bytes of the
 * base could not be checked; with STATE, LIMIT, IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_find_damage(const struct atlas_container *container,
                                              uint64_t from,
                                              atlas_damage_fn damage,
                                              void *user_data,
                                              const struct atlas_operation *operation);

/**
 * Writes the newest generations of `count` containers, in sequence, as generation 1 of a new
 * container.
 *
 * All parts but the last must consist of full tiles of 1 MiB, or be empty. Type, K, key,
 * conservation and chaining values are those of the parts, which must agree; keep_chains not 0 needs parts
 * with chaining values. The base of each part is a range of its own (atlas_source_range()) and not the whole
 * file; options->base has the size of all these bases together, as atlas_source_concat() makes it, or is
 * NULL. No byte of a base is read, and no base has to be attached to a part. Other payload is decoded and
 * copied; options->compression applies to later commits. With id, block_log2, time and note given a merged
 * outline is byte for byte that of one import. `parts` is borrowed for the call, and a part may occur twice;
 * `options`, `commit` and `operation` may be NULL; progress is reported once per tile. The handle in `*out`
 * can write and is owned by the caller: atlas_container_destroy(). Fails with INVALID_ARGUMENT (no parts;
 * parts that do not fit), CONFLICT (commit->expected is not 0), IO (with EEXIST if a file of that name
 * exists), CONSERVATION (STRICT), WITNESS, FORMAT, UNSUPPORTED, STATE, LIMIT, OUT_OF_MEMORY or CANCELLED,
 * and then leaves no file. The error's index is the part.
 */
ATLAS_API
enum atlas_status atlas_container_merge(const struct atlas_container *const *parts,
                                        size_t count,
                                        const char *path,
                                        const struct atlas_container_create_options *options,
                                        const struct atlas_commit_options *commit,
                                        const struct atlas_operation *operation,
                                        struct atlas_container **out);

/* -----------------------------------------------------------------------------------------------
 * Outlines: search for damage, repair of files, and the difference of two projections.
 *
 * An outline is a container that has the digests of a file and not its bytes. It finds the damaged
 * ranges of the file and fetches only these from another copy.
 *
 *   static bool accept(const atlas_damage *damage, void *user_data) {
 *     (void)user_data;
 *     return damage->repairable != 0; // false leaves the range as it is
 *   }
 *   static atlas_status repair(atlas_container *outline, const atlas_source *copy, const char *path) {
 *     atlas_projection *good = NULL;
 *     atlas_status status = atlas_container_set_base(outline, copy);
 *     if (status == ATLAS_STATUS_OK) status = atlas_container_snapshot(outline, 0, 0, NULL, &good);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_projection_repair_file(good, path, NULL, 0, accept, NULL, NULL);
 *     atlas_projection_destroy(good);
 *     return status;
 *   }
 */

/**
 * Reads and hashes the bytes of the tiles that regions touch, and reports every damaged range.
 *
 * Works as atlas_projection_verify() does, but continues after damage. `regions` NULL means the
 * whole domain; otherwise there are `region_count` regions in any order. `damage` (may be NULL)
 * receives each range in ascending order, adjacent ranges of one kind merged. Ranges consist of groups of 16
 * KiB in tiles with stored chaining values, else of whole tiles. A damaged record of a container comes
 * before the range that it makes unknown. A source longer than the domain is no damage. Memory is at most
 * one tile of 1 MiB per thread. Callable from any thread. `operation` may be NULL; progress is reported once
 * per tile.
 *
 * Fails with WITNESS at the end if there was damage, CONSERVATION if only a sum differs,
 * INCOMPLETE (no damage, but bytes of a base that is not attached were not read), OUT_OF_RANGE (a
 * region outside the domain), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork),
 * OUT_OF_MEMORY or CANCELLED (`damage` or the progress returned false).
 */
ATLAS_API
enum atlas_status atlas_projection_find_damage(const struct atlas_projection *projection,
                                               const struct atlas_region *regions,
                                               size_t region_count,
                                               atlas_damage_fn damage,
                                               void *user_data,
                                               const struct atlas_operation *operation);

/**
 * Repairs a file in place until it holds the projection's bytes.
 *
 * The file at `path` is read and compared with the witnesses. Only ranges that differ, cannot be
 * read or are missing are read through the projection, verified, and then written. An outline
 * whose base is another copy of the file, or a callback that downloads it, therefore fetches only
 * the damaged bytes, on as many threads as the operation allows. `regions` NULL means the whole
 * domain; otherwise there are `region_count` regions in any order.
 *
 * `damage` is required. It is called once per range, ascending, each at most a tile, before the
 * range is written. repairable is 1 if verified bytes are available, else 0 (os_error has the
 * reason); then the range stays as it is and the repair continues. Returning false leaves a range
 * as it is. A shorter file is extended; a range that was refused before a written one then reads
 * as zeros. Bytes after the domain stay. The file is synced before the call returns, also if the call was
 * cancelled. If the sync fails, bytes may not be on the disk: the call fails with IO and drops the system's
 * cached bytes of the file, so that the next call reads the disk and repairs again. The error text says if
 * the system keeps cached bytes. If the call ends at any moment, each byte is right or unchanged, and the
 * next call continues. `path` and `regions` are copied. No other program may write to the file during the
 * call. `operation` may be NULL; progress is reported once per tile.
 *
 * ATLAS_STATUS_OK means that every byte of the regions is right. Fails with IO (a range could not
 * be written, the sync failed, or good bytes could not be read), INCOMPLETE (the good bytes lie in a base
 * that is not attached, or after its end), or WITNESS (`damage` refused a range, or the bytes read for a
 * range did not verify). Before anything is written it fails with INVALID_ARGUMENT (not a regular file, the
 * projection's own container, or a file that has bytes of the projection elsewhere than at their own offset;
 * this check does not see files that a callback reads), IO, OUT_OF_RANGE (a region outside the domain), LIMIT,
 * STATE (pool from before a fork). At any time it fails with OUT_OF_MEMORY or CANCELLED (the progress returned
 * false).
 */
ATLAS_API
enum atlas_status atlas_projection_repair_file(const struct atlas_projection *projection,
                                               const char *path,
                                               const struct atlas_region *regions,
                                               size_t region_count,
                                               atlas_damage_fn damage,
                                               void *user_data,
                                               const struct atlas_operation *operation);

/**
 * Lists the ranges of `projection` whose bytes may differ from the bytes at the same offsets of `other`,
 * ascending and merged.
 *
 * On entry `*count` is the capacity of `regions` (which may be NULL if it is 0); on return it is
 * the number of ranges. If the capacity is too small, the call still succeeds and fills in the
 * first ranges. Ranges end at tiles, or at groups of 16 KiB for tiles of which both store chaining
 * values. All bytes after the end of `other` are listed, and none after the end of `projection`. Tiles are
 * compared by their boundaries: after edits that move boundaries, all bytes after the edit may be listed,
 * unless atlas_projection_optimize() is called first. No payload is read, except of edited tiles, which are
 * hashed first. The cost depends on the difference. Callable from any thread. `operation` may be NULL;
 * progress is reported once per tile that differs.
 *
 * Fails with INVALID_ARGUMENT (NULL, or another type, K or key), WITNESS or FORMAT (a record of a container
 * is damaged), and for edited tiles CONSERVATION or INCOMPLETE (no base is attached); IO, LIMIT, STATE (pool
 * from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_projection_diff(const struct atlas_projection *projection,
                                        const struct atlas_projection *other,
                                        const struct atlas_operation *operation,
                                        struct atlas_region *regions,
                                        size_t *count);

/* -----------------------------------------------------------------------------------------------
 * Parity files: redundancy beside a file, from which damage is rebuilt.
 *
 * A parity file has Reed-Solomon units and digests of a protected file. It finds damage in either
 * file and rebuilds as many units of each row as it has parity units.
 *
 *   static atlas_status repair_to(const char *damaged, const char *parity_path, const char *repaired) {
 *     atlas_parity *parity = NULL;
 *     atlas_repair_options options;
 *     atlas_repair_options_init(&options);
 *     options.mode = ATLAS_REPAIR_NEW_FILE;
 *     options.other_path = repaired;
 *     atlas_status status = atlas_parity_open(parity_path, NULL, NULL, &parity);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_parity_repair(parity, damaged, &options, NULL, NULL, NULL, NULL);
 *     atlas_parity_destroy(parity);
 *     return status;
 *   }
 */

/**
 * Parity file, open for reading. The handle never changes.
 */
typedef struct atlas_parity atlas_parity;

/**
 * Verdict of a check.
 */
typedef enum atlas_parity_verdict {
  /**
   * The call ended without a verdict.
   */
  ATLAS_PARITY_NOT_KNOWN = 0,
  /**
   * Nothing is damaged.
   */
  ATLAS_PARITY_INTACT = 1,
  /**
   * All damage can be rebuilt.
   */
  ATLAS_PARITY_REPAIRABLE = 2,
  /**
   * A row has more damaged units than parity units.
   */
  ATLAS_PARITY_INCOMPLETE = 3,
} atlas_parity_verdict;

/**
 * Destination of a repair.
 */
typedef enum atlas_repair_mode {
  /**
   * The repaired file gets the name other_path; no file of this name may exist. The damaged file is only
   * read.
   */
  ATLAS_REPAIR_NEW_FILE = 0,
  /**
   * The repaired file takes the name of the damaged file, which is kept under the name other_path; no file
   * of this name may exist. If nothing is damaged, nothing is written. A symbolic link is itself replaced, and
   * the file that it leads to gets the name other_path too.
   */
  ATLAS_REPAIR_KEEP = 1,
  /**
   * Damaged units are overwritten in the file.
   */
  ATLAS_REPAIR_IN_PLACE = 2,
} atlas_repair_mode;

/**
 * Options of a new parity file, and of an update. Fill it with atlas_parity_options_init().
 */
typedef struct atlas_parity_options {
  /**
   * sizeof(atlas_parity_options).
   */
  uint32_t struct_size;
  /**
   * Bytes per unit, a multiple of 4,096 up to 1 MiB. 0 means 4 KiB for a source of less than 256 MiB, else
   * 64 KiB.
   */
  uint32_t unit_size;
  /**
   * Number of parity columns, at most the number of data columns. 0 means that redundancy determines it.
   */
  uint32_t parity_columns;
  /**
   * Share of parity in 1/10,000 of the data columns, at most 10,000. Default 625. At least 2 columns are
   * made, or 1 if there is only one data column.
   */
  uint32_t redundancy;
  /**
   * Number of rows. 0 means the number that gives at most 256 columns.
   */
  uint64_t rows;
  /**
   * Key of 32 bytes for the digests, or NULL. Copied, and wiped after use.
   */
  const uint8_t *key;
  /**
   * Id of 16 bytes, which makes the file reproducible. NULL means random. Copied.
   */
  const uint8_t *id;
  /**
   * Not 0: the LINEAR root of the protected bytes is stored too.
   */
  uint32_t store_root;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} atlas_parity_options;

/**
 * Fills `options` with the defaults: 6.25 % of parity, at most 256 columns, a random id, no key,
 * no root.
 */
ATLAS_API void atlas_parity_options_init(struct atlas_parity_options *options);

/**
 * Properties of a parity file. Filled by atlas_parity_get_info().
 */
typedef struct atlas_parity_info {
  /**
   * sizeof(atlas_parity_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Bytes per unit.
   */
  uint32_t unit_size;
  /**
   * Number of protected bytes, from the beginning of the file.
   */
  uint64_t protected_size;
  /**
   * Size of the complete parity file.
   */
  uint64_t parity_size;
  /**
   * Number of rows.
   */
  uint64_t rows;
  /**
   * Number of data columns.
   */
  uint32_t data_columns;
  /**
   * Number of parity columns, the number of units of each row that may be lost.
   */
  uint32_t parity_columns;
  /**
   * Length of the longest run of lost bytes that can be rebuilt wherever it begins.
   */
  uint64_t burst_size;
  /**
   * 1 if the digests are keyed, else 0.
   */
  uint32_t keyed;
  /**
   * 1 if the root of the protected bytes is stored, else 0.
   */
  uint32_t has_root;
  /**
   * Stored root, or zeros.
   */
  uint8_t root[32];
  /**
   * Id of the file. Each creation and update makes a new id, unless the options name the id.
   */
  uint8_t id[16];
} atlas_parity_info;

/**
 * Result of a check. Every repair begins with a check. Filled by the library.
 */
typedef struct atlas_parity_report {
  /**
   * sizeof(atlas_parity_report), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Verdict on the protected bytes, an atlas_parity_verdict.
   */
  uint32_t data;
  /**
   * Verdict on the parity file, including its length, an atlas_parity_verdict.
   */
  uint32_t parity;
  /**
   * Always 0.
   */
  uint32_t reserved;
  /**
   * Size of the protected file as it was found.
   */
  uint64_t size;
  /**
   * Data units that differ from their digests or cannot be read.
   */
  uint64_t bad_units;
  /**
   * Data units whose digests are lost.
   */
  uint64_t unknown_units;
  /**
   * Parity units that are bad or unknown.
   */
  uint64_t bad_parity_units;
  /**
   * Invalid blocks of digests, counted in the head and in the tail copy.
   */
  uint64_t bad_blocks;
  /**
   * Rows with a damaged unit of data or parity.
   */
  uint64_t damaged_rows;
  /**
   * Rows with more damaged units than parity units.
   */
  uint64_t lost_rows;
  /**
   * Data units that a repair has written.
   */
  uint64_t repaired_units;
} atlas_parity_report;

/**
 * Options of a repair. Fill it with atlas_repair_options_init().
 */
typedef struct atlas_repair_options {
  /**
   * sizeof(atlas_repair_options).
   */
  uint32_t struct_size;
  /**
   * Destination of the repair, an atlas_repair_mode. Default NEW_FILE.
   */
  uint32_t mode;
  /**
   * NEW_FILE: name of the repaired file. KEEP: new name of the damaged file. Otherwise ignored.
   * Copied.
   */
  const char *other_path;
  /**
   * Not 0: rows that can be repaired are repaired even if other rows cannot be repaired. Default 0.
   */
  uint32_t partial;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} atlas_repair_options;

/**
 * Fills `options` with the defaults: the repair writes a new file, and only if every damaged row can be
 * repaired. The caller sets other_path.
 */
ATLAS_API
void atlas_repair_options_init(struct atlas_repair_options *options);

/**
 * Writes the parity file of a source.
 *
 * It never replaces a file, because a new parity file would protect damaged bytes as if they were
 * right; atlas_parity_update() follows changes. Every byte is read once. Work memory is at most 256 MiB, and
 * less if memory_limit leaves less, plus 16 bytes per unit and 9 MiB of tables; the file depends neither on the
 * work memory nor on the number of threads. `options` and `operation` may be NULL; progress is reported at least
 * once per MiB. The file appears complete or not at all. Fails with INVALID_ARGUMENT (sizes that do not fit
 * one another), IO (os_error EEXIST if `path` exists), LIMIT, STATE (pool from before a fork),
 * OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_create(const struct atlas_source *source,
                                      const char *path,
                                      const struct atlas_parity_options *options,
                                      const struct atlas_operation *operation);

/**
 * Opens a parity file, which may have lost its beginning or its end.
 *
 * If neither end has a valid head, the file is searched block by block, with progress once per MiB. With a
 * key in `verify`, the file must be keyed with it. A keyed file fails with WITNESS if no key is given. An
 * expected_root must equal the stored root, if there is one, and repairs compare the whole result with it.
 * `verify` and `operation` may be NULL. `*out` is owned by the caller: atlas_parity_destroy(). Fails with
 * FORMAT (no parity file, or too little is left), WITNESS, UNSUPPORTED (newer version, not built in), IO,
 * INVALID_ARGUMENT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_parity_open(const char *path,
                                    const struct atlas_verify_options *verify,
                                    const struct atlas_operation *operation,
                                    struct atlas_parity **out);

/**
 * Fills `info` with the properties of a parity file. Callable from any thread. Fails with
 * INVALID_ARGUMENT or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_get_info(const struct atlas_parity *parity,
                                        struct atlas_parity_info *info);

/**
 * Searches a source and its parity file for damage. Reads everything and writes nothing.
 *
 * ATLAS_STATUS_OK means that both are intact, WITNESS that all of the damage can be repaired,
 * INCOMPLETE that some of it cannot. `report` is filled in these three cases, and may be NULL.
 * `damage` may be NULL; otherwise it receives each damaged unit and block separately, once the
 * verdict is known: first those of the data, then those of the parity file, each ascending.
 * Returning false ends the call with CANCELLED. `operation` may be NULL; progress is reported once
 * per 256 KiB. Callable from any thread. Fails with WITNESS, INCOMPLETE, IO (an error other than
 * an unreadable sector), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
 * CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_check(const struct atlas_parity *parity,
                                     const struct atlas_source *source,
                                     atlas_damage_fn damage,
                                     void *user_data,
                                     const struct atlas_operation *operation,
                                     struct atlas_parity_report *report);

/**
 * Checks as atlas_parity_check() does, and repairs the file `path`.
 *
 * Each unit is rebuilt from its row and verified before it is written. `damage` lets the owner
 * decide: it is called for each damaged data unit separately, ascending, before the first write;
 * returning false leaves the unit as it is. IN_PLACE requires `damage`; in the other modes NULL repairs
 * every unit. A unit whose row is lost is reported with repairable 0, and stays as it is.
 *
 * ATLAS_STATUS_OK means that the data is intact, whatever the state of the parity file (report->parity;
 * atlas_parity_restore() rebuilds it). WITNESS means that a unit was refused and the others are repaired, or
 * that a rebuilt unit does not match its digest or the root that the handle was opened with (then NEW_FILE
 * and KEEP write no file). INCOMPLETE means that a row is lost. Nothing was written then, unless partial is
 * set: then the other rows were repaired.
 *
 * NEW_FILE and KEEP also copy the bytes after the protected bytes; the file appears complete or not at all.
 * KEEP gives the damaged file its second name before the first one changes, so that a name leads to it also
 * after a failure or a crash.
 *
 * IN_PLACE may be stopped at any moment, also by a crash: each byte is right or was bad before, and the next
 * call continues. The file is synced before the call returns. If the sync fails, bytes may not be on the
 * disk: the call fails with IO and drops the system's cached bytes of the file, so that the next call reads
 * the disk and repairs again. The error text says if the system keeps cached bytes.
 *
 * NULL for `options` is an error, because other_path has no default. `report` and `operation` may be NULL;
 * progress is reported once per MiB and once per row. Fails with WITNESS, INCOMPLETE, IO (os_error EEXIST if
 * other_path exists), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or
 * UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_repair(const struct atlas_parity *parity,
                                      const char *path,
                                      const struct atlas_repair_options *options,
                                      atlas_damage_fn damage,
                                      void *user_data,
                                      const struct atlas_operation *operation,
                                      struct atlas_parity_report *report);

/**
 * Writes the parity file again to `path`, byte for byte as it was first written, including its id.
 *
 * Damaged data units are allowed in rows that can be repaired. Replaces a file of this name, also
 * the parity file itself; the handle continues with the old bytes. `operation` may be NULL;
 * progress is reported once per MiB and once per row. The file appears complete or not at all.
 * Fails with INCOMPLETE (a needed row is lost), WITNESS (the file contradicts itself, or changes
 * during the call), IO, INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
 * CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_restore(const struct atlas_parity *parity,
                                       const struct atlas_source *source,
                                       const char *path,
                                       const struct atlas_operation *operation);

/**
 * Writes the parity file of a source that was changed on purpose: in the `region_count` ranges of
 * `regions`, and at its end if its size differs.
 *
 * `regions` NULL means no range (for the whole source: atlas_parity_create()). Unit size, rows,
 * parity columns and key stay. `options` may be NULL; only id and store_root count, and a root
 * that is not requested is dropped. The result equals that of atlas_parity_create() on the old bytes with
 * these ranges replaced, so that damage elsewhere stays damage. If other bytes of the affected rows differ,
 * the call fails with WITNESS and writes nothing; with store_root any differing byte has this effect. Reads
 * the appended bytes, the units of each affected row, and the parity file once. Replaces a file of this
 * name, also the parity file itself; the handle continues with the old file. `operation` may be NULL;
 * progress is reported at least once per MiB. Fails with WITNESS, INVALID_ARGUMENT (the rows do not fit the
 * new size: create a new file), OUT_OF_RANGE (a region outside the source), IO, LIMIT, STATE (pool from
 * before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_update(const struct atlas_parity *parity,
                                      const struct atlas_source *source,
                                      const struct atlas_region *regions,
                                      size_t region_count,
                                      const char *path,
                                      const struct atlas_parity_options *options,
                                      const struct atlas_operation *operation);

/**
 * Frees a parity handle. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_parity_destroy(struct atlas_parity *parity);

/* -----------------------------------------------------------------------------------------------
 * Accelerators: tiles hashed by an OpenCL device.
 *
 * A pool can have a device that hashes tiles beside its threads, with the witnesses, roots and
 * bytes of the processor. Use it for data that lies in memory of the device, or on a machine with
 * few cores (docs/gpu.md). The OpenCL loader is opened at run time and never linked.
 *
 *   static atlas_status root_on_gpu(const atlas_source *source, uint8_t root[32]) {
 *     atlas_operation operation;
 *     atlas_pool *pool = NULL;
 *     atlas_projection *projection = NULL;
 *     atlas_status status = atlas_pool_create_accelerated(0, NULL, &pool);
 *     atlas_operation_init(&operation);
 *     operation.pool = pool;
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection);
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_projection_root(projection, &operation, root);
 *     atlas_projection_destroy(projection);
 *     atlas_pool_destroy(pool);
 *     return status;
 *   }
 */

/**
 * Choice of an OpenCL device. Fill it with atlas_accelerator_options_init().
 */
typedef struct atlas_accelerator_options {
  /**
   * sizeof(atlas_accelerator_options).
   */
  uint32_t struct_size;
  /**
   * Number of the device among those that match, from 0.
   */
  uint32_t index;
  /**
   * Part of the name of the device or of its platform, in any case; a device of any kind with it
   * matches. Borrowed for the call. NULL means any GPU.
   */
  const char *name;
  /**
   * The caller's own cl_context, with cl_device: both or neither. It must come from the library
   * that the loader libOpenCL.so.1 is. It is retained; index and name are ignored, and buffers of
   * it can be sources.
   */
  void *cl_context;
  /**
   * The caller's own cl_device_id, a device of cl_context.
   */
  void *cl_device;
  /**
   * Maximum number of bytes of device memory. 0 means a quarter of it, at most 1 GiB.
   */
  uint64_t memory_limit;
} atlas_accelerator_options;

/**
 * Properties of the device of a pool.
 */
typedef struct atlas_accelerator_info {
  /**
   * sizeof(atlas_accelerator_info).
   */
  uint32_t struct_size;
  /**
   * Number of compute units.
   */
  uint32_t compute_units;
  /**
   * Bytes of memory of the device.
   */
  uint64_t memory_size;
  /**
   * Bytes that the device has hashed since the pool was made.
   */
  uint64_t bytes_hashed;
  /**
   * Name of the device, cut to 127 bytes, with a zero at its end.
   */
  char name[128];
} atlas_accelerator_info;

/**
 * Fills `options` with the defaults: the first GPU, a quarter of its memory, at most 1 GiB.
 */
ATLAS_API void atlas_accelerator_options_init(struct atlas_accelerator_options *options);

/**
 * Creates a pool like atlas_pool_create() whose calls also hash tiles on an OpenCL device.
 *
 * `options` may be NULL. `*out` is owned by the caller: atlas_pool_destroy(). Compiling the kernels, once
 * per process and device, takes seconds. A driver may start threads of its own. LINEAR tiles are hashed on
 * the device, R96 tiles on the processor. Buffers of the host count towards operation.memory_limit. During a
 * call a lack of device memory is OUT_OF_MEMORY, and the pool goes on; another failure of OpenCL is IO with
 * its negative code as os_error, and a wrong digest is INTERNAL with the tile's index. Both make later calls
 * with the pool STATE: nothing falls back to the processor unasked. After fork() the child makes no OpenCL
 * call: pool and sources of OpenCL buffers are STATE there, and destroying them releases nothing.
 *
 * Fails with INVALID_ARGUMENT, OUT_OF_MEMORY, LIMIT (memory_limit below the need of one tile), UNSUPPORTED
 * (no loader, no such device, or one that does not compile the kernels or fails the self-test; not built in)
 * or STATE (OpenCL was opened before a fork).
 */
ATLAS_API
enum atlas_status atlas_pool_create_accelerated(uint32_t threads,
                                                const struct atlas_accelerator_options *options,
                                                struct atlas_pool **out);

/**
 * Gets the properties of the device of a pool. Set info->struct_size first.
 *
 * Callable from any thread. Fails with INVALID_ARGUMENT (the pool has no device).
 */
ATLAS_API
enum atlas_status atlas_pool_get_accelerator(const struct atlas_pool *pool,
                                             struct atlas_accelerator_info *info);

/**
 * Creates a source from `size` bytes at `offset` of an OpenCL buffer.
 *
 * `buffer` is a live cl_mem of the context of `pool`. Buffer and context are retained, and the pool may be
 * destroyed first. Commands that write the buffer must have completed before a call reads it. A pool of the
 * same context hashes the bytes in place; everything else reads them by copies. `*out` is owned by the
 * caller: atlas_source_destroy(). Callable from any thread. Fails with INVALID_ARGUMENT (a pool without
 * device, a NULL buffer, a buffer of another context, no buffer object, CL_MEM_WRITE_ONLY), OUT_OF_RANGE,
 * STATE, OUT_OF_MEMORY or IO.
 */
ATLAS_API
enum atlas_status atlas_source_from_cl_mem(const struct atlas_pool *pool,
                                           void *buffer,
                                           uint64_t offset,
                                           uint64_t size,
                                           struct atlas_source **out);

/* -----------------------------------------------------------------------------------------------
 * Benchmark: the speed of the library on this machine.
 *
 * The suite generates its own data. It measures each part of the library, and beside it memcpy and BLAKE3,
 * which bound the speed of the parts.
 *
 *   static atlas_status print_speed(void) {
 *     atlas_benchmark_report *report = NULL;
 *     atlas_buffer text = { NULL, 0 };
 *     atlas_status status = atlas_benchmark_run(NULL, NULL, &report); // takes minutes
 *     if (status == ATLAS_STATUS_OK)
 *       status = atlas_benchmark_report_format(report, ATLAS_REPORT_TEXT, &text);
 *     fwrite(text.data, 1, text.size, stdout);
 *     atlas_buffer_free(&text);
 *     atlas_benchmark_report_destroy(report);
 *     return status;
 *   }
 */

/**
 * Settings of a benchmark run. Fill it with atlas_benchmark_config_init().
 */
typedef struct atlas_benchmark_config {
  /**
   * sizeof(atlas_benchmark_config).
   */
  uint32_t struct_size;
  /**
   * Iterations of a case before the measured iterations. Default 3.
   */
  uint32_t warmup_iterations;
  /**
   * Measured iterations of a case, at least 1. Default 10.
   */
  uint32_t iterations;
  /**
   * Seconds for the iterations of one case, finite and greater than 0. Default 5. After this time no
   * iteration begins, except the first measured iteration; warm-up gets half of this time. A running
   * iteration is not interrupted, and the preparation of the case does not count.
   */
  double max_seconds;
  /**
   * Sizes of the domains in bytes, each greater than 0. NULL means 1, 16 and 64 MiB. Borrowed
   * for the call.
   */
  const uint64_t *data_sizes;
  /**
   * Number of sizes at data_sizes, at least 1. 0 if data_sizes is NULL.
   */
  size_t data_size_count;
} atlas_benchmark_config;

/**
 * Fills `config` with the defaults: 3 iterations of warm-up and 10 measured iterations, 5 seconds per case,
 * domains of 1, 16 and 64 MiB.
 */
ATLAS_API
void atlas_benchmark_config_init(struct atlas_benchmark_config *config);

/**
 * Results of a benchmark run. They do not change.
 */
typedef struct atlas_benchmark_report atlas_benchmark_report;

/**
 * One case on a domain of one size. Times are nanoseconds per iteration. Filled by
 * atlas_benchmark_report_get().
 */
typedef struct atlas_benchmark_result {
  /**
   * sizeof(atlas_benchmark_result), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Always 0.
   */
  uint32_t reserved;
  /**
   * Name of the case, such as "linear projection". Borrowed until the report is destroyed.
   */
  const char *name;
  /**
   * Number of bytes of the domain.
   */
  uint64_t data_size;
  /**
   * Number of measured iterations, fewer than requested if max_seconds ran out.
   */
  uint64_t iterations;
  /**
   * Time of the fastest iteration.
   */
  double min_ns;
  /**
   * Time of the slowest iteration.
   */
  double max_ns;
  /**
   * Mean time.
   */
  double mean_ns;
  /**
   * Median time.
   */
  double median_ns;
  /**
   * Standard deviation. 0 for one iteration.
   */
  double stddev_ns;
  /**
   * data_size divided by the median. Meaningless for transformations and incremental cases,
   * whose time does not depend on the size of the domain.
   */
  double bytes_per_second;
} atlas_benchmark_result;

/**
 * Measures the library on this machine, case by case for each size, on data that the call generates.
 *
 * Cases: "memcpy" and "BLAKE3" (bounds of the other cases), projections, streaming, verification, single and
 * many shards, reconstruction, transformation, updates, compression. Cases that are not built in are left
 * out. `config` and `operation` may be NULL. `*out` is owned by the caller:
 * atlas_benchmark_report_destroy(). Callable from any thread, but concurrent work slows the measured cases
 * down.
 *
 * A case of one size takes at most max_seconds, plus the time of its preparation (the domain projected,
 * split into shards, compressed), of one warm-up iteration and of one measured iteration, which are never
 * interrupted. Progress is reported before a case is prepared, after each iteration and after the
 * case, and counts cases as chunks. If the callback returns false, the call ends after the present
 * preparation or iteration.
 *
 * Needs memory for five times the largest size, plus 64 KiB per MiB of that size, plus 6 MiB. Fails with
 * INVALID_ARGUMENT, LIMIT (memory_limit is less than this memory), OUT_OF_MEMORY, CANCELLED, STATE (pool
 * from before a fork) or UNSUPPORTED (not built in). If one size is the cause, the index in atlas_error_info
 * is that of the size at data_sizes.
 */
ATLAS_API
enum atlas_status atlas_benchmark_run(const struct atlas_benchmark_config *config,
                                      const struct atlas_operation *operation,
                                      struct atlas_benchmark_report **out);

/**
 * Returns the number of results. 0 for NULL. Callable from any thread.
 */
ATLAS_API size_t atlas_benchmark_report_count(const struct atlas_benchmark_report *report);

/**
 * Fills `result` with result `index`, in the order of measurement: all cases of the first size
 * come first.
 *
 * The caller sets result->struct_size. Callable from any thread. Fails with OUT_OF_RANGE,
 * INVALID_ARGUMENT or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_benchmark_report_get(const struct atlas_benchmark_report *report,
                                             size_t index,
                                             struct atlas_benchmark_result *result);

/**
 * Format of a report. All are UTF-8.
 */
typedef enum atlas_report_format {
  /**
   * A table for people, at most 100 columns wide.
   */
  ATLAS_REPORT_TEXT = 0,
  /**
   * One JSON object, with the environment and an array of results.
   */
  ATLAS_REPORT_JSON = 1,
  /**
   * A line of names and a line per result, separated by commas.
   */
  ATLAS_REPORT_CSV = 2,
} atlas_report_format;

/**
 * Writes all results, each with its speed as a fraction of the speed of its bound, such as memcpy or BLAKE3.
 *
 * `format` is an atlas_report_format. `*out` is owned by the caller: atlas_buffer_free(); it has
 * no terminating NUL byte. Callable from any thread. Fails with INVALID_ARGUMENT, OUT_OF_MEMORY or
 * UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_benchmark_report_format(const struct atlas_benchmark_report *report,
                                                uint32_t format,
                                                struct atlas_buffer *out);

/**
 * Frees a report. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_benchmark_report_destroy(struct atlas_benchmark_report *report);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ATLAS_MANIFOLD_H */
