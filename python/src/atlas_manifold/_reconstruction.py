"""Reconstruction: a domain rebuilt from shards, in any order."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Optional

from . import _abi
from ._buffers import Buffer, StrPath, address_of, fixed, path_bytes, read_regions
from ._call import Operation, Watch, u64
from ._errors import IncompleteError
from ._library import Handle, Object, lib
from ._projection import Projection, _ProjectionHandle
from ._records import Region
from ._shard import Shard, check


class _ReconstructionHandle(Handle):
    DESTROY = "atlas_reconstruction_destroy"


class Reconstruction(Object):
    """Collects the shards of one projection state until the domain is whole.

    `root` is the root that shards must prove; None takes that of the first shard that verifies. `spool_path` lets the
    bytes go to a file that appears under this name at the end; None keeps them in memory. `max_domain_size` refuses
    shards that claim a larger domain.

    >>> import atlas_manifold as am
    >>> p = am.project(bytes(100_000))
    >>> r = am.Reconstruction(root=p.root)
    >>> r.add(p.shard(40_960, 59_040))
    >>> r.missing
    [Region(offset=0, length=40960)]
    >>> r.add(p.shard(0, 50_000))
    >>> r.finish().read() == p.read()
    True
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        root: Optional[Buffer] = None,
        key: Optional[Buffer] = None,
        spool_path: Optional[StrPath] = None,
        max_domain_size: int = 0,
    ) -> None:
        options = _abi.ReconstructionOptions()
        lib.atlas_reconstruction_options_init(ctypes.byref(options))
        root_bytes, key_bytes = fixed(root, 32, "root"), fixed(key, 32, "key")
        options.expected_root = address_of(root_bytes)
        options.key = address_of(key_bytes)
        options.spool_path = None if spool_path is None else path_bytes(spool_path, "spool_path")
        options.max_domain_size = u64(max_domain_size, "max_domain_size")
        handle = _ReconstructionHandle()
        check(lib.atlas_reconstruction_create(ctypes.byref(options), ctypes.byref(handle)))
        self._h = handle

    def add(self, shard: Shard, *, operation: Optional[Operation] = None) -> None:
        """Verifies a shard and takes the bytes that it adds. A shard that fails changes nothing."""
        watch = Watch(operation)
        watch.check(lib.atlas_reconstruction_add(self._h, shard._h, watch.pointer))

    def add_all(self, shards: Iterable[Shard], *, operation: Optional[Operation] = None) -> None:
        """Adds shards until one fails."""
        for shard in shards:
            self.add(shard, operation=operation)

    @property
    def is_complete(self) -> bool:
        """True if every byte of the domain has come."""
        return lib.atlas_reconstruction_is_complete(self._h)

    @property
    def classes_needed(self) -> int:
        """R96: how many more classes are needed, the most over all tiles. LINEAR: 0."""
        return lib.atlas_reconstruction_classes_needed(self._h)

    @property
    def missing(self) -> list[Region]:
        """Byte ranges that are still missing, ascending; none before the first shard."""
        handle = self._h
        return read_regions(
            lambda regions, count: lib.atlas_reconstruction_missing(handle, regions, count), check
        )

    def finish(self, *, operation: Optional[Operation] = None) -> Projection:
        """The rebuilt domain as a projection with the same root. A spool file gets its name now.

        Raises `IncompleteError` with the ranges that are missing, and can be called again when they have come.
        """
        watch = Watch(operation)
        handle = _ProjectionHandle()
        try:
            watch.check(lib.atlas_reconstruction_finish(self._h, watch.pointer, ctypes.byref(handle)))
        except IncompleteError as error:
            error.ranges = tuple(self.missing)
            raise
        return Projection._adopt(handle)
