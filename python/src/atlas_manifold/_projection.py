"""Projections: a domain under one root, with edits, undo and checks."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple, Optional

from . import _abi
from ._abi import ChangeType, ConservationPolicy, FileIo, ParallelStrategy, ProjectionType, Status
from ._buffers import (
    AnyRegion,
    Buffer,
    RegionList,
    Regions,
    StrPath,
    View,
    address_of,
    fixed,
    path_bytes,
    read_regions,
    region_bytes,
    writable,
)
from ._call import LONG, DamageCallback, Operation, Watch, forget, u32, u64
from ._errors import IncompleteError
from ._library import Handle, Object, fail, lib
from ._records import Bounds, Damage, IncrementalStats, ProjectionInfo, Region, TileInfo, record
from ._shard import Shard, ShardBatch, ShardHandle
from ._source import AnySource, as_source


class Delta(NamedTuple):
    """One change of a domain, for `Projection.apply`."""

    type: ChangeType
    """What is done."""
    offset: int
    """Offset of the first byte concerned."""
    length: int = 0
    """UPDATE, DELETE and MOVE: bytes concerned."""
    data: Buffer = b""
    """INSERT and UPDATE: the new bytes."""
    destination: int = 0
    """MOVE: their destination, a coordinate before the move."""


class ProjectionOptions:
    """Options of a projection in C, and the key that they point to."""

    __slots__ = ("_key", "pointer", "struct")

    def __init__(
        self, conservation: ConservationPolicy, r96_data_classes: Optional[int], key: Optional[Buffer]
    ) -> None:
        self._key = fixed(key, 32, "key")
        self.struct = _abi.ProjectionOptions()
        lib.atlas_projection_options_init(ctypes.byref(self.struct))
        self.struct.conservation = conservation
        if r96_data_classes is not None:
            self.struct.r96_data_classes = u32(r96_data_classes, "r96_data_classes")
        self.struct.key = address_of(self._key)
        self.pointer = ctypes.byref(self.struct)


class _ProjectionHandle(Handle):
    DESTROY = "atlas_projection_destroy"


def project(
    source: AnySource,
    *,
    type: ProjectionType = ProjectionType.LINEAR,
    conservation: ConservationPolicy = ConservationPolicy.TRACK,
    r96_data_classes: Optional[int] = None,
    key: Optional[Buffer] = None,
    io: FileIo = FileIo.READ,
    operation: Optional[Operation] = None,
) -> Projection:
    """Projects a source: hashes everything, and commits to the source's present bytes.

    `source` is a path, an object with the buffer protocol (which is borrowed, not copied), a binary file object or a
    `Source`. `type` LINEAR has the bytes as they are; R96_FOURIER has 96 classes, of which any `r96_data_classes`
    rebuild the domain. `key` (32 bytes) keys all digests. `io` says how a file is read.

    >>> import atlas_manifold as am
    >>> projection = am.project(b"hello world")
    >>> projection.root.hex()
    'f08de66a0be9c59775d6d2f4fcdfe8fb4a070a5163b99782085a1ae6b6e612be'
    >>> len(projection)
    11
    """
    options = ProjectionOptions(conservation, r96_data_classes, key)
    made = as_source(source, io)
    watch = Watch(operation, made.size >= LONG)
    handle = _ProjectionHandle()
    watch.check(
        lib.atlas_projection_create(type, made._h, options.pointer, watch.pointer, ctypes.byref(handle))
    )
    return Projection._adopt(handle)


_new = object.__new__
_byref, _Delta = ctypes.byref, _abi.Delta
# Members of an enumeration take some time to look up.
_INSERT, _UPDATE, _DELETE, _MOVE = map(int, (ChangeType.INSERT, ChangeType.UPDATE, ChangeType.DELETE, ChangeType.MOVE))

_INFO = struct.Struct("@IIQQQIIIIIIII0Q")
_INFO_SIZE = struct.pack("@I", ctypes.sizeof(_abi.ProjectionInfo))
_INFO_BYTES = ctypes.sizeof(_abi.ProjectionInfo)
_TYPES = {int(kind): kind for kind in ProjectionType}
assert _INFO.size == _INFO_BYTES


class Projection(Object):
    """An addressable, verifiable view of a domain. `project()` makes one.

    Edits live in the projection; the source is never written. Any thread may call; a method that changes the
    projection waits for others that do.

    >>> import atlas_manifold as am
    >>> with am.project(b"hello world") as p:
    ...     p.insert(5, b",")
    ...     p.delete(6, 6)
    ...     edited = p.read()
    ...     p.rollback(2)
    ...     edited, p.read()
    (b'hello,', b'hello world')
    """

    __slots__ = ()

    # ---- properties ----

    @property
    def info(self) -> ProjectionInfo:
        """Properties of the present state."""
        # A fresh object that C fills: nobody else has it yet.
        filled = _INFO_SIZE.ljust(_INFO_BYTES, b"\0")
        status = lib.atlas_projection_get_info(self._h, filled)
        if status:
            fail(status)
        _, kind, size, pages, tiles, residue, correction, width, height, k, keyed, canonical, _ = _INFO.unpack(filled)
        return ProjectionInfo(
            _TYPES[kind], size, pages, tiles, residue, correction, width, height, k, keyed != 0, canonical != 0
        )

    @property
    def size(self) -> int:
        """Bytes of the domain."""
        return self.info.size

    def __len__(self) -> int:
        return self.info.size

    @property
    def root(self) -> bytes:
        """Root: 32 bytes that all shards of this state prove themselves against.

        After edits it first hashes what changed; `compute_root` does the same with an `Operation`.
        """
        root = bytes(32)
        status = lib.atlas_projection_root(self._h, None, root)
        if status:
            fail(status)
        return root

    def compute_root(self, *, operation: Optional[Operation] = None) -> bytes:
        """The root, with progress once per tile that is hashed after edits."""
        root = bytes(32)
        watch = Watch(operation)
        watch.check(lib.atlas_projection_root(self._h, watch.pointer, root))
        return root

    def tile(self, index: int) -> TileInfo:
        """Properties of a tile, which is hashed first if it was edited."""
        info = _abi.TileInfo(ctypes.sizeof(_abi.TileInfo))
        status = lib.atlas_projection_get_tile(self._h, u64(index, "index"), ctypes.byref(info))
        if status:
            fail(status)
        return TileInfo(info.offset, info.length, info.residue, bytes(info.witness))

    def __repr__(self) -> str:
        if self.closed:
            return "<atlas_manifold.Projection, closed>"
        info = self.info
        return f"<atlas_manifold.Projection {info.type.name} of {info.size} bytes>"

    def snapshot(self) -> Projection:
        """A second handle on the present state, in O(1). Later changes of either do not touch the other."""
        handle = _ProjectionHandle()
        status = lib.atlas_projection_snapshot(self._h, ctypes.byref(handle))
        if status:
            fail(status)
        projection = _new(Projection)
        projection._h = handle
        return projection

    # ---- bytes ----

    def read(self, offset: int = 0, size: Optional[int] = None) -> bytes:
        """`size` bytes at `offset`, by default all that follow. They are not verified: `shard` and `verify` do that.

        >>> import atlas_manifold as am
        >>> am.project(b"hello world").read(6, 5)
        b'world'
        """
        if size is None:
            size = max(0, self.size - offset)
        if not 0 <= offset <= 0xFFFF_FFFF_FFFF_FFFF:
            u64(offset, "offset")
        if size == 1:
            # Objects of one byte are shared.
            single = bytearray(1)
            self.read_into(offset, single)
            return bytes(single)
        # A fresh object that C fills: nobody else has it yet.
        data = bytes(size)
        status = lib.atlas_projection_read(self._h, offset, data, size)
        if status:
            fail(status)
        return data

    def read_into(self, offset: int, buffer: Buffer) -> int:
        """Fills a writable buffer with the bytes at `offset`, without a copy; returns how many they are.

        >>> import atlas_manifold as am
        >>> buffer = bytearray(5)
        >>> am.project(b"hello world").read_into(6, buffer)
        5
        >>> buffer
        bytearray(b'world')
        """
        if not 0 <= offset <= 0xFFFF_FFFF_FFFF_FFFF:
            u64(offset, "offset")
        pointer, size = writable(buffer)
        status = lib.atlas_projection_read(self._h, offset, pointer, size)
        if status:
            fail(status)
        return size

    def __bytes__(self) -> bytes:
        return self.read()

    def write_file(self, path: StrPath, *, operation: Optional[Operation] = None) -> None:
        """Writes the domain to a file, every byte verified before it is written.

        The file appears under its name complete or not at all.
        """
        watch = Watch(operation)
        watch.check(lib.atlas_projection_write_file(self._h, path_bytes(path), watch.pointer))

    # ---- checks ----

    def verify(self, *, operation: Optional[Operation] = None) -> None:
        """Reads and hashes every byte again; raises `WitnessError` with the first tile that differs."""
        watch = Watch(operation)
        watch.check(lib.atlas_projection_verify(self._h, watch.pointer))

    def find_damage(
        self,
        regions: Optional[Regions] = None,
        *,
        damage: Optional[DamageCallback] = None,
        operation: Optional[Operation] = None,
    ) -> list[Damage]:
        """Reads and hashes the tiles that the regions touch, by default all, and returns every damaged range.

        The list is empty if nothing is damaged. `damage` is called with each range when it is found; False ends the
        search with `CancelledError`. Raises `IncompleteError` if nothing is damaged and bytes were not read because
        the base of an outline is not attached.

        >>> import atlas_manifold as am
        >>> memory = bytearray(3 << 20)
        >>> p = am.project(memory)
        >>> memory[1_500_000] = 1
        >>> [(found.offset, found.length, found.kind.name) for found in p.find_damage()]
        [(1048576, 1048576, 'DIFFERS')]
        """
        listed = RegionList(regions)
        watch = Watch(operation)
        found, collect = collector(damage)
        status = lib.atlas_projection_find_damage(
            self._h, listed.address, listed.count, watch.damage(collect), None, watch.pointer
        )
        check_search(watch, status, found)
        return found

    def repair_file(
        self,
        path: StrPath,
        regions: Optional[Regions] = None,
        *,
        damage: Optional[DamageCallback] = None,
        operation: Optional[Operation] = None,
    ) -> list[Damage]:
        """Repairs a file in place until it holds the projection's bytes; returns the ranges that were written.

        Ranges that differ are read through the projection, verified, and then written. `damage` is asked before each;
        False leaves the range as it is, and without it every range that can be repaired is. Raises `WitnessError`,
        `IncompleteError` or `IoError` if a range could not be, with the others repaired.
        """
        listed = RegionList(regions)
        watch = Watch(operation)
        written: list[Damage] = []

        def ask(found: Damage) -> bool:
            wanted = damage is None or damage(found) is not False
            if wanted and found.repairable:
                written.append(found)
            return wanted

        status = lib.atlas_projection_repair_file(
            self._h, path_bytes(path), listed.address, listed.count, watch.damage(ask), None, watch.pointer
        )
        watch.check(status)
        return written

    def diff(self, other: Projection, *, operation: Optional[Operation] = None) -> list[Region]:
        """Ranges in which the bytes differ from those of another projection, at the cost of the difference.

        >>> import atlas_manifold as am
        >>> am.project(bytes(3 << 20)).diff(am.project(bytes(2 << 20)))
        [Region(offset=2097152, length=1048576)]
        """
        watch = Watch(operation)
        return read_regions(
            lambda regions, count: lib.atlas_projection_diff(self._h, other._h, watch.pointer, regions, count),
            watch.check,
        )

    # ---- shards ----

    def shard(self, offset: int, length: int, *, operation: Optional[Operation] = None) -> Shard:
        """Cuts one region out, with its proof: the bytes are copied once, and the copy is verified.

        >>> import atlas_manifold as am
        >>> p = am.project(bytes(range(256)) * 1024)
        >>> shard = p.shard(4096, 65536)
        >>> shard.region, bytes(shard.data[:3])
        (Region(offset=4096, length=65536), b'\\x00\\x01\\x02')
        """
        handle = ShardHandle()
        if operation is None and length < LONG:
            status = lib.atlas_shard_extract(self._h, region_bytes(offset, length), None, ctypes.byref(handle))
            if status:
                fail(status)
            # As Shard._adopt() does, in half of its time.
            shard = _new(Shard)
            shard._h = handle
            return shard
        watch = Watch(operation)
        watch.check(
            lib.atlas_shard_extract(self._h, region_bytes(offset, length), watch.pointer, ctypes.byref(handle))
        )
        return Shard._adopt(handle)

    def shards(
        self,
        regions: Regions,
        *,
        strategy: ParallelStrategy = ParallelStrategy.DEFAULT,
        max_threads: int = 0,
        chunk_size: int = 16,
        operation: Optional[Operation] = None,
    ) -> ShardBatch:
        """Cuts many regions out: all of them, or none. A tile is read and hashed once for all that touch it.

        `regions` are pairs of offset and length, or an array of them with 64-bit integers, which is not copied.

        >>> import atlas_manifold as am
        >>> batch = am.project(bytes(1 << 20)).shards([(0, 10), (4096, 20)])
        >>> len(batch), batch[1].region
        (2, Region(offset=4096, length=20))
        """
        listed = RegionList(regions)
        options = _abi.ExtractOptions()
        lib.atlas_extract_options_init(ctypes.byref(options))
        options.strategy = strategy
        options.max_threads = u32(max_threads, "max_threads")
        options.chunk_size = u32(chunk_size, "chunk_size")
        watch = Watch(operation)
        batch = ShardBatch._room(listed.count)
        watch.check(
            lib.atlas_shard_extract_batch(
                self._h, listed.address, listed.count, ctypes.byref(options), watch.pointer, batch._address
            )
        )
        return batch

    def classes(
        self,
        classes: Iterable[int] = range(96),
        region: Optional[AnyRegion] = None,
        *,
        operation: Optional[Operation] = None,
    ) -> ShardBatch:
        """One shard per class of an R96 projection, in one pass over a region, by default the whole domain."""
        numbers = bytes(classes)
        where = None if region is None else region_bytes(*region)
        watch = Watch(operation)
        batch = ShardBatch._room(len(numbers))
        watch.check(
            lib.atlas_shard_extract_classes(
                self._h, where, numbers, len(numbers), watch.pointer, batch._address
            )
        )
        return batch

    # ---- edits ----

    def insert(self, offset: int, data: Buffer) -> None:
        """Inserts bytes before the byte at `offset`; at the size of the domain they are appended."""
        self._apply(_INSERT, offset, 0, 0, data)

    def update(self, offset: int, data: Buffer, length: Optional[int] = None) -> None:
        """Replaces `length` bytes at `offset` by `data`, by default as many as `data` has."""
        self._apply(_UPDATE, offset, length, 0, data)

    def delete(self, offset: int, length: int) -> None:
        """Removes `length` bytes at `offset`."""
        self._apply(_DELETE, offset, length, 0, b"")

    def move(self, offset: int, length: int, destination: int) -> None:
        """Cuts `length` bytes at `offset`, and inserts them before the byte that is at `destination` now."""
        self._apply(_MOVE, offset, length, destination, b"")

    def append(self, data: Buffer) -> None:
        """Inserts bytes at the end."""
        self.insert(self.size, data)

    def _apply(self, kind: int, offset: int, length: Optional[int], destination: int, data: Buffer) -> None:
        if type(data) is bytes:
            pointer: object = data
            size = len(data)
        else:
            view = View(data)
            pointer, size = view.address, view.size
        if length is None:
            length = size
        if (offset | length | destination) >> 64:  # a negative number, too, has bits there
            u64(offset, "offset"), u64(length, "length"), u64(destination, "destination")
        status = lib.atlas_projection_apply(self._h, _byref(_Delta(kind, offset, length, destination, pointer, size)))
        if status:
            fail(status)

    def apply(self, deltas: Iterable[Delta]) -> None:
        """Applies deltas in order, each to the result of the one before: all of them or none.

        >>> import atlas_manifold as am
        >>> p = am.project(b"hello world")
        >>> p.apply([
        ...     am.Delta(am.ChangeType.DELETE, 0, 6),
        ...     am.Delta(am.ChangeType.INSERT, 5, data=b"!"),
        ... ])
        >>> p.read(), p.history_len
        (b'world!', 2)
        """
        listed = list(deltas)
        views = [View(delta.data) for delta in listed]
        array = (_abi.Delta * len(listed))(
            *(
                _abi.Delta(
                    delta.type,
                    u64(delta.offset, "offset"),
                    u64(delta.length, "length"),
                    u64(delta.destination, "destination"),
                    view.address,
                    view.size,
                )
                for delta, view in zip(listed, views)
            )
        )
        status = lib.atlas_projection_apply_batch(self._h, array, len(listed))
        if status:
            fail(status)

    def insert_source(self, offset: int, source: AnySource, *, operation: Optional[Operation] = None) -> None:
        """Inserts all bytes of a source before the byte at `offset`, without copying them."""
        watch = Watch(operation)
        made = as_source(source)
        watch.check(
            lib.atlas_projection_insert_source(self._h, u64(offset, "offset"), made._h, watch.pointer)
        )

    def rollback(self, count: int = 1) -> None:
        """Undoes the last `count` deltas; a batch counts as its deltas. Bytes and root come back exactly."""
        status = lib.atlas_projection_rollback(self._h, u64(count, "count"))
        if status:
            fail(status)

    @property
    def history_len(self) -> int:
        """Number of deltas that can be undone."""
        return lib.atlas_projection_history_len(self._h)

    def configure_incremental(
        self, *, validate_conservation: bool = True, enable_rollback: bool = True, max_deltas: int = 1000
    ) -> None:
        """Sets how the projection is updated from now on. A shorter history forgets the oldest deltas at once."""
        config = _abi.IncrementalConfig()
        lib.atlas_incremental_config_init(ctypes.byref(config))
        config.validate_conservation = validate_conservation
        config.enable_rollback = enable_rollback
        config.max_deltas = u64(max_deltas, "max_deltas")
        status = lib.atlas_projection_configure_incremental(self._h, ctypes.byref(config))
        if status:
            fail(status)

    @property
    def incremental_stats(self) -> IncrementalStats:
        """What was applied so far."""
        stats = _abi.IncrementalStats(ctypes.sizeof(_abi.IncrementalStats))
        status = lib.atlas_projection_get_incremental_stats(self._h, ctypes.byref(stats))
        if status:
            fail(status)
        return record(IncrementalStats, stats)

    def optimize(self, *, operation: Optional[Operation] = None) -> None:
        """Cuts the domain into full tiles again: the root is then that of a fresh projection of the same bytes."""
        watch = Watch(operation)
        watch.check(lib.atlas_projection_optimize(self._h, watch.pointer))

    # ---- the plane ----

    def transform(self, *, scale: float = 1.0, rotate: float = 0.0, x: float = 0.0, y: float = 0.0) -> None:
        """Scales, rotates (in radians) and then moves the tile plane; the bytes stay as they are."""
        params = _abi.TransformParams(scale, rotate, x, y)
        status = lib.atlas_projection_transform(self._h, ctypes.byref(params))
        if status:
            fail(status)

    def tile_bounds(self, index: int) -> Bounds:
        """Bounds of the transformed corners of a tile."""
        bounds = (ctypes.c_double * 4)()
        status = lib.atlas_projection_tile_bounds(self._h, u64(index, "index"), bounds)
        if status:
            fail(status)
        return Bounds(*bounds)

    def tile_at(self, x: float, y: float) -> int:
        """Index of the tile at a point of the transformed plane.

        >>> import atlas_manifold as am
        >>> am.project(bytes(3 << 20)).tile_at(1.5, 0.5)
        1
        """
        tile = ctypes.c_uint64()
        status = lib.atlas_projection_tile_at(self._h, x, y, ctypes.byref(tile))
        if status:
            fail(status)
        return tile.value


def collector(damage: Optional[DamageCallback]) -> tuple[list[Damage], Callable[[Damage], bool]]:
    """A list, and a callback that adds to it and asks the caller's."""
    found: list[Damage] = []

    def collect(range: Damage) -> bool:
        found.append(range)
        return damage is None or damage(range) is not False

    return found, collect


def check_search(watch: Watch, status: int, found: list[Damage]) -> None:
    """A search that found damage succeeded."""
    if found and not watch.caught and status in (
        Status.WITNESS, Status.CONSERVATION, Status.FORMAT, Status.UNSUPPORTED
    ):  # fmt: skip
        forget()
        return
    try:
        watch.check(status)
    except IncompleteError as error:
        error.ranges = tuple(Region(each.offset, each.length) for each in found)
        raise
