"""Edits against a plain bytearray, undo, reads, checks, and the attributes of a projection."""

from __future__ import annotations

import math
import os
from pathlib import Path

import atlas_manifold as am
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = os.urandom((2 << 20) + 777)


def test_info() -> None:
    p = am.project(DATA)
    info = p.info
    assert info.type is am.ProjectionType.LINEAR and info.size == p.size == len(p) == len(DATA)
    assert info.residue == sum(DATA) % 96 and (info.residue + info.correction) % 96 == 0
    assert info.tile_count == 3 and info.page_count == -(-len(DATA) // 4096)
    assert (info.width, info.height) == (2, 2)
    assert info.canonical and not info.keyed
    assert repr(p) == f"<atlas_manifold.Projection LINEAR of {len(DATA)} bytes>"
    p.close()
    assert repr(p) == "<atlas_manifold.Projection, closed>"
    with pytest.raises(ValueError, match="this Projection is closed"):
        p.root  # noqa: B018
    with pytest.raises(AttributeError):
        p.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_tiles() -> None:
    p = am.project(DATA)
    tiles = [p.tile(i) for i in range(3)]
    assert [tile.offset for tile in tiles] == [0, 1 << 20, 2 << 20]
    assert sum(tile.residue for tile in tiles) % 96 == sum(DATA) % 96
    assert tiles[2].witness == am.digest256(DATA[2 << 20 :])
    with pytest.raises(am.OutOfRangeError, match="tile 3 is outside 0..3"):
        p.tile(3)
    with pytest.raises(IndexError):
        p.tile(3)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4096, 1 << 20])
def test_reads(size: int) -> None:
    p = am.project(DATA)
    assert p.read(100, size) == DATA[100 : 100 + size]
    assert p.read(len(DATA) - size, size) == DATA[len(DATA) - size :]
    target = bytearray(size + 2)
    assert p.read_into(100, memoryview(target)[1:-1]) == size
    assert target == b"\0" + DATA[100 : 100 + size] + b"\0"
    array = np.zeros((2, 3), np.uint8)
    assert p.read_into(7, array) == 6
    assert array.tobytes() == DATA[7:13]


def test_reads_of_one_byte_leave_others_alone() -> None:
    p = am.project(bytes(range(256)))
    assert [p.read(i, 1) for i in range(256)] == [bytes([i]) for i in range(256)]
    assert bytes([7]) == b"\x07" and bytes(1) == b"\0"


def test_reads_outside() -> None:
    p = am.project(DATA)
    assert p.read() == bytes(p) == DATA
    assert p.read(len(DATA)) == b""
    with pytest.raises(am.OutOfRangeError, match="read of 2 bytes at offset"):
        p.read(len(DATA) - 1, 2)
    for offset in (-1, 2**64, -(2**64)):
        with pytest.raises(ValueError, match="is outside 0..=2"):
            p.read(offset, 5)
    with pytest.raises(ValueError):
        p.read(0, -1)
    with pytest.raises(TypeError, match="not writable"):
        p.read_into(0, b"read-only")
    for offset, length in ((-1, 5), (2**64, 5), (0, -1), (0, 2**64)):
        with pytest.raises(ValueError, match="outside"):
            p.shard(offset, length)


offsets = st.integers(0, 300)
pieces = st.binary(max_size=40)
edits = st.one_of(
    st.tuples(st.just("insert"), offsets, pieces),
    st.tuples(st.just("update"), offsets, pieces),
    st.tuples(st.just("replace"), offsets, st.integers(0, 50), pieces),
    st.tuples(st.just("delete"), offsets, st.integers(0, 50)),
    st.tuples(st.just("move"), offsets, st.integers(0, 50), offsets),
    st.tuples(st.just("rollback"), st.integers(1, 3)),
    st.tuples(st.just("batch"), st.lists(st.tuples(offsets, pieces), max_size=4)),
)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.lists(edits, max_size=15))
def test_edits_and_rollback_equal_a_bytearray(start: bytes, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    model = bytes(start)
    history: list[bytes] = []
    p = am.project(start)
    for step in steps:
        kind, *args = step
        before = model
        try:
            if kind == "insert":
                p.insert(*args)
                assert args[0] <= len(model)
                model = model[: args[0]] + args[1] + model[args[0] :]
                history.append(before)
            elif kind == "update":
                offset, data = args
                p.update(offset, bytearray(data))
                assert offset + len(data) <= len(model)
                model = model[:offset] + data + model[offset + len(data) :]
                history.append(before)
            elif kind == "replace":
                offset, length, data = args
                p.update(offset, memoryview(data), length)
                assert offset + length <= len(model)
                model = model[:offset] + data + model[offset + length :]
                history.append(before)
            elif kind == "delete":
                offset, length = args
                p.delete(offset, length)
                assert offset + length <= len(model)
                model = model[:offset] + model[offset + length :]
                history.append(before)
            elif kind == "move":
                offset, length, destination = args
                p.move(offset, length, destination)
                assert offset + length <= len(model) and destination <= len(model)
                piece, rest = model[offset : offset + length], model[:offset] + model[offset + length :]
                at = destination if destination <= offset else destination - length
                model = rest[:at] + piece + rest[at:]
                history.append(before)
            elif kind == "rollback":
                p.rollback(args[0])
                assert args[0] <= len(history)
                for _ in range(args[0]):
                    model = history.pop()
            else:
                p.apply([am.Delta(am.ChangeType.INSERT, offset, data=data) for offset, data in args[0]])
                for offset, data in args[0]:
                    assert offset <= len(model)
                    history.append(model)
                    model = model[:offset] + data + model[offset:]
        except (am.OutOfRangeError, am.InvalidArgumentError):
            pass
        assert p.read() == model
        assert p.history_len == len(history)
    p.optimize()
    assert p.root == am.project(model).root
    assert p.history_len == 0


def test_numbers_of_a_change_are_checked() -> None:
    p = am.project(DATA)
    for call in (
        lambda: p.insert(-1, b"a"),
        lambda: p.delete(0, -1),
        lambda: p.delete(2**64, 1),
        lambda: p.move(0, 1, -5),
        lambda: p.rollback(-1),
        lambda: p.apply([am.Delta(am.ChangeType.DELETE, -1, 5)]),
    ):
        with pytest.raises(ValueError, match="is outside 0..=2"):
            call()
    assert p.history_len == 0


def test_rollback_brings_the_root_back() -> None:
    p = am.project(DATA)
    root = p.root
    p.insert_source(100, DATA)
    p.append(b"end")
    assert p.size == 2 * len(DATA) + 3
    assert p.read(100, 1000) == DATA[:1000]
    p.rollback(2)
    assert p.root == p.compute_root() == root
    with pytest.raises(am.OutOfRangeError, match="rollback of 1 deltas"):
        p.rollback()


def test_snapshots_do_not_follow() -> None:
    p = am.project(DATA)
    with p.snapshot() as before:
        p.delete(0, 1000)
        assert before.size == p.size + 1000
        assert before.read(0, 10) == DATA[:10]


def test_configuration_and_statistics() -> None:
    p = am.project(DATA)
    p.configure_incremental(max_deltas=2)
    for _ in range(3):
        p.insert(0, b"abc")
    p.delete(0, 1)
    p.move(0, 1, 5)
    p.update(0, b"z")
    assert p.history_len == 2
    p.rollback()
    stats = p.incremental_stats
    assert stats[:6] == (6, 3, 1, 1, 1, 1)
    assert stats.bytes_modified == 12
    p.configure_incremental(enable_rollback=False)
    assert p.history_len == 0


def test_conservation() -> None:
    with pytest.raises(am.ConservationError, match="sums to 1 mod 96"):
        am.project(b"\x01", conservation=am.ConservationPolicy.STRICT)
    p = am.project(bytes(96), conservation=am.ConservationPolicy.STRICT)
    with pytest.raises(am.ConservationError):
        p.insert(0, b"\x01")
    p.insert(0, b"\x60")
    assert p.incremental_stats.conservation_violations == 1


def test_keys() -> None:
    key = os.urandom(32)
    p = am.project(DATA, key=key)
    assert p.info.keyed and p.root != am.project(DATA).root
    blob = p.shard(0, 100).to_bytes()
    assert am.Shard.from_bytes(blob, root=p.root, key=bytearray(key)).info.keyed
    with pytest.raises(am.WitnessError, match="no key was given"):
        am.Shard.from_bytes(blob)
    with pytest.raises(ValueError, match="key has 3 bytes where 32 are needed"):
        am.project(DATA, key=b"abc")


def test_writing_a_file(tmp_path: Path) -> None:
    p = am.project(DATA)
    p.insert(3, b"three")
    p.write_file(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA[:3] + b"three" + DATA[3:]
    with pytest.raises(am.IoError) as error:
        p.write_file(tmp_path / "missing" / "out")
    assert error.value.errno == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_damage_is_found_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    p = am.project(DATA)
    damaged = bytearray(DATA)
    damaged[5] ^= 1
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    on_file = am.project(DATA, io=am.FileIo.READ)
    assert on_file.find_damage() == []
    written = p.repair_file(path)
    assert [each.region for each in written] == [(0, 1 << 20), (2 << 20, 777)]
    assert path.read_bytes() == DATA
    assert p.repair_file(path) == []
    path.write_bytes(damaged)
    asked = []
    with pytest.raises(am.WitnessError):
        p.repair_file(path, damage=lambda each: asked.append(each) or each.offset > 0)  # type: ignore[func-returns-value]
    assert [each.offset for each in asked] == [0, 2 << 20]
    assert path.read_bytes() == bytes(damaged[:-1]) + DATA[-1:]
    with pytest.raises(am.WitnessError):
        p.repair_file(path, [(0, 10)], damage=lambda each: False)


def test_regions_are_pairs_or_arrays() -> None:
    memory = bytearray(DATA)
    p = am.project(memory)
    memory[1 << 20] ^= 1
    tile = am.Region(1 << 20, 1 << 20)
    for regions in (
        [(1 << 20, 5)],
        [tile],
        iter([tile]),
        np.array([[1 << 20, 5]], np.uint64),
        np.array([[1 << 20, 5]], np.int64),
        None,
    ):
        assert [each.region for each in p.find_damage(regions)] == [tile]
    assert p.find_damage([]) == p.find_damage(np.zeros((0, 2), np.uint64)) == p.find_damage([(0, 10)]) == []
    for wrong in ([(1,)], [(1, 2, 3)], [(-1, 2)], [(0, 2**64)], np.array([[-1, 5]]), [("a", "b")]):
        with pytest.raises(ValueError):
            p.find_damage(wrong)  # type: ignore[arg-type]
    for wrong in (np.zeros((1, 2), np.uint32), np.zeros(3, np.uint64), np.zeros((1, 2)), b"12345678"):
        with pytest.raises(TypeError):
            p.find_damage(wrong)
    with pytest.raises(am.OutOfRangeError):
        p.find_damage([(0, 1), (len(DATA), 1)])
    with pytest.raises(am.CancelledError):
        p.find_damage(damage=lambda each: False)


def test_differences() -> None:
    other = bytearray(DATA)
    other[(1 << 20) + 5] ^= 1
    assert am.project(DATA).diff(am.project(other)) == [(1 << 20, 1 << 20)]
    assert am.project(DATA).diff(am.project(DATA)) == []
    many = am.project(bytes(9 << 20))
    changed = bytearray(9 << 20)
    for tile in (0, 2, 4, 6, 8):
        changed[tile << 20] = 1
    assert [region.offset >> 20 for region in many.diff(am.project(changed))] == [0, 2, 4, 6, 8]


def test_the_plane() -> None:
    p = am.project(bytes(4 << 20))
    p.transform(scale=2.0, rotate=math.pi / 2, x=1.0, y=-1.0)
    bounds = p.tile_bounds(3)
    assert bounds == pytest.approx((-3, 1, -1, 3))
    assert bounds.min_x == bounds[0]
    assert p.tile_at(-2.0, 2.0) == 3
    with pytest.raises(am.OutOfRangeError):
        p.tile_at(50.0, 50.0)
    with pytest.raises(am.InvalidArgumentError):
        p.transform(scale=0.0)


def test_small_functions() -> None:
    assert am.digest256(b"abc") == am.digest256(bytearray(b"abc")) != am.digest256(b"abd")
    assert am.Feature.PARALLEL in am.features()
    assert ".".join(map(str, am.library_version())) == am.__version__
    am.trim()
