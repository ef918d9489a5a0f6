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
 * Errors     A function that can fail returns atlas_status, 0 is success. Out-parameters are set to
 *            NULL or 0 first. On failure nothing the caller had is changed. The text and the numbers
 *            of the thread's last failure: atlas_last_error_message(), atlas_last_error_get().
 *            Each function lists how it fails. In addition, any of them can return INVALID_ARGUMENT (a
 *            NULL that is not allowed, an impossible struct_size) or INTERNAL (a defect in the library,
 *            such as a caught panic, for which Rust also prints a line to stderr).
 * Ownership  What create, open, copy, borrow, from_callback, project, snapshot, extract, deserialize,
 *            compress, decompress, finish and run give through `out` is the caller's, to be given to
 *            the destroy of its type, which accepts NULL. Memory from the library goes back to the
 *            library, never to free().
 * Memory     Up to 64 MiB of used buffers stay for the next call, for the whole process, also when every
 *            handle is destroyed: atlas_manifold_trim() frees them. A memory_limit counts them.
 * Threads    Any thread may call. const functions on a handle may run at the same time as any other on
 *            it; changing ones are serialised inside. Destroy a handle when no call uses it. The library
 *            starts no thread before the first parallel call or atlas_pool_create() of more than one
 *            thread, and never uses a process-global pool.
 * Fork       The child makes a pool of its own; one that the caller made is STATE there. Do not use in
 *            the child a handle that another thread was using at the moment of the fork: it may stay
 *            locked forever. A projection and its snapshots count as one handle here. What becomes a
 *            file at the end (spool_path) belongs to the process that began it: adding to it or finishing
 *            it is STATE in the child.
 * Structs    Those that begin with struct_size: fill them with their *_init, which does nothing to NULL,
 *            or, where the library fills them, set struct_size to sizeof and nothing else. Older, smaller
 *            sizes stay valid.
 * NULL       for options, limits and operation means what *_init gives.
 * Callbacks  must not throw or longjmp. Progress runs on the thread that made the call.
 * Files      that the library writes appear under their name complete or not at all. Until then they are
 *            .atlas-*.tmp beside it, removed if the call fails; a killed process leaves them, also one that
 *            exceeds its file size limit without ignoring SIGXFSZ. They are safe to delete when no process
 *            writes there.
 *            A repair in place alone changes a file that is there; it may be stopped at any moment.
 * Sizes      of the domain are uint64_t, of memory size_t. Paths are bytes on Unix, UTF-8 on Windows.
 * Unloading  The library stays mapped after dlclose(), so that threads that used it can still exit
 *            safely. Destroy your pools first.
 * Versions   Compare atlas_manifold_version() with ATLAS_MANIFOLD_VERSION.
 */

#ifndef ATLAS_MANIFOLD_H
#define ATLAS_MANIFOLD_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Marks what the library exports. */
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

/**
 * The fastest level.
 */
#define ATLAS_COMPRESSION_LEVEL_FAST 1

/**
 * The default level.
 */
#define ATLAS_COMPRESSION_LEVEL_BALANCED 6

/**
 * The level with the smallest results.
 */
#define ATLAS_COMPRESSION_LEVEL_BEST 9

/**
 * Work runs on several threads.
 */
#define ATLAS_FEATURE_PARALLEL 1

/**
 * Shards can be compressed.
 */
#define ATLAS_FEATURE_COMPRESSION 2

/**
 * Domains can be streamed.
 */
#define ATLAS_FEATURE_STREAMING 4

/**
 * The benchmark suite is there.
 */
#define ATLAS_FEATURE_BENCHMARKS 8

/**
 * Containers are there: always.
 */
#define ATLAS_FEATURE_CONTAINER 16

/**
 * Parity files can be made and used.
 */
#define ATLAS_FEATURE_PARITY 32

/**
 * ATLAS_COMPRESSION_ZSTD is there.
 */
#define ATLAS_FEATURE_ZSTD 64

/**
 * ATLAS_COMPRESSION_LZ4 is there.
 */
#define ATLAS_FEATURE_LZ4 128

/**
 * What a call says of its outcome. Numbers are never reused.
 */
typedef enum atlas_status {
  /**
   * Success.
   */
  ATLAS_STATUS_OK = 0,
  /**
   * NULL where that is not allowed, an unknown enum value, a bad configuration.
   */
  ATLAS_STATUS_INVALID_ARGUMENT = 1,
  /**
   * A buffer whose size comes from outside could not be allocated, or no thread be started.
   */
  ATLAS_STATUS_OUT_OF_MEMORY = 2,
  /**
   * An offset or a length outside the domain, or a number outside its range.
   */
  ATLAS_STATUS_OUT_OF_RANGE = 3,
  /**
   * The operating system or a callback failed; the message carries path and reason.
   */
  ATLAS_STATUS_IO = 4,
  /**
   * The sum of bytes mod 96 is not as it must be.
   */
  ATLAS_STATUS_CONSERVATION = 5,
  /**
   * A digest, a proof or a key does not match: the bytes are not those that were projected.
   */
  ATLAS_STATUS_WITNESS = 6,
  /**
   * Serialised data is malformed or cut.
   */
  ATLAS_STATUS_FORMAT = 7,
  /**
   * A feature that is not built in, or data of a newer version.
   */
  ATLAS_STATUS_UNSUPPORTED = 8,
  /**
   * The call is not valid in this state.
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
   * A limit that the caller set would be exceeded.
   */
  ATLAS_STATUS_LIMIT = 13,
  /**
   * A defect of the library, such as a caught panic.
   */
  ATLAS_STATUS_INTERNAL = 14,
} atlas_status;

/**
 * How a file is read.
 */
typedef enum atlas_file_io {
  /**
   * Positioned reads: a file that shrinks or fails later is an error then.
   */
  ATLAS_FILE_IO_READ = 0,
  /**
   * Mapped: the caller promises that nobody truncates or writes the file as long as a projection
   * reads it. Reading behind the new end of a truncated file kills the process (SIGBUS).
   */
  ATLAS_FILE_IO_MMAP = 1,
  /**
   * Mapped if nobody can shorten the file, else as ATLAS_FILE_IO_READ.
   *
   * Linux promises it of a file with the seal F_SEAL_SHRINK, of an immutable one on ext4, and of one on a file
   * system that is mounted read-only as a whole and that no other machine writes to; a read-only mount of a file
   * system that is mounted for writing elsewhere is read. The caller promises that nobody writes to a file that
   * is sealed against shrinking alone, and that no administrator takes the other two promises back meanwhile. A
   * disk that fails under a mapping kills the process (SIGBUS), where a read is IO.
   */
  ATLAS_FILE_IO_AUTO = 2,
} atlas_file_io;

/**
 * How a tile's bytes become witnessed payload.
 */
typedef enum atlas_projection_type {
  /**
   * The bytes as they are.
   */
  ATLAS_PROJECTION_LINEAR = 0,
  /**
   * The exact Fourier transform over GF(12289), dealt out to 96 resonance classes of which any
   * r96_data_classes rebuild the domain.
   */
  ATLAS_PROJECTION_R96_FOURIER = 1,
} atlas_projection_type;

/**
 * What a delta does. Fields of it that a type does not use are ignored.
 */
typedef enum atlas_change_type {
  /**
   * Data goes in before the byte at offset; at the size of the domain it is appended.
   */
  ATLAS_CHANGE_INSERT = 0,
  /**
   * [offset, offset + length) is replaced by data, of any size; of the same size it moves no tile
   * edge.
   */
  ATLAS_CHANGE_UPDATE = 1,
  /**
   * [offset, offset + length) is removed.
   */
  ATLAS_CHANGE_DELETE = 2,
  /**
   * [offset, offset + length) is cut and goes in before the byte that was at destination before
   * the move; at the size of the domain it goes to the end. At the two edges of the range nothing
   * happens, strictly inside it is ATLAS_STATUS_INVALID_ARGUMENT.
   */
  ATLAS_CHANGE_MOVE = 3,
} atlas_change_type;

/**
 * What is asked of the sum of all bytes.
 */
typedef enum atlas_conservation_policy {
  /**
   * Any bytes; residue and correction are recorded.
   */
  ATLAS_CONSERVATION_TRACK = 0,
  /**
   * The sum must be 0 mod 96, and stay so.
   */
  ATLAS_CONSERVATION_STRICT = 1,
} atlas_conservation_policy;

/**
 * How a batch is spread over threads. The shards are the same, bit for bit.
 */
typedef enum atlas_parallel_strategy {
  /**
   * On the calling thread: where the host has no thread to spare, or runs batches in parallel itself.
   */
  ATLAS_PARALLEL_SEQUENTIAL = 0,
  /**
   * About a tile a task, on the calling thread and the operation's pool, else the library's: what to use
   * without a reason for another one. A batch too small for a second thread is done on the calling one,
   * which takes less time than to wake another.
   */
  ATLAS_PARALLEL_DEFAULT = 1,
  /**
   * As DEFAULT, on the operation's pool, which must be given, however small the batch, and nowhere else:
   * where the calling thread must do no such work. It waits, reports progress and puts the shards
   * together.
   */
  ATLAS_PARALLEL_POOL = 2,
  /**
   * As DEFAULT, with chunk_size regions a task: for many small regions whose neighbours lie in the same
   * tile. A tile that two tasks touch is hashed twice. A region larger than a thread's share of the
   * batch is cut into its tiles.
   */
  ATLAS_PARALLEL_CHUNKED = 3,
  /**
   * As DEFAULT, the most work first, with up to max_threads at work: for regions of very different
   * sizes.
   */
  ATLAS_PARALLEL_WORK_STEALING = 4,
} atlas_parallel_strategy;

/**
 * How a payload is compressed.
 */
typedef enum atlas_compression_algorithm {
  /**
   * Stored as it is.
   */
  ATLAS_COMPRESSION_NONE = 0,
  /**
   * A raw DEFLATE stream (RFC 1951) a block.
   */
  ATLAS_COMPRESSION_DEFLATE = 1,
  /**
   * For each block the best of DEFLATE alone and of DEFLATE behind a split into byte planes.
   */
  ATLAS_COMPRESSION_CONSERVATION_AWARE = 2,
  /**
   * Zstandard, behind byte planes where they pay. UNSUPPORTED without ATLAS_FEATURE_ZSTD.
   */
  ATLAS_COMPRESSION_ZSTD = 3,
  /**
   * LZ4, behind byte planes where they pay. UNSUPPORTED without ATLAS_FEATURE_LZ4.
   */
  ATLAS_COMPRESSION_LZ4 = 4,
  /**
   * The algorithm that suits a shard and the target, found by samples of the shard. A compressed shard
   * names the algorithm that was chosen, never this one.
   */
  ATLAS_COMPRESSION_AUTO = 5,
} atlas_compression_algorithm;

/**
 * The filter before the codec of ZSTD, LZ4 and AUTO. DEFLATE, which has none, and CONSERVATION_AWARE, which
 * chooses by itself, take ATLAS_FILTER_AUTO alone. With AUTO as algorithm the other two leave ZSTD and LZ4 to
 * choose from.
 */
typedef enum atlas_compression_filter {
  /**
   * Byte planes or none, chosen per block by a sample.
   */
  ATLAS_FILTER_AUTO = 0,
  /**
   * None.
   */
  ATLAS_FILTER_NONE = 1,
  /**
   * Byte planes wherever they do not lose.
   */
  ATLAS_FILTER_PLANES = 2,
} atlas_compression_filter;

/**
 * What ATLAS_COMPRESSION_AUTO chooses an algorithm by.
 */
typedef enum atlas_compression_target {
  /**
   * The size, unless LZ4 comes near it.
   */
  ATLAS_TARGET_BALANCED = 0,
  /**
   * The time that decompression takes, among the algorithms that save enough.
   */
  ATLAS_TARGET_FASTEST_READ = 1,
  /**
   * The size.
   */
  ATLAS_TARGET_SMALLEST = 2,
} atlas_compression_target;

/**
 * What a report is written as; all are UTF-8.
 */
typedef enum atlas_report_format {
  /**
   * A table for people, at most 100 columns wide.
   */
  ATLAS_REPORT_TEXT = 0,
  /**
   * One JSON object, with what ran and an array of results.
   */
  ATLAS_REPORT_JSON = 1,
  /**
   * A line of names and a line for each result, separated by commas.
   */
  ATLAS_REPORT_CSV = 2,
} atlas_report_format;

/**
 * What a handle may do.
 */
typedef enum atlas_container_mode {
  /**
   * Reading, beside any number of readers and a writer.
   */
  ATLAS_CONTAINER_READ = 0,
  /**
   * Reading and writing: one handle at a time.
   */
  ATLAS_CONTAINER_WRITE = 1,
} atlas_container_mode;

/**
 * The part of an object that is damaged.
 */
typedef enum atlas_damage_part {
  /**
   * Bytes of the domain, or of the protected file.
   */
  ATLAS_DAMAGE_DATA = 0,
  /**
   * A record of a container.
   */
  ATLAS_DAMAGE_RECORD = 1,
  /**
   * A unit of a parity file.
   */
  ATLAS_DAMAGE_PARITY = 2,
  /**
   * A block of digests of a parity file.
   */
  ATLAS_DAMAGE_DIGESTS = 3,
} atlas_damage_part;

/**
 * The kind of a damage.
 */
typedef enum atlas_damage_kind {
  /**
   * The bytes are not those that were witnessed: they were damaged, or changed by their owner.
   */
  ATLAS_DAMAGE_DIFFERS = 0,
  /**
   * The bytes cannot be read; os_error has the reason.
   */
  ATLAS_DAMAGE_UNREADABLE = 1,
  /**
   * The range lies behind the end of the file.
   */
  ATLAS_DAMAGE_MISSING = 2,
  /**
   * The digest of the range is lost itself.
   */
  ATLAS_DAMAGE_UNKNOWN = 3,
} atlas_damage_kind;

/**
 * The verdict of a check.
 */
typedef enum atlas_parity_verdict {
  /**
   * The call did not come to a verdict.
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
 * Fate of a damaged file.
 */
typedef enum atlas_repair_mode {
  /**
   * The repaired file gets the name other_path, which must be free; the damaged file is only read.
   */
  ATLAS_REPAIR_NEW_FILE = 0,
  /**
   * The repaired file takes the name; the damaged one is kept as other_path, which must be free. If nothing
   * is damaged, nothing is written.
   */
  ATLAS_REPAIR_KEEP = 1,
  /**
   * Damaged units are overwritten where they are.
   */
  ATLAS_REPAIR_IN_PLACE = 2,
} atlas_repair_mode;

/**
 * What a run came to. It does not change.
 */
typedef struct atlas_benchmark_report atlas_benchmark_report;

/**
 * A shard whose payload takes less room, or is stored where it would not.
 *
 * Its blocks have digests of their own, against accidents; what its bytes prove is known when it is
 * decompressed.
 */
typedef struct atlas_compressed_shard atlas_compressed_shard;

/**
 * Compresses and decompresses batches with one configuration, and keeps count. It may be used from
 * several threads at once.
 */
typedef struct atlas_compression_manager atlas_compression_manager;

/**
 * One file with the generations of one projection: what was committed survives the process and the machine.
 *
 * The payload lies in the file, or stays in a source of the caller's, the base: the container is an outline of
 * it then. One writer and any number of readers, in any processes. A generation never changes. After fork() a
 * child may only destroy the handle, else ATLAS_STATUS_STATE; snapshots go on reading there.
 */
typedef struct atlas_container atlas_container;

/**
 * A parity file, open for reading. The handle never changes.
 */
typedef struct atlas_parity atlas_parity;

/**
 * Threads that the host asked for.
 */
typedef struct atlas_pool atlas_pool;

/**
 * An addressable, verifiable view of a domain.
 */
typedef struct atlas_projection atlas_projection;

/**
 * Collects the shards of one projection state until the domain is whole.
 */
typedef struct atlas_reconstruction atlas_reconstruction;

/**
 * A region of a domain with its bytes and their proof against the root. It owns its bytes.
 *
 * A handle is always internally consistent: its bytes were verified against the root that it names
 * before there was a handle.
 */
typedef struct atlas_shard atlas_shard;

/**
 * Where a domain's bytes come from. Reference-counted: projections and their snapshots hold on to
 * their source, shards never do.
 */
typedef struct atlas_source atlas_source;

/**
 * A stream: chunks that are pulled from a source, or bytes that are pushed.
 */
typedef struct atlas_stream atlas_stream;

/**
 * What a run of the benchmarks measures. Fill it with atlas_benchmark_config_init().
 */
typedef struct atlas_benchmark_config {
  /**
   * sizeof(atlas_benchmark_config).
   */
  uint32_t struct_size;
  /**
   * Iterations of a case before those that count; default 3.
   */
  uint32_t warmup_iterations;
  /**
   * Iterations of a case that count, at least 1; default 10.
   */
  uint32_t iterations;
  /**
   * Seconds for the iterations of one case, finite and greater than 0; default 5. None begins later, but
   * for the first one that counts; warm-up gets half of it. What has begun is not cut short, and
   * preparing the case is not counted.
   */
  double max_seconds;
  /**
   * Bytes of the domains, each greater than 0; NULL: 1, 16 and 64 MiB. Borrowed for the call.
   */
  const uint64_t *data_sizes;
  /**
   * Numbers at data_sizes, at least 1; 0 where that is NULL.
   */
  size_t data_size_count;
} atlas_benchmark_config;

/**
 * How far a long call has come. The values of one call never decrease.
 */
typedef struct atlas_progress {
  /**
   * sizeof(atlas_progress).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Bytes of work done.
   */
  uint64_t bytes_done;
  /**
   * Bytes of work in all; 0: not known.
   */
  uint64_t bytes_total;
  /**
   * Tiles, chunks, regions, shards or cases done.
   */
  uint64_t chunks_done;
  /**
   * Tiles, chunks, regions, shards or cases in all.
   */
  uint64_t chunks_total;
} atlas_progress;

/**
 * Called with the progress of a call, on the thread that made it; false cancels.
 *
 * `progress` is borrowed for the callback. It may use other handles, not the one at work, and must
 * not throw or longjmp. A stream or a reconstruction is kept from other changing calls meanwhile: two
 * threads whose callbacks change each other's wait for ever. After false it is not called again and
 * the call returns ATLAS_STATUS_CANCELLED.
 */
typedef bool (*atlas_progress_fn)(const struct atlas_progress *progress, void *user_data);

/**
 * How a long call runs. Fill it with atlas_operation_init(); NULL means what that gives.
 */
typedef struct atlas_operation {
  /**
   * sizeof(atlas_operation).
   */
  uint32_t struct_size;
  /**
   * NULL: the library's own pool, one thread a core, made at the first parallel call. Work is shared
   * between the calling thread and threads of the pool, together at most as many as the pool has; what
   * is too small to share is the calling one's. No other thread does any. (ATLAS_PARALLEL_POOL leaves
   * the calling thread what takes no time.)
   */
  const struct atlas_pool *pool;
  /**
   * NULL: no progress.
   */
  atlas_progress_fn progress;
  /**
   * Handed to progress.
   */
  void *user_data;
  /**
   * The most bytes that the library may allocate during the call, its result included, thread
   * stacks and mapped pages not; 0: no limit. It uses fewer workers before it answers
   * ATLAS_STATUS_LIMIT.
   */
  uint64_t memory_limit;
} atlas_operation;

/**
 * One case on a domain of one size; times are nanoseconds of an iteration. Filled by
 * atlas_benchmark_report_get().
 */
typedef struct atlas_benchmark_result {
  /**
   * sizeof(atlas_benchmark_result), set by the caller.
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The case, such as "linear projection"; borrowed until the report is destroyed.
   */
  const char *name;
  /**
   * Bytes of the domain.
   */
  uint64_t data_size;
  /**
   * Iterations that count; fewer than asked for where max_seconds was over.
   */
  uint64_t iterations;
  /**
   * The fastest iteration.
   */
  double min_ns;
  /**
   * The slowest iteration.
   */
  double max_ns;
  /**
   * The mean of all.
   */
  double mean_ns;
  /**
   * As many are faster as are slower.
   */
  double median_ns;
  /**
   * The standard deviation; 0 of one iteration.
   */
  double stddev_ns;
  /**
   * data_size by the median. Of a transformation and of incremental cases, whose time does not follow
   * the domain, it says nothing of how fast bytes are processed.
   */
  double bytes_per_second;
} atlas_benchmark_result;

/**
 * Bytes that the library allocated and the caller owns. Free with atlas_buffer_free().
 */
typedef struct atlas_buffer {
  /**
   * NULL when size is 0.
   */
  uint8_t *data;
  /**
   * Bytes at data.
   */
  size_t size;
} atlas_buffer;

/**
 * What a compression does. Fill it with atlas_compression_config_init().
 */
typedef struct atlas_compression_config {
  /**
   * sizeof(atlas_compression_config).
   */
  uint32_t struct_size;
  /**
   * An atlas_compression_algorithm; default CONSERVATION_AWARE.
   */
  uint32_t algorithm;
  /**
   * 0 (stored) to 9; default 6.
   */
  uint32_t level;
  /**
   * Regions of fewer bytes are stored; default 1,024.
   */
  uint64_t min_size_threshold;
  /**
   * What would take more than this part of its bytes is stored; default 0.9.
   */
  double max_compression_ratio;
  /**
   * Not 0: check the residue of what is about to be encoded; default 1. Decompression always
   * checks.
   */
  uint32_t preserve_conservation;
  /**
   * Not 0: decompress and compare before it is handed out; default 1.
   */
  uint32_t verify_integrity;
  /**
   * Bytes of the independent blocks, 4 KiB to 1 MiB; default 128 KiB.
   */
  uint64_t block_size;
  /**
   * An atlas_compression_filter; default AUTO.
   */
  uint32_t filter;
  /**
   * An atlas_compression_target, which ATLAS_COMPRESSION_AUTO chooses by; default BALANCED.
   */
  uint32_t target;
  /**
   * Not 0: codec_level counts in place of level. INVALID_ARGUMENT with ATLAS_COMPRESSION_AUTO. Default 0.
   */
  uint32_t has_codec_level;
  /**
   * The codec's own level: -7 to 19 of ZSTD, where 0 is 3; 1 to 9 of DEFLATE; 1 of LZ4. A compressed shard
   * names the nearest level of 1 to 9, which stand for 1, 2, 3, 5, 7, 9, 12, 15 and 19 of ZSTD.
   */
  int32_t codec_level;
} atlas_compression_config;

/**
 * What a verifier trusts. Fill it with atlas_verify_options_init().
 *
 * With a key the shard must be keyed and match; a keyed shard without a key is
 * ATLAS_STATUS_WITNESS. Without expected_root only self-consistency is shown: anyone can make a
 * shard that is consistent with a root of their own.
 */
typedef struct atlas_verify_options {
  /**
   * sizeof(atlas_verify_options).
   */
  uint32_t struct_size;
  /**
   * 32 bytes, or NULL.
   */
  const uint8_t *expected_root;
  /**
   * 32 bytes, or NULL. Copied, and wiped after use.
   */
  const uint8_t *key;
} atlas_verify_options;

/**
 * Properties of a compressed shard. Filled by atlas_compressed_shard_get_info().
 */
typedef struct atlas_compressed_info {
  /**
   * sizeof(atlas_compressed_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * An atlas_compression_algorithm, the one in fact used: NONE where stored.
   */
  uint32_t algorithm;
  /**
   * The level in fact used: 0 where stored.
   */
  uint32_t level;
  /**
   * Of the shard's bytes, as in atlas_shard_info.
   */
  uint32_t residue;
  /**
   * Bytes of the payload, as in atlas_shard_info: what can be read.
   */
  uint64_t original_size;
  /**
   * Bytes that stand for the payload in the serialised form: its blocks and 12 bytes for each. A
   * payload is stored in whole pages, up to 8,190 bytes more than a region that does not end at them.
   */
  uint64_t compressed_size;
  /**
   * The filters of its blocks by their numbers in docs/format.md: bit f is set if a block has filter f, and
   * bit 0 if one has none. 0 if there is no block.
   */
  uint32_t filters;
  /**
   * 0.
   */
  uint32_t reserved;
} atlas_compressed_info;

/**
 * What a reader of serialised data accepts, checked before anything is allocated for it. Fill it
 * with atlas_limits_init().
 */
typedef struct atlas_limits {
  /**
   * sizeof(atlas_limits).
   */
  uint32_t struct_size;
  /**
   * Bytes of payload; default 1 GiB.
   */
  uint64_t max_payload_size;
  /**
   * Bytes of everything that proves the payload, and of the memory that its tiles take, some 200
   * each; default 64 MiB.
   */
  uint64_t max_proof_size;
} atlas_limits;

/**
 * What a manager did; calls that failed do not count. Filled by
 * atlas_compression_manager_get_stats().
 */
typedef struct atlas_compression_stats {
  /**
   * sizeof(atlas_compression_stats), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Shards given to compression.
   */
  uint64_t compression_operations;
  /**
   * Compressed shards given back as shards.
   */
  uint64_t decompression_operations;
  /**
   * Of those given to compression, how many became smaller.
   */
  uint64_t shards_compressed;
  /**
   * Of those given to compression, how many are stored.
   */
  uint64_t shards_stored;
  /**
   * The sum of their original_size.
   */
  uint64_t original_bytes;
  /**
   * The sum of their compressed_size.
   */
  uint64_t compressed_bytes;
  /**
   * original_bytes less compressed_bytes, 0 where that would be negative.
   */
  uint64_t saved_bytes;
  /**
   * compressed_bytes by original_bytes, 1.0 where there are none.
   */
  double average_ratio;
} atlas_compression_stats;

/**
 * Options of a new container. Fill it with atlas_container_create_options_init().
 */
typedef struct atlas_container_create_options {
  /**
   * sizeof(atlas_container_create_options).
   */
  uint32_t struct_size;
  /**
   * 12..16: batches are multiples of 2 to the power of this; 0: chosen for the file system.
   */
  uint32_t block_log2;
  /**
   * Not 0: the chaining values of the groups of 16 KiB are stored, 0.2 % of the domain, so that no more than a
   * group is read to verify a byte. LINEAR only, else ATLAS_STATUS_INVALID_ARGUMENT.
   */
  uint32_t keep_chains;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * 16 bytes: the same file every time; NULL: random. Copied.
   */
  const uint8_t *id;
  /**
   * Source whose bytes are not stored, whichever source of the same file (device and inode) they are read
   * through; NULL: none. Held.
   */
  const struct atlas_source *base;
  /**
   * How runs of 4 KiB and more are encoded that this handle stores, which the file does not remember; NULL: they
   * are stored as they are. Threshold and ratio mean nothing here. Copied.
   */
  const struct atlas_compression_config *compression;
  /**
   * Bytes of memory for what is loaded of the tree; default 64 MiB.
   */
  uint64_t cache_size;
} atlas_container_create_options;

/**
 * Options of a handle. Fill it with atlas_container_open_options_init().
 */
typedef struct atlas_container_open_options {
  /**
   * sizeof(atlas_container_open_options).
   */
  uint32_t struct_size;
  /**
   * Not 0: opens the newest whole generation if a newer one is damaged (info.lost). With ATLAS_CONTAINER_WRITE
   * the newer ones are cut off: copy or repair the file first.
   */
  uint32_t recover;
  /**
   * As atlas_container_set_base() takes it; NULL: none. Held.
   */
  const struct atlas_source *base;
  /**
   * 32 bytes: the history of the newest generation, or of one that it grew from; NULL: any. Copied.
   */
  const uint8_t *expected_history;
  /**
   * As in atlas_container_create_options.
   */
  const struct atlas_compression_config *compression;
  /**
   * As in atlas_container_create_options.
   */
  uint64_t cache_size;
  /**
   * A generation of more bytes is ATLAS_STATUS_LIMIT; 0: any.
   */
  uint64_t max_domain_size;
} atlas_container_open_options;

/**
 * What a commit says beside the tree. Fill it with atlas_commit_options_init().
 */
typedef struct atlas_commit_options {
  /**
   * sizeof(atlas_commit_options).
   */
  uint32_t struct_size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The newest generation must be this one, else ATLAS_STATUS_CONFLICT; 0: any.
   */
  uint64_t expected;
  /**
   * Nanoseconds since 1970, which mean nothing to a reader; 0: none.
   */
  int64_t time;
  /**
   * NULL, or note_size bytes. Copied.
   */
  const void *note;
  /**
   * At most 1,024.
   */
  size_t note_size;
} atlas_commit_options;

/**
 * Options of a new projection. Fill it with atlas_projection_options_init().
 */
typedef struct atlas_projection_options {
  /**
   * sizeof(atlas_projection_options).
   */
  uint32_t struct_size;
  /**
   * An atlas_conservation_policy; default TRACK.
   */
  uint32_t conservation;
  /**
   * K, 1..96: any K of the 96 classes rebuild, so that 96 - K may be lost, and all of them take
   * about 14/13 * 96/K of the domain; default 96. Means nothing for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * NULL, or 32 bytes: keyed witnesses, which only who has the key can make or verify. Copied,
   * and wiped after use.
   */
  const uint8_t *key;
} atlas_projection_options;

/**
 * Properties of a container, as atlas_container_get_info() fills them.
 */
typedef struct atlas_container_info {
  /**
   * sizeof(atlas_container_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * An atlas_projection_type.
   */
  uint32_t type;
  /**
   * K; 0 for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * 1 if digests are keyed.
   */
  uint32_t keyed;
  /**
   * An atlas_conservation_policy.
   */
  uint32_t conservation;
  /**
   * 1 if this handle may write.
   */
  uint32_t writable;
  /**
   * 1 if chaining values are stored.
   */
  uint32_t keeps_chains;
  /**
   * Batches are multiples of so many bytes.
   */
  uint32_t block_size;
  /**
   * The newest generation; 0: there is none.
   */
  uint64_t newest;
  /**
   * The oldest generation that is kept; 0: there is none.
   */
  uint64_t oldest;
  /**
   * Generations that are kept.
   */
  uint64_t generation_count;
  /**
   * The newest generation known to have been durable that recovery did not find; 0: none.
   */
  uint64_t lost;
  /**
   * Bytes of the file up to the end of the newest generation.
   */
  uint64_t file_size;
  /**
   * Size of the base's address space in the newest generation; 0: none.
   */
  uint64_t base_size;
  /**
   * Id of the file, which compaction keeps.
   */
  uint8_t id[16];
} atlas_container_info;

/**
 * Properties of a generation, as atlas_container_get_generation() fills them.
 */
typedef struct atlas_generation_info {
  /**
   * sizeof(atlas_generation_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Sum of all bytes mod 96, as the file claims until all of its tree is loaded.
   */
  uint32_t residue;
  /**
   * Its number.
   */
  uint64_t generation;
  /**
   * Number of the one before; 0: none is kept.
   */
  uint64_t previous;
  /**
   * Nanoseconds since 1970 as the committer gave it; 0: none.
   */
  int64_t time;
  /**
   * Bytes of the domain.
   */
  uint64_t domain_size;
  /**
   * Tiles of at most 1 MiB.
   */
  uint64_t tile_count;
  /**
   * Bytes of the note.
   */
  uint64_t note_size;
  /**
   * Root of the projection.
   */
  uint8_t root[32];
  /**
   * Commits to this generation and all before it; survives compaction.
   */
  uint8_t history[32];
} atlas_generation_info;

/**
 * A part of a domain: `length` bytes from `offset` on.
 */
typedef struct atlas_region {
  /**
   * Of the first byte.
   */
  uint64_t offset;
  /**
   * In bytes; 0 is a region too.
   */
  uint64_t length;
} atlas_region;

/**
 * One damaged range. Filled by the library.
 */
typedef struct atlas_damage {
  /**
   * sizeof(atlas_damage).
   */
  uint32_t struct_size;
  /**
   * An atlas_damage_part: the part that the range belongs to.
   */
  uint32_t part;
  /**
   * An atlas_damage_kind.
   */
  uint32_t kind;
  /**
   * 1 if the range can be rebuilt from bytes that are at hand, else 0.
   */
  uint32_t repairable;
  /**
   * Error number of the operating system, or 0.
   */
  int32_t os_error;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Generation of a container; 0: none.
   */
  uint64_t generation;
  /**
   * Index of the first tile, record, unit or block.
   */
  uint64_t index;
  /**
   * Offset of the first byte: for ATLAS_DAMAGE_DATA in the domain or in the protected file, never in a
   * base; else in the container or parity file.
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
 * `damage` is borrowed for the callback. It may use other handles, not the one at work, and must not
 * throw or longjmp. False: a search ends with ATLAS_STATUS_CANCELLED and calls it no more; a repair
 * leaves this range as it is and continues. NULL, unless a function needs it: the status alone.
 */
typedef bool (*atlas_damage_fn)(const struct atlas_damage *damage, void *user_data);

/**
 * How a projection is updated. Fill it with atlas_incremental_config_init().
 */
typedef struct atlas_incremental_config {
  /**
   * sizeof(atlas_incremental_config).
   */
  uint32_t struct_size;
  /**
   * Not 0: the residue after an update is checked against the residue of what changed. Default 1.
   */
  uint32_t validate_conservation;
  /**
   * Not 0: a history is kept. Default 1.
   */
  uint32_t enable_rollback;
  /**
   * Deltas that the history holds, default 1,000; where there are more, the oldest are forgotten.
   * 0: none.
   */
  uint64_t max_deltas;
} atlas_incremental_config;

/**
 * One change of a domain.
 *
 * A range outside the domain is ATLAS_STATUS_OUT_OF_RANGE. A delta without effect succeeds, and
 * counts in statistics and history.
 */
typedef struct atlas_delta {
  /**
   * An atlas_change_type.
   */
  uint32_t type;
  /**
   * Of the first byte concerned.
   */
  uint64_t offset;
  /**
   * Bytes concerned; not looked at by INSERT.
   */
  uint64_t length;
  /**
   * Of MOVE: a coordinate before the move.
   */
  uint64_t destination;
  /**
   * Of INSERT and UPDATE: copied. May be NULL when data_size is 0.
   */
  const void *data;
  /**
   * Bytes at data.
   */
  size_t data_size;
} atlas_delta;

/**
 * What was applied to a projection. Filled by atlas_projection_get_incremental_stats().
 */
typedef struct atlas_incremental_stats {
  /**
   * sizeof(atlas_incremental_stats), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Deltas of all kinds. Rolling back takes nothing away.
   */
  uint64_t total_updates;
  /**
   * Deltas that insert.
   */
  uint64_t insert_operations;
  /**
   * Deltas that replace.
   */
  uint64_t update_operations;
  /**
   * Deltas that delete.
   */
  uint64_t delete_operations;
  /**
   * Deltas that move.
   */
  uint64_t move_operations;
  /**
   * Calls of atlas_projection_rollback() that succeeded.
   */
  uint64_t rollbacks;
  /**
   * Bytes inserted, deleted and moved; of an update the longer of what went and what came.
   */
  uint64_t bytes_modified;
  /**
   * Calls that were refused with ATLAS_STATUS_CONSERVATION.
   */
  uint64_t conservation_violations;
  /**
   * Nanoseconds a delta.
   */
  uint64_t avg_update_time_ns;
} atlas_incremental_stats;

/**
 * The last failure of a thread as numbers. Filled by atlas_last_error_get().
 */
typedef struct atlas_error_info {
  /**
   * sizeof(atlas_error_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * The atlas_status that the call returned; 0 after success.
   */
  int32_t status;
  /**
   * The errno of the operating system or of a callback, or 0.
   */
  int32_t os_error;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The batch item, tile, chunk or class that failed; UINT64_MAX: none.
   */
  uint64_t index;
  /**
   * Place in the domain, or in the bytes read; UINT64_MAX: none.
   */
  uint64_t offset;
  /**
   * Bytes from offset on; UINT64_MAX: none.
   */
  uint64_t length;
} atlas_error_info;

/**
 * Options of a new parity file, and of an update. Fill it with atlas_parity_options_init().
 */
typedef struct atlas_parity_options {
  /**
   * sizeof(atlas_parity_options).
   */
  uint32_t struct_size;
  /**
   * Bytes of a unit: a multiple of 4,096 up to 1 MiB. 0: 4 KiB below 256 MiB, else 64 KiB.
   */
  uint32_t unit_size;
  /**
   * Number of parity columns, at most that of the data columns. 0: from redundancy.
   */
  uint32_t parity_columns;
  /**
   * Share of parity in 1/10,000 of the data columns, at most 10,000; default 625. At least 2 columns are
   * made, or all if there are fewer data columns.
   */
  uint32_t redundancy;
  /**
   * Number of rows. 0: as many as give at most 256 columns.
   */
  uint64_t rows;
  /**
   * NULL, or 32 bytes: keyed digests. Copied, and wiped after use.
   */
  const uint8_t *key;
  /**
   * NULL: random. Else 16 bytes, which make the file the same every time. Copied.
   */
  const uint8_t *id;
  /**
   * Not 0: the LINEAR root of the protected bytes is stored too.
   */
  uint32_t store_root;
  /**
   * 0.
   */
  uint32_t reserved;
} atlas_parity_options;

/**
 * Options of a repair. Fill it with atlas_repair_options_init().
 */
typedef struct atlas_repair_options {
  /**
   * sizeof(atlas_repair_options).
   */
  uint32_t struct_size;
  /**
   * An atlas_repair_mode; default NEW_FILE.
   */
  uint32_t mode;
  /**
   * NEW_FILE: the name of the repaired file. KEEP: that of the damaged one. Else ignored. Copied.
   */
  const char *other_path;
  /**
   * Not 0: rows that can be repaired are, also if others cannot; default 0.
   */
  uint32_t partial;
  /**
   * 0.
   */
  uint32_t reserved;
} atlas_repair_options;

/**
 * Properties of a parity file. Filled by atlas_parity_get_info().
 */
typedef struct atlas_parity_info {
  /**
   * sizeof(atlas_parity_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Bytes of a unit.
   */
  uint32_t unit_size;
  /**
   * Number of protected bytes, from the beginning of the file.
   */
  uint64_t protected_size;
  /**
   * Bytes of the parity file when it is whole.
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
   * Number of parity columns: so many units of each row may be lost.
   */
  uint32_t parity_columns;
  /**
   * Length of the longest run of bytes that is rebuilt wherever it begins.
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
   * That root, or zeros.
   */
  uint8_t root[32];
  /**
   * The id, which is another one after each creation and update.
   */
  uint8_t id[16];
} atlas_parity_info;

/**
 * The result of a check, which a repair begins with. Filled by the library.
 */
typedef struct atlas_parity_report {
  /**
   * sizeof(atlas_parity_report), set by the caller.
   */
  uint32_t struct_size;
  /**
   * An atlas_parity_verdict: of the protected bytes.
   */
  uint32_t data;
  /**
   * An atlas_parity_verdict: of the parity file, its length included.
   */
  uint32_t parity;
  /**
   * 0.
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
   * Blocks of digests that do not count, those of the head and of the tail copy each.
   */
  uint64_t bad_blocks;
  /**
   * Rows with such a unit, of data or parity.
   */
  uint64_t damaged_rows;
  /**
   * Rows with more of them than parity units.
   */
  uint64_t lost_rows;
  /**
   * Data units that a repair has written.
   */
  uint64_t repaired_units;
} atlas_parity_report;

/**
 * Properties of a projection's present state. Filled by atlas_projection_get_info().
 */
typedef struct atlas_projection_info {
  /**
   * sizeof(atlas_projection_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * An atlas_projection_type.
   */
  uint32_t type;
  /**
   * Bytes of the domain.
   */
  uint64_t domain_size;
  /**
   * Pages of 4,096 bytes, the last one perhaps in part.
   */
  uint64_t page_count;
  /**
   * Tiles of 1 byte to 1 MiB.
   */
  uint64_t tile_count;
  /**
   * The sum of all bytes mod 96. It composes, but misses one in 96 random corruptions: what shows
   * integrity is the root.
   */
  uint32_t residue;
  /**
   * (96 - residue) mod 96: what would have to be added for the sum to be 0 mod 96.
   */
  uint32_t correction;
  /**
   * Tiles in a row of the plane: ceil(sqrt(tile_count)).
   */
  uint32_t width;
  /**
   * Rows of the plane: as width.
   */
  uint32_t height;
  /**
   * K; 0 for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * 1 where witnesses are keyed.
   */
  uint32_t keyed;
  /**
   * 1 where tiles are full from offset 0 on, as when fresh or optimised.
   */
  uint32_t canonical;
  /**
   * 0.
   */
  uint32_t reserved;
} atlas_projection_info;

/**
 * Properties of a tile. Filled by atlas_projection_get_tile().
 */
typedef struct atlas_tile_info {
  /**
   * sizeof(atlas_tile_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * The sum of its bytes mod 96.
   */
  uint32_t residue;
  /**
   * Of its first byte, in the domain.
   */
  uint64_t offset;
  /**
   * 1 to 1,048,576 bytes.
   */
  uint64_t length;
  /**
   * LINEAR: BLAKE3 of its bytes, or keyed BLAKE3. R96: the top of a tree over the digests of its 96
   * classes.
   */
  uint8_t witness[32];
} atlas_tile_info;

/**
 * Options of a reconstruction. Fill it with atlas_reconstruction_options_init().
 */
typedef struct atlas_reconstruction_options {
  /**
   * sizeof(atlas_reconstruction_options).
   */
  uint32_t struct_size;
  /**
   * 32 bytes; NULL: the root of the first shard that verifies.
   */
  const uint8_t *expected_root;
  /**
   * 32 bytes, or NULL. Copied, and wiped after use.
   */
  const uint8_t *key;
  /**
   * NULL: in memory. Else bytes go to a new temporary file beside this path, which
   * atlas_reconstruction_finish() renames to it and destroy removes: permissions and links as
   * atlas_projection_write_file() has them. Copied.
   */
  const char *spool_path;
  /**
   * 0: none; a shard that claims a larger domain is ATLAS_STATUS_LIMIT.
   */
  uint64_t max_domain_size;
} atlas_reconstruction_options;

/**
 * Options of a batch. Fill it with atlas_extract_options_init().
 */
typedef struct atlas_extract_options {
  /**
   * sizeof(atlas_extract_options).
   */
  uint32_t struct_size;
  /**
   * An atlas_parallel_strategy; default DEFAULT.
   */
  uint32_t strategy;
  /**
   * At most so many tasks at work; 0, the default: all threads of the pool.
   */
  uint32_t max_threads;
  /**
   * CHUNKED: regions a task, greater than 0; default 16.
   */
  uint32_t chunk_size;
} atlas_extract_options;

/**
 * Properties of a shard. Filled by atlas_shard_get_info().
 */
typedef struct atlas_shard_info {
  /**
   * sizeof(atlas_shard_info), set by the caller.
   */
  uint32_t struct_size;
  /**
   * An atlas_projection_type.
   */
  uint32_t type;
  /**
   * Bytes of the whole domain.
   */
  uint64_t domain_size;
  /**
   * What it covers of the domain; R96: whole tiles.
   */
  struct atlas_region region;
  /**
   * LINEAR: region.length. R96: bytes of the packed coefficients.
   */
  uint64_t payload_size;
  /**
   * LINEAR: the sum of the region's bytes mod 96. R96: 0.
   */
  uint32_t residue;
  /**
   * K; 0 for LINEAR.
   */
  uint32_t r96_data_classes;
  /**
   * 1 where its witnesses are keyed.
   */
  uint32_t keyed;
  /**
   * R96: bit r % 8 of byte r / 8 is set where it carries class r. LINEAR: all 0.
   */
  uint8_t class_mask[12];
  /**
   * The projection state that it belongs to.
   */
  uint8_t root[32];
} atlas_shard_info;

/**
 * Called once, from any thread, when the last object that reads a source is gone.
 */
typedef void (*atlas_release_fn)(void *user_data);

/**
 * Reads exactly `size` bytes at `offset` into `buffer`; returns 0, or an errno value.
 *
 * Called from several threads at a time, unless the operation's pool has one thread. `buffer` may
 * be uninitialised. It must not throw or longjmp.
 */
typedef int (*atlas_read_at_fn)(void *user_data, uint64_t offset, void *buffer, size_t size);

/**
 * How a domain is streamed; none of it changes the result. Fill it with atlas_stream_config_init().
 */
typedef struct atlas_stream_config {
  /**
   * sizeof(atlas_stream_config).
   */
  uint32_t struct_size;
  /**
   * Bytes of a chunk, 64 KiB to 256 MiB; default 16 MiB. The unit of progress, of read-ahead and of
   * atlas_stream_next().
   */
  uint64_t chunk_size;
  /**
   * Chunks, or MiB where a chunk is less, that may be at work; > 0, default 4. Without effect on
   * atlas_stream_next(), which works at one chunk.
   */
  uint32_t parallel_chunks;
  /**
   * Chunks that the system is asked to read ahead of the one in work, together at most 1 GiB; default 2.
   */
  uint32_t prefetch_chunks;
  /**
   * Bytes of the next chunk shown with each, at most chunk_size; default 4,096.
   */
  uint64_t chunk_overlap;
  /**
   * Bytes of the largest positioned read, 4 KiB to 16 MiB; default 1 MiB. Above 1 MiB it is rounded
   * down to whole MiB, and each worker has a buffer of that size, at most a chunk's.
   * atlas_stream_next() reads at most 1 MiB at a time.
   */
  uint64_t io_buffer_size;
} atlas_stream_config;

/**
 * A chunk, and the beginning of the next one. Filled by atlas_stream_next().
 */
typedef struct atlas_chunk {
  /**
   * sizeof(atlas_chunk), set by the caller.
   */
  uint32_t struct_size;
  /**
   * The sum of the bytes at data mod 96.
   */
  uint32_t residue;
  /**
   * Its number, from 0.
   */
  uint64_t id;
  /**
   * Of data, in the domain.
   */
  uint64_t offset;
  /**
   * Borrowed until the next changing call on the stream.
   */
  const uint8_t *data;
  /**
   * Bytes at data.
   */
  size_t size;
  /**
   * The next chunk's first bytes; borrowed as data. They are read once.
   */
  const uint8_t *overlap;
  /**
   * Bytes at overlap: min(chunk_overlap, what is left).
   */
  size_t overlap_size;
} atlas_chunk;

/**
 * A scaling, then a rotation, then a translation of the tile plane.
 */
typedef struct atlas_transform_params {
  /**
   * Greater than 0 and finite.
   */
  double scaling_factor;
  /**
   * In radians, counter-clockwise about the origin.
   */
  double rotation_angle;
  /**
   * Added to x at last.
   */
  double translation_x;
  /**
   * Added to y at last.
   */
  double translation_y;
} atlas_transform_params;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Fills `config` with the defaults: 3 and 10 iterations, 5 seconds a case, domains of 1, 16 and 64 MiB.
 */
ATLAS_API
void atlas_benchmark_config_init(struct atlas_benchmark_config *config);

/**
 * Measures the library on this machine, case by case for each size, on data that it makes itself.
 *
 * Cases: "memcpy" and "BLAKE3" (what bounds the others), projections, streaming, verification, shards
 * one and many, reconstruction, transformation, updates, compression; those that are not built in are
 * left out. `config` and `operation` may be NULL. `*out` is owned by the caller:
 * atlas_benchmark_report_destroy(). Any thread, but what runs beside it slows it down.
 *
 * A case and size takes max_seconds and whatever its preparation (the domain projected, cut into shards,
 * compressed), one warm-up and one iteration take beyond it: these are never cut short. Progress before
 * a case is prepared, after each iteration and after the case, cases as chunks; false cancels, which
 * waits for the preparation or the iteration at work.
 *
 * Takes five times the largest size, 64 KiB for each MiB of it and 6 MiB of memory. Fails with
 * INVALID_ARGUMENT, LIMIT (memory_limit is less than that), OUT_OF_MEMORY, CANCELLED, STATE (pool from
 * before a fork) or UNSUPPORTED (not built in); the index is that of the size.
 */
ATLAS_API
enum atlas_status atlas_benchmark_run(const struct atlas_benchmark_config *config,
                                      const struct atlas_operation *operation,
                                      struct atlas_benchmark_report **out);

/**
 * How many results there are; 0 for NULL. Any thread.
 */
ATLAS_API size_t atlas_benchmark_report_count(const struct atlas_benchmark_report *report);

/**
 * Result `index`, in the order in which they were measured: all cases of the first size come first.
 *
 * The caller sets result->struct_size. Any thread. Fails with OUT_OF_RANGE, INVALID_ARGUMENT or
 * UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_benchmark_report_get(const struct atlas_benchmark_report *report,
                                             size_t index,
                                             struct atlas_benchmark_result *result);

/**
 * Writes all results, with what part of its limit each reaches.
 *
 * `format` is an atlas_report_format. `*out` is owned by the caller: atlas_buffer_free(); no NUL byte
 * ends it. Any thread. Fails with INVALID_ARGUMENT or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_benchmark_report_format(const struct atlas_benchmark_report *report,
                                                uint32_t format,
                                                struct atlas_buffer *out);

/**
 * Frees a report. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_benchmark_report_destroy(struct atlas_benchmark_report *report);

/**
 * Fills `config` with the defaults.
 */
ATLAS_API void atlas_compression_config_init(struct atlas_compression_config *config);

/**
 * Compresses a shard's payload; what does not become smaller is stored, which is no error.
 *
 * The shard stays the caller's; one that is stored shares its payload, so that destroying either
 * leaves the other. `config` and `operation` may be NULL; progress once a block or 128 KiB, and with
 * ATLAS_COMPRESSION_AUTO once when the algorithm is chosen. `*out` is
 * owned by the caller: atlas_compressed_shard_destroy(). Any thread; the same bytes for every number
 * of threads. Fails with INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY,
 * CANCELLED or UNSUPPORTED (not built in); with CONSERVATION (preserve_conservation) or INTERNAL
 * (verify_integrity) where a check of its own output finds a defect.
 */
ATLAS_API
enum atlas_status atlas_shard_compress(const struct atlas_shard *shard,
                                       const struct atlas_compression_config *config,
                                       const struct atlas_operation *operation,
                                       struct atlas_compressed_shard **out);

/**
 * The shard that went in, exactly, verified as by atlas_shard_deserialize().
 *
 * `verify` and `operation` may be NULL; progress once a block or 128 KiB and once a tile. FORMAT for a
 * damaged stream and WITNESS come before CONSERVATION. `*out` is owned by the caller:
 * atlas_shard_destroy(). Any thread. Fails with FORMAT, WITNESS, CONSERVATION, INVALID_ARGUMENT, LIMIT,
 * STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_shard_decompress(const struct atlas_compressed_shard *compressed,
                                         const struct atlas_verify_options *verify,
                                         const struct atlas_operation *operation,
                                         struct atlas_shard **out);

/**
 * Reads `size` bytes of the payload, as atlas_shard_data() gives it, from `offset` on.
 *
 * Only the blocks that they lie in are decompressed, each checked against its own digest and residue; one
 * that is stored as it is once, at its first read after atlas_compressed_shard_deserialize(), and not again
 * where atlas_shard_compress() just made its digest. For trust in a root decompress the shard. On failure
 * the contents of `buffer` are unspecified. `buffer` is borrowed for the call and may be NULL when `size`
 * is 0. Any thread. Fails with OUT_OF_RANGE, FORMAT, WITNESS, CONSERVATION, INVALID_ARGUMENT, OUT_OF_MEMORY
 * or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_read(const struct atlas_compressed_shard *compressed,
                                              uint64_t offset,
                                              void *buffer,
                                              size_t size);

/**
 * Properties of a compressed shard. Any thread. Fails with INVALID_ARGUMENT or UNSUPPORTED (not built
 * in).
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_get_info(const struct atlas_compressed_shard *compressed,
                                                  struct atlas_compressed_info *info);

/**
 * The one encoding of a compressed shard (docs/format.md).
 *
 * A reader with the default atlas_limits refuses a shard of more than 1 GiB with LIMIT, also one that is
 * smaller when compressed. `*out` is owned by the caller: atlas_buffer_free(). Any thread. Fails with
 * INVALID_ARGUMENT, OUT_OF_MEMORY or UNSUPPORTED (not built in). Costs one copy and one BLAKE3 of it.
 */
ATLAS_API
enum atlas_status atlas_compressed_shard_serialize(const struct atlas_compressed_shard *compressed,
                                                   struct atlas_buffer *out);

/**
 * The compressed shard that `size` bytes at `data` encode. Its form is checked; its blocks are when
 * they are read, its proof when it is decompressed.
 *
 * `data` is borrowed for the call. `limits` may be NULL; max_payload_size is what decompression may
 * give. `*out` is owned by the caller: atlas_compressed_shard_destroy(). Any thread. Costs one BLAKE3
 * of the bytes and one copy. Fails with FORMAT, UNSUPPORTED (a newer version or algorithm, or not
 * built in), LIMIT, INVALID_ARGUMENT or OUT_OF_MEMORY.
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
 * A manager that compresses with a copy of `config`; NULL for the defaults.
 *
 * `*out` is owned by the caller: atlas_compression_manager_destroy(). Fails with INVALID_ARGUMENT or
 * UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_compression_manager_create(const struct atlas_compression_config *config,
                                                   struct atlas_compression_manager **out);

/**
 * Compresses `count` shards in parallel: all of them, or none.
 *
 * `out` has room for `count` handles, in the order of the shards, each owned by the caller; on failure
 * every entry is NULL. `operation` may be NULL; progress once a block or 128 KiB, shards as chunks. May
 * be called from several threads at once. Fails as atlas_shard_compress(), the shard's index in
 * atlas_error_info.
 */
ATLAS_API
enum atlas_status atlas_compression_manager_compress_batch(struct atlas_compression_manager *manager,
                                                           const struct atlas_shard *const *shards,
                                                           size_t count,
                                                           const struct atlas_operation *operation,
                                                           struct atlas_compressed_shard **out);

/**
 * Decompresses and verifies `count` compressed shards in parallel: all of them, or none.
 *
 * `out` has room for `count` handles, in the order of the compressed shards, each owned by the caller;
 * on failure every entry is NULL. `verify` is for all of them; `verify` and `operation` may be NULL;
 * progress once a block or 128 KiB and once a tile. May be called from several threads at once. Fails
 * as atlas_shard_decompress(), the shard's index in atlas_error_info.
 */
ATLAS_API
enum atlas_status atlas_compression_manager_decompress_batch(struct atlas_compression_manager *manager,
                                                             const struct atlas_compressed_shard *const *compressed,
                                                             size_t count,
                                                             const struct atlas_verify_options *verify,
                                                             const struct atlas_operation *operation,
                                                             struct atlas_shard **out);

/**
 * What a manager did so far. May run while batches do. Fails with INVALID_ARGUMENT or UNSUPPORTED (not
 * built in).
 */
ATLAS_API
enum atlas_status atlas_compression_manager_get_stats(const struct atlas_compression_manager *manager,
                                                      struct atlas_compression_stats *stats);

/**
 * Frees a manager; what it made stays. NULL does nothing. No call may be using it.
 */
ATLAS_API void atlas_compression_manager_destroy(struct atlas_compression_manager *manager);

/**
 * Fills `options` with the defaults: a block for the file system, no chaining values, a random id, no base, no
 * compression, 64 MiB.
 */
ATLAS_API
void atlas_container_create_options_init(struct atlas_container_create_options *options);

/**
 * Fills `options` with the defaults: no recovery, no base, any history, no compression, 64 MiB, any size.
 */
ATLAS_API
void atlas_container_open_options_init(struct atlas_container_open_options *options);

/**
 * Fills `options` with the defaults: after any generation, no time, no note.
 */
ATLAS_API void atlas_commit_options_init(struct atlas_commit_options *options);

/**
 * Makes a new container without a generation, durable on return. The handle writes.
 *
 * `type` is an atlas_projection_type; `options`, `create` and `operation` may be NULL. `*out` is owned by the
 * caller: atlas_container_destroy(). Fails with IO (a file of that name is EEXIST), INVALID_ARGUMENT, UNSUPPORTED
 * (the file system keeps no lock; compression not built in), STATE (pool from before a fork), LIMIT, OUT_OF_MEMORY
 * or CANCELLED; no file is left then. An import that fails leaves it without a generation: open it for writing and import again.
 */
ATLAS_API
enum atlas_status atlas_container_create(const char *path,
                                         uint32_t type,
                                         const struct atlas_projection_options *options,
                                         const struct atlas_container_create_options *create,
                                         const struct atlas_operation *operation,
                                         struct atlas_container **out);

/**
 * Opens a container: reads some records, whatever its size.
 *
 * `mode` is an atlas_container_mode. `verify` (may be NULL) has the key, and expected_root of the newest
 * generation; time and note are covered by the history alone. `options` and `operation` may be NULL. `*out` is
 * owned by the caller: atlas_container_destroy(). Fails with FORMAT (no container), WITNESS (another key or root;
 * something durable is missing), STATE (another writer: os_error EAGAIN; pool from before a fork), UNSUPPORTED
 * (newer version; no working lock), LIMIT, IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
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
 * The source is held. Else as atlas_container_open(). Fails with FORMAT, WITNESS, UNSUPPORTED, LIMIT, IO,
 * INVALID_ARGUMENT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
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
 * Snapshots live on and go on reading. In a forked child nothing is unlocked.
 */
ATLAS_API void atlas_container_destroy(struct atlas_container *container);

/**
 * Fills `info` up to its struct_size. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_container_get_info(const struct atlas_container *container,
                                           struct atlas_container_info *info);

/**
 * Fills `info` with the properties of a generation; 0: of the newest.
 *
 * Costs some reads, fewer than the logarithm of how far back it is. Fails with OUT_OF_RANGE (it is not kept),
 * WITNESS (a record on the way is damaged), FORMAT, IO or INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_container_get_generation(const struct atlas_container *container,
                                                 uint64_t generation,
                                                 struct atlas_generation_info *info);

/**
 * Copies the note of a generation; 0: of the newest. As much as fits: `*size` is the capacity, and then the note's
 * size.
 *
 * `buffer` may be NULL if `*size` is 0. Fails with OUT_OF_RANGE, WITNESS, FORMAT, IO or INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_container_get_note(const struct atlas_container *container,
                                           uint64_t generation,
                                           void *buffer,
                                           size_t *size);

/**
 * Makes a projection on a generation; 0: on the newest, or on the empty domain if there is none. O(1): its tree is
 * loaded as it is read.
 *
 * `verify_reads` not 0: what atlas_projection_read() gives was checked against its witness. It keeps the base of
 * the moment. A read takes at most 16 MiB of memory. `operation` may be NULL. `*out` is owned by the caller:
 * atlas_projection_destroy(); it may outlive the container. Fails with OUT_OF_RANGE (it is not kept), WITNESS,
 * FORMAT, UNSUPPORTED, CONSERVATION (STRICT, and its sum is not 0 mod 96), LIMIT, STATE, IO, INVALID_ARGUMENT,
 * OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_snapshot(const struct atlas_container *container,
                                           uint64_t generation,
                                           uint32_t verify_reads,
                                           const struct atlas_operation *operation,
                                           struct atlas_projection **out);

/**
 * Stores what is not there yet of a projection and makes it the newest generation, durable on return.
 *
 * Editors of the projection go on meanwhile. `options` and `operation` may be NULL. `*generation` is its number;
 * may be NULL. The projection keeps the memory of its edits: go on with a new snapshot to free it. Fails with
 * INVALID_ARGUMENT (another type, K, key or policy), CONFLICT (`expected`), CONSERVATION (STRICT), WITNESS (a source
 * changed), STATE (only reading; another process; an earlier flush failed), UNSUPPORTED (features of a newer
 * version), LIMIT, IO, OUT_OF_MEMORY or CANCELLED: nothing was committed then. After a flush that failed the outcome
 * is open, and all but destroy and getters are STATE, until it is opened again.
 */
ATLAS_API
enum atlas_status atlas_container_commit(struct atlas_container *container,
                                         const struct atlas_projection *projection,
                                         const struct atlas_commit_options *options,
                                         const struct atlas_operation *operation,
                                         uint64_t *generation);

/**
 * Projects a source and makes it the newest generation, in one pass and in memory that does not follow the domain.
 *
 * Of the base, or another source of the same file, only digests are stored. A tile that the newest generation has
 * at the same index is taken over.
 *
 * `regions` NULL, with `region_count` 0: all of the source. Else only the tiles of 1 MiB are read that the regions
 * touch, and the tail after the end of the shorter one if the source has another size than the newest generation; the
 * other tiles are those of the newest generation, and nobody looks whether the source still has their bytes. Regions
 * may overlap and come in any order; not NULL with `region_count` 0 names none. `options` and `operation` may be
 * NULL; progress once per tile that is read. `*generation` is its number; may be NULL. Fails as
 * atlas_container_commit() does, with IO of the source, OUT_OF_RANGE (a region outside the source) and
 * INVALID_ARGUMENT (regions after an edit that changed the length, which leaves other tiles than an import makes).
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
 * Attaches another base, for snapshots that are taken from now on; NULL: none.
 *
 * Nothing is read. Bytes that a shorter base lacks are INCOMPLETE when they are read; what a longer one has more is
 * not looked at. The source is held. Fails with STATE or INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_container_set_base(struct atlas_container *container,
                                           const struct atlas_source *base);

/**
 * Looks for newer generations, in the file that has the path now. `*newest` is the newest; may be NULL.
 *
 * `operation` may be NULL. Fails with STATE (the generation that the handle was at is not in it: open again),
 * WITNESS, FORMAT, LIMIT, IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_refresh(struct atlas_container *container,
                                          const struct atlas_operation *operation,
                                          uint64_t *newest);

/**
 * Writes the generations from `keep_from` on, their bytes and nothing else, to a new file `path`, beside which
 * commits go on; or, `path` NULL, in place of the container itself.
 *
 * A number before the oldest, 0 too, keeps all; that of the newest keeps it alone. In place, readers keep the old
 * file, other changing calls wait, and snapshots are taken anew afterwards. `operation` may be NULL. Fails with
 * OUT_OF_RANGE (after the newest), IO (a file of that name is EEXIST), UNSUPPORTED (several hard links, or an owner
 * that cannot be given), WITNESS, FORMAT, STATE, LIMIT, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_compact(struct atlas_container *container,
                                          const char *path,
                                          uint64_t keep_from,
                                          const struct atlas_operation *operation);

/**
 * Checks every record but the slots, the zero bytes between records, and every tile of the generations from `from`
 * on; 0: of all.
 *
 * `damage` gets records by their offset, then tiles, generation by generation from the oldest; what several share
 * comes once, with the oldest. Earlier generations of a base that was changed in place are damaged for ever: give
 * info.newest there. `damage` and `operation` may be NULL. Fails with the status of the first fault in the order
 * header, chain, generations from the oldest, zero bytes (WITNESS, FORMAT, CONSERVATION, UNSUPPORTED); with
 * INCOMPLETE if all that the file has is whole and bytes of the base could not be checked; with STATE, LIMIT,
 * IO, INVALID_ARGUMENT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_container_find_damage(const struct atlas_container *container,
                                              uint64_t from,
                                              atlas_damage_fn damage,
                                              void *user_data,
                                              const struct atlas_operation *operation);

/**
 * Writes the newest generations of `count` containers, one after the other, as generation 1 of a new container.
 *
 * All parts but the last are full tiles of 1 MiB, or empty. Type, K, key, conservation and chaining values are those
 * of the parts, which must agree; keep_chains not 0 needs parts that have them. The base of each part is a range of its
 * own (atlas_source_range()) and not the whole file: options->base has the size of all of them together, as
 * atlas_source_concat() makes it, or is NULL. Nothing of a base is read, and parts need none attached. Other payload is
 * copied, decoded; options->compression counts for later commits. With id, block_log2, time and note given a merged
 * outline is byte for byte that of one import. `parts` is borrowed for the call, and a part may come twice; `options`,
 * `commit` and `operation` may be NULL; progress once per tile. `*out` writes and is owned by the caller:
 * atlas_container_destroy(). Fails with INVALID_ARGUMENT (no parts; parts that do not fit), CONFLICT
 * (commit->expected is not 0), IO (a file of that name is EEXIST), CONSERVATION (STRICT), WITNESS, FORMAT, UNSUPPORTED,
 * STATE, LIMIT, OUT_OF_MEMORY or CANCELLED; no file is left then. The error's index is the part.
 */
ATLAS_API
enum atlas_status atlas_container_merge(const struct atlas_container *const *parts,
                                        size_t count,
                                        const char *path,
                                        const struct atlas_container_create_options *options,
                                        const struct atlas_commit_options *commit,
                                        const struct atlas_operation *operation,
                                        struct atlas_container **out);

/**
 * Fills `config` with the defaults: checked, with a history of 1,000 deltas.
 */
ATLAS_API void atlas_incremental_config_init(struct atlas_incremental_config *config);

/**
 * Says how a projection is updated from now on. NULL for `config`: the defaults.
 *
 * A shorter history forgets the oldest deltas at once, and frees within the call what nothing needs
 * any more. Serialised with other changes of the handle.
 * Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_configure_incremental(struct atlas_projection *projection,
                                                         const struct atlas_incremental_config *config);

/**
 * Applies one delta, or changes nothing.
 *
 * The cost follows the change and not the domain; what was edited is hashed when a root, a tile or a
 * shard is asked for. Serialised with other changes of the handle; readers see the state before or
 * after. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, OUT_OF_MEMORY, CONSERVATION (a STRICT projection
 * would not sum to 0 mod 96 any more: the message names what is missing), IO (reading the source), or
 * WITNESS or CONSERVATION where the source does not hold any more what was projected.
 */
ATLAS_API
enum atlas_status atlas_projection_apply(struct atlas_projection *projection,
                                         const struct atlas_delta *delta);

/**
 * Applies deltas in order, each to the result of the one before: all of them or none.
 *
 * A STRICT projection looks at the net residue of the whole batch. Fails as
 * atlas_projection_apply(), with the number of the delta as the error's index. `deltas` may be NULL
 * when `count` is 0.
 */
ATLAS_API
enum atlas_status atlas_projection_apply_batch(struct atlas_projection *projection,
                                               const struct atlas_delta *deltas,
                                               size_t count);

/**
 * Undoes the last `count` applied deltas; a batch counts as its deltas.
 *
 * Bytes, size, residue, geometry and root come back exactly, at a cost that does not depend on how
 * much data the deltas touched. More than the history holds is OUT_OF_RANGE and undoes nothing.
 * Statistics keep counting what was applied; transforms are not history. Serialised with other
 * changes of the handle. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, or CONSERVATION where it would
 * take a STRICT projection into the middle of a batch whose parts do not sum to 0 mod 96.
 */
ATLAS_API
enum atlas_status atlas_projection_rollback(struct atlas_projection *projection,
                                            uint64_t count);

/**
 * How many deltas can be undone; 0 for NULL. Any thread.
 */
ATLAS_API uint64_t atlas_projection_history_len(const struct atlas_projection *projection);

/**
 * What was applied so far. Any thread. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_get_incremental_stats(const struct atlas_projection *projection,
                                                         struct atlas_incremental_stats *stats);

/**
 * Back to full tiles from offset 0: the root then equals a fresh projection's of the same bytes.
 *
 * Hashes the tiles that change, empties the history and frees what nothing needs any more. `operation`
 * may be NULL; progress once a tile, with no lock held. What other calls change meanwhile is hashed
 * again at the end, which is not reported. Fails with INVALID_ARGUMENT, IO, WITNESS or CONSERVATION (the
 * source does not hold any more what was projected), LIMIT, STATE (pool from before a fork),
 * OUT_OF_MEMORY or CANCELLED, and then changes nothing.
 */
ATLAS_API
enum atlas_status atlas_projection_optimize(struct atlas_projection *projection,
                                            const struct atlas_operation *operation);

/**
 * Inserts all bytes of a source before the byte at `offset`; at the size of the domain they are appended.
 *
 * The source is projected first, and nothing of it is copied: it is held. One delta of the history. `operation` may
 * be NULL; progress once a tile of the source. Fails with OUT_OF_RANGE, CONSERVATION (STRICT), IO, WITNESS (a cut
 * reads a source that changed), LIMIT, STATE (pool from before a fork), INVALID_ARGUMENT, OUT_OF_MEMORY or
 * CANCELLED: nothing is changed then.
 */
ATLAS_API
enum atlas_status atlas_projection_insert_source(struct atlas_projection *projection,
                                                 uint64_t offset,
                                                 const struct atlas_source *source,
                                                 const struct atlas_operation *operation);

/**
 * What was wrong in the calling thread's last failed call, with the value and the limit.
 *
 * Never NULL, empty after success. Borrowed until the thread's next call that returns a status:
 * copy it to keep it.
 */
ATLAS_API const char *atlas_last_error_message(void);

/**
 * The calling thread's last failure as numbers; status 0 after success.
 *
 * This call itself leaves the last failure as it is. Fails with INVALID_ARGUMENT.
 */
ATLAS_API enum atlas_status atlas_last_error_get(struct atlas_error_info *info);

/**
 * Fills `operation` with the defaults: the library's pool, no progress, no memory limit.
 */
ATLAS_API void atlas_operation_init(struct atlas_operation *operation);

/**
 * Starts `threads` threads for the caller's calls, 0 for one a core, at most 1,024.
 *
 * With 1 no thread is started: all work and all callbacks run on the calling thread. `*out` is
 * owned by the caller: atlas_pool_destroy(). One pool may serve many calls at a time. Threads are
 * named atlas-N, block asynchronous signals and have a stack of 2 MiB. In a forked child the pool
 * is ATLAS_STATUS_STATE, also one of one thread. Fails with INVALID_ARGUMENT or OUT_OF_MEMORY (no
 * thread could be started).
 */
ATLAS_API enum atlas_status atlas_pool_create(uint32_t threads, struct atlas_pool **out);

/**
 * How many tasks of a pool can be at work at a time; 0 for NULL.
 */
ATLAS_API uint32_t atlas_pool_threads(const struct atlas_pool *pool);

/**
 * Joins the threads of a pool and frees it. NULL does nothing. No call may be using it.
 *
 * In a forked child of the process that made it, nothing is joined: the threads are the parent's.
 */
ATLAS_API void atlas_pool_destroy(struct atlas_pool *pool);

/**
 * Reads and hashes the bytes of the tiles that regions touch, and reports every damaged range.
 *
 * As atlas_projection_verify(), but it continues after damage. `regions` NULL: the whole domain; else `region_count`
 * regions in any order. `damage` (may be NULL) receives each range in ascending order, neighbours of one kind merged:
 * groups of 16 KiB of tiles whose chaining values are stored, else whole tiles. A damaged record of a container comes
 * before the range that it leaves unknown. A source that is longer than the domain is no damage. Memory is at most a
 * tile of 1 MiB a thread. Any thread. `operation` may be NULL; progress once a tile.
 *
 * Fails with WITNESS at the end if there was damage, CONSERVATION if only a sum differs, INCOMPLETE (no damage, and
 * bytes of a base that is not attached were not read), OUT_OF_RANGE (a region outside the domain), INVALID_ARGUMENT,
 * LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED (`damage` or the progress returned false).
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
 * The file at `path` is read and compared with the witnesses. Only ranges that differ, cannot be read or are missing
 * are read through the projection, verified, and then written: an outline whose base is another copy of the file, or a
 * callback that downloads it, fetches damaged bytes alone, on as many threads as the operation allows. `regions` NULL:
 * the whole domain; else `region_count` regions in any order.
 *
 * `damage` is needed. It is called once per range, ascending, each at most a tile, before the range is written:
 * repairable 1 means that verified bytes are at hand; 0 that they are not (os_error says why): the range stays, and
 * the repair continues. False leaves a range as it is. A shorter file is extended, whereby a range that was refused
 * before one that is written reads as zeros; bytes behind the domain stay. The file is synced on return, also if the
 * call was cancelled. After an end at any moment each byte is right or as it was, and the next call continues.
 * `path` and `regions` are copied. Nobody else may write to the file meanwhile. `operation` may be NULL; progress once
 * a tile.
 *
 * ATLAS_STATUS_OK: every byte of the regions is right. Fails with IO (a range could not be written, or its good
 * bytes not be read), INCOMPLETE (they lie in a base that is not attached, or after its end), or WITNESS (refused by
 * `damage`, or what was read for it did not verify). Before anything is written: INVALID_ARGUMENT (not a regular
 * file, the projection's own container, or a file that has bytes of the projection elsewhere than at their own
 * offset; what a callback reads is not known), IO, OUT_OF_RANGE (a region outside the domain), LIMIT, STATE (pool
 * from before a fork). At any time OUT_OF_MEMORY or CANCELLED (the progress returned false).
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
 * Ranges of `projection` whose bytes may differ from those at the same offsets of `other`, ascending and merged.
 *
 * `*count` is in: the capacity of `regions` (which may be NULL when it is 0), out: how many ranges there are. OK also
 * when the capacity is short: then the first ones are there. They end at tiles, or at groups of 16 KiB of tiles of
 * which both store chaining values. All that is behind the end of `other` is among them, and nothing behind the end
 * of `projection`. Tiles are compared edge by edge: after edits that move them, everything behind may be listed, unless
 * atlas_projection_optimize() comes first. No payload is read, except of edited tiles, which are hashed first. Costs
 * what differs. Any thread. `operation` may be NULL; progress once a tile that differs.
 *
 * Fails with INVALID_ARGUMENT (NULL, or another type, K or key), WITNESS or FORMAT (a record of a container is
 * damaged), and of edited tiles CONSERVATION; IO, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_projection_diff(const struct atlas_projection *projection,
                                        const struct atlas_projection *other,
                                        const struct atlas_operation *operation,
                                        struct atlas_region *regions,
                                        size_t *count);

/**
 * Fills `options` with the defaults: 6.25 % of parity, at most 256 columns, a random id, no key, no root.
 */
ATLAS_API
void atlas_parity_options_init(struct atlas_parity_options *options);

/**
 * Fills `options` with the defaults: to a new file, whose name the caller adds, and only if all can be repaired.
 */
ATLAS_API
void atlas_repair_options_init(struct atlas_repair_options *options);

/**
 * Writes the parity file of a source.
 *
 * It never replaces a file: made anew it would take damage for the truth (atlas_parity_update() follows changes).
 * Every byte is read once. Work memory is 256 MiB or what memory_limit leaves, if that is
 * less, beside 16 bytes a unit and 9 MiB of tables; the file never depends on it, nor on threads. `options` and
 * `operation` may be NULL; progress once a MiB or less. The file appears complete or not at all. Fails with
 * INVALID_ARGUMENT (sizes that do not fit one another), IO (os_error EEXIST if `path` is taken), LIMIT, STATE (pool
 * from before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_create(const struct atlas_source *source,
                                      const char *path,
                                      const struct atlas_parity_options *options,
                                      const struct atlas_operation *operation);

/**
 * Opens a parity file, of which one end may be lost.
 *
 * If neither end has a head that counts, the file is searched block by block, with progress once a MiB. With a key
 * of `verify` the file must be keyed and match; a keyed file without a key is WITNESS. An expected_root must be the
 * stored one, if a root is stored, and repairs compare the whole result with it. `verify` and `operation` may be
 * NULL. `*out` is owned by the caller: atlas_parity_destroy(). Fails with FORMAT (no parity file, or too little is
 * left), WITNESS, UNSUPPORTED (newer version, not built in), IO, INVALID_ARGUMENT, LIMIT, STATE (pool from before a
 * fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_parity_open(const char *path,
                                    const struct atlas_verify_options *verify,
                                    const struct atlas_operation *operation,
                                    struct atlas_parity **out);

/**
 * Properties of a parity file. Any thread. Fails with INVALID_ARGUMENT or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_get_info(const struct atlas_parity *parity,
                                        struct atlas_parity_info *info);

/**
 * Looks for damage in a source and in its parity file. Reads everything and writes nothing.
 *
 * ATLAS_STATUS_OK: all is intact. WITNESS: something is damaged, and all of it can be repaired. INCOMPLETE: not all
 * of it can. `report` is filled in these three cases, and may be NULL. `damage` may be NULL; else it receives each
 * damaged unit and block by itself, once the verdict is known: of the data first, then of the parity file, each
 * ascending; false ends the call with CANCELLED. `operation` may be NULL; progress once 256 KiB. Any thread. Fails
 * with WITNESS, INCOMPLETE, IO (what is more than a bad sector), INVALID_ARGUMENT, LIMIT, STATE (pool from before a
 * fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
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
 * Each unit is rebuilt from its row and verified before it is written. `damage` is the owner's say: it is asked for
 * each damaged data unit by itself, ascending, before the first write; false leaves the unit as it is. IN_PLACE needs
 * it; elsewhere NULL means true. A unit whose row is lost is told with repairable 0, and stays. ATLAS_STATUS_OK: the
 * data is whole, whatever the parity file is (report->parity: atlas_parity_restore()). WITNESS: a unit was refused
 * and the others are repaired, or what was rebuilt does not fit its digest or the root that the handle was opened
 * with (then NEW_FILE and KEEP give no file). INCOMPLETE: a row is lost, and nothing was written, but with partial
 * the rows that can be repaired. NEW_FILE and KEEP copy what lies behind the protected bytes; the file appears
 * complete or not at all. IN_PLACE may be stopped at any moment, also by a crash: each byte is right or was bad
 * before, and the next call goes on. Synced on return. `options` NULL is an error, since it has no name. `report`
 * and `operation` may be NULL; progress once a MiB, and once a row. Fails with WITNESS, INCOMPLETE, IO (os_error
 * EEXIST if other_path is taken), INVALID_ARGUMENT, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED
 * or UNSUPPORTED (not built in).
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
 * Writes the parity file anew to `path`, byte for byte as it was first written, its id included.
 *
 * Damaged data units in the rows concerned are no hindrance as far as their rows can be repaired. Replaces a file of
 * this name, also the parity file's own: the handle goes on with the old bytes. `operation` may be NULL; progress
 * once a MiB, and once a row. The file appears complete or not at all. Fails with INCOMPLETE (a row that is needed is
 * lost), WITNESS (the file contradicts itself, or changes meanwhile), IO, INVALID_ARGUMENT, LIMIT, STATE (pool from
 * before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built in).
 */
ATLAS_API
enum atlas_status atlas_parity_restore(const struct atlas_parity *parity,
                                       const struct atlas_source *source,
                                       const char *path,
                                       const struct atlas_operation *operation);

/**
 * Writes the parity file of a source that was changed on purpose: in the `region_count` ranges of `regions`, and at
 * its end if its size differs.
 *
 * `regions` NULL names no range (for all of them: atlas_parity_create()). Unit size, rows, parity columns and key
 * stay; of `options`, which may be NULL, only id and store_root count: a root that is not asked for is dropped. The
 * result is what create gives of the old bytes with these ranges replaced: damage elsewhere stays damage. Other bytes
 * of the rows concerned that differ are WITNESS, with store_root any that differ, and nothing is written. Reads what
 * was appended, the units of each row that is touched, and the parity file once. Replaces a file of this name, also
 * the parity file's own: the handle stays that of the old file. `operation` may be NULL; progress once a MiB or less.
 * Fails with WITNESS, INVALID_ARGUMENT (the rows do not fit the new size: create anew), OUT_OF_RANGE (a region
 * outside the source), IO, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY, CANCELLED or UNSUPPORTED (not built
 * in).
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

/**
 * Fills `options` with the defaults: TRACK, K = 96, no key.
 */
ATLAS_API void atlas_projection_options_init(struct atlas_projection_options *options);

/**
 * Projects a source: hashes everything, and commits to what the source holds now.
 *
 * `type` is an atlas_projection_type, `options` and `operation` may be NULL. The projection holds
 * on to the source, which may be destroyed at once. `*out` is owned by the caller:
 * atlas_projection_destroy(). Costs about one BLAKE3 of the bytes, shared by the operation's
 * threads, and at most 448 bytes of memory a tile of 1 MiB; progress is reported once a tile. Fails
 * with INVALID_ARGUMENT, IO, CONSERVATION (STRICT, the message names what is missing), LIMIT, STATE
 * (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
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
 * Properties of the present state. Any thread. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_get_info(const struct atlas_projection *projection,
                                            struct atlas_projection_info *info);

/**
 * The witness root: 32 bytes that all shards of this state prove themselves against.
 *
 * After edits it first hashes what changed, with progress once a tile. Any thread. `operation` may be
 * NULL. Fails with INVALID_ARGUMENT, STATE (pool from before a fork) or CANCELLED, and after edits
 * with IO, WITNESS or CONSERVATION (the source does not hold any more what was projected, of the tiles
 * that were edited; the error's index is the tile), LIMIT or OUT_OF_MEMORY.
 *
 */
ATLAS_API
enum atlas_status atlas_projection_root(const struct atlas_projection *projection,
                                        const struct atlas_operation *operation,
                                        uint8_t root[32]);

/**
 * Properties of tile number `tile`, which is hashed first where it was edited.
 *
 * Any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE, and of an edited tile with IO, WITNESS or
 * CONSERVATION (the source does not hold any more what was projected) or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_projection_get_tile(const struct atlas_projection *projection,
                                            uint64_t tile,
                                            struct atlas_tile_info *info);

/**
 * A second handle on the present state, in O(1): later updates of either do not touch the other.
 *
 * Any thread. `*out` is owned by the caller: atlas_projection_destroy(). Fails with
 * INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_projection_snapshot(const struct atlas_projection *projection,
                                            struct atlas_projection **out);

/**
 * Reads `size` bytes at `offset` into `buffer`: all of them, or an error.
 *
 * The bytes are what the source holds now and are not verified: extract, verify and write_file do
 * that. `buffer` is borrowed for the call and may be NULL when `size` is 0. Any thread. Fails with
 * INVALID_ARGUMENT, OUT_OF_RANGE or IO.
 */
ATLAS_API
enum atlas_status atlas_projection_read(const struct atlas_projection *projection,
                                        uint64_t offset,
                                        void *buffer,
                                        size_t size);

/**
 * Reads and hashes every byte again.
 *
 * Any thread. `operation` may be NULL; progress once a tile. Fails with WITNESS, then CONSERVATION,
 * with the first tile that differs as the error's index, INVALID_ARGUMENT, IO, LIMIT, STATE (pool from
 * before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_projection_verify(const struct atlas_projection *projection,
                                          const struct atlas_operation *operation);

/**
 * Writes the domain to a file, every byte verified before it is written.
 *
 * The bytes go to a temporary file beside `path`, which is flushed to the disk and then renamed: on
 * failure an older file stays, and nothing else is left. Nobody but its owner can read the temporary
 * file; in the end it has the permissions of the file that it replaces, or those of a new file. A
 * symbolic link is replaced itself, and what it led to stays. A tile of zeros is left a hole.
 *
 * Any thread. `operation` may be NULL; progress once a tile. Fails with INVALID_ARGUMENT, IO, WITNESS,
 * CONSERVATION, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_projection_write_file(const struct atlas_projection *projection,
                                              const char *path,
                                              const struct atlas_operation *operation);

/**
 * Fills `options` with the defaults: any root, no key, in memory, any size.
 */
ATLAS_API void atlas_reconstruction_options_init(struct atlas_reconstruction_options *options);

/**
 * Begins a reconstruction. `options` may be NULL and is copied.
 *
 * `*out` is owned by the caller: atlas_reconstruction_destroy(). Fails with INVALID_ARGUMENT or IO
 * (the temporary file could not be made).
 */
ATLAS_API
enum atlas_status atlas_reconstruction_create(const struct atlas_reconstruction_options *options,
                                              struct atlas_reconstruction **out);

/**
 * Verifies a shard and takes the bytes that it adds; the shard stays the caller's.
 *
 * Duplicates and overlaps are harmless. Classes of R96 wait, in memory or in a second temporary file
 * beside spool_path, until a tile has K of them. Serialised with other calls on the handle.
 * `operation` may be NULL; progress once a tile that is verified or decoded, and once a
 * MiB or a class that is written. Fails, and changes
 * nothing, with WITNESS (does not verify; another root, type, K or size), CONFLICT (another tile
 * geometry under the same root), LIMIT, IO, STATE (finished, or a pool from before a fork),
 * OUT_OF_MEMORY or CANCELLED. R96: also with FORMAT, WITNESS or CONSERVATION where K classes of a tile
 * prove themselves and stand for no bytes with its witness and residue, which only who made the root
 * can bring about.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_add(struct atlas_reconstruction *reconstruction,
                                           const struct atlas_shard *shard,
                                           const struct atlas_operation *operation);

/**
 * Whether every byte of the domain has come; false for NULL. Any thread.
 */
ATLAS_API bool atlas_reconstruction_is_complete(const struct atlas_reconstruction *reconstruction);

/**
 * How many more classes of an R96 domain are needed, the most over all tiles; 0 for LINEAR, before
 * the first add and for NULL. Any thread.
 */
ATLAS_API
uint32_t atlas_reconstruction_classes_needed(const struct atlas_reconstruction *reconstruction);

/**
 * The byte ranges still missing (R96: with fewer than K classes), ascending and merged; none before
 * the first add.
 *
 * `*count` is in: the capacity of `regions` (which may be NULL when it is 0), out: how many there
 * are. OK also when the capacity is short: then the first ones are there. Any thread. Fails with
 * INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_missing(const struct atlas_reconstruction *reconstruction,
                                               struct atlas_region *regions,
                                               size_t *count);

/**
 * The rebuilt domain as a projection with the same geometry and root.
 *
 * Hashes every byte anew. A spool file gets its name now. `*out` is owned by the caller:
 * atlas_projection_destroy(). Serialised with other calls on the handle. `operation` may be NULL;
 * progress once a tile. Fails, and leaves the handle usable, with INCOMPLETE (the text says how much
 * is missing), WITNESS (the root differs), IO, STATE (finished already, or a pool from before a fork),
 * INVALID_ARGUMENT, LIMIT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_reconstruction_finish(struct atlas_reconstruction *reconstruction,
                                              const struct atlas_operation *operation,
                                              struct atlas_projection **out);

/**
 * Frees a reconstruction, and removes its temporary file. NULL does nothing. No call may be using
 * it; the projection that finish gave stays valid.
 */
ATLAS_API void atlas_reconstruction_destroy(struct atlas_reconstruction *reconstruction);

/**
 * Cuts one region out of a projection: copies its bytes once and verifies the copy.
 *
 * A region of length 0 (offset <= size) proves the root alone. A LINEAR shard discloses up to 4,095
 * bytes on either side of its region when it is serialised; an R96 shard has all 96 classes of the
 * tiles that the region touches. A shard of more than 1 GiB is refused by a reader with the default
 * atlas_limits. Any thread. `operation` may be NULL; progress as
 * atlas_shard_extract_batch(). `*out` is owned by the caller: atlas_shard_destroy(). LINEAR: costs one
 * BLAKE3 of the tiles that the region touches; a second small region of a tile costs that of the
 * groups of 16 KiB that it touches. R96: transforms the tiles that the region touches, every time.
 * Fails with INVALID_ARGUMENT, OUT_OF_RANGE, IO, WITNESS (the source changed since it was projected),
 * LIMIT, STATE, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_shard_extract(const struct atlas_projection *projection,
                                      const struct atlas_region *region,
                                      const struct atlas_operation *operation,
                                      struct atlas_shard **out);

/**
 * Fills `options` with the defaults: DEFAULT on all threads.
 */
ATLAS_API void atlas_extract_options_init(struct atlas_extract_options *options);

/**
 * Cuts many regions out of a projection: all of them, or none.
 *
 * `out` has room for `region_count` handles, in the order of the regions, each owned by the caller;
 * on failure every entry is NULL. A tile is read and hashed once for each MiB and each 256 shards cut
 * out of it, however many regions touch it (and once a task with CHUNKED). `options` and `operation`
 * may be NULL; progress once for at most a MiB of payload, in whose count a region has a part in each
 * tile that it touches. The error of the first region that fails is reported, its index in
 * atlas_error_info; that of hashing what was edited before has none. Any thread. Fails as
 * atlas_shard_extract(), and with INVALID_ARGUMENT (POOL without a pool, a chunk_size of 0).
 */
ATLAS_API
enum atlas_status atlas_shard_extract_batch(const struct atlas_projection *projection,
                                            const struct atlas_region *regions,
                                            size_t region_count,
                                            const struct atlas_extract_options *options,
                                            const struct atlas_operation *operation,
                                            struct atlas_shard **out);

/**
 * One pass over a region of an R96 projection, one shard a class.
 *
 * `out` has room for `class_count` handles, in the order of `classes`, each owned by the caller; on
 * failure every entry is NULL. The region is rounded out to whole tiles; NULL: the whole domain.
 * `operation` may be NULL; progress once a tile. Any thread. Costs one transform of the region,
 * whatever the number of classes. Fails with INVALID_ARGUMENT (a class twice or above 95, a LINEAR
 * projection), and as atlas_shard_extract().
 */
ATLAS_API
enum atlas_status atlas_shard_extract_classes(const struct atlas_projection *projection,
                                              const struct atlas_region *region,
                                              const uint8_t *classes,
                                              size_t class_count,
                                              const struct atlas_operation *operation,
                                              struct atlas_shard **out);

/**
 * Properties of a shard. Any thread. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_shard_get_info(const struct atlas_shard *shard,
                                       struct atlas_shard_info *info);

/**
 * The shard's bytes, borrowed until it is destroyed.
 *
 * LINEAR: the region's bytes. R96: tile by tile, in it class by class (ascending), in it block by
 * block, 128 coefficients in 14 bits each.
 * `*data` is not NULL, also where `*size` is 0. Any thread. Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_shard_data(const struct atlas_shard *shard,
                                   const uint8_t **data,
                                   size_t *size);

/**
 * Reads `size` of the domain's bytes at `offset`, which lie inside the shard's region.
 *
 * R96: decodes the blocks that they lie in. `buffer` is borrowed for the call and may be NULL when
 * `size` is 0. Any thread. Fails with INVALID_ARGUMENT, OUT_OF_RANGE, and for R96 with INCOMPLETE
 * (fewer than K classes), FORMAT or WITNESS (the classes are no spectrum of bytes, which only who
 * made the root can bring about) or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_shard_read(const struct atlas_shard *shard,
                                   uint64_t offset,
                                   void *buffer,
                                   size_t size);

/**
 * Fills `options` with the defaults: no root, no key.
 */
ATLAS_API void atlas_verify_options_init(struct atlas_verify_options *options);

/**
 * Hashes a shard's bytes again and checks their proof against what `options` trusts.
 *
 * Any thread. `options` and `operation` may be NULL; progress once a tile. Fails with
 * INVALID_ARGUMENT, WITNESS, then CONSERVATION, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or
 * CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_shard_verify(const struct atlas_shard *shard,
                                     const struct atlas_verify_options *options,
                                     const struct atlas_operation *operation);

/**
 * Fills `limits` with the defaults.
 */
ATLAS_API void atlas_limits_init(struct atlas_limits *limits);

/**
 * The one encoding of a shard (docs/format.md): the same bytes on every machine.
 *
 * A reader with the default atlas_limits refuses a payload of more than 1 GiB with LIMIT: cut a larger
 * region into several shards, or raise the reader's max_payload_size. `*out` is owned by the caller:
 * atlas_buffer_free(). Any thread. Fails with INVALID_ARGUMENT or OUT_OF_MEMORY. Costs one copy and one
 * BLAKE3 of it.
 */
ATLAS_API
enum atlas_status atlas_shard_serialize(const struct atlas_shard *shard,
                                        struct atlas_buffer *out);

/**
 * The shard that `size` bytes at `data` encode, verified before there is a handle.
 *
 * `data` is borrowed for the call. `limits`, `verify` and `operation` may be NULL; progress once a MiB
 * of the encoding, then once a tile. `*out` is owned by the caller: atlas_shard_destroy(). Any thread.
 * Costs two BLAKE3 of the bytes. Fails with FORMAT, UNSUPPORTED (a newer version), LIMIT, WITNESS,
 * CONSERVATION, INVALID_ARGUMENT, STATE, OUT_OF_MEMORY or CANCELLED.
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

/**
 * A source of a copy of `size` bytes at `data`, which may be NULL when `size` is 0.
 *
 * `*out` is owned by the caller: atlas_source_destroy(). Fails with INVALID_ARGUMENT or
 * OUT_OF_MEMORY. Costs one copy.
 */
ATLAS_API
enum atlas_status atlas_source_copy(const void *data,
                                    size_t size,
                                    struct atlas_source **out);

/**
 * A source of memory that stays the caller's, without a copy.
 *
 * `data` must stay readable and unchanged until `release` is called with `user_data`, once, from
 * any thread, when the last object that reads it is gone. `release` may be NULL: then until all
 * those objects are destroyed. On failure `release` is not called. `*out` is owned by the caller.
 * Fails with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_source_borrow(const void *data,
                                      size_t size,
                                      atlas_release_fn release,
                                      void *user_data,
                                      struct atlas_source **out);

/**
 * A source that reads a regular file; `io` is an atlas_file_io.
 *
 * `path` is copied: bytes on Unix, UTF-8 on Windows. The size is that of the moment. Holes of a sparse file
 * are not read where tiles are hashed: the file system is asked where they are, anew by each call. `*out` is
 * owned by the caller. Fails with INVALID_ARGUMENT (not a regular file, unknown io), IO (message
 * with path and reason, os_error set) or UNSUPPORTED (mapping not built in).
 */
ATLAS_API
enum atlas_status atlas_source_open_file(const char *path,
                                         uint32_t io,
                                         struct atlas_source **out);

/**
 * A source that reads a regular file through a descriptor; `io` is an atlas_file_io.
 *
 * `fd` is open for reading, without O_DIRECT. The library keeps a duplicate: the caller may close `fd` at once. Its
 * offset is neither used nor moved. Holes are looked for through a description of the library's own
 * (/proc/self/fd/N); if that cannot be opened the file counts as dense. When the last object that reads the source is
 * gone the duplicate is closed, which ends the record locks (fcntl) of this process on the file. The size is that of
 * the moment. `*out` is owned by the caller. Any thread. Fails with INVALID_ARGUMENT (not a regular file, not open for
 * reading, unknown io), IO (os_error set: EBADF if `fd` is not open) or UNSUPPORTED (mapping not built in; Windows).
 */
ATLAS_API
enum atlas_status atlas_source_open_fd(int fd,
                                       uint32_t io,
                                       struct atlas_source **out);

/**
 * A source of `size` bytes that `read_at` gives.
 *
 * `release` (may be NULL) is called once with `user_data`, from any thread, when the last object
 * that reads the source is gone; on failure it is not called. `*out` is owned by the caller. Fails
 * with INVALID_ARGUMENT.
 */
ATLAS_API
enum atlas_status atlas_source_from_callback(uint64_t size,
                                             atlas_read_at_fn read_at,
                                             atlas_release_fn release,
                                             void *user_data,
                                             struct atlas_source **out);

/**
 * The `size` bytes from `offset` on of a source, as a source of their own.
 *
 * No byte is copied. `source` is held: it may be destroyed at once. Of a file the range stays known as a part of
 * that file. A size of 0 gives an empty source. `*out` is owned by the caller: atlas_source_destroy(). Any thread.
 * Fails with INVALID_ARGUMENT, OUT_OF_RANGE or OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_source_range(const struct atlas_source *source,
                                     uint64_t offset,
                                     uint64_t size,
                                     struct atlas_source **out);

/**
 * The bytes of `count` sources, one after the other, as a source of their own.
 *
 * No byte is copied, and a source may come twice. `sources` is copied and each source held: all of them may be
 * destroyed at once. A read finds its part in O(log count); files stay known as files. `sources` may be NULL when
 * `count` is 0, which gives an empty source. `*out` is owned by the caller: atlas_source_destroy(). Any thread.
 * Fails with INVALID_ARGUMENT (the message says which source is NULL), LIMIT (2^64 bytes or more) or
 * OUT_OF_MEMORY.
 */
ATLAS_API
enum atlas_status atlas_source_concat(const struct atlas_source *const *sources,
                                      size_t count,
                                      struct atlas_source **out);

/**
 * How many bytes a source has; 0 for NULL. Any thread.
 */
ATLAS_API uint64_t atlas_source_size(const struct atlas_source *source);

/**
 * Gives up the caller's hold on a source. NULL does nothing. Projections keep theirs.
 */
ATLAS_API void atlas_source_destroy(struct atlas_source *source);

/**
 * The name of a status, such as "ATLAS_STATUS_WITNESS".
 *
 * Any number is fine and the result is never NULL; it lives as long as the library. Any thread.
 */
ATLAS_API const char *atlas_status_name(int32_t status);

/**
 * Fills `config` with the defaults: chunks of 16 MiB, 4 in flight, 2 read ahead, an overlap of 4,096
 * bytes, reads of 1 MiB.
 */
ATLAS_API
void atlas_stream_config_init(struct atlas_stream_config *config);

/**
 * Projects a source in one call, with memory bounded by the configuration.
 *
 * The result equals that of atlas_projection_create() on the same bytes, root and all. Each worker
 * reads into one buffer of its own; what is mapped is given back behind it. `type` is an
 * atlas_projection_type; `options`, `config` and `operation` may be NULL. The projection holds on to
 * the source, which may be destroyed at once. `*out` is owned by the caller:
 * atlas_projection_destroy(). Progress once a chunk, in order; after false a worker ends with the read or
 * the tile that it is at. Fails with INVALID_ARGUMENT, IO, CONSERVATION (STRICT), UNSUPPORTED, LIMIT,
 * STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_project(uint32_t type,
                                       const struct atlas_source *source,
                                       const struct atlas_projection_options *options,
                                       const struct atlas_stream_config *config,
                                       const struct atlas_operation *operation,
                                       struct atlas_projection **out);

/**
 * Begins to stream a source, chunk by chunk; reads nothing yet.
 *
 * `type` is an atlas_projection_type. The stream holds on to the source. `options`, `config` and
 * `operation` may be NULL and are copied; the operation's pool and user_data must outlive the stream.
 * `*out` is owned by the caller: atlas_stream_destroy(). After a failure or a cancellation only
 * getters and destroy work, the rest is STATE, and nothing is held any more. Fails with
 * INVALID_ARGUMENT, UNSUPPORTED or LIMIT (the memory limit is too small for one worker and the
 * result).
 */
ATLAS_API
enum atlas_status atlas_stream_open(uint32_t type,
                                    const struct atlas_source *source,
                                    const struct atlas_projection_options *options,
                                    const struct atlas_stream_config *config,
                                    const struct atlas_operation *operation,
                                    struct atlas_stream **out);

/**
 * Begins a stream of bytes that the caller pushes as they come.
 *
 * `type` is an atlas_projection_type. The bytes go to a temporary file beside `spool_path` (copied),
 * which atlas_stream_finish() flushes to the disk and renames to it, in place of a file that is there,
 * or, where it is NULL, to memory, which counts for the operation's memory limit. For the rest as
 * atlas_stream_open(); the operation's progress has totals of 0 until the end. Fails with
 * INVALID_ARGUMENT, UNSUPPORTED, LIMIT or IO (the temporary file could not be made).
 */
ATLAS_API
enum atlas_status atlas_stream_open_push(uint32_t type,
                                         const char *spool_path,
                                         const struct atlas_projection_options *options,
                                         const struct atlas_stream_config *config,
                                         const struct atlas_operation *operation,
                                         struct atlas_stream **out);

/**
 * Takes `size` bytes at `data`, which are borrowed for the call; (NULL, 0) is no bytes.
 *
 * Pieces may have any size. Changing calls on a stream are serialised. Progress at each chunk's end.
 * Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (finished, failed before, a stream of a source, or a
 * pool from before a fork), LIMIT, IO, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_push(struct atlas_stream *stream,
                                    const void *data,
                                    size_t size);

/**
 * Reads and hashes the next chunk, and shows it. `*has_chunk` is false at the end; an empty domain has
 * no chunk.
 *
 * The caller sets chunk->struct_size. What was shown before is not valid any more. Progress once,
 * before the chunk is shown. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (a push stream, finished,
 * failed before, or a pool from before a fork), IO, LIMIT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_next(struct atlas_stream *stream,
                                    struct atlas_chunk *chunk,
                                    bool *has_chunk);

/**
 * How far a stream is: at once, from any thread, also while another call on it is at work.
 *
 * The totals of a push stream are 0 until it is finished. The caller sets progress->struct_size. Fails
 * with INVALID_ARGUMENT or UNSUPPORTED.
 */
ATLAS_API
enum atlas_status atlas_stream_get_progress(const struct atlas_stream *stream,
                                            struct atlas_progress *progress);

/**
 * Whether every byte was processed: after the last chunk was shown, and after finish; false for NULL.
 * Any thread.
 */
ATLAS_API
bool atlas_stream_is_complete(const struct atlas_stream *stream);

/**
 * Processes what is left and gives the projection of the whole domain; once.
 *
 * A spool file is complete under its name now, and a file that was there is gone. `*out` is owned by
 * the caller: atlas_projection_destroy(); it outlives the stream. Progress once a chunk, and at the
 * end with the totals. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (finished, failed before, or a
 * pool from before a fork), IO, CONSERVATION (STRICT), LIMIT, OUT_OF_MEMORY or CANCELLED.
 */
ATLAS_API
enum atlas_status atlas_stream_finish(struct atlas_stream *stream,
                                      struct atlas_projection **out);

/**
 * Frees a stream, and removes the temporary file of one that is not finished. NULL does nothing. No
 * call may be using it; the projection that finish gave stays valid.
 */
ATLAS_API void atlas_stream_destroy(struct atlas_stream *stream);

/**
 * Maps the tile plane by `params`, after the earlier maps; the bytes stay as they are.
 *
 * Tile i is the unit square at column i mod width, row i / width. Serialised with other changes of
 * the handle. Fails with INVALID_ARGUMENT, also where the composed map could not be inverted.
 */
ATLAS_API
enum atlas_status atlas_projection_transform(struct atlas_projection *projection,
                                             const struct atlas_transform_params *params);

/**
 * The bounds of the four transformed corners of a tile: min x, min y, max x, max y.
 *
 * Any thread. Fails with INVALID_ARGUMENT or OUT_OF_RANGE.
 *
 */
ATLAS_API
enum atlas_status atlas_projection_tile_bounds(const struct atlas_projection *projection,
                                               uint64_t tile,
                                               double bounds[4]);

/**
 * The tile at a point of the transformed plane, by the inverse map.
 *
 * Any thread. Fails with INVALID_ARGUMENT (not finite) or OUT_OF_RANGE (no tile is there).
 */
ATLAS_API
enum atlas_status atlas_projection_tile_at(const struct atlas_projection *projection,
                                           double x,
                                           double y,
                                           uint64_t *tile);

/**
 * The version of the library in use: major << 16 | minor << 8 | patch.
 *
 * Compare it with ATLAS_MANIFOLD_VERSION, which the program was compiled with. Any thread.
 */
ATLAS_API uint32_t atlas_manifold_version(void);

/**
 * The version of the library in use as text, such as "0.2.0". Lives as long as the library.
 */
ATLAS_API const char *atlas_manifold_version_string(void);

/**
 * What is built in: a set of ATLAS_FEATURE_ bits. Any thread.
 */
ATLAS_API uint64_t atlas_manifold_features(void);

/**
 * Frees the used buffers and tables that the library keeps for the next call.
 *
 * At most 64 MiB of buffers and 400 KiB of decompression states are kept, for the whole process; handles
 * have what they need besides. On Linux with glibc and with every handle destroyed, resident memory is
 * then within 2 MiB of what it was before the first call, not counting pages of the library's own file,
 * which the system shares, and 9 MiB of tables that stay once a parity file was made or repaired. It also returns what malloc() has free, of the whole process, which takes some
 * milliseconds for a large heap. The threads of the library's own pool stay; while they are at work, so
 * does what their allocator has free. The next calls take memory anew. Any thread, also while other
 * calls are at work: what they use stays.
 */
ATLAS_API
void atlas_manifold_trim(void);

/**
 * BLAKE3-256 of `size` bytes at `data`, which may be NULL when `size` is 0.
 *
 * A fitting digest for atlas_conservation_set_digest() of Layer 2. Any thread. A NULL `digest` is
 * ignored; NULL data with a size other than 0 gives 32 zero bytes.
 *
 */
ATLAS_API void atlas_digest256(const void *data, size_t size, uint8_t digest[32]);

/**
 * Frees the bytes of a buffer and sets it to {NULL, 0}, so that a second call does nothing.
 *
 * NULL does nothing. For buffers that the library filled only, each from one thread at a time.
 */
ATLAS_API void atlas_buffer_free(struct atlas_buffer *buffer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ATLAS_MANIFOLD_H */
