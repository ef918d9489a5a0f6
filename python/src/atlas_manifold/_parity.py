"""Parity files: a file beside one that stays as it is, from which lost parts of it are rebuilt."""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Optional

from . import _abi
from ._abi import DamagePart, RepairMode, Status
from ._buffers import Buffer, RegionList, Regions, StrPath, address_of, fixed, path_bytes
from ._call import DamageCallback, Operation, Watch, forget, u32, u64
from ._errors import IncompleteError
from ._library import Handle, Object, lib
from ._projection import collector
from ._records import ParityInfo, ParityReport, record
from ._shard import VerifyOptions, check
from ._source import AnySource, as_source


class _ParityHandle(Handle):
    DESTROY = "atlas_parity_destroy"


class ParityOptions(NamedTuple):
    """Options of a parity file."""

    unit_size: int = 0
    """Bytes of a unit: a multiple of 4,096 up to 1 MiB. 0: 4 KiB below 256 MiB, else 64 KiB."""
    parity_columns: int = 0
    """Number of parity columns. 0: from `redundancy`."""
    redundancy: int = 625
    """Share of parity in 1/10,000 of the data columns."""
    rows: int = 0
    """Number of rows. 0: as many as give at most 256 columns."""
    key: Optional[bytes] = None
    """32 bytes, which key the digests."""
    id: Optional[bytes] = None
    """16 bytes, which make the file the same every time."""
    store_root: bool = False
    """True: the LINEAR root of the protected bytes is stored too."""

    def _struct(self) -> tuple[_abi.ParityOptions, object]:
        options = _abi.ParityOptions()
        lib.atlas_parity_options_init(ctypes.byref(options))
        key, id = fixed(self.key, 32, "key"), fixed(self.id, 16, "id")
        options.unit_size = u32(self.unit_size, "unit_size")
        options.parity_columns = u32(self.parity_columns, "parity_columns")
        options.redundancy = u32(self.redundancy, "redundancy")
        options.rows = u64(self.rows, "rows")
        options.key = address_of(key)
        options.id = address_of(id)
        options.store_root = self.store_root
        return options, (key, id)


class Parity(Object):
    """A parity file, open for reading.

    >>> import atlas_manifold as am, os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> data, parity = os.path.join(folder, "data"), os.path.join(folder, "data.atp")
    >>> with open(data, "wb") as file:
    ...     _ = file.write(bytes(range(250)) * 4000)
    >>> am.Parity.create(data, parity)
    >>> with open(data, "r+b") as file:
    ...     _ = file.write(b"damage")
    >>> with am.Parity.open(parity) as p:
    ...     report = p.check(data)
    ...     print(report.data.name, [str(found) for found in report.damage])
    ...     mended = p.repair(data, mode=am.RepairMode.IN_PLACE)
    ...     print(mended.repaired_units, p.check(data).intact)
    REPAIRABLE ['4096 bytes at offset 0: DATA DIFFERS']
    1 True
    """

    __slots__ = ()

    @classmethod
    def create(
        cls,
        source: AnySource,
        path: StrPath,
        *,
        options: ParityOptions = ParityOptions(),
        operation: Optional[Operation] = None,
    ) -> None:
        """Writes the parity file of a source. It never replaces a file."""
        struct, keep = options._struct()
        made = as_source(source)
        watch = Watch(operation)
        watch.check(lib.atlas_parity_create(made._h, path_bytes(path), ctypes.byref(struct), watch.pointer))
        del keep

    @classmethod
    def open(
        cls,
        path: StrPath,
        *,
        root: Optional[Buffer] = None,
        key: Optional[Buffer] = None,
        operation: Optional[Operation] = None,
    ) -> Parity:
        """Opens a parity file, of which one end may be lost. `root` must be the stored one, if one is stored."""
        verify = VerifyOptions(root, key)
        watch = Watch(operation)
        handle = _ParityHandle()
        watch.check(lib.atlas_parity_open(path_bytes(path), verify.pointer, watch.pointer, ctypes.byref(handle)))
        parity = cls.__new__(cls)
        parity._h = handle
        return parity

    @property
    def info(self) -> ParityInfo:
        """Properties of the parity file."""
        info = _abi.ParityInfo(ctypes.sizeof(_abi.ParityInfo))
        check(lib.atlas_parity_get_info(self._h, ctypes.byref(info)))
        return record(ParityInfo, info, root=bytes(info.root) if info.has_root else None)

    def check(
        self,
        source: AnySource,
        *,
        damage: Optional[DamageCallback] = None,
        operation: Optional[Operation] = None,
    ) -> ParityReport:
        """Looks for damage in a source and in its parity file. Reads everything, writes nothing.

        The report says what is damaged, and whether it can be repaired; damage is no exception.
        """
        made = as_source(source)
        watch = Watch(operation)
        found, collect = collector(damage)
        report = _abi.ParityReport(ctypes.sizeof(_abi.ParityReport))
        status = lib.atlas_parity_check(
            self._h, made._h, watch.damage(collect), None, watch.pointer, ctypes.byref(report)
        )
        if status in (Status.WITNESS, Status.INCOMPLETE) and not watch.caught:
            forget()
        else:
            watch.check(status)
        return record(ParityReport, report, damage=tuple(found))

    def repair(
        self,
        path: StrPath,
        *,
        mode: RepairMode = RepairMode.NEW_FILE,
        other_path: Optional[StrPath] = None,
        partial: bool = False,
        damage: Optional[DamageCallback] = None,
        operation: Optional[Operation] = None,
    ) -> ParityReport:
        """Checks the file `path`, and repairs it; each unit is verified before it is written.

        `other_path` is the name of the repaired file (NEW_FILE) or that of the damaged one (KEEP). `damage` is asked
        for each damaged unit before the first write; False leaves it as it is. Raises `IncompleteError` with the
        ranges if a row is lost; nothing was written then, unless `partial` asks for the rows that can be repaired.
        """
        options = _abi.RepairOptions()
        lib.atlas_repair_options_init(ctypes.byref(options))
        options.mode = mode
        options.other_path = None if other_path is None else path_bytes(other_path, "other_path")
        options.partial = partial
        watch = Watch(operation)
        found, collect = collector(damage)
        report = _abi.ParityReport(ctypes.sizeof(_abi.ParityReport))
        try:
            watch.check(
                lib.atlas_parity_repair(
                    self._h,
                    path_bytes(path),
                    ctypes.byref(options),
                    watch.damage(collect),
                    None,
                    watch.pointer,
                    ctypes.byref(report),
                )
            )
        except IncompleteError as error:
            # Without `partial` nobody is asked when a row is lost: a check lists the ranges.
            listed = found or self.check(path, operation=operation).damage
            error.ranges = tuple(
                each.region for each in listed if each.part is DamagePart.DATA and not each.repairable
            )
            raise
        return record(ParityReport, report, damage=tuple(found))

    def restore(self, source: AnySource, path: StrPath, *, operation: Optional[Operation] = None) -> None:
        """Writes the parity file anew to `path`, byte for byte as it was first written."""
        made = as_source(source)
        watch = Watch(operation)
        watch.check(lib.atlas_parity_restore(self._h, made._h, path_bytes(path), watch.pointer))

    def update(
        self,
        source: AnySource,
        regions: Regions,
        path: StrPath,
        *,
        options: ParityOptions = ParityOptions(),
        operation: Optional[Operation] = None,
    ) -> None:
        """Writes the parity file of a source that was changed on purpose: in `regions`, and at its end."""
        made = as_source(source)
        listed = RegionList(regions)
        struct, keep = options._struct()
        watch = Watch(operation)
        watch.check(
            lib.atlas_parity_update(
                self._h,
                made._h,
                listed.address,
                listed.count,
                path_bytes(path),
                ctypes.byref(struct),
                watch.pointer,
            )
        )
        del keep
