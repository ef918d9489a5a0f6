"""What calls return: immutable tuples with names."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Optional, TypeVar, get_type_hints

from . import _abi
from ._abi import (
    CompressionAlgorithm,
    ConservationPolicy,
    DamageKind,
    DamagePart,
    ParityVerdict,
    ProjectionType,
)
from ._errors import Raised

Record = TypeVar("Record")


@lru_cache(maxsize=None)
def _types_of(kind: Callable[..., object]) -> dict[str, Callable[[object], object]]:
    # The package sets itself as the module of its records, but it does not have all names of their types.
    return get_type_hints(kind, globals())


def record(kind: Callable[..., Record], struct: ctypes.Structure, **given: object) -> Record:
    """A record with the fields of a C struct of the same names, converted to the types of the record.

    `given` has the fields whose name or value is not the one in C.
    """
    for name, convert in _types_of(kind).items():
        if name not in given:
            given[name] = convert(getattr(struct, name))
    return kind(**given)


class Region(NamedTuple):
    """`length` bytes from `offset` on."""

    offset: int
    """Offset of the first byte."""
    length: int
    """Length in bytes."""

    @property
    def end(self) -> int:
        """Offset after the last byte."""
        return self.offset + self.length


class Progress(NamedTuple):
    """How far a long call has come. The values of one call never decrease."""

    bytes_done: int
    """Bytes of work done."""
    bytes_total: Optional[int]
    """Bytes of work in all; None if that is unknown."""
    chunks_done: int
    """Tiles, chunks, regions, shards or cases done."""
    chunks_total: Optional[int]
    """Tiles, chunks, regions, shards or cases in all; None if that is unknown."""


class AcceleratorInfo(NamedTuple):
    """Properties of the OpenCL device of a pool."""

    name: str
    """Name of the device."""
    compute_units: int
    """Number of its compute units."""
    memory_size: int
    """Bytes of its memory."""
    bytes_hashed: int
    """Bytes that it has hashed since the pool was made."""


class ProjectionInfo(NamedTuple):
    """Properties of a projection's present state."""

    type: ProjectionType
    """How bytes become witnessed payload."""
    size: int
    """Bytes of the domain."""
    page_count: int
    """Pages of 4,096 bytes."""
    tile_count: int
    """Tiles of at most 1 MiB."""
    residue: int
    """Sum of all bytes mod 96."""
    correction: int
    """What would have to be added for the sum to be 0 mod 96."""
    width: int
    """Tiles in a row of the plane."""
    height: int
    """Rows of the plane."""
    r96_data_classes: int
    """Classes that rebuild the domain; 0 for LINEAR."""
    keyed: bool
    """True if witnesses are keyed."""
    canonical: bool
    """True if tiles are full from offset 0 on, as in a fresh projection."""


class TileInfo(NamedTuple):
    """Properties of a tile."""

    offset: int
    """Offset of its first byte in the domain."""
    length: int
    """Its length, at most 1 MiB."""
    residue: int
    """Sum of its bytes mod 96."""
    witness: bytes
    """Its digest."""


class Bounds(NamedTuple):
    """A rectangle around a tile in the transformed plane."""

    min_x: float
    """Smallest x."""
    min_y: float
    """Smallest y."""
    max_x: float
    """Largest x."""
    max_y: float
    """Largest y."""


class IncrementalStats(NamedTuple):
    """What was applied to a projection."""

    total_updates: int
    """Deltas of all kinds."""
    insert_operations: int
    """Deltas that insert."""
    update_operations: int
    """Deltas that replace."""
    delete_operations: int
    """Deltas that delete."""
    move_operations: int
    """Deltas that move."""
    rollbacks: int
    """Rollbacks that succeeded."""
    bytes_modified: int
    """Bytes inserted, deleted and moved; of an update the longer of the old and the new bytes."""
    conservation_violations: int
    """Calls that were refused with `ConservationError`."""
    avg_update_time_ns: int
    """Nanoseconds per delta."""


class ShardInfo(NamedTuple):
    """Properties of a shard."""

    type: ProjectionType
    """The kind of the projection."""
    domain_size: int
    """Bytes of the whole domain."""
    region: Region
    """The part of the domain that it covers; R96: whole tiles."""
    payload_size: int
    """LINEAR: the length of the region. R96: bytes of the packed coefficients."""
    residue: int
    """LINEAR: sum of the region's bytes mod 96. R96: 0."""
    r96_data_classes: int
    """Classes that rebuild the domain; 0 for LINEAR."""
    keyed: bool
    """True if its witnesses are keyed."""
    classes: frozenset[int]
    """R96: the classes that it carries."""
    root: bytes
    """Root of the projection state that it belongs to."""


class CompressedInfo(NamedTuple):
    """Properties of a compressed shard."""

    algorithm: CompressionAlgorithm
    """The algorithm that was used: NONE if the payload is stored."""
    level: int
    """The level that was used: 0 if the payload is stored."""
    residue: int
    """Residue of the shard's bytes."""
    original_size: int
    """Bytes of the payload."""
    compressed_size: int
    """Bytes that stand for the payload in the serialised form."""
    filters: int
    """Bit f is set if a block has filter f."""


class CompressionStats(NamedTuple):
    """What a compressor did; calls that failed do not count."""

    compression_operations: int
    """Shards given to compression."""
    decompression_operations: int
    """Compressed shards that became shards again."""
    shards_compressed: int
    """Shards that became smaller."""
    shards_stored: int
    """Shards that are stored."""
    original_bytes: int
    """Sum of their original sizes."""
    compressed_bytes: int
    """Sum of their compressed sizes."""
    saved_bytes: int
    """`original_bytes` less `compressed_bytes`, at least 0."""
    average_ratio: float
    """`compressed_bytes` by `original_bytes`, 1.0 if there are none."""


class ContainerInfo(NamedTuple):
    """Properties of a container."""

    type: ProjectionType
    """The kind of its projections."""
    r96_data_classes: int
    """Classes that rebuild the domain; 0 for LINEAR."""
    keyed: bool
    """True if digests are keyed."""
    conservation: ConservationPolicy
    """What is asked of the sum of all bytes."""
    writable: bool
    """True if this handle may write."""
    keeps_chains: bool
    """True if chaining values are stored."""
    block_size: int
    """Batches are multiples of so many bytes."""
    newest: int
    """Number of the newest generation; 0: there is none."""
    oldest: int
    """Number of the oldest generation that is kept; 0: there is none."""
    generation_count: int
    """Generations that are kept."""
    lost: int
    """Newest generation known to have been durable that recovery did not find; 0: none."""
    file_size: int
    """Bytes of the file up to the end of the newest generation."""
    base_size: int
    """Size of the base in the newest generation; 0: none."""
    id: bytes
    """Id of the file, which compaction keeps."""


class Generation(NamedTuple):
    """Properties of a generation of a container."""

    number: int
    """Its number."""
    previous: int
    """Number of the one before; 0: none is kept."""
    time_ns: Optional[int]
    """Nanoseconds since 1970 as the committer gave it."""
    size: int
    """Bytes of the domain."""
    tile_count: int
    """Tiles of at most 1 MiB."""
    note_size: int
    """Bytes of the note."""
    residue: int
    """Sum of all bytes mod 96, as the file claims until all of its tree is loaded."""
    root: bytes
    """Root of the projection."""
    history: bytes
    """Digest that commits to this generation and all before it."""


class Damage(NamedTuple):
    """A damaged range."""

    part: DamagePart
    """The part that the range belongs to."""
    kind: DamageKind
    """The kind of the damage."""
    repairable: bool
    """True if the range can be rebuilt from bytes that are at hand."""
    os_error: int
    """Error number of the operating system, or 0."""
    generation: int
    """Generation of a container; 0: none."""
    number: int
    """Number of the first tile, record, unit or block."""
    offset: int
    """Offset of the first byte: for DATA in the domain or in the protected file, else in the container or parity file."""
    length: int
    """Length in bytes."""

    @property
    def region(self) -> Region:
        """The range."""
        return Region(self.offset, self.length)

    def __str__(self) -> str:
        reason = f" ({os.strerror(self.os_error)})" if self.os_error else ""
        return f"{self.length} bytes at offset {self.offset}: {self.part.name} {self.kind.name}{reason}"

    @classmethod
    def _of(cls, damage: _abi.Damage) -> Damage:
        return record(cls, damage, os_error=Raised.plain(damage.os_error), number=damage.index)


class ParityInfo(NamedTuple):
    """Properties of a parity file."""

    unit_size: int
    """Bytes of a unit."""
    protected_size: int
    """Number of protected bytes, from the beginning of the file."""
    parity_size: int
    """Bytes of the parity file when it is whole."""
    rows: int
    """Number of rows."""
    data_columns: int
    """Number of data columns."""
    parity_columns: int
    """Number of parity columns: so many units of each row may be lost."""
    burst_size: int
    """Length of the longest run of bytes that is rebuilt wherever it begins."""
    keyed: bool
    """True if the digests are keyed."""
    root: Optional[bytes]
    """Root of the protected bytes, if it is stored."""
    id: bytes
    """Id, which is another one after each creation and update."""


class ParityReport(NamedTuple):
    """Result of a check, which a repair begins with."""

    data: ParityVerdict
    """Verdict on the protected bytes."""
    parity: ParityVerdict
    """Verdict on the parity file."""
    size: int
    """Size of the protected file as it was found."""
    bad_units: int
    """Data units that differ from their digests or cannot be read."""
    unknown_units: int
    """Data units whose digests are lost."""
    bad_parity_units: int
    """Parity units that are bad or unknown."""
    bad_blocks: int
    """Blocks of digests that do not count."""
    damaged_rows: int
    """Rows with such a unit."""
    lost_rows: int
    """Rows with more of them than parity units."""
    repaired_units: int
    """Data units that a repair has written."""
    damage: tuple[Damage, ...] = ()
    """Each damaged unit and block."""

    @property
    def intact(self) -> bool:
        """True if nothing is damaged."""
        return self.data is ParityVerdict.INTACT and self.parity is ParityVerdict.INTACT


class BenchmarkResult(NamedTuple):
    """One case on a domain of one size; times are nanoseconds of an iteration."""

    name: str
    """The case."""
    data_size: int
    """Bytes of the domain."""
    iterations: int
    """Iterations that count."""
    min_ns: float
    """The fastest iteration."""
    max_ns: float
    """The slowest iteration."""
    mean_ns: float
    """The mean of all."""
    median_ns: float
    """The median."""
    stddev_ns: float
    """The standard deviation."""
    bytes_per_second: float
    """`data_size` by the median."""
