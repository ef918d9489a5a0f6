"""Addresses of Python's memory for C, and C's memory for Python, neither with a copy."""

from __future__ import annotations

import ctypes
import os
import struct
from array import array
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import starmap
from typing import TYPE_CHECKING, Optional, Union

from . import _abi
from ._call import u64
from ._library import finaliser, lib
from ._records import Region

if TYPE_CHECKING:
    from typing_extensions import Buffer as Buffer

    CArray = ctypes.Array[ctypes.c_ubyte]
    StrPath = Union[str, os.PathLike[str]]
else:
    Buffer = object
    StrPath = Union[str, os.PathLike]
    CArray = ctypes.Array

AnyRegion = Union[Region, "tuple[int, int]"]
"""A `Region`, or a tuple of offset and length."""
Regions = Union[Iterable[AnyRegion], Buffer]
"""Regions, or a buffer of pairs of 64-bit integers, such as a numpy array of shape (n, 2)."""


_pack_region = struct.Struct("=QQ").pack


class _PyBuffer(ctypes.Structure):
    """Python's Py_buffer."""

    buf: Optional[int]
    len: int

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.c_void_p,)
_release_buffer.restype = None

_SIMPLE = 0


class View:
    """Address and size of an object's memory, which neither moves nor goes away meanwhile.

    The memory must be contiguous in the order of C, else BufferError (numpy: ValueError).
    """

    __slots__ = ("_memory", "address", "size")

    def __init__(self, data: Buffer) -> None:
        # The memoryview keeps the export for as long as this object lives; the address is asked for once.
        memory = memoryview(data)
        if not memory.c_contiguous:
            raise BufferError("the memory is not contiguous: copy it first, as numpy.ascontiguousarray() does")
        buffer = _PyBuffer()
        _get_buffer(memory, ctypes.byref(buffer), _SIMPLE)
        self.address = buffer.buf
        self.size = buffer.len
        _release_buffer(ctypes.byref(buffer))
        self._memory = memory


_first_byte = ctypes.c_char.from_buffer


def writable(buffer: Buffer) -> tuple[object, int]:
    """Pointer and size of a writable buffer, for one call: what `View` gives, in half of its time."""
    memory = memoryview(buffer)
    size = memory.nbytes
    # The pointer holds the export. There is no first byte of nothing.
    return (ctypes.byref(_first_byte(memory)) if size else None), size


@lru_cache(maxsize=256)
def _array(size: int) -> type[CArray]:
    return ctypes.c_ubyte * size


def window(address: Optional[int], size: int, owner: object) -> memoryview:
    """`size` bytes of C's memory, read-only; the view and all that is made of it keep the owner."""
    if not address or not size:
        return memoryview(b"")
    return memoryview(owned(address, size, owner)).cast("B").toreadonly()


def owned(address: int, size: int, owner: object) -> CArray:
    memory = _array(size).from_address(address)
    memory.owner = owner  # type: ignore[attr-defined]
    return memory


class _Freed:
    """Bytes that the library allocated, until no view of them is left."""

    __slots__ = ("_destroy", "buffer")

    def __init__(self) -> None:
        self.buffer = _abi.Buffer()
        self._destroy = partial(lib.atlas_buffer_free, ctypes.byref(self.buffer))

    __del__ = finaliser


def filled(fill: Callable[[object], int], check: Callable[[int], None]) -> memoryview:
    """What a function puts into an atlas_buffer, without a copy."""
    freed = _Freed()
    check(fill(ctypes.byref(freed.buffer)))
    return window(freed.buffer.data, freed.buffer.size, freed)


def path_bytes(path: StrPath, name: str = "path") -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError(f"{name} {path!r} has a NUL byte")
    return encoded


def fixed(data: Optional[Buffer], size: int, name: str) -> Optional[bytes]:
    """A key, a root or an id."""
    if data is None:
        return None
    copy = bytes(memoryview(data))
    if len(copy) != size:
        raise ValueError(f"{name} has {len(copy)} bytes where {size} are needed")
    return copy


def address_of(data: Optional[bytes]) -> Optional[int]:
    """The address of bytes, which the caller keeps."""
    return None if data is None else ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value


class RegionList:
    """Regions as C has them: pairs of 64-bit numbers, one after the other."""

    __slots__ = ("_keep", "address", "count")

    def __init__(self, regions: Optional[Regions]) -> None:
        if regions is None:
            self.address: Optional[int] = None
            self.count = 0
            self._keep: object = None
            return
        numbers = self._numbers(regions)
        view = View(numbers)
        self._keep = view
        self.count = view.size // 16
        # No regions at all are another thing than NULL.
        self.address = view.address or ctypes.addressof(_NO_REGIONS)

    @staticmethod
    def _numbers(regions: Regions) -> Buffer:
        try:
            memory = memoryview(regions)  # type: ignore[arg-type]
        except TypeError:
            pass
        else:
            if memory.format.lstrip("@=<") not in ("Q", "q", "L", "l") or memory.itemsize != 8 or memory.nbytes % 16:
                raise TypeError(
                    f"regions in a buffer are pairs of 64-bit integers; this one has items of format "
                    f"{memory.format!r} and {memory.nbytes} bytes"
                )
            if memory.format.lstrip("@=<") in ("q", "l") and memory.nbytes and min(memory.cast("B").cast("q")) < 0:
                raise ValueError("an offset or a length of the regions is negative")
            return memory
        try:
            return b"".join(starmap(_pack_region, regions))  # type: ignore[arg-type]
        except struct.error as error:
            raise ValueError(f"a region is a pair of an offset and a length of 0..=2**64 - 1: {error}") from None


_NO_REGIONS = (ctypes.c_uint64 * 2)()


def read_regions(function: Callable[[object, object], int], check: Callable[[int], None]) -> list[Region]:
    """All regions of a function that has a capacity and a count."""
    count = ctypes.c_size_t(0)
    check(function(None, ctypes.byref(count)))
    while True:
        capacity = count.value
        numbers = array("Q", bytes(16 * capacity))
        check(function(numbers.buffer_info()[0], ctypes.byref(count)))
        # More may have come in between.
        if count.value <= capacity:
            flat = numbers[: 2 * count.value]
            return list(map(Region, flat[::2], flat[1::2]))


def region_bytes(offset: int, length: int) -> bytes:
    """An atlas_region."""
    try:
        return _pack_region(offset, length)
    except struct.error:
        u64(offset, "offset")
        u64(length, "length")
        raise
