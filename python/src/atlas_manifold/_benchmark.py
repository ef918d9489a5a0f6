"""The benchmark suite, and functions that belong to no object."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from typing import Optional

from . import _abi
from ._abi import Feature, ReportFormat
from ._buffers import Buffer, View, filled
from ._call import Operation, Watch, u32
from ._library import Handle, Object, lib
from ._records import BenchmarkResult, record
from ._shard import check


class _ReportHandle(Handle):
    DESTROY = "atlas_benchmark_report_destroy"


class BenchmarkReport(Object):
    """Results of `benchmark`: `len`, an index, iteration, and a text of all."""

    __slots__ = ()

    def __len__(self) -> int:
        return lib.atlas_benchmark_report_count(self._h)

    def __getitem__(self, index: int) -> BenchmarkResult:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"result {index} is outside 0..{len(self)}")
        result = _abi.BenchmarkResult(ctypes.sizeof(_abi.BenchmarkResult))
        check(lib.atlas_benchmark_report_get(self._h, index, ctypes.byref(result)))
        return record(BenchmarkResult, result, name=(result.name or b"").decode())

    def format(self, format: ReportFormat = ReportFormat.TEXT) -> str:
        """All results as a table, JSON or CSV."""
        handle = self._h
        return filled(lambda out: lib.atlas_benchmark_report_format(handle, format, out), check).tobytes().decode()

    def __str__(self) -> str:
        return self.format()


def benchmark(
    data_sizes: Sequence[int] = (),
    *,
    warmup_iterations: int = 3,
    iterations: int = 10,
    max_seconds: float = 5.0,
    operation: Optional[Operation] = None,
) -> BenchmarkReport:
    """Measures the library on this machine, case by case for each size; by default 1, 16 and 64 MiB.

    >>> import atlas_manifold as am
    >>> report = am.benchmark([65536], warmup_iterations=0, iterations=1)
    >>> report[0].name, len(report) > 5
    ('memcpy', True)
    """
    sizes = array("Q", data_sizes)
    config = _abi.BenchmarkConfig()
    lib.atlas_benchmark_config_init(ctypes.byref(config))
    config.warmup_iterations = u32(warmup_iterations, "warmup_iterations")
    config.iterations = u32(iterations, "iterations")
    config.max_seconds = max_seconds
    config.data_sizes = sizes.buffer_info()[0] or None
    config.data_size_count = len(sizes)
    watch = Watch(operation)
    handle = _ReportHandle()
    watch.check(lib.atlas_benchmark_run(ctypes.byref(config), watch.pointer, ctypes.byref(handle)))
    report = BenchmarkReport.__new__(BenchmarkReport)
    report._h = handle
    return report


def digest256(data: Buffer) -> bytes:
    """BLAKE3-256 of bytes.

    >>> import atlas_manifold as am
    >>> am.digest256(b"").hex()[:16]
    'af1349b9f5f9a1a6'
    """
    view = View(data)
    digest = bytes(32)
    lib.atlas_digest256(view.address, view.size, digest)
    return digest


def features() -> Feature:
    """What is built into the library.

    >>> import atlas_manifold as am
    >>> am.Feature.CONTAINER in am.features()
    True
    """
    return Feature(lib.atlas_manifold_features())


def library_version() -> tuple[int, int, int]:
    """Version of the library in use."""
    number = lib.atlas_manifold_version()
    return number >> 16, number >> 8 & 0xFF, number & 0xFF


def trim() -> None:
    """Frees the used buffers, at most 64 MiB, that the library keeps for the next call."""
    lib.atlas_manifold_trim()


