"""What the package costs beside bare ctypes, and beside C. `python/test.sh cost` prints the figures.

Each method is timed with its C function replaced by one that does nothing, beside a bare ctypes call of that function
with the same prototype, in turns. The bare call makes what each call needs anew: an out-parameter, a struct.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import atlas_manifold as am
import numpy as np
import pytest
from atlas_manifold import _abi, _library

pytestmark = pytest.mark.cost

DATA = bytes(1 << 20)
NOTHING = """
#include <stdint.h>
int nothing(void) { return 0; }
"""


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("nothing")
    (folder / "nothing.c").write_text(NOTHING)
    library = folder / "nothing.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", str(folder / "nothing.c"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def best(call: Callable[[], object], count: int = 10_000) -> float:
    """Nanoseconds of the fastest of some rounds."""
    start = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - start) / count


P = am.project(DATA)
SHARD = P.shard(0, 100)
RECONSTRUCTION = am.Reconstruction()
SOURCE = am.Source(DATA)
BUFFER = bytearray(4096)

Region, Delta, Info = _abi.Region, _abi.Delta, _abi.ProjectionInfo
INFO_SIZE = ctypes.sizeof(Info)
byref, from_buffer, u64 = ctypes.byref, ctypes.c_char.from_buffer, ctypes.c_uint64

# The method, its C function, and the bare call.
METHODS: dict[str, tuple[Callable[[], object], str, Callable[[Any], object]]] = {
    "len(source)": (lambda: SOURCE.size, "atlas_source_size", lambda f: f(SOURCE._h)),
    "p.root": (lambda: P.root, "atlas_projection_root", lambda f: f(P._h, None, bytes(32))),
    "p.info": (lambda: P.info, "atlas_projection_get_info", lambda f: f(P._h, byref(Info(INFO_SIZE)))),
    "p.read(0, 4096)": (lambda: P.read(0, 4096), "atlas_projection_read", lambda f: f(P._h, 0, bytes(4096), 4096)),
    "p.read_into(0, buffer)": (
        lambda: P.read_into(0, BUFFER), "atlas_projection_read",
        lambda f: f(P._h, 0, byref(from_buffer(BUFFER)), 4096),
    ),
    "p.shard(0, 100)": (
        lambda: P.shard(0, 100), "atlas_shard_extract",
        lambda f: f(P._h, byref(Region(0, 100)), None, byref(ctypes.c_void_p())),
    ),
    "p.insert(0, b'abc')": (
        lambda: P.insert(0, b"abc"), "atlas_projection_apply", lambda f: f(P._h, byref(Delta(0, 0, 0, 0, b"abc", 3))),
    ),
    "p.delete(0, 5)": (
        lambda: P.delete(0, 5), "atlas_projection_apply", lambda f: f(P._h, byref(Delta(2, 0, 5, 0, None, 0))),
    ),
    "p.rollback()": (lambda: P.rollback(), "atlas_projection_rollback", lambda f: f(P._h, 1)),
    "p.history_len": (lambda: P.history_len, "atlas_projection_history_len", lambda f: f(P._h)),
    "p.tile_at(0.5, 0.5)": (
        lambda: P.tile_at(0.5, 0.5), "atlas_projection_tile_at", lambda f: f(P._h, 0.5, 0.5, byref(u64())),
    ),
    "p.snapshot()": (
        lambda: P.snapshot(), "atlas_projection_snapshot", lambda f: f(P._h, byref(ctypes.c_void_p())),
    ),
    "shard.read_into(0, buffer)": (
        lambda: SHARD.read_into(0, BUFFER), "atlas_shard_read",
        lambda f: f(SHARD._h, 0, byref(from_buffer(BUFFER)), 4096),
    ),
    "r.is_complete": (
        lambda: RECONSTRUCTION.is_complete, "atlas_reconstruction_is_complete", lambda f: f(RECONSTRUCTION._h),
    ),
}  # fmt: skip
LIMIT = 2.0


@pytest.mark.parametrize("name", METHODS)
def test_a_method_costs_at_most_two_bare_calls(
    name: str, nothing: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method, function, call = METHODS[name]
    bare = nothing["nothing"]
    bare.restype, bare.argtypes = _abi.PROTOTYPES[function]
    monkeypatch.setattr(_library.lib, function, bare)
    method()
    bare_ns, method_ns = [], []
    for _ in range(15):
        bare_ns.append(best(lambda: call(bare)))
        method_ns.append(best(method))
    with capsys.disabled():
        print(f"\n{name:28s} {min(method_ns):6.0f} ns, bare {min(bare_ns):6.0f} ns: {min(method_ns) / min(bare_ns):.2f}", end=" ")
    assert min(method_ns) <= LIMIT * min(bare_ns)


C_PROJECT = """
#include <atlas_manifold.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
int main(int argc, char **argv) {
    size_t size = strtoull(argv[1], NULL, 10);
    unsigned char *memory = malloc(size);
    for (size_t i = 0; i < size; i++) memory[i] = (unsigned char)(i * 2654435761u >> 24);
    for (int round = 0; round < atoi(argv[2]); round++) {
        char line[8];
        if (!fgets(line, sizeof line, stdin)) return 1;
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        atlas_source *source = NULL;
        atlas_projection *projection = NULL;
        if (atlas_source_borrow(memory, size, NULL, NULL, &source) ||
            atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, NULL, &projection)) return 1;
        clock_gettime(CLOCK_MONOTONIC, &b);
        atlas_projection_destroy(projection);
        atlas_source_destroy(source);
        printf("%f\\n", (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec));
        fflush(stdout);
    }
    return 0;
}
"""


def test_an_array_is_projected_as_fast_as_in_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size, rounds = int(os.environ.get("ATLAS_COST_SIZE", 1 << 30)), 7
    library = Path(_library.library._name).resolve()
    if shutil.which("cc") is None or not library.exists():
        pytest.skip("no C compiler, or the library is the system's")
    (tmp_path / "project.c").write_text(C_PROJECT)
    include = Path(__file__).resolve().parents[2] / "include"
    program = str(tmp_path / "project")
    subprocess.run(
        ["cc", "-O2", f"-I{include}", str(tmp_path / "project.c"), str(library), f"-Wl,-rpath,{library.parent}",
         "-o", program], check=True,
    )  # fmt: skip
    array = np.arange(size // 8, dtype=np.uint64)
    am.project(array)
    python_seconds, c_seconds = [], []
    with subprocess.Popen([program, str(size), str(rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as c:
        assert c.stdin is not None and c.stdout is not None
        # In turns, so that what else runs on the machine slows both.
        for _ in range(rounds):
            c.stdin.write("go\n")
            c.stdin.flush()
            c_seconds.append(float(c.stdout.readline()))
            start = time.perf_counter()
            am.project(array)
            python_seconds.append(time.perf_counter() - start)
    # The median over the turns: a minimum takes the machine in one of its speeds for one side alone.
    ratio = statistics.median(c / python for c, python in zip(c_seconds, python_seconds))
    with capsys.disabled():
        print(
            f"\n{size >> 20} MiB: Python {size / statistics.median(python_seconds) / 1e9:.2f} GB/s, "
            f"C {size / statistics.median(c_seconds) / 1e9:.2f} GB/s: {ratio:.3f}", end=" ",
        )  # fmt: skip
    assert ratio >= 0.95


def test_a_hundred_thousand_shards(capsys: pytest.CaptureFixture[str]) -> None:
    p = am.project(os.urandom(64 << 20))
    regions = np.empty((100_000, 2), np.uint64)
    regions[:, 0] = np.arange(100_000) * 600
    regions[:, 1] = 512
    # The same in ctypes alone, with everything made before: what C takes. In turns.
    out = (ctypes.c_void_p * 100_000)()
    seconds, bare = [], []
    for _ in range(5):
        start = time.perf_counter()
        batch = p.shards(regions)
        seconds.append(time.perf_counter() - start)
        batch.close()
        start = time.perf_counter()
        assert _library.lib.atlas_shard_extract_batch(p._h, regions.ctypes.data, 100_000, None, None, out) == 0
        bare.append(time.perf_counter() - start)
        for handle in out:
            _library.lib.atlas_shard_destroy(handle)
    with capsys.disabled():
        print(f"\n100,000 shards: {min(seconds) * 1e3:.0f} ms, C {min(bare) * 1e3:.0f} ms", end=" ")
    assert min(seconds) < 1.3 * min(bare)
