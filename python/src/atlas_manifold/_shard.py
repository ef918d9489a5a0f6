"""Shards: regions that travel alone, with their proof."""

from __future__ import annotations

import ctypes
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Optional, Union, overload

from . import _abi
from ._buffers import Buffer, View, address_of, filled, fixed, window, writable
from ._call import LONG, Operation, Watch, u64
from ._library import Handle, Object, fail, finaliser, lib
from ._records import Region, ShardInfo, record

if TYPE_CHECKING:
    from ._compression import CompressedShard, Compression


class VerifyOptions:
    """A root and a key in C, and their bytes."""

    __slots__ = ("_keep", "pointer", "struct")

    def __init__(self, root: Optional[Buffer], key: Optional[Buffer]) -> None:
        self._keep = (fixed(root, 32, "root"), fixed(key, 32, "key"))
        self.struct = _abi.VerifyOptions()
        lib.atlas_verify_options_init(ctypes.byref(self.struct))
        self.struct.expected_root = address_of(self._keep[0])
        self.struct.key = address_of(self._keep[1])
        self.pointer = ctypes.byref(self.struct)


class Limits:
    """Limits of a reader in C."""

    __slots__ = ("pointer", "struct")

    def __init__(self, max_payload_size: Optional[int], max_proof_size: Optional[int]) -> None:
        self.struct = _abi.Limits()
        lib.atlas_limits_init(ctypes.byref(self.struct))
        if max_payload_size is not None:
            self.struct.max_payload_size = u64(max_payload_size, "max_payload_size")
        if max_proof_size is not None:
            self.struct.max_proof_size = u64(max_proof_size, "max_proof_size")
        self.pointer = ctypes.byref(self.struct)


class ShardHandle(Handle):
    DESTROY = "atlas_shard_destroy"


class _Member(ctypes.c_void_p):
    """A handle that a batch owns."""

    owner: object


def check(status: int) -> None:
    if status:
        fail(status)


class Shard(Object):
    """A region of a domain with its bytes and their proof against the root.

    A shard is always consistent: its bytes were verified against the root that it names before there was an object.
    Whether that root is the right one is known to whoever has it from a trusted place, and gives it to `from_bytes`
    or `verify`.

    >>> import atlas_manifold as am
    >>> p = am.project(b"hello world")
    >>> blob = p.shard(6, 5).to_bytes()
    >>> am.Shard.from_bytes(blob, root=p.root).data.tobytes()
    b'world'
    >>> am.Shard.from_bytes(blob, root=bytes(32))
    Traceback (most recent call last):
        ...
    atlas_manifold.WitnessError: the shard belongs to ...
    """

    __slots__ = ("_data",)

    _data: memoryview

    @classmethod
    def from_bytes(
        cls,
        data: Buffer,
        *,
        root: Optional[Buffer] = None,
        key: Optional[Buffer] = None,
        max_payload_size: Optional[int] = None,
        max_proof_size: Optional[int] = None,
        operation: Optional[Operation] = None,
    ) -> Shard:
        """The shard that bytes encode, verified before there is an object.

        Without `root` only consistency is shown: anyone can make a shard that is consistent with a root of their own.
        The limits are checked before anything is allocated; their defaults are 1 GiB and 64 MiB.
        """
        view = View(data)
        verify = VerifyOptions(root, key)
        limits = Limits(max_payload_size, max_proof_size)
        watch = Watch(operation, view.size >= LONG)
        handle = ShardHandle()
        watch.check(
            lib.atlas_shard_deserialize(
                view.address, view.size, limits.pointer, verify.pointer, watch.pointer, ctypes.byref(handle)
            )
        )
        return cls._adopt(handle)

    def serialize(self) -> memoryview:
        """The one encoding of the shard, without a copy; `to_bytes` copies it into bytes."""
        handle = self._h
        return filled(lambda out: lib.atlas_shard_serialize(handle, out), check)

    def to_bytes(self) -> bytes:
        """The one encoding of the shard: the same bytes on every machine."""
        return self.serialize().tobytes()

    def __bytes__(self) -> bytes:
        return self.data.tobytes()

    @property
    def info(self) -> ShardInfo:
        """Properties of the shard."""
        info = _abi.ShardInfo(ctypes.sizeof(_abi.ShardInfo))
        check(lib.atlas_shard_get_info(self._h, ctypes.byref(info)))
        mask = bytes(info.class_mask)
        classes = frozenset(number for number in range(96) if mask[number // 8] >> number % 8 & 1)
        return record(ShardInfo, info, region=Region(info.region.offset, info.region.length), classes=classes)

    @property
    def region(self) -> Region:
        """The part of the domain that it covers."""
        return self.info.region

    @property
    def root(self) -> bytes:
        """Root of the projection state that it belongs to."""
        return self.info.root

    @property
    def data(self) -> memoryview:
        """The shard's bytes: a read-only view without a copy, which lives on after `close()`.

        LINEAR: the region's bytes. R96: the packed coefficients of its classes; `read` decodes them.
        """
        try:
            return self._data
        except AttributeError:
            pass
        address, size = ctypes.c_void_p(), ctypes.c_size_t()
        handle = self._h
        check(lib.atlas_shard_data(handle, ctypes.byref(address), ctypes.byref(size)))
        self._data = window(address.value, size.value, handle)
        return self._data

    def __buffer__(self, flags: int, /) -> memoryview:
        # Python calls it from 3.12 on.
        return memoryview(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the domain that lie inside the shard's region. R96 needs enough classes, else `IncompleteError`."""
        data = bytearray(size)
        self.read_into(offset, data)
        return bytes(data)

    def read_into(self, offset: int, buffer: Buffer) -> int:
        """Fills a writable buffer with bytes of the domain, without a copy; returns how many they are."""
        pointer, size = writable(buffer)
        check(lib.atlas_shard_read(self._h, u64(offset, "offset"), pointer, size))
        return size

    def verify(
        self, *, root: Optional[Buffer] = None, key: Optional[Buffer] = None, operation: Optional[Operation] = None
    ) -> None:
        """Hashes the bytes again and checks their proof against a root; raises `WitnessError`."""
        options = VerifyOptions(root, key)
        watch = Watch(operation)
        watch.check(lib.atlas_shard_verify(self._h, options.pointer, watch.pointer))

    def compress(
        self, compression: Optional[Compression] = None, *, operation: Optional[Operation] = None
    ) -> CompressedShard:
        """The same shard with a payload that takes less room, or is stored if it would not."""
        from ._compression import compress

        return compress(self, compression, operation)

    def __repr__(self) -> str:
        if self.closed:
            return "<atlas_manifold.Shard, closed>"
        info = self.info
        return f"<atlas_manifold.Shard {info.type.name} {info.region.offset}..{info.region.end} of {info.domain_size}>"


class _Owner:
    """The handles of a batch, given back when neither the batch nor a shard of it is left."""

    __slots__ = ("_destroy",)

    def __init__(self, handles: array[int]) -> None:
        # The deque keeps nothing: it takes all that the map gives.
        self._destroy: Callable[[], object] = partial(deque, map(lib.atlas_shard_destroy, handles), 0)

    __del__ = finaliser


class ShardBatch(Sequence[Shard]):
    """Shards of one call, in the order of their regions. A `Shard` is made when it is asked for.

    >>> import atlas_manifold as am
    >>> with am.project(bytes(1 << 20)).shards([(0, 10), (4096, 20), (8192, 30)]) as batch:
    ...     [len(shard.data) for shard in batch[1:]]
    [20, 30]
    """

    __slots__ = ("_handles", "_owner")

    def __init__(self) -> None:
        raise TypeError("Projection.shards() and Projection.classes() make a batch")

    @classmethod
    def _room(cls, count: int) -> ShardBatch:
        """A batch of NULL, for C to fill."""
        batch = cls.__new__(cls)
        batch._handles = array("Q", bytes(8 * count))
        batch._owner = _Owner(batch._handles)
        return batch

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> ShardBatch:
        """A batch of shards that there are already."""
        batch = cls.__new__(cls)
        batch._handles = array("Q", [shard._h.value or 0 for shard in shards])
        batch._owner = [shard._h for shard in shards]
        return batch

    if TYPE_CHECKING:  # an array takes no parameter before Python 3.12
        _handles: array[int]
    _owner: object

    @property
    def _address(self) -> int:
        # Also for no shards at all.
        return self._handles.buffer_info()[0] or ctypes.addressof(_NOTHING)

    def __len__(self) -> int:
        return len(self._handles)

    @overload
    def __getitem__(self, index: int) -> Shard: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Shard]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Shard, Sequence[Shard]]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        member = _Member(self._handles[index])
        member.owner = self._owner
        return Shard._adopt(member)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Shard]:
        return map(self.__getitem__, range(len(self)))

    def close(self) -> None:
        """Gives the shards back to the library, but for those of which an object is left."""
        self._handles = array("Q")
        self._owner = None

    def __enter__(self) -> ShardBatch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<atlas_manifold.ShardBatch of {len(self)} shards>"


_NOTHING = ctypes.c_void_p()
