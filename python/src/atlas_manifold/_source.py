"""Where a domain's bytes come from."""

from __future__ import annotations

import ctypes
import io
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Protocol, Union, runtime_checkable

from . import _abi
from ._abi import FileIo
from ._buffers import Buffer, StrPath, View, owned, path_bytes
from ._call import Pool, python_reads, read_status, u64
from ._library import Handle, Object, fail, lib

__all__ = ["AnySource", "Source"]


@runtime_checkable
class SeekableFile(Protocol):
    """A binary file object that can seek."""

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def read(self, size: int = ..., /) -> bytes: ...


ReadCallback = Callable[[int, int], "Buffer"]
AnySource = Union["Source", StrPath, "Buffer", SeekableFile, IO[bytes]]
"""What a domain can be made of: a `Source`, a path, an object with the buffer protocol, or a binary file object."""

# What the library borrows or calls, until it says by this number that it does not any more. The callback is a builtin:
# it runs in any thread, and no exception of a signal's handler can come in between.
_held: dict[int, object] = {}
_numbers = itertools.count(1)
_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_release = _RELEASE(_held.pop)
# At the end of the program modules are emptied before the last objects go, and those still call this. So neither it
# nor the objects it holds ever go.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_release))
_READ_AT = _abi.ReadAtFn


class _SourceHandle(Handle):
    DESTROY = "atlas_source_destroy"


class Source(Object):
    """Where a domain's bytes come from.

    Functions that need a source take paths, buffers and file objects as well. A source of one's own is for ranges,
    for several files one after the other, and for bytes that a function reads.

    >>> import atlas_manifold as am
    >>> source = am.Source(b"hello world")
    >>> len(source), source.range(6, 5)
    (11, <atlas_manifold.Source of 5 bytes>)
    >>> am.project(source.range(6, 5)).read(0, 5)
    b'world'
    """

    __slots__ = ()

    def __init__(self, data: AnySource, *, io: FileIo = FileIo.READ) -> None:
        """Makes a source of a path, a buffer or a file object.

        A buffer is borrowed without a copy until nothing reads it any more, and must not change meanwhile. A file of
        `open()` is read through a descriptor of the library's own, so that its position does not matter, and it may be
        closed; of another file object `seek` and `read` are called, by one thread at a time. `io` says how a file is
        read: `FileIo.MMAP` promises that nobody shortens or writes it.
        """
        self._h = _make(data, io)._h if not isinstance(data, Source) else data._h

    @classmethod
    def copy(cls, data: Buffer) -> Source:
        """A source of a copy of the bytes, which the caller may change afterwards."""
        view = View(data)
        handle = _SourceHandle()
        status = lib.atlas_source_copy(view.address, view.size, ctypes.byref(handle))
        if status:
            fail(status)
        return cls._adopt(handle)

    @classmethod
    def from_callable(cls, size: int, read: ReadCallback) -> Source:
        """A source of `size` bytes that a function reads.

        `read(offset, length)` returns exactly `length` bytes, as any object with the buffer protocol. Several threads
        call it at a time, unless the operation's pool has one thread. An exception that it raises is raised by the
        call that needed the bytes.

        >>> import atlas_manifold as am
        >>> source = am.Source.from_callable(1 << 20, lambda offset, length: bytes(length))
        >>> am.project(source).info.residue
        0
        """

        def fill(offset: int, memory: memoryview) -> None:
            memory[:] = _bytes_of(read(offset, len(memory)), len(memory), offset)

        return cls._from_fill(size, fill)

    @classmethod
    def from_readinto(cls, size: int, readinto: Callable[[int, memoryview], object]) -> Source:
        """A source of `size` bytes that a function writes to their destination, without a copy.

        `readinto(offset, memory)` fills all of `memory`, which is valid for the call only. For the rest as
        `from_callable`.
        """
        return cls._from_fill(size, readinto)

    @classmethod
    def _from_fill(cls, size: int, fill: Callable[[int, memoryview], object]) -> Source:
        python_reads()

        def read_at(_user: int, offset: int, address: int, length: int) -> int:
            try:
                array = owned(address, length, None)
                with memoryview(array).cast("B") as memory:
                    fill(offset, memory)
                # This name's reference, and the argument's.
                if sys.getrefcount(array) > 2:
                    raise BufferError("readinto kept the memory, which is valid for the call only")
                return read_status(None)
            except BaseException as error:
                return read_status(error)

        callback = _READ_AT(read_at)
        handle = _SourceHandle()
        number = next(_numbers)
        _held[number] = callback
        status = lib.atlas_source_from_callback(
            u64(size, "size"), callback, _release, number, ctypes.byref(handle)
        )
        if status:
            del _held[number]
            fail(status)
        return cls._adopt(handle)

    @classmethod
    def from_cl_mem(cls, pool: Pool, buffer: int, size: int, offset: int = 0) -> Source:
        """A source of `size` bytes of an OpenCL buffer, hashed in place by the device of `pool`.

        `buffer` is a cl_mem of the pool's context as a number, such as `int_ptr` of a buffer of pyopencl. The library
        retains it. Commands that write it must have completed before a call reads the source.
        """
        handle = _SourceHandle()
        status = lib.atlas_source_from_cl_mem(
            pool._h, buffer, u64(offset, "offset"), u64(size, "size"), ctypes.byref(handle)
        )
        if status:
            fail(status)
        return cls._adopt(handle)

    @classmethod
    def concat(cls, sources: Iterable[AnySource]) -> Source:
        """The bytes of several sources, one after the other. Nothing is copied, and a source may come twice.

        >>> import atlas_manifold as am
        >>> len(am.Source.concat([b"abc", b"de", b"abc"]))
        8
        """
        parts = [as_source(part) for part in sources]
        pointers = (ctypes.c_void_p * len(parts))(*(part._h.value for part in parts))
        handle = _SourceHandle()
        status = lib.atlas_source_concat(pointers, len(parts), ctypes.byref(handle))
        if status:
            fail(status)
        return cls._adopt(handle)

    def range(self, offset: int, size: int) -> Source:
        """`size` bytes from `offset` on, as a source of their own. Nothing is copied."""
        handle = _SourceHandle()
        status = lib.atlas_source_range(self._h, u64(offset, "offset"), u64(size, "size"), ctypes.byref(handle))
        if status:
            fail(status)
        return self._adopt(handle)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return lib.atlas_source_size(self._h)

    def __len__(self) -> int:
        return lib.atlas_source_size(self._h)

    def __repr__(self) -> str:
        return "<atlas_manifold.Source, closed>" if self.closed else f"<atlas_manifold.Source of {self.size} bytes>"


def _bytes_of(data: Buffer, length: int, offset: int) -> memoryview:
    memory = memoryview(data).cast("B")
    if len(memory) != length:
        raise ValueError(f"read({offset}, {length}) returned {len(memory)} bytes")
    return memory


def as_source(data: AnySource, io: FileIo = FileIo.READ) -> Source:
    return data if isinstance(data, Source) else _make(data, io)


def _make(data: AnySource, how: FileIo) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        return _open(path_bytes(data), how)
    if isinstance(data, io.BytesIO):
        return _borrow(data.getbuffer())
    # A mapping is both, and its memory is the better source.
    try:
        memory = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        pass
    else:
        return _borrow(memory)
    if hasattr(data, "seek") and hasattr(data, "read"):
        return _open_object(data, how)  # type: ignore[arg-type]
    if callable(data):
        raise TypeError("a function has no size: Source.from_callable(size, read) makes a source of it")
    raise TypeError(
        f"a {type(data).__name__} is no source: a path, an object with the buffer protocol or a binary file object is"
    )


def _open(path: bytes, how: FileIo) -> Source:
    handle = _SourceHandle()
    status = lib.atlas_source_open_file(path, how, ctypes.byref(handle))
    if status:
        fail(status)
    return Source._adopt(handle)


def _borrow(data: Buffer) -> Source:
    view = View(data)
    handle = _SourceHandle()
    number = next(_numbers)
    _held[number] = view
    status = lib.atlas_source_borrow(view.address, view.size, _release, number, ctypes.byref(handle))
    if status:
        del _held[number]
        fail(status)
    return Source._adopt(handle)


def _open_object(file: SeekableFile, how: FileIo) -> Source:
    if hasattr(file, "seekable") and not file.seekable():
        raise io.UnsupportedOperation(
            "the file cannot seek: PushStream projects bytes as they come, as in "
            "`for piece in file: stream.push(piece)`"
        )
    # The system's own file. A wrapper that decompresses has the same descriptor as the file inside: only the classes of
    # open() are known to be the file itself.
    if isinstance(file, (io.FileIO, io.BufferedReader, io.BufferedRandom, io.BufferedWriter)):
        raw = file if isinstance(file, io.FileIO) else file.raw
        if type(raw) is io.FileIO and raw.readable() and os.name == "posix":
            if isinstance(file, (io.BufferedRandom, io.BufferedWriter)):
                file.flush()
            handle = _SourceHandle()
            status = lib.atlas_source_open_fd(file.fileno(), how, ctypes.byref(handle))
            if status:
                fail(status)
            return Source._adopt(handle)
    if isinstance(file, io.TextIOBase):  # type: ignore[unreachable]
        raise TypeError("a text file is no source: open it in binary mode, 'rb'")
    size = file.seek(0, 2)
    lock = threading.Lock()

    def fill(offset: int, memory: memoryview) -> None:
        done = 0
        with lock:
            file.seek(offset)
            while done < len(memory):
                piece = file.read(len(memory) - done)
                if not piece:
                    raise EOFError(f"the file ends at {offset + done}, and had {size} bytes when it was opened")
                memory[done : done + len(piece)] = piece
                done += len(piece)

    return Source._from_fill(size, fill)


if TYPE_CHECKING:
    # What is promised to be a source, is one.
    _examples: tuple[AnySource, ...] = ("path", b"bytes", memoryview(b""), io.BytesIO())
