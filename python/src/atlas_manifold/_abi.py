"""Values, layouts and prototypes of the C API. Written by generate.py from include/atlas_manifold.h."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable

VERSION = '0.2.0'
ABI = '0.2'
COMPRESSION_LEVEL_FAST = 1
"""Fastest level."""
COMPRESSION_LEVEL_BALANCED = 6
"""Default level."""
COMPRESSION_LEVEL_BEST = 9
"""Level with the smallest results."""


class Feature(enum.IntFlag):
    """Features that are built in."""

    PARALLEL = 1
    """Feature bit: work runs on several threads."""
    COMPRESSION = 2
    """Feature bit: shards can be compressed."""
    STREAMING = 4
    """Feature bit: domains can be streamed."""
    BENCHMARKS = 8
    """Feature bit: the benchmark suite is built in."""
    CONTAINER = 16
    """Feature bit: containers are built in. Always set."""
    PARITY = 32
    """Feature bit: parity files can be made and used."""
    ZSTD = 64
    """Feature bit: ATLAS_COMPRESSION_ZSTD is built in."""
    LZ4 = 128
    """Feature bit: ATLAS_COMPRESSION_LZ4 is built in."""
    OPENCL = 256
    """Feature bit: pools can have an OpenCL device."""


class Status(enum.IntEnum):
    """Outcome of a call. Numbers are never reused."""

    OK = 0
    """Success."""
    INVALID_ARGUMENT = 1
    """An argument is NULL although NULL is not allowed, has an unknown enum value, or is an invalid configuration."""
    OUT_OF_MEMORY = 2
    """A buffer whose size comes from outside could not be allocated, or a thread could not be started."""
    OUT_OF_RANGE = 3
    """An offset or a length lies outside the domain, or a number outside its range."""
    IO = 4
    """The operating system or a callback failed. The message has the path and the reason."""
    CONSERVATION = 5
    """The sum of bytes mod 96 differs from the required or recorded sum."""
    WITNESS = 6
    """A digest, a proof or a key does not match: the bytes differ from the projected bytes."""
    FORMAT = 7
    """Serialised data is malformed or truncated."""
    UNSUPPORTED = 8
    """A feature is not built in, or the data is of a newer version."""
    STATE = 9
    """The call is not valid in the present state of the handle."""
    INCOMPLETE = 10
    """Shards are missing for reconstruction."""
    CONFLICT = 11
    """Overlapping shards disagree."""
    CANCELLED = 12
    """A progress callback returned false."""
    LIMIT = 13
    """A limit set by the caller would be exceeded."""
    INTERNAL = 14
    """Defect of the library, such as a caught panic."""


class FileIo(enum.IntEnum):
    """Method of reading a file."""

    READ = 0
    """Positioned reads. If the file shrinks or cannot be read later, the call that reads it fails."""
    MMAP = 1
    """Memory mapping. The caller guarantees that no process truncates or writes the file while a projection reads it.
    Reading after the new end of a truncated file kills the process (SIGBUS)."""
    AUTO = 2
    """Memory mapping if no process can shorten the file, otherwise like ATLAS_FILE_IO_READ. Linux guarantees this for
    a file with the seal F_SEAL_SHRINK, for an immutable file on ext4, and for a file on a file system that is mounted
    read-only as a whole and that no other machine writes to. A file on a read-only mount of a file system that is
    mounted for writing elsewhere is not mapped. The caller guarantees that no process writes to a file that is only
    sealed against shrinking, and that no administrator revokes the other two guarantees in the meantime. If the disk
    fails, a mapping kills the process (SIGBUS), and positioned reads fail with IO."""


class ProjectionType(enum.IntEnum):
    """Transformation from the bytes of a tile to its witnessed payload."""

    LINEAR = 0
    """The bytes themselves."""
    R96_FOURIER = 1
    """The exact Fourier transform over GF(12289), distributed over 96 resonance classes. Any r96_data_classes of them
    rebuild the domain."""


class ConservationPolicy(enum.IntEnum):
    """Requirement on the sum of all bytes."""

    TRACK = 0
    """Any sum is allowed; residue and correction are recorded."""
    STRICT = 1
    """The sum must be 0 mod 96, also after every change."""


class ParallelStrategy(enum.IntEnum):
    """Distribution of a batch over threads. The shards are the same, bit for bit, with every strategy. If the source has changed, the strategy may decide which region fails."""

    SEQUENTIAL = 0
    """All tasks run on the calling thread. For hosts that have no other thread to spare or run batches in parallel
    themselves."""
    DEFAULT = 1
    """A task has about one tile. The tasks run on the calling thread and on the operation's pool, or on the library's
    pool if the operation has no pool. Use this strategy unless there is a reason for another one. A batch too small
    for a second thread runs on the calling thread, because waking another thread would take longer."""
    POOL = 2
    """Like DEFAULT, but all tasks run on the operation's pool, even those of a small batch; the operation must have a
    pool. For hosts whose calling thread must not do such work: it waits, reports progress and assembles the shards.
    While callbacks of other calls hold all threads of the pool, it waits for these."""
    CHUNKED = 3
    """Like DEFAULT, but a task has chunk_size regions. For many small regions whose neighbours lie in the same tile.
    A tile that two tasks touch is hashed twice. A region larger than a thread's share of the batch is split into its
    tiles."""
    WORK_STEALING = 4
    """Like DEFAULT, but the largest tasks run first, on at most max_threads threads. This suits regions of very
    different sizes."""


class ChangeType(enum.IntEnum):
    """Kind of a delta. Fields that a kind does not use are ignored."""

    INSERT = 0
    """Inserts data before the byte at offset. An offset equal to the size of the domain appends."""
    UPDATE = 1
    """Replaces [offset, offset + length) by data of any size. Data of the same size moves no tile boundary."""
    DELETE = 2
    """Removes [offset, offset + length)."""
    MOVE = 3
    """Cuts [offset, offset + length) and inserts it before the byte that was at destination before the move. A
    destination equal to the size of the domain moves the range to the end. A destination at either edge of the range
    changes nothing; a destination strictly inside the range fails with ATLAS_STATUS_INVALID_ARGUMENT."""


class CompressionAlgorithm(enum.IntEnum):
    """Algorithm that compresses a payload."""

    NONE = 0
    """Stored without compression."""
    DEFLATE = 1
    """One raw DEFLATE stream (RFC 1951) per block."""
    CONSERVATION_AWARE = 2
    """DEFLATE of each block, alone or after a split into byte planes, whichever is smaller."""
    ZSTD = 3
    """Zstandard, after byte planes if they help. Fails with UNSUPPORTED without ATLAS_FEATURE_ZSTD."""
    LZ4 = 4
    """LZ4, after byte planes if they help. Fails with UNSUPPORTED without ATLAS_FEATURE_LZ4."""
    AUTO = 5
    """The algorithm that suits a shard and the target, found by samples of the shard. A compressed shard names the
    chosen algorithm, never AUTO."""


class CompressionFilter(enum.IntEnum):
    """Filter before the codec of ZSTD, LZ4 and AUTO. DEFLATE, which has no filter, and CONSERVATION_AWARE, which chooses its own, accept only ATLAS_FILTER_AUTO. With AUTO as the algorithm the other two filters restrict the choice to ZSTD and LZ4."""

    AUTO = 0
    """Byte planes or none, chosen per block by a sample."""
    NONE = 1
    """No filter."""
    PLANES = 2
    """Byte planes unless they make a block larger."""


class CompressionTarget(enum.IntEnum):
    """Criterion by which ATLAS_COMPRESSION_AUTO chooses an algorithm."""

    BALANCED = 0
    """The same as SMALLEST, unless the result of LZ4 is at most a tenth larger."""
    FASTEST_READ = 1
    """The shortest decompression time among the algorithms that save enough."""
    SMALLEST = 2
    """The smallest size. Of results that differ by less than a hundredth, the one that is faster to decompress."""


class DamagePart(enum.IntEnum):
    """Part of an object that a damaged range belongs to."""

    DATA = 0
    """Bytes of the domain, or of the protected file."""
    RECORD = 1
    """Record of a container."""
    PARITY = 2
    """Unit of a parity file."""
    DIGESTS = 3
    """Block of digests of a parity file."""


class DamageKind(enum.IntEnum):
    """Kind of damage."""

    DIFFERS = 0
    """The bytes differ from the witnessed bytes: they were damaged, or changed by their owner."""
    UNREADABLE = 1
    """The bytes cannot be read. os_error has the reason."""
    MISSING = 2
    """The range lies after the end of the file."""
    UNKNOWN = 3
    """The digest of the range is itself lost."""


class ContainerMode(enum.IntEnum):
    """Access of a handle."""

    READ = 0
    """Reading. Any number of other readers and one writer may use the file at the same time."""
    WRITE = 1
    """Reading and writing. Only one handle at a time may write."""


class ParityVerdict(enum.IntEnum):
    """Verdict of a check."""

    NOT_KNOWN = 0
    """The call ended without a verdict."""
    INTACT = 1
    """Nothing is damaged."""
    REPAIRABLE = 2
    """All damage can be rebuilt."""
    INCOMPLETE = 3
    """A row has more damaged units than parity units."""


class RepairMode(enum.IntEnum):
    """Destination of a repair."""

    NEW_FILE = 0
    """The repaired file gets the name other_path; no file of this name may exist. The damaged file is only read."""
    KEEP = 1
    """The repaired file takes the name of the damaged file, which is kept under the name other_path; no file of this
    name may exist. If nothing is damaged, nothing is written. A symbolic link is itself replaced, and the file that
    it leads to gets the name other_path too."""
    IN_PLACE = 2
    """Damaged units are overwritten in the file."""


class ReportFormat(enum.IntEnum):
    """Format of a report. All are UTF-8."""

    TEXT = 0
    """A table for people, at most 100 columns wide."""
    JSON = 1
    """One JSON object, with the environment and an array of results."""
    CSV = 2
    """A line of names and a line per result, separated by commas."""


class Buffer(ctypes.Structure):
    data: int | None
    size: int

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
    ]


class ErrorInfo(ctypes.Structure):
    struct_size: int
    status: int
    os_error: int
    reserved: int
    index: int
    offset: int
    length: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("os_error", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
        ("index", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    ]


class Progress(ctypes.Structure):
    struct_size: int
    reserved: int
    bytes_done: int
    bytes_total: int
    chunks_done: int
    chunks_total: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("bytes_done", ctypes.c_uint64),
        ("bytes_total", ctypes.c_uint64),
        ("chunks_done", ctypes.c_uint64),
        ("chunks_total", ctypes.c_uint64),
    ]


class Operation(ctypes.Structure):
    struct_size: int
    pool: int | None
    progress: int | None
    user_data: int | None
    memory_limit: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("pool", ctypes.c_void_p),
        ("progress", ctypes.c_void_p),
        ("user_data", ctypes.c_void_p),
        ("memory_limit", ctypes.c_uint64),
    ]


class ProjectionOptions(ctypes.Structure):
    struct_size: int
    conservation: int
    r96_data_classes: int
    key: int | None

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("conservation", ctypes.c_uint32),
        ("r96_data_classes", ctypes.c_uint32),
        ("key", ctypes.c_void_p),
    ]


class ProjectionInfo(ctypes.Structure):
    struct_size: int
    type: int
    domain_size: int
    page_count: int
    tile_count: int
    residue: int
    correction: int
    width: int
    height: int
    r96_data_classes: int
    keyed: int
    canonical: int
    reserved: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("domain_size", ctypes.c_uint64),
        ("page_count", ctypes.c_uint64),
        ("tile_count", ctypes.c_uint64),
        ("residue", ctypes.c_uint32),
        ("correction", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("r96_data_classes", ctypes.c_uint32),
        ("keyed", ctypes.c_uint32),
        ("canonical", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class TileInfo(ctypes.Structure):
    struct_size: int
    residue: int
    offset: int
    length: int
    witness: ctypes.Array[ctypes.c_uint8]

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("residue", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("witness", ctypes.c_uint8 * 32),
    ]


class TransformParams(ctypes.Structure):
    scaling_factor: float
    rotation_angle: float
    translation_x: float
    translation_y: float

    _fields_ = [
        ("scaling_factor", ctypes.c_double),
        ("rotation_angle", ctypes.c_double),
        ("translation_x", ctypes.c_double),
        ("translation_y", ctypes.c_double),
    ]


class Region(ctypes.Structure):
    offset: int
    length: int

    _fields_ = [
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    ]


class ExtractOptions(ctypes.Structure):
    struct_size: int
    strategy: int
    max_threads: int
    chunk_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("strategy", ctypes.c_uint32),
        ("max_threads", ctypes.c_uint32),
        ("chunk_size", ctypes.c_uint32),
    ]


class ShardInfo(ctypes.Structure):
    struct_size: int
    type: int
    domain_size: int
    region: Region
    payload_size: int
    residue: int
    r96_data_classes: int
    keyed: int
    class_mask: ctypes.Array[ctypes.c_uint8]
    root: ctypes.Array[ctypes.c_uint8]

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("domain_size", ctypes.c_uint64),
        ("region", Region),
        ("payload_size", ctypes.c_uint64),
        ("residue", ctypes.c_uint32),
        ("r96_data_classes", ctypes.c_uint32),
        ("keyed", ctypes.c_uint32),
        ("class_mask", ctypes.c_uint8 * 12),
        ("root", ctypes.c_uint8 * 32),
    ]


class VerifyOptions(ctypes.Structure):
    struct_size: int
    expected_root: int | None
    key: int | None

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("expected_root", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
    ]


class Limits(ctypes.Structure):
    struct_size: int
    max_payload_size: int
    max_proof_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("max_payload_size", ctypes.c_uint64),
        ("max_proof_size", ctypes.c_uint64),
    ]


class ReconstructionOptions(ctypes.Structure):
    struct_size: int
    expected_root: int | None
    key: int | None
    spool_path: bytes | None
    max_domain_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("expected_root", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
        ("spool_path", ctypes.c_char_p),
        ("max_domain_size", ctypes.c_uint64),
    ]


class StreamConfig(ctypes.Structure):
    struct_size: int
    chunk_size: int
    parallel_chunks: int
    prefetch_chunks: int
    chunk_overlap: int
    io_buffer_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("chunk_size", ctypes.c_uint64),
        ("parallel_chunks", ctypes.c_uint32),
        ("prefetch_chunks", ctypes.c_uint32),
        ("chunk_overlap", ctypes.c_uint64),
        ("io_buffer_size", ctypes.c_uint64),
    ]


class Chunk(ctypes.Structure):
    struct_size: int
    residue: int
    id: int
    offset: int
    data: int | None
    size: int
    overlap: int | None
    overlap_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("residue", ctypes.c_uint32),
        ("id", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("overlap", ctypes.c_void_p),
        ("overlap_size", ctypes.c_size_t),
    ]


class Delta(ctypes.Structure):
    type: int
    offset: int
    length: int
    destination: int
    data: bytes | int | None
    data_size: int

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("destination", ctypes.c_uint64),
        ("data", ctypes.c_char_p),
        ("data_size", ctypes.c_size_t),
    ]


class IncrementalConfig(ctypes.Structure):
    struct_size: int
    validate_conservation: int
    enable_rollback: int
    max_deltas: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("validate_conservation", ctypes.c_uint32),
        ("enable_rollback", ctypes.c_uint32),
        ("max_deltas", ctypes.c_uint64),
    ]


class IncrementalStats(ctypes.Structure):
    struct_size: int
    total_updates: int
    insert_operations: int
    update_operations: int
    delete_operations: int
    move_operations: int
    rollbacks: int
    bytes_modified: int
    conservation_violations: int
    avg_update_time_ns: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("total_updates", ctypes.c_uint64),
        ("insert_operations", ctypes.c_uint64),
        ("update_operations", ctypes.c_uint64),
        ("delete_operations", ctypes.c_uint64),
        ("move_operations", ctypes.c_uint64),
        ("rollbacks", ctypes.c_uint64),
        ("bytes_modified", ctypes.c_uint64),
        ("conservation_violations", ctypes.c_uint64),
        ("avg_update_time_ns", ctypes.c_uint64),
    ]


class CompressionConfig(ctypes.Structure):
    struct_size: int
    algorithm: int
    level: int
    min_size_threshold: int
    max_compression_ratio: float
    preserve_conservation: int
    verify_integrity: int
    block_size: int
    filter: int
    target: int
    has_codec_level: int
    codec_level: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("algorithm", ctypes.c_uint32),
        ("level", ctypes.c_uint32),
        ("min_size_threshold", ctypes.c_uint64),
        ("max_compression_ratio", ctypes.c_double),
        ("preserve_conservation", ctypes.c_uint32),
        ("verify_integrity", ctypes.c_uint32),
        ("block_size", ctypes.c_uint64),
        ("filter", ctypes.c_uint32),
        ("target", ctypes.c_uint32),
        ("has_codec_level", ctypes.c_uint32),
        ("codec_level", ctypes.c_int32),
    ]


class CompressedInfo(ctypes.Structure):
    struct_size: int
    algorithm: int
    level: int
    residue: int
    original_size: int
    compressed_size: int
    filters: int
    reserved: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("algorithm", ctypes.c_uint32),
        ("level", ctypes.c_uint32),
        ("residue", ctypes.c_uint32),
        ("original_size", ctypes.c_uint64),
        ("compressed_size", ctypes.c_uint64),
        ("filters", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class CompressionStats(ctypes.Structure):
    struct_size: int
    compression_operations: int
    decompression_operations: int
    shards_compressed: int
    shards_stored: int
    original_bytes: int
    compressed_bytes: int
    saved_bytes: int
    average_ratio: float

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("compression_operations", ctypes.c_uint64),
        ("decompression_operations", ctypes.c_uint64),
        ("shards_compressed", ctypes.c_uint64),
        ("shards_stored", ctypes.c_uint64),
        ("original_bytes", ctypes.c_uint64),
        ("compressed_bytes", ctypes.c_uint64),
        ("saved_bytes", ctypes.c_uint64),
        ("average_ratio", ctypes.c_double),
    ]


class Damage(ctypes.Structure):
    struct_size: int
    part: int
    kind: int
    repairable: int
    os_error: int
    reserved: int
    generation: int
    index: int
    offset: int
    length: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("part", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("repairable", ctypes.c_uint32),
        ("os_error", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
        ("generation", ctypes.c_uint64),
        ("index", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    ]


class ContainerCreateOptions(ctypes.Structure):
    struct_size: int
    block_log2: int
    keep_chains: int
    reserved: int
    id: int | None
    base: int | None
    compression: int | None
    cache_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("block_log2", ctypes.c_uint32),
        ("keep_chains", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("id", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("compression", ctypes.c_void_p),
        ("cache_size", ctypes.c_uint64),
    ]


class ContainerOpenOptions(ctypes.Structure):
    struct_size: int
    recover: int
    base: int | None
    expected_history: int | None
    compression: int | None
    cache_size: int
    max_domain_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("recover", ctypes.c_uint32),
        ("base", ctypes.c_void_p),
        ("expected_history", ctypes.c_void_p),
        ("compression", ctypes.c_void_p),
        ("cache_size", ctypes.c_uint64),
        ("max_domain_size", ctypes.c_uint64),
    ]


class CommitOptions(ctypes.Structure):
    struct_size: int
    reserved: int
    expected: int
    time: int
    note: bytes | int | None
    note_size: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("expected", ctypes.c_uint64),
        ("time", ctypes.c_int64),
        ("note", ctypes.c_char_p),
        ("note_size", ctypes.c_size_t),
    ]


class ContainerInfo(ctypes.Structure):
    struct_size: int
    type: int
    r96_data_classes: int
    keyed: int
    conservation: int
    writable: int
    keeps_chains: int
    block_size: int
    newest: int
    oldest: int
    generation_count: int
    lost: int
    file_size: int
    base_size: int
    id: ctypes.Array[ctypes.c_uint8]

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("r96_data_classes", ctypes.c_uint32),
        ("keyed", ctypes.c_uint32),
        ("conservation", ctypes.c_uint32),
        ("writable", ctypes.c_uint32),
        ("keeps_chains", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("newest", ctypes.c_uint64),
        ("oldest", ctypes.c_uint64),
        ("generation_count", ctypes.c_uint64),
        ("lost", ctypes.c_uint64),
        ("file_size", ctypes.c_uint64),
        ("base_size", ctypes.c_uint64),
        ("id", ctypes.c_uint8 * 16),
    ]


class GenerationInfo(ctypes.Structure):
    struct_size: int
    residue: int
    generation: int
    previous: int
    time: int
    domain_size: int
    tile_count: int
    note_size: int
    root: ctypes.Array[ctypes.c_uint8]
    history: ctypes.Array[ctypes.c_uint8]

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("residue", ctypes.c_uint32),
        ("generation", ctypes.c_uint64),
        ("previous", ctypes.c_uint64),
        ("time", ctypes.c_int64),
        ("domain_size", ctypes.c_uint64),
        ("tile_count", ctypes.c_uint64),
        ("note_size", ctypes.c_uint64),
        ("root", ctypes.c_uint8 * 32),
        ("history", ctypes.c_uint8 * 32),
    ]


class ParityOptions(ctypes.Structure):
    struct_size: int
    unit_size: int
    parity_columns: int
    redundancy: int
    rows: int
    key: int | None
    id: int | None
    store_root: int
    reserved: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("unit_size", ctypes.c_uint32),
        ("parity_columns", ctypes.c_uint32),
        ("redundancy", ctypes.c_uint32),
        ("rows", ctypes.c_uint64),
        ("key", ctypes.c_void_p),
        ("id", ctypes.c_void_p),
        ("store_root", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class ParityInfo(ctypes.Structure):
    struct_size: int
    unit_size: int
    protected_size: int
    parity_size: int
    rows: int
    data_columns: int
    parity_columns: int
    burst_size: int
    keyed: int
    has_root: int
    root: ctypes.Array[ctypes.c_uint8]
    id: ctypes.Array[ctypes.c_uint8]

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("unit_size", ctypes.c_uint32),
        ("protected_size", ctypes.c_uint64),
        ("parity_size", ctypes.c_uint64),
        ("rows", ctypes.c_uint64),
        ("data_columns", ctypes.c_uint32),
        ("parity_columns", ctypes.c_uint32),
        ("burst_size", ctypes.c_uint64),
        ("keyed", ctypes.c_uint32),
        ("has_root", ctypes.c_uint32),
        ("root", ctypes.c_uint8 * 32),
        ("id", ctypes.c_uint8 * 16),
    ]


class ParityReport(ctypes.Structure):
    struct_size: int
    data: int
    parity: int
    reserved: int
    size: int
    bad_units: int
    unknown_units: int
    bad_parity_units: int
    bad_blocks: int
    damaged_rows: int
    lost_rows: int
    repaired_units: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("data", ctypes.c_uint32),
        ("parity", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("size", ctypes.c_uint64),
        ("bad_units", ctypes.c_uint64),
        ("unknown_units", ctypes.c_uint64),
        ("bad_parity_units", ctypes.c_uint64),
        ("bad_blocks", ctypes.c_uint64),
        ("damaged_rows", ctypes.c_uint64),
        ("lost_rows", ctypes.c_uint64),
        ("repaired_units", ctypes.c_uint64),
    ]


class RepairOptions(ctypes.Structure):
    struct_size: int
    mode: int
    other_path: bytes | None
    partial: int
    reserved: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("other_path", ctypes.c_char_p),
        ("partial", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class AcceleratorOptions(ctypes.Structure):
    struct_size: int
    index: int
    name: bytes | None
    cl_context: int | None
    cl_device: int | None
    memory_limit: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("index", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("cl_context", ctypes.c_void_p),
        ("cl_device", ctypes.c_void_p),
        ("memory_limit", ctypes.c_uint64),
    ]


class AcceleratorInfo(ctypes.Structure):
    struct_size: int
    compute_units: int
    memory_size: int
    bytes_hashed: int
    name: bytes

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("compute_units", ctypes.c_uint32),
        ("memory_size", ctypes.c_uint64),
        ("bytes_hashed", ctypes.c_uint64),
        ("name", ctypes.c_char * 128),
    ]


class BenchmarkConfig(ctypes.Structure):
    struct_size: int
    warmup_iterations: int
    iterations: int
    max_seconds: float
    data_sizes: int | None
    data_size_count: int

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("warmup_iterations", ctypes.c_uint32),
        ("iterations", ctypes.c_uint32),
        ("max_seconds", ctypes.c_double),
        ("data_sizes", ctypes.c_void_p),
        ("data_size_count", ctypes.c_size_t),
    ]


class BenchmarkResult(ctypes.Structure):
    struct_size: int
    reserved: int
    name: bytes | None
    data_size: int
    iterations: int
    min_ns: float
    max_ns: float
    mean_ns: float
    median_ns: float
    stddev_ns: float
    bytes_per_second: float

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("data_size", ctypes.c_uint64),
        ("iterations", ctypes.c_uint64),
        ("min_ns", ctypes.c_double),
        ("max_ns", ctypes.c_double),
        ("mean_ns", ctypes.c_double),
        ("median_ns", ctypes.c_double),
        ("stddev_ns", ctypes.c_double),
        ("bytes_per_second", ctypes.c_double),
    ]


# What the library calls: a progress, a damage, the end of a source, a read.

ProgressFn = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
ReadAtFn = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t)
ReleaseFn = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
DamageFn = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)


class Functions:
    """The functions of the library, as attributes."""

    atlas_manifold_version: Callable[[], int]
    atlas_manifold_version_string: Callable[[], bytes]
    atlas_manifold_features: Callable[[], int]
    atlas_manifold_trim: Callable[[], None]
    atlas_digest256: Callable[[object, int, object], None]
    atlas_buffer_free: Callable[[object], None]
    atlas_status_name: Callable[[int], bytes]
    atlas_last_error_message: Callable[[], bytes]
    atlas_last_error_get: Callable[[object], int]
    atlas_operation_init: Callable[[object], None]
    atlas_pool_create: Callable[[int, object], int]
    atlas_pool_threads: Callable[[object], int]
    atlas_pool_destroy: Callable[[object], None]
    atlas_source_copy: Callable[[object, int, object], int]
    atlas_source_borrow: Callable[[object, int, object, object, object], int]
    atlas_source_open_file: Callable[[bytes | None, int, object], int]
    atlas_source_open_fd: Callable[[int, int, object], int]
    atlas_source_from_callback: Callable[[int, object, object, object, object], int]
    atlas_source_range: Callable[[object, int, int, object], int]
    atlas_source_concat: Callable[[object, int, object], int]
    atlas_source_size: Callable[[object], int]
    atlas_source_destroy: Callable[[object], None]
    atlas_projection_options_init: Callable[[object], None]
    atlas_projection_create: Callable[[int, object, object, object, object], int]
    atlas_projection_destroy: Callable[[object], None]
    atlas_projection_get_info: Callable[[object, object], int]
    atlas_projection_root: Callable[[object, object, object], int]
    atlas_projection_get_tile: Callable[[object, int, object], int]
    atlas_projection_snapshot: Callable[[object, object], int]
    atlas_projection_read: Callable[[object, int, object, int], int]
    atlas_projection_verify: Callable[[object, object], int]
    atlas_projection_write_file: Callable[[object, bytes | None, object], int]
    atlas_projection_transform: Callable[[object, object], int]
    atlas_projection_tile_bounds: Callable[[object, int, object], int]
    atlas_projection_tile_at: Callable[[object, float, float, object], int]
    atlas_shard_extract: Callable[[object, object, object, object], int]
    atlas_extract_options_init: Callable[[object], None]
    atlas_shard_extract_batch: Callable[[object, object, int, object, object, object], int]
    atlas_shard_extract_classes: Callable[[object, object, object, int, object, object], int]
    atlas_shard_get_info: Callable[[object, object], int]
    atlas_shard_data: Callable[[object, object, object], int]
    atlas_shard_read: Callable[[object, int, object, int], int]
    atlas_verify_options_init: Callable[[object], None]
    atlas_shard_verify: Callable[[object, object, object], int]
    atlas_limits_init: Callable[[object], None]
    atlas_shard_serialize: Callable[[object, object], int]
    atlas_shard_deserialize: Callable[[object, int, object, object, object, object], int]
    atlas_shard_destroy: Callable[[object], None]
    atlas_reconstruction_options_init: Callable[[object], None]
    atlas_reconstruction_create: Callable[[object, object], int]
    atlas_reconstruction_add: Callable[[object, object, object], int]
    atlas_reconstruction_is_complete: Callable[[object], bool]
    atlas_reconstruction_classes_needed: Callable[[object], int]
    atlas_reconstruction_missing: Callable[[object, object, object], int]
    atlas_reconstruction_finish: Callable[[object, object, object], int]
    atlas_reconstruction_destroy: Callable[[object], None]
    atlas_stream_config_init: Callable[[object], None]
    atlas_stream_project: Callable[[int, object, object, object, object, object], int]
    atlas_stream_open: Callable[[int, object, object, object, object, object], int]
    atlas_stream_open_push: Callable[[int, bytes | None, object, object, object, object], int]
    atlas_stream_push: Callable[[object, object, int], int]
    atlas_stream_next: Callable[[object, object, object], int]
    atlas_stream_get_progress: Callable[[object, object], int]
    atlas_stream_is_complete: Callable[[object], bool]
    atlas_stream_finish: Callable[[object, object], int]
    atlas_stream_destroy: Callable[[object], None]
    atlas_incremental_config_init: Callable[[object], None]
    atlas_projection_configure_incremental: Callable[[object, object], int]
    atlas_projection_apply: Callable[[object, object], int]
    atlas_projection_apply_batch: Callable[[object, object, int], int]
    atlas_projection_rollback: Callable[[object, int], int]
    atlas_projection_history_len: Callable[[object], int]
    atlas_projection_get_incremental_stats: Callable[[object, object], int]
    atlas_projection_optimize: Callable[[object, object], int]
    atlas_projection_insert_source: Callable[[object, int, object, object], int]
    atlas_compression_config_init: Callable[[object], None]
    atlas_shard_compress: Callable[[object, object, object, object], int]
    atlas_shard_decompress: Callable[[object, object, object, object], int]
    atlas_compressed_shard_read: Callable[[object, int, object, int], int]
    atlas_compressed_shard_get_info: Callable[[object, object], int]
    atlas_compressed_shard_serialize: Callable[[object, object], int]
    atlas_compressed_shard_deserialize: Callable[[object, int, object, object], int]
    atlas_compressed_shard_destroy: Callable[[object], None]
    atlas_compression_manager_create: Callable[[object, object], int]
    atlas_compression_manager_compress_batch: Callable[[object, object, int, object, object], int]
    atlas_compression_manager_decompress_batch: Callable[[object, object, int, object, object, object], int]
    atlas_compression_manager_get_stats: Callable[[object, object], int]
    atlas_compression_manager_destroy: Callable[[object], None]
    atlas_container_create_options_init: Callable[[object], None]
    atlas_container_open_options_init: Callable[[object], None]
    atlas_commit_options_init: Callable[[object], None]
    atlas_container_create: Callable[[bytes | None, int, object, object, object, object], int]
    atlas_container_open: Callable[[bytes | None, int, object, object, object, object], int]
    atlas_container_open_source: Callable[[object, object, object, object, object], int]
    atlas_container_destroy: Callable[[object], None]
    atlas_container_get_info: Callable[[object, object], int]
    atlas_container_get_generation: Callable[[object, int, object], int]
    atlas_container_get_note: Callable[[object, int, object, object], int]
    atlas_container_snapshot: Callable[[object, int, int, object, object], int]
    atlas_container_commit: Callable[[object, object, object, object, object], int]
    atlas_container_import: Callable[[object, object, object, int, object, object, object], int]
    atlas_container_set_base: Callable[[object, object], int]
    atlas_container_refresh: Callable[[object, object, object], int]
    atlas_container_compact: Callable[[object, bytes | None, int, object], int]
    atlas_container_find_damage: Callable[[object, int, object, object, object], int]
    atlas_container_merge: Callable[[object, int, bytes | None, object, object, object, object], int]
    atlas_projection_find_damage: Callable[[object, object, int, object, object, object], int]
    atlas_projection_repair_file: Callable[[object, bytes | None, object, int, object, object, object], int]
    atlas_projection_diff: Callable[[object, object, object, object, object], int]
    atlas_parity_options_init: Callable[[object], None]
    atlas_repair_options_init: Callable[[object], None]
    atlas_parity_create: Callable[[object, bytes | None, object, object], int]
    atlas_parity_open: Callable[[bytes | None, object, object, object], int]
    atlas_parity_get_info: Callable[[object, object], int]
    atlas_parity_check: Callable[[object, object, object, object, object, object], int]
    atlas_parity_repair: Callable[[object, bytes | None, object, object, object, object, object], int]
    atlas_parity_restore: Callable[[object, object, bytes | None, object], int]
    atlas_parity_update: Callable[[object, object, object, int, bytes | None, object, object], int]
    atlas_parity_destroy: Callable[[object], None]
    atlas_accelerator_options_init: Callable[[object], None]
    atlas_pool_create_accelerated: Callable[[int, object, object], int]
    atlas_pool_get_accelerator: Callable[[object, object], int]
    atlas_source_from_cl_mem: Callable[[object, object, int, int, object], int]
    atlas_benchmark_config_init: Callable[[object], None]
    atlas_benchmark_run: Callable[[object, object, object], int]
    atlas_benchmark_report_count: Callable[[object], int]
    atlas_benchmark_report_get: Callable[[object, int, object], int]
    atlas_benchmark_report_format: Callable[[object, int, object], int]
    atlas_benchmark_report_destroy: Callable[[object], None]


# Result and parameters of each function.
PROTOTYPES = {
    "atlas_manifold_version": (ctypes.c_uint32, ()),
    "atlas_manifold_version_string": (ctypes.c_char_p, ()),
    "atlas_manifold_features": (ctypes.c_uint64, ()),
    "atlas_manifold_trim": (None, ()),
    "atlas_digest256": (None, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,)),
    "atlas_buffer_free": (None, (ctypes.c_void_p,)),
    "atlas_status_name": (ctypes.c_char_p, (ctypes.c_int32,)),
    "atlas_last_error_message": (ctypes.c_char_p, ()),
    "atlas_last_error_get": (ctypes.c_int, (ctypes.c_void_p,)),
    "atlas_operation_init": (None, (ctypes.c_void_p,)),
    "atlas_pool_create": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_void_p,)),
    "atlas_pool_threads": (ctypes.c_uint32, (ctypes.c_void_p,)),
    "atlas_pool_destroy": (None, (ctypes.c_void_p,)),
    "atlas_source_copy": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,)),
    "atlas_source_borrow": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_source_open_file": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_uint32, ctypes.c_void_p,)),
    "atlas_source_open_fd": (ctypes.c_int, (ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p,)),
    "atlas_source_from_callback": (ctypes.c_int, (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_source_range": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p,)),
    "atlas_source_concat": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,)),
    "atlas_source_size": (ctypes.c_uint64, (ctypes.c_void_p,)),
    "atlas_source_destroy": (None, (ctypes.c_void_p,)),
    "atlas_projection_options_init": (None, (ctypes.c_void_p,)),
    "atlas_projection_create": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_destroy": (None, (ctypes.c_void_p,)),
    "atlas_projection_get_info": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_root": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_get_tile": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p,)),
    "atlas_projection_snapshot": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_read": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t,)),
    "atlas_projection_verify": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_write_file": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p,)),
    "atlas_projection_transform": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_tile_bounds": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p,)),
    "atlas_projection_tile_at": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_double, ctypes.c_double, ctypes.c_void_p,)),
    "atlas_shard_extract": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_extract_options_init": (None, (ctypes.c_void_p,)),
    "atlas_shard_extract_batch": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_extract_classes": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_get_info": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_data": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_read": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t,)),
    "atlas_verify_options_init": (None, (ctypes.c_void_p,)),
    "atlas_shard_verify": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_limits_init": (None, (ctypes.c_void_p,)),
    "atlas_shard_serialize": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_deserialize": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_destroy": (None, (ctypes.c_void_p,)),
    "atlas_reconstruction_options_init": (None, (ctypes.c_void_p,)),
    "atlas_reconstruction_create": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_reconstruction_add": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_reconstruction_is_complete": (ctypes.c_bool, (ctypes.c_void_p,)),
    "atlas_reconstruction_classes_needed": (ctypes.c_uint32, (ctypes.c_void_p,)),
    "atlas_reconstruction_missing": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_reconstruction_finish": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_reconstruction_destroy": (None, (ctypes.c_void_p,)),
    "atlas_stream_config_init": (None, (ctypes.c_void_p,)),
    "atlas_stream_project": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_stream_open": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_stream_open_push": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_stream_push": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,)),
    "atlas_stream_next": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_stream_get_progress": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_stream_is_complete": (ctypes.c_bool, (ctypes.c_void_p,)),
    "atlas_stream_finish": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_stream_destroy": (None, (ctypes.c_void_p,)),
    "atlas_incremental_config_init": (None, (ctypes.c_void_p,)),
    "atlas_projection_configure_incremental": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_apply": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_apply_batch": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t,)),
    "atlas_projection_rollback": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64,)),
    "atlas_projection_history_len": (ctypes.c_uint64, (ctypes.c_void_p,)),
    "atlas_projection_get_incremental_stats": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_optimize": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_insert_source": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compression_config_init": (None, (ctypes.c_void_p,)),
    "atlas_shard_compress": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_shard_decompress": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compressed_shard_read": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t,)),
    "atlas_compressed_shard_get_info": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compressed_shard_serialize": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compressed_shard_deserialize": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compressed_shard_destroy": (None, (ctypes.c_void_p,)),
    "atlas_compression_manager_create": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compression_manager_compress_batch": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compression_manager_decompress_batch": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compression_manager_get_stats": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_compression_manager_destroy": (None, (ctypes.c_void_p,)),
    "atlas_container_create_options_init": (None, (ctypes.c_void_p,)),
    "atlas_container_open_options_init": (None, (ctypes.c_void_p,)),
    "atlas_commit_options_init": (None, (ctypes.c_void_p,)),
    "atlas_container_create": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_open": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_open_source": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_destroy": (None, (ctypes.c_void_p,)),
    "atlas_container_get_info": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_get_generation": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p,)),
    "atlas_container_get_note": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_snapshot": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_commit": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_import": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_set_base": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_refresh": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_compact": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p,)),
    "atlas_container_find_damage": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_container_merge": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_find_damage": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_repair_file": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_projection_diff": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_options_init": (None, (ctypes.c_void_p,)),
    "atlas_repair_options_init": (None, (ctypes.c_void_p,)),
    "atlas_parity_create": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_open": (ctypes.c_int, (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_get_info": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_check": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_repair": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_restore": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p,)),
    "atlas_parity_update": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_parity_destroy": (None, (ctypes.c_void_p,)),
    "atlas_accelerator_options_init": (None, (ctypes.c_void_p,)),
    "atlas_pool_create_accelerated": (ctypes.c_int, (ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_pool_get_accelerator": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_source_from_cl_mem": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p,)),
    "atlas_benchmark_config_init": (None, (ctypes.c_void_p,)),
    "atlas_benchmark_run": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,)),
    "atlas_benchmark_report_count": (ctypes.c_size_t, (ctypes.c_void_p,)),
    "atlas_benchmark_report_get": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,)),
    "atlas_benchmark_report_format": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p,)),
    "atlas_benchmark_report_destroy": (None, (ctypes.c_void_p,)),
}
