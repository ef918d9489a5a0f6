"""Streams: chunks that are pulled from a source, or bytes that are pushed."""

from __future__ import annotations

import ctypes
import sys
from typing import NamedTuple, Optional

from . import _abi
from ._abi import ConservationPolicy, FileIo, ProjectionType
from ._buffers import Buffer, CArray, StrPath, View, owned, path_bytes
from ._call import Operation, Watch, u32, u64
from ._library import Handle, Object, fail, lib
from ._projection import Projection, ProjectionOptions, _ProjectionHandle
from ._records import Progress
from ._source import AnySource, as_source


class StreamConfig(NamedTuple):
    """How a domain is streamed; none of it changes the result."""

    chunk_size: int = 16 << 20
    """Bytes of a chunk, 64 KiB to 256 MiB."""
    parallel_chunks: int = 4
    """Chunks, or MiB if a chunk is less, that may be in flight."""
    prefetch_chunks: int = 2
    """Chunks that the system is asked to read ahead."""
    chunk_overlap: int = 4096
    """Bytes of the next chunk that are given with each."""
    io_buffer_size: int = 1 << 20
    """Bytes of the largest positioned read, 4 KiB to 16 MiB."""

    def _struct(self) -> _abi.StreamConfig:
        config = _abi.StreamConfig()
        lib.atlas_stream_config_init(ctypes.byref(config))
        config.chunk_size = u64(self.chunk_size, "chunk_size")
        config.parallel_chunks = u32(self.parallel_chunks, "parallel_chunks")
        config.prefetch_chunks = u32(self.prefetch_chunks, "prefetch_chunks")
        config.chunk_overlap = u64(self.chunk_overlap, "chunk_overlap")
        config.io_buffer_size = u64(self.io_buffer_size, "io_buffer_size")
        return config


class Chunk(NamedTuple):
    """A chunk, and the beginning of the next one. Its memory is valid until the next chunk is asked for."""

    id: int
    """Its number, from 0."""
    offset: int
    """Offset of its first byte in the domain."""
    residue: int
    """Sum of its bytes mod 96."""
    data: memoryview
    """Its bytes."""
    overlap: memoryview
    """The first bytes of the next chunk."""


class _StreamHandle(Handle):
    watch: Watch

    DESTROY = "atlas_stream_destroy"


class _Stream(Object):
    __slots__ = ("_watch",)

    _watch: Watch

    def _open(self, handle: _StreamHandle, watch: Watch, status: int) -> None:
        watch.check(status)
        # The stream calls the progress as long as it lives.
        handle.watch = watch
        self._watch = watch
        self._h = handle

    @property
    def progress(self) -> Progress:
        """How far the stream is: at once, also while another thread is in a call on it."""
        now = _abi.Progress(ctypes.sizeof(_abi.Progress))
        status = lib.atlas_stream_get_progress(self._h, ctypes.byref(now))
        if status:
            fail(status)
        return Progress(now.bytes_done, now.bytes_total or None, now.chunks_done, now.chunks_total or None)

    @property
    def is_complete(self) -> bool:
        """True if every byte was processed."""
        return lib.atlas_stream_is_complete(self._h)

    def finish(self) -> Projection:
        """Processes the rest, and returns the projection of the whole domain; once."""
        handle = _ProjectionHandle()
        self._watch.check(lib.atlas_stream_finish(self._h, ctypes.byref(handle)))
        return Projection._adopt(handle)


class Stream(_Stream):
    """A source, chunk by chunk: each is read once, hashed, and handed out.

    A chunk's memory is the library's. It is valid until the next chunk is asked for; whoever still has a view of it
    then gets a `BufferError`, and never other bytes.

    >>> import atlas_manifold as am
    >>> with am.Stream(bytes(40 << 20)) as stream:
    ...     for chunk in stream:
    ...         print(chunk.id, chunk.offset, len(chunk.data), len(chunk.overlap))
    ...     projection = stream.finish()
    0 0 16777216 4096
    1 16777216 16777216 4096
    2 33554432 8388608 0
    >>> projection.root == am.project(bytes(40 << 20)).root
    True
    """

    __slots__ = ("_memory", "_shown")

    def __init__(
        self,
        source: AnySource,
        *,
        type: ProjectionType = ProjectionType.LINEAR,
        conservation: ConservationPolicy = ConservationPolicy.TRACK,
        r96_data_classes: Optional[int] = None,
        key: Optional[Buffer] = None,
        io: FileIo = FileIo.READ,
        config: StreamConfig = StreamConfig(),
        operation: Optional[Operation] = None,
    ) -> None:
        options = ProjectionOptions(conservation, r96_data_classes, key)
        struct = config._struct()
        made = as_source(source, io)
        watch = Watch(operation)
        handle = _StreamHandle()
        self._open(
            handle,
            watch,
            lib.atlas_stream_open(
                type, made._h, options.pointer, ctypes.byref(struct), watch.pointer, ctypes.byref(handle)
            ),
        )
        self._shown: tuple[memoryview, ...] = ()
        self._memory: list[CArray] = []

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Chunk:
        self._take_back()
        chunk = _abi.Chunk(ctypes.sizeof(_abi.Chunk))
        there = ctypes.c_bool()
        self._watch.check(lib.atlas_stream_next(self._h, ctypes.byref(chunk), ctypes.byref(there)))
        if not there.value:
            raise StopIteration
        shown = []
        for address, size in ((chunk.data, chunk.size), (chunk.overlap, chunk.overlap_size)):
            if address and size:
                self._memory.append(owned(address, size, self._h))
                shown.append(memoryview(self._memory[-1]).cast("B").toreadonly())
            else:
                shown.append(memoryview(b""))
        self._shown = tuple(shown)
        return Chunk(chunk.id, chunk.offset, chunk.residue, *self._shown)

    def finish(self) -> Projection:
        self._take_back()
        return super().finish()

    def _take_back(self) -> None:
        """The memory of the last chunk, of which no view may be left."""
        try:
            for view in self._shown:
                view.release()
        except BufferError:
            raise BufferError(_IN_USE) from None
        while self._memory:
            # The list's reference, and the argument's.
            if sys.getrefcount(self._memory[-1]) > 2:
                raise BufferError(_IN_USE)
            self._memory.pop()
        self._shown = ()


_IN_USE = "a view of the last chunk is still in use: copy what is to be kept, as bytes(chunk.data), or release the view"


class PushStream(_Stream):
    """A projection of bytes that come one after the other, as from a socket or a pipe.

    The bytes go to a file that gets the name `spool_path` at the end, or, if it is None, to memory.

    >>> import atlas_manifold as am
    >>> with am.PushStream() as stream:
    ...     for piece in (b"hello ", b"world"):
    ...         stream.push(piece)
    ...     stream.finish().root == am.project(b"hello world").root
    True
    """

    __slots__ = ()

    def __init__(
        self,
        spool_path: Optional[StrPath] = None,
        *,
        type: ProjectionType = ProjectionType.LINEAR,
        conservation: ConservationPolicy = ConservationPolicy.TRACK,
        r96_data_classes: Optional[int] = None,
        key: Optional[Buffer] = None,
        config: StreamConfig = StreamConfig(),
        operation: Optional[Operation] = None,
    ) -> None:
        options = ProjectionOptions(conservation, r96_data_classes, key)
        struct = config._struct()
        watch = Watch(operation)
        handle = _StreamHandle()
        self._open(
            handle,
            watch,
            lib.atlas_stream_open_push(
                type,
                None if spool_path is None else path_bytes(spool_path, "spool_path"),
                options.pointer,
                ctypes.byref(struct),
                watch.pointer,
                ctypes.byref(handle),
            ),
        )

    def push(self, data: Buffer) -> None:
        """Takes bytes, of any number; they are not kept."""
        view = View(data)
        self._watch.check(lib.atlas_stream_push(self._h, view.address, view.size))


def stream_project(
    source: AnySource,
    *,
    type: ProjectionType = ProjectionType.LINEAR,
    conservation: ConservationPolicy = ConservationPolicy.TRACK,
    r96_data_classes: Optional[int] = None,
    key: Optional[Buffer] = None,
    io: FileIo = FileIo.READ,
    config: StreamConfig = StreamConfig(),
    operation: Optional[Operation] = None,
) -> Projection:
    """Projects a source as `project` does, in memory bounded by the configuration.

    >>> import atlas_manifold as am
    >>> am.stream_project(b"hello world").root == am.project(b"hello world").root
    True
    """
    options = ProjectionOptions(conservation, r96_data_classes, key)
    struct = config._struct()
    made = as_source(source, io)
    watch = Watch(operation)
    handle = _ProjectionHandle()
    watch.check(
        lib.atlas_stream_project(
            type, made._h, options.pointer, ctypes.byref(struct), watch.pointer, ctypes.byref(handle)
        )
    )
    return Projection._adopt(handle)
