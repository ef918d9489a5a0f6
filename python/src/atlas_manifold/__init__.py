"""Large byte domains as verifiable tiles, shards that travel alone, and exact reconstruction.

>>> import atlas_manifold as am
>>> p = am.project(b"hello world")               # a path, a buffer, a file object, or a Source
>>> s = p.shard(6, 5)                            # any region, with its proof
>>> blob = s.to_bytes()                          # to be sent or stored
>>> am.Shard.from_bytes(blob, root=p.root).data.tobytes()
b'world'

Every function releases the GIL, and any thread may call. What a function borrows (a buffer without a copy) must stay
as it is until nothing reads it. Objects are given back when they are garbage; `close()` and `with` say when.
"""

from typing import Optional as Optional

from ._abi import (
    ChangeType,
    CompressionAlgorithm,
    CompressionFilter,
    CompressionTarget,
    ConservationPolicy,
    ContainerMode,
    DamageKind,
    DamagePart,
    Feature,
    FileIo,
    ParallelStrategy,
    ParityVerdict,
    ProjectionType,
    RepairMode,
    ReportFormat,
    Status,
)
from . import _shard
from ._benchmark import BenchmarkReport, benchmark, digest256, features, library_version, trim
from ._buffers import Buffer as Buffer
from ._call import Operation, Pool
from ._compression import CompressedShard, Compression, Compressor
from ._container import Container, outline
from ._errors import (
    CancelledError,
    ConflictError,
    ConservationError,
    Error,
    FormatError,
    IncompleteError,
    InternalError,
    InvalidArgumentError,
    IoError,
    LimitError,
    OutOfMemoryError,
    OutOfRangeError,
    StateError,
    UnsupportedError,
    WitnessError,
)
from ._library import version as __version__
from ._parity import Parity, ParityOptions
from ._projection import Delta, Projection, project
from ._reconstruction import Reconstruction
from ._records import (
    AcceleratorInfo,
    BenchmarkResult,
    Bounds,
    CompressedInfo,
    CompressionStats,
    ContainerInfo,
    Damage,
    Generation,
    IncrementalStats,
    ParityInfo,
    ParityReport,
    Progress,
    ProjectionInfo,
    Region,
    ShardInfo,
    TileInfo,
)
from ._shard import Shard, ShardBatch
from ._source import Source
from ._stream import Chunk, PushStream, Stream, StreamConfig, stream_project

__all__ = [
    "AcceleratorInfo",
    "BenchmarkReport",
    "BenchmarkResult",
    "Bounds",
    "CancelledError",
    "ChangeType",
    "Chunk",
    "CompressedInfo",
    "CompressedShard",
    "Compression",
    "CompressionAlgorithm",
    "CompressionFilter",
    "CompressionStats",
    "CompressionTarget",
    "Compressor",
    "ConflictError",
    "ConservationError",
    "ConservationPolicy",
    "Container",
    "ContainerInfo",
    "ContainerMode",
    "Damage",
    "DamageKind",
    "DamagePart",
    "Delta",
    "Error",
    "Feature",
    "FileIo",
    "FormatError",
    "Generation",
    "IncompleteError",
    "IncrementalStats",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "LimitError",
    "Operation",
    "OutOfMemoryError",
    "OutOfRangeError",
    "ParallelStrategy",
    "Parity",
    "ParityInfo",
    "ParityOptions",
    "ParityReport",
    "ParityVerdict",
    "Pool",
    "Progress",
    "Projection",
    "ProjectionInfo",
    "ProjectionType",
    "PushStream",
    "Reconstruction",
    "Region",
    "RepairMode",
    "ReportFormat",
    "Shard",
    "ShardBatch",
    "ShardInfo",
    "Source",
    "StateError",
    "Status",
    "Stream",
    "StreamConfig",
    "TileInfo",
    "UnsupportedError",
    "WitnessError",
    "__version__",
    "benchmark",
    "digest256",
    "features",
    "library_version",
    "outline",
    "project",
    "stream_project",
    "trim",
]

# They are named as they are imported: in texts of exceptions, and in pickles. typing.get_type_hints() then looks up the
# names in annotations of classes here.
for _name in __all__:
    _object = globals()[_name]
    if isinstance(_object, type) or callable(_object):
        _object.__module__ = __name__
# Annotations of Shard name these two. The module of Shard cannot import theirs, which imports Shard.
for _object in (CompressedShard, Compression):
    setattr(_shard, _object.__name__, _object)
del _name, _object
