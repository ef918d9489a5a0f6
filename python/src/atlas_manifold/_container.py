"""Containers: one file with the generations of a projection. Outlines: the same beside a file that stays in place."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Optional

from . import _abi
from ._abi import ConservationPolicy, ContainerMode, ProjectionType
from ._buffers import Buffer, RegionList, Regions, StrPath, address_of, fixed, path_bytes
from ._call import DamageCallback, Operation, Watch, u32, u64
from ._compression import Compression
from ._library import Handle, Object, lib
from ._projection import Projection, ProjectionOptions, _ProjectionHandle, check_search, collector
from ._records import ContainerInfo, Damage, Generation, record
from ._shard import VerifyOptions, check
from ._source import AnySource, Source, as_source


class _ContainerHandle(Handle):
    DESTROY = "atlas_container_destroy"


class _Options:
    """Options of a handle in C, and the objects they point to."""

    __slots__ = ("_keep", "base", "compression")

    def __init__(self, base: Optional[AnySource], compression: Optional[Compression]) -> None:
        made = None if base is None else as_source(base)
        config = None if compression is None else compression._struct()
        self._keep = (made, config)
        self.base = None if made is None else made._h.value
        self.compression = None if config is None else ctypes.addressof(config)


def _create_options(
    options: _Options, block_log2: int, keep_chains: bool, id: Optional[bytes], cache_size: Optional[int]
) -> _abi.ContainerCreateOptions:
    create = _abi.ContainerCreateOptions()
    lib.atlas_container_create_options_init(ctypes.byref(create))
    create.block_log2 = u32(block_log2, "block_log2")
    create.keep_chains = keep_chains
    create.id = address_of(id)
    create.base = options.base
    create.compression = options.compression
    if cache_size is not None:
        create.cache_size = u64(cache_size, "cache_size")
    return create


def _open_options(
    options: _Options,
    recover: bool,
    history: Optional[bytes],
    cache_size: Optional[int],
    max_domain_size: int,
) -> _abi.ContainerOpenOptions:
    open = _abi.ContainerOpenOptions()
    lib.atlas_container_open_options_init(ctypes.byref(open))
    open.recover = recover
    open.base = options.base
    open.expected_history = address_of(history)
    open.compression = options.compression
    if cache_size is not None:
        open.cache_size = u64(cache_size, "cache_size")
    open.max_domain_size = u64(max_domain_size, "max_domain_size")
    return open


def _commit_options(expected: int, time_ns: Optional[int], note: bytes) -> _abi.CommitOptions:
    options = _abi.CommitOptions()
    lib.atlas_commit_options_init(ctypes.byref(options))
    options.expected = u64(expected, "expected")
    options.time = time_ns or 0
    options.note = note or None
    options.note_size = len(note)
    return options


class Container(Object):
    """One file with the generations of a projection: a commit survives the process and the machine.

    One writer and any number of readers, in any processes. With a `base` the payload stays in a file of yours, and the
    container is an *outline* of it.

    >>> import atlas_manifold as am, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "notes.atlas")
    >>> with am.Container.create(path) as container:
    ...     first = container.import_source(b"hello world")
    ...     edit = container.snapshot()
    ...     edit.append(b"!")
    ...     second = container.commit(edit, note=b"louder")
    >>> with am.Container.open(path) as container:
    ...     [(g.number, g.size) for g in container], container.snapshot(1).read(), container.note()
    ([(1, 11), (2, 12)], b'hello world', b'louder')
    """

    __slots__ = ()

    @classmethod
    def create(
        cls,
        path: StrPath,
        *,
        type: ProjectionType = ProjectionType.LINEAR,
        conservation: ConservationPolicy = ConservationPolicy.TRACK,
        r96_data_classes: Optional[int] = None,
        key: Optional[Buffer] = None,
        base: Optional[AnySource] = None,
        keep_chains: bool = False,
        compression: Optional[Compression] = None,
        block_log2: int = 0,
        id: Optional[Buffer] = None,
        cache_size: Optional[int] = None,
        operation: Optional[Operation] = None,
    ) -> Container:
        """Makes a new container without a generation, durable on return.

        `base` is the source whose bytes are not stored. `keep_chains` stores 0.2 % of the domain, so that damage is
        found to 16 KiB. `compression` encodes what this handle stores. A file of this name is an `IoError`.
        """
        options = ProjectionOptions(conservation, r96_data_classes, key)
        file = _Options(base, compression)
        id_bytes = fixed(id, 16, "id")
        struct = _create_options(file, block_log2, keep_chains, id_bytes, cache_size)
        watch = Watch(operation)
        handle = _ContainerHandle()
        watch.check(
            lib.atlas_container_create(
                path_bytes(path), type, options.pointer, ctypes.byref(struct), watch.pointer, ctypes.byref(handle)
            )
        )
        return cls._adopt(handle)

    @classmethod
    def open(
        cls,
        path: StrPath,
        mode: ContainerMode = ContainerMode.READ,
        *,
        root: Optional[Buffer] = None,
        key: Optional[Buffer] = None,
        history: Optional[Buffer] = None,
        base: Optional[AnySource] = None,
        recover: bool = False,
        compression: Optional[Compression] = None,
        cache_size: Optional[int] = None,
        max_domain_size: int = 0,
        operation: Optional[Operation] = None,
    ) -> Container:
        """Opens a container: reads some records, whatever its size.

        `root` is that of the newest generation, `history` the digest of the newest or of one that it grew from.
        `recover` opens the newest whole generation if a newer one is damaged.
        """
        verify = VerifyOptions(root, key)
        file = _Options(base, compression)
        history_bytes = fixed(history, 32, "history")
        struct = _open_options(file, recover, history_bytes, cache_size, max_domain_size)
        watch = Watch(operation)
        handle = _ContainerHandle()
        watch.check(
            lib.atlas_container_open(
                path_bytes(path), mode, verify.pointer, ctypes.byref(struct), watch.pointer, ctypes.byref(handle)
            )
        )
        return cls._adopt(handle)

    @classmethod
    def open_source(
        cls,
        source: AnySource,
        *,
        root: Optional[Buffer] = None,
        key: Optional[Buffer] = None,
        history: Optional[Buffer] = None,
        base: Optional[AnySource] = None,
        recover: bool = False,
        cache_size: Optional[int] = None,
        max_domain_size: int = 0,
        operation: Optional[Operation] = None,
    ) -> Container:
        """Opens a container that any source holds, for reading: memory, a function, a file."""
        verify = VerifyOptions(root, key)
        made = as_source(source)
        file = _Options(base, None)
        history_bytes = fixed(history, 32, "history")
        struct = _open_options(file, recover, history_bytes, cache_size, max_domain_size)
        watch = Watch(operation)
        handle = _ContainerHandle()
        watch.check(
            lib.atlas_container_open_source(
                made._h, verify.pointer, ctypes.byref(struct), watch.pointer, ctypes.byref(handle)
            )
        )
        return cls._adopt(handle)

    @classmethod
    def merge(
        cls,
        parts: Iterable[Container],
        path: StrPath,
        *,
        base: Optional[AnySource] = None,
        keep_chains: bool = False,
        compression: Optional[Compression] = None,
        block_log2: int = 0,
        id: Optional[Buffer] = None,
        cache_size: Optional[int] = None,
        time_ns: Optional[int] = None,
        note: bytes = b"",
        operation: Optional[Operation] = None,
    ) -> Container:
        """Writes the newest generations of several containers, one after the other, as one of a new container.

        All parts but the last are full tiles of 1 MiB. `base` is that of all of them together, or None.
        """
        handles = [part._h for part in parts]
        pointers = (ctypes.c_void_p * len(handles))(*(handle.value for handle in handles))
        file = _Options(base, compression)
        id_bytes = fixed(id, 16, "id")
        struct = _create_options(file, block_log2, keep_chains, id_bytes, cache_size)
        commit = _commit_options(0, time_ns, note)
        watch = Watch(operation)
        handle = _ContainerHandle()
        watch.check(
            lib.atlas_container_merge(
                pointers,
                len(handles),
                path_bytes(path),
                ctypes.byref(struct),
                ctypes.byref(commit),
                watch.pointer,
                ctypes.byref(handle),
            )
        )
        return cls._adopt(handle)

    # ---- properties ----

    @property
    def info(self) -> ContainerInfo:
        """Properties of the container."""
        info = _abi.ContainerInfo(ctypes.sizeof(_abi.ContainerInfo))
        check(lib.atlas_container_get_info(self._h, ctypes.byref(info)))
        return record(ContainerInfo, info)

    def generation(self, number: int = 0) -> Generation:
        """Properties of a generation; 0: of the newest."""
        info = _abi.GenerationInfo(ctypes.sizeof(_abi.GenerationInfo))
        check(lib.atlas_container_get_generation(self._h, u64(number, "number"), ctypes.byref(info)))
        return record(
            Generation, info, number=info.generation, time_ns=info.time or None, size=info.domain_size
        )

    @property
    def root(self) -> bytes:
        """Root of the newest generation."""
        return self.generation().root

    def note(self, number: int = 0) -> bytes:
        """The note of a generation; 0: of the newest."""
        size = ctypes.c_size_t(1024)
        note = (ctypes.c_uint8 * size.value)()
        check(lib.atlas_container_get_note(self._h, u64(number, "number"), note, ctypes.byref(size)))
        return bytes(note[: size.value])

    def __len__(self) -> int:
        return self.info.generation_count

    def __iter__(self) -> Iterator[Generation]:
        """The generations that are kept, from the oldest on."""
        info = self.info
        numbers = range(info.oldest, info.newest + 1) if info.generation_count else range(0)
        return (self.generation(number) for number in numbers)

    def __repr__(self) -> str:
        return "<atlas_manifold.Container, closed>" if self.closed else f"<atlas_manifold.Container of {len(self)} generations>"

    # ---- generations ----

    def snapshot(
        self, number: int = 0, *, verify_reads: bool = True, operation: Optional[Operation] = None
    ) -> Projection:
        """A projection on a generation, 0: on the newest. It loads its tree as it is read, and may be edited.

        With `verify_reads` all that `Projection.read` returns was checked against its witness.
        """
        watch = Watch(operation)
        handle = _ProjectionHandle()
        watch.check(
            lib.atlas_container_snapshot(
                self._h, u64(number, "number"), verify_reads, watch.pointer, ctypes.byref(handle)
            )
        )
        return Projection._adopt(handle)

    def commit(
        self,
        projection: Projection,
        *,
        expected: int = 0,
        time_ns: Optional[int] = None,
        note: bytes = b"",
        operation: Optional[Operation] = None,
    ) -> int:
        """Stores the new parts of a projection, durable on return; returns the generation's number.

        `expected` is the number that the newest generation must have, else `ConflictError`.
        """
        options = _commit_options(expected, time_ns, note)
        watch = Watch(operation)
        number = ctypes.c_uint64()
        watch.check(
            lib.atlas_container_commit(
                self._h, projection._h, ctypes.byref(options), watch.pointer, ctypes.byref(number)
            )
        )
        return number.value

    def import_source(
        self,
        source: AnySource,
        regions: Optional[Regions] = None,
        *,
        expected: int = 0,
        time_ns: Optional[int] = None,
        note: bytes = b"",
        operation: Optional[Operation] = None,
    ) -> int:
        """Projects a source and makes it the newest generation, in one pass; returns its number.

        With `regions` only the tiles that they touch are read; the others are those of the newest generation.
        """
        made = as_source(source)
        listed = RegionList(regions)
        options = _commit_options(expected, time_ns, note)
        watch = Watch(operation)
        number = ctypes.c_uint64()
        watch.check(
            lib.atlas_container_import(
                self._h,
                made._h,
                listed.address,
                listed.count,
                ctypes.byref(options),
                watch.pointer,
                ctypes.byref(number),
            )
        )
        return number.value

    def set_base(self, base: Optional[AnySource]) -> None:
        """Attaches another base, for snapshots that are taken from now on. Nothing is read."""
        made = None if base is None else as_source(base)
        check(lib.atlas_container_set_base(self._h, None if made is None else made._h))

    def refresh(self, *, operation: Optional[Operation] = None) -> int:
        """Looks for newer generations; returns the number of the newest."""
        watch = Watch(operation)
        newest = ctypes.c_uint64()
        watch.check(lib.atlas_container_refresh(self._h, watch.pointer, ctypes.byref(newest)))
        return newest.value

    def compact(
        self, path: Optional[StrPath] = None, *, keep_from: int = 0, operation: Optional[Operation] = None
    ) -> None:
        """Writes the generations from `keep_from` on to a new file, or, without a path, in place of this one."""
        watch = Watch(operation)
        watch.check(
            lib.atlas_container_compact(
                self._h, None if path is None else path_bytes(path), u64(keep_from, "keep_from"), watch.pointer
            )
        )

    def find_damage(
        self,
        from_generation: int = 0,
        *,
        damage: Optional[DamageCallback] = None,
        operation: Optional[Operation] = None,
    ) -> list[Damage]:
        """Checks every record, and every tile of the generations from a number on; 0: of all.

        The list is empty if nothing is damaged.
        """
        watch = Watch(operation)
        found, collect = collector(damage)
        status = lib.atlas_container_find_damage(
            self._h, u64(from_generation, "from_generation"), watch.damage(collect), None, watch.pointer
        )
        check_search(watch, status, found)
        return found


def outline(
    source: AnySource,
    path: StrPath,
    *,
    keep_chains: bool = False,
    key: Optional[Buffer] = None,
    id: Optional[Buffer] = None,
    time_ns: Optional[int] = None,
    note: bytes = b"",
    operation: Optional[Operation] = None,
) -> Container:
    """Writes an outline of a source: a container with its digests, 51 bytes per MiB, while the bytes stay in it.

    >>> import atlas_manifold as am, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "big.atlas")
    >>> memory = bytearray(3 << 20)
    >>> container = am.outline(memory, path)
    >>> memory[5] = 1
    >>> [found.region for found in container.snapshot().find_damage()]
    [Region(offset=0, length=1048576)]
    """
    base = as_source(source)
    container = Container.create(path, key=key, base=base, keep_chains=keep_chains, id=id, operation=operation)
    container.import_source(base, time_ns=time_ns, note=note, operation=operation)
    return container


__all__ = ["Container", "Source", "outline"]
