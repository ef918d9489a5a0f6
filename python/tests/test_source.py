"""Anything that holds bytes is a source, the root is the same, and nothing is copied."""

from __future__ import annotations

import ctypes
import gc
import io
import mmap
import os
import threading
import zipfile
from array import array
from pathlib import Path

import atlas_manifold as am
import numpy as np
import pytest

DATA = os.urandom((3 << 20) + 12345)
ROOT = am.project(DATA).root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dätä 漢.bin"
    path.write_bytes(DATA)
    return path


def test_the_root_is_that_of_the_bytes() -> None:
    assert ROOT != am.project(DATA[:-1] + bytes([DATA[-1] ^ 1])).root
    assert len(ROOT) == 32


@pytest.mark.parametrize(
    "make",
    [
        bytes, bytearray, memoryview, lambda data: memoryview(data)[:], lambda data: array("B", data),
        lambda data: np.frombuffer(data, np.uint8), lambda data: (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
        io.BytesIO, am.Source, am.Source.copy,
    ],
    ids="bytes bytearray memoryview slice array numpy ctypes BytesIO Source copy".split(),
)  # fmt: skip
def test_memory(make: object) -> None:
    assert am.project(make(DATA)).root == ROOT  # type: ignore[operator]


def test_files(file: Path) -> None:
    assert am.project(file).root == ROOT
    assert am.project(str(file)).root == ROOT
    assert am.project(file, io=am.FileIo.MMAP).root == ROOT
    with open(file, "rb") as opened:
        opened.seek(100)
        assert am.project(opened).root == ROOT
        assert opened.tell() == 100
    with open(file, "rb", buffering=0) as raw:
        assert am.project(raw).root == ROOT
    with open(file, "r+b") as both:
        both.write(b"x")  # still in the buffer of Python
        assert am.project(both).read(0, 1) == b"x"
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        projection = am.project(mapped)
        with pytest.raises(BufferError):
            mapped.close()
        projection.close()


def test_a_file_that_was_unlinked_is_still_read(file: Path) -> None:
    with open(file, "rb") as opened:
        file.unlink()
        assert am.project(opened).verify() is None


def test_a_file_object_that_is_no_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("member", DATA)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("member") as member:
        projection = am.project(member)
        assert projection.root == ROOT
        assert projection.shard(2 << 20, 4096).data == DATA[2 << 20 : (2 << 20) + 4096]


def test_an_empty_source() -> None:
    empty = [am.project(each).root for each in (b"", bytearray(), np.zeros(0), am.Source.concat([]), io.BytesIO())]
    assert len(set(empty)) == 1


def test_numpy_arrays_of_any_shape_are_their_bytes() -> None:
    square = np.arange(1 << 16, dtype="<f4").reshape(256, 256)
    assert am.project(square).root == am.project(square.tobytes()).root
    with pytest.raises(BufferError, match="ascontiguousarray"):
        am.project(square[:, ::2])
    assert am.project(np.ascontiguousarray(square[:, ::2])).size == square.nbytes // 2


def test_memory_is_borrowed_until_nothing_reads_it() -> None:
    memory = bytearray(DATA)
    projection = am.project(memory)
    snapshot = projection.snapshot()
    with pytest.raises(BufferError):
        memory.append(0)
    memory[0] ^= 1  # the very same bytes
    with pytest.raises(am.WitnessError) as error:
        projection.verify()
    assert error.value.index == 0
    memory[0] ^= 1
    projection.verify()
    projection.close()
    with pytest.raises(BufferError):
        memory.append(0)
    snapshot.close()
    memory.append(0)


def test_a_copy_is_not_borrowed() -> None:
    memory = bytearray(DATA)
    source = am.Source.copy(memory)
    memory.clear()
    assert am.project(source).root == ROOT


def test_a_buffer_outlives_its_name() -> None:
    projection = am.project(bytearray(DATA))
    gc.collect()
    projection.verify()


def test_ranges_and_several_sources(file: Path) -> None:
    whole = am.Source(file)
    parts = [whole.range(0, 1 << 20), whole.range(1 << 20, len(DATA) - (1 << 20))]
    whole.close()
    joined = am.Source.concat([*parts, b"", DATA])
    assert len(joined) == joined.size == 2 * len(DATA)
    assert am.project(joined).root == am.project(DATA + DATA).root
    with pytest.raises(am.OutOfRangeError):
        parts[0].range(1, 1 << 20)
    with pytest.raises(ValueError, match="size -1 is outside"):
        parts[0].range(1, -1)
    assert repr(parts[0]) == "<atlas_manifold.Source of 1048576 bytes>"
    parts[0].close()
    parts[0].close()
    assert parts[0].closed and repr(parts[0]) == "<atlas_manifold.Source, closed>"
    with pytest.raises(ValueError, match="this Source is closed"):
        len(parts[0])


def test_functions() -> None:
    threads = set()

    def read(offset: int, length: int) -> memoryview:
        threads.add(threading.get_ident())
        return memoryview(DATA)[offset : offset + length]

    def readinto(offset: int, memory: memoryview) -> None:
        memory[:] = DATA[offset : offset + len(memory)]

    projection = am.project(am.Source.from_callable(len(DATA), read))
    assert projection.root == ROOT
    # Handlers of signals run in the main thread, and must not run inside of a callback.
    assert threads and threading.get_ident() not in threads
    assert am.project(am.Source.from_readinto(len(DATA), readinto)).root == ROOT
    assert projection.read(5, 100) == DATA[5:105]
    projection.insert(7, b"seven")
    assert projection.shard(0, 20).data[:20] == DATA[:7] + b"seven" + DATA[7:15]


def test_an_exception_of_a_function_is_raised_by_the_call() -> None:
    class Own(Exception):
        pass

    def read(offset: int, length: int) -> bytes:
        if broken:
            raise Own(offset)
        return DATA[offset : offset + length]

    broken = False
    projection = am.project(am.Source.from_callable(len(DATA), read))
    broken = True
    with pytest.raises(Own):
        projection.verify()
    with pytest.raises(Own) as error:
        projection.read(2 << 20, 10)
    assert error.value.args == (2 << 20,)
    # A search reports it as an unreadable range.
    found = projection.find_damage()
    assert {each.kind for each in found} == {am.DamageKind.UNREADABLE} and found[0].os_error == 5
    broken = False
    projection.verify()


@pytest.mark.parametrize(
    ("read", "kind", "text"),
    [
        (lambda offset, length: b"short", ValueError, "returned 5 bytes"),
        (lambda offset, length: None, TypeError, "bytes-like"),
        (lambda offset, length: 1 // 0, ZeroDivisionError, "by zero"),
    ],
)
def test_a_function_that_does_not_return_the_bytes(read: object, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        am.project(am.Source.from_callable(1000, read))  # type: ignore[arg-type]


def test_a_function_that_keeps_the_memory() -> None:
    kept = []
    with pytest.raises(BufferError, match="valid for the call only"):
        am.project(am.Source.from_readinto(1000, lambda offset, memory: kept.append(memory[:])))


def test_a_function_is_let_go_of() -> None:
    class Read:
        def __call__(self, offset: int, length: int) -> bytes:
            return bytes(length)

        def __del__(self) -> None:
            gone.append(True)

    gone: list[bool] = []
    projection = am.project(am.Source.from_callable(1 << 20, Read()))
    gc.collect()
    assert not gone
    projection.close()
    gc.collect()
    assert gone


def test_a_file_object_that_ends_early(tmp_path: Path) -> None:
    class Shrinking(io.BytesIO):
        pass

    class Lying:
        def seek(self, offset: int, whence: int = 0) -> int:
            return 100

        def read(self, size: int = -1) -> bytes:
            return b""

    with pytest.raises(EOFError, match="had 100 bytes"):
        am.project(Lying())  # type: ignore[arg-type]


def test_what_is_no_source(file: Path) -> None:
    with pytest.raises(TypeError, match="a int is no source"):
        am.project(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="from_callable"):
        am.project(print)  # type: ignore[arg-type]
    with open(file) as text, pytest.raises(TypeError, match="'rb'"):
        am.project(text)  # type: ignore[arg-type]
    read, write = os.pipe()
    os.close(write)
    with open(read, "rb") as pipe, pytest.raises(io.UnsupportedOperation, match="PushStream"):
        am.project(pipe)
    with pytest.raises(ValueError, match="NUL"):
        am.project("a\0b")


def test_errors_of_the_system_are_those_of_python(tmp_path: Path) -> None:
    with pytest.raises(am.IoError, match="missing.bin: No such file or directory") as error:
        am.project(tmp_path / "missing.bin")
    assert isinstance(error.value, OSError) and error.value.errno == 2 and error.value.os_error == 2
    assert error.value.status is am.Status.IO
    with pytest.raises(am.InvalidArgumentError, match="is a directory"):
        am.project(tmp_path)
