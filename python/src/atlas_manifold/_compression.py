"""Compression: shards with a payload that takes less room."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from . import _abi
from ._abi import CompressionAlgorithm, CompressionFilter, CompressionTarget
from ._buffers import Buffer, View, filled, writable
from ._call import LONG, Operation, Watch, u32, u64
from ._library import Handle, Object, lib
from ._records import CompressedInfo, CompressionStats, record
from ._shard import Limits, Shard, ShardBatch, ShardHandle, VerifyOptions, check


class Compression(NamedTuple):
    """What a compression does.

    >>> import atlas_manifold as am
    >>> zstd = am.Compression(am.CompressionAlgorithm.ZSTD, codec_level=9)
    >>> shard = am.project(bytes(1 << 20)).shard(0, 1 << 20)
    >>> shard.compress(zstd).info.compressed_size < 2000
    True
    """

    algorithm: CompressionAlgorithm = CompressionAlgorithm.CONSERVATION_AWARE
    """How the payload is compressed."""
    level: int = 6
    """0 (stored) to 9."""
    min_size_threshold: int = 1024
    """Regions of fewer bytes are stored."""
    max_compression_ratio: float = 0.9
    """What would take more than this part of its bytes is stored."""
    preserve_conservation: bool = True
    """True: the residue of the bytes to encode is checked."""
    verify_integrity: bool = True
    """True: the result is decompressed and compared before it is handed out."""
    block_size: int = 128 << 10
    """Bytes of the independent blocks, 4 KiB to 1 MiB."""
    filter: CompressionFilter = CompressionFilter.AUTO
    """The filter before the codec of ZSTD, LZ4 and AUTO."""
    target: CompressionTarget = CompressionTarget.BALANCED
    """What AUTO chooses an algorithm by."""
    codec_level: Optional[int] = None
    """The codec's own level, which counts in place of `level`."""

    def _struct(self) -> _abi.CompressionConfig:
        config = _abi.CompressionConfig()
        lib.atlas_compression_config_init(ctypes.byref(config))
        config.algorithm = self.algorithm
        config.level = u32(self.level, "level")
        config.min_size_threshold = u64(self.min_size_threshold, "min_size_threshold")
        config.max_compression_ratio = self.max_compression_ratio
        config.preserve_conservation = self.preserve_conservation
        config.verify_integrity = self.verify_integrity
        config.block_size = u64(self.block_size, "block_size")
        config.filter = self.filter
        config.target = self.target
        if self.codec_level is not None:
            config.has_codec_level = 1
            config.codec_level = self.codec_level
        return config


class _CompressedHandle(Handle):
    DESTROY = "atlas_compressed_shard_destroy"


class CompressedShard(Object):
    """A shard whose payload takes less room, or is stored. `Shard.compress` makes one.

    >>> import atlas_manifold as am
    >>> p = am.project(b"abcd" * 25_000)
    >>> compressed = p.shard(0, 100_000).compress()
    >>> blob = compressed.to_bytes()
    >>> am.CompressedShard.from_bytes(blob).decompress(root=p.root).data == p.shard(0, 100_000).data
    True
    """

    __slots__ = ()

    @classmethod
    def from_bytes(
        cls, data: Buffer, *, max_payload_size: Optional[int] = None, max_proof_size: Optional[int] = None
    ) -> CompressedShard:
        """The compressed shard that bytes encode. Its form is checked now, its proof when it is decompressed."""
        view = View(data)
        limits = Limits(max_payload_size, max_proof_size)
        handle = _CompressedHandle()
        check(lib.atlas_compressed_shard_deserialize(view.address, view.size, limits.pointer, ctypes.byref(handle)))
        return cls._adopt(handle)

    def serialize(self) -> memoryview:
        """The one encoding of the compressed shard, without a copy."""
        handle = self._h
        return filled(lambda out: lib.atlas_compressed_shard_serialize(handle, out), check)

    def to_bytes(self) -> bytes:
        """The one encoding of the compressed shard."""
        return self.serialize().tobytes()

    @property
    def info(self) -> CompressedInfo:
        """Properties of the compressed shard."""
        info = _abi.CompressedInfo(ctypes.sizeof(_abi.CompressedInfo))
        check(lib.atlas_compressed_shard_get_info(self._h, ctypes.byref(info)))
        return record(CompressedInfo, info)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the payload; only the blocks that they lie in are decompressed."""
        data = bytearray(size)
        self.read_into(offset, data)
        return bytes(data)

    def read_into(self, offset: int, buffer: Buffer) -> int:
        """Fills a writable buffer with bytes of the payload; returns how many they are."""
        pointer, size = writable(buffer)
        check(lib.atlas_compressed_shard_read(self._h, u64(offset, "offset"), pointer, size))
        return size

    def decompress(
        self, *, root: Optional[Buffer] = None, key: Optional[Buffer] = None, operation: Optional[Operation] = None
    ) -> Shard:
        """The shard that went in, exactly, and verified."""
        options = VerifyOptions(root, key)
        watch = Watch(operation, self.info.original_size >= LONG)
        handle = ShardHandle()
        watch.check(lib.atlas_shard_decompress(self._h, options.pointer, watch.pointer, ctypes.byref(handle)))
        return Shard._adopt(handle)

    def __repr__(self) -> str:
        if self.closed:
            return "<atlas_manifold.CompressedShard, closed>"
        info = self.info
        return (
            f"<atlas_manifold.CompressedShard {info.algorithm.name}, "
            f"{info.compressed_size} for {info.original_size} bytes>"
        )


def compress(shard: Shard, compression: Optional[Compression], operation: Optional[Operation]) -> CompressedShard:
    config = (compression or Compression())._struct()
    watch = Watch(operation)
    handle = _CompressedHandle()
    watch.check(lib.atlas_shard_compress(shard._h, ctypes.byref(config), watch.pointer, ctypes.byref(handle)))
    return CompressedShard._adopt(handle)


class _ManagerHandle(Handle):
    DESTROY = "atlas_compression_manager_destroy"


class Compressor(Object):
    """Compresses and decompresses batches with one configuration, in parallel, and keeps count.

    >>> import atlas_manifold as am
    >>> p = am.project(bytes(1 << 20))
    >>> with am.Compressor() as compressor:
    ...     compressed = compressor.compress(p.shards([(0, 500_000), (500_000, 500_000)]))
    ...     shards = compressor.decompress(compressed, root=p.root)
    ...     len(shards), compressor.stats.shards_compressed
    (2, 2)
    """

    __slots__ = ()

    def __init__(self, compression: Optional[Compression] = None) -> None:
        config = (compression or Compression())._struct()
        handle = _ManagerHandle()
        check(lib.atlas_compression_manager_create(ctypes.byref(config), ctypes.byref(handle)))
        self._h = handle

    def compress(
        self, shards: Sequence[Shard], *, operation: Optional[Operation] = None
    ) -> list[CompressedShard]:
        """Compresses shards: all of them, or none."""
        batch = shards if isinstance(shards, ShardBatch) else ShardBatch.of(shards)
        owner = batch._owner  # alive until the call is over
        out = array("Q", bytes(8 * len(batch)))
        watch = Watch(operation)
        status = lib.atlas_compression_manager_compress_batch(
            self._h, batch._address, len(batch), watch.pointer, _address(out)
        )
        del owner
        made = [CompressedShard._adopt(_CompressedHandle(each)) for each in out if each]
        watch.check(status)
        return made

    def decompress(
        self,
        compressed: Iterable[CompressedShard],
        *,
        root: Optional[Buffer] = None,
        key: Optional[Buffer] = None,
        operation: Optional[Operation] = None,
    ) -> ShardBatch:
        """Decompresses and verifies compressed shards: all of them, or none."""
        handles = [each._h for each in compressed]
        pointers = array("Q", [handle.value or 0 for handle in handles])
        options = VerifyOptions(root, key)
        batch = ShardBatch._room(len(handles))
        watch = Watch(operation)
        watch.check(
            lib.atlas_compression_manager_decompress_batch(
                self._h, _address(pointers), len(handles), options.pointer, watch.pointer, batch._address
            )
        )
        return batch

    @property
    def stats(self) -> CompressionStats:
        """What it did so far."""
        stats = _abi.CompressionStats(ctypes.sizeof(_abi.CompressionStats))
        check(lib.atlas_compression_manager_get_stats(self._h, ctypes.byref(stats)))
        return record(CompressionStats, stats)


_NOTHING = ctypes.c_void_p()


def _address(numbers: array[int]) -> int:
    return numbers.buffer_info()[0] or ctypes.addressof(_NOTHING)
