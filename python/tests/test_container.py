"""Containers, outlines, merges: commits come back, damage is found."""

from __future__ import annotations

import os
from pathlib import Path

import atlas_manifold as am
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = os.urandom((3 << 20) + 99)


def test_generations(tmp_path: Path) -> None:
    path = tmp_path / "c.atlas"
    with am.Container.create(path, id=bytes(16)) as container:
        assert len(container) == 0 and list(container) == [] and container.info.id == bytes(16)
        assert container.import_source(DATA, note=b"first", time_ns=12345) == 1
        edit = container.snapshot()
        edit.insert(7, b"seven")
        assert container.commit(edit, expected=1) == 2
        with pytest.raises(am.ConflictError):
            container.commit(edit, expected=1)
        assert [generation.number for generation in container] == [1, 2]
        first = container.generation(1)
        assert (first.size, first.time_ns, first.note_size, first.root) == (len(DATA), 12345, 5, am.project(DATA).root)
        assert container.generation().previous == 1 and container.generation().time_ns is None
        assert container.note(1) == b"first" and container.note() == b""
        assert repr(container) == "<atlas_manifold.Container of 2 generations>"
        history = container.generation().history
    with am.Container.open(path, history=history, root=edit.root) as container:
        assert container.root == edit.root and not container.info.writable
        assert container.snapshot().read() == DATA[:7] + b"seven" + DATA[7:]
        assert container.snapshot(1).read(5, 10) == DATA[5:15]
        with pytest.raises(am.StateError):
            container.commit(edit)
        with pytest.raises(am.OutOfRangeError):
            container.generation(3)
        assert container.find_damage() == []
        container.compact(tmp_path / "small.atlas", keep_from=2)
    with am.Container.open(tmp_path / "small.atlas", am.ContainerMode.WRITE) as small:
        assert [generation.number for generation in small] == [2]
        small.compact()
        assert small.snapshot().root == edit.root
    with pytest.raises(am.WitnessError):
        am.Container.open(path, root=bytes(32))
    with pytest.raises(am.IoError) as error:
        am.Container.create(path)
    assert error.value.errno == 17
    with pytest.raises(am.FormatError):
        am.Container.open_source(DATA)


def test_readers_follow_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "c.atlas"
    with am.Container.create(path) as writer:
        writer.import_source(b"one")
        with am.Container.open(path) as reader:
            writer.import_source(b"two!")
            assert reader.info.newest == 1
            assert reader.refresh() == 2
            assert reader.snapshot().read() == b"two!"
        with pytest.raises(am.StateError) as error:
            am.Container.open(path, am.ContainerMode.WRITE)
        assert error.value.os_error == 11


def test_a_container_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "c.atlas"
    with am.Container.create(path, compression=am.Compression(am.CompressionAlgorithm.ZSTD)) as container:
        container.import_source(bytes(1 << 20))
    assert path.stat().st_size < 100_000
    blob = bytearray(path.read_bytes())
    assert am.Container.open_source(blob).snapshot().read() == bytes(1 << 20)
    calls = am.Source.from_callable(len(blob), lambda offset, length: blob[offset : offset + length])
    assert am.Container.open_source(calls).snapshot().read() == bytes(1 << 20)
    with pytest.raises(am.LimitError):
        am.Container.open_source(blob, max_domain_size=1000)


def test_damage_of_a_container(tmp_path: Path) -> None:
    path = tmp_path / "c.atlas"
    with am.Container.create(path) as container:
        container.import_source(DATA)
    blob = bytearray(path.read_bytes())
    at = blob.find(DATA[1 << 20 : (1 << 20) + 64])
    assert at > 0
    blob[at] ^= 1
    container = am.Container.open_source(blob)
    found = container.find_damage()
    assert [(each.part, each.kind, each.generation) for each in found][-1] == (
        am.DamagePart.DATA, am.DamageKind.DIFFERS, 1,
    )  # fmt: skip
    assert found[-1].region == (1 << 20, 1 << 20)
    with pytest.raises(am.WitnessError):
        container.snapshot().read(1 << 20, 1)
    assert container.snapshot().read(0, 100) == DATA[:100]
    with pytest.raises(am.CancelledError):
        container.find_damage(damage=lambda each: False)


def test_outlines(tmp_path: Path) -> None:
    path, outline = tmp_path / "big", tmp_path / "big.atlas"
    path.write_bytes(DATA)
    with am.outline(path, outline, keep_chains=True, note=b"n") as container:
        assert container.info.keeps_chains and container.info.base_size == len(DATA)
        root = container.root
    assert outline.stat().st_size < 100_000
    damaged = bytearray(DATA)
    damaged[1_500_000] ^= 1
    path.write_bytes(damaged)
    with am.Container.open(outline, base=path, root=root) as container:
        p = container.snapshot()
        assert [each.region for each in p.find_damage()] == [(1_490_944, 16384)]
        container.set_base(DATA)
        assert [each.region for each in container.snapshot().repair_file(path)] == [(1_490_944, 16384)]
        container.set_base(None)
        with pytest.raises(am.IncompleteError):
            container.snapshot().find_damage()
        with pytest.raises(am.IncompleteError):
            container.snapshot().read(0, 10)
    assert path.read_bytes() == DATA
    changed = DATA[:1_000_000] + b"x" * 10 + DATA[1_000_010:]
    path.write_bytes(changed)
    with am.Container.open(outline, am.ContainerMode.WRITE, base=path) as container:
        container.import_source(path, [(1_000_000, 10)])
        assert container.root == am.project(changed).root


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 1 << 20))
def test_a_merge_has_the_root_of_the_whole(tmp_path_factory: pytest.TempPathFactory, tiles: list[int], rest: int) -> None:
    folder = tmp_path_factory.mktemp("merge")
    data = DATA[: min(len(DATA), (sum(tiles) << 20) + rest)]
    whole = am.Source(data)
    parts, at = [], 0
    for number, count in enumerate([*tiles, 0]):
        last = number == len(tiles)
        size = len(data) - at if last else min(count << 20, (len(data) - at) >> 20 << 20)
        part = am.Container.create(folder / f"part{number}", base=whole.range(at, size))
        part.import_source(whole.range(at, size))
        parts.append(part)
        at += size
    merged = am.Container.merge(parts, folder / "whole", base=data, note=b"merged", time_ns=5)
    assert merged.root == am.project(data).root and merged.note() == b"merged"
    assert merged.snapshot().read() == data
    merged.close()
    with pytest.raises(am.IoError):
        am.Container.merge(parts, folder / "whole")
    with pytest.raises(am.InvalidArgumentError):
        am.Container.merge([], folder / "none")


def test_parity(tmp_path: Path) -> None:
    path, atp = tmp_path / "data", tmp_path / "data.atp"
    path.write_bytes(DATA)
    options = am.ParityOptions(redundancy=1000, id=bytes(16), store_root=True)
    am.Parity.create(path, atp, options=options)
    with pytest.raises(am.IoError) as taken:
        am.Parity.create(path, atp)
    assert taken.value.errno == 17
    parity = am.Parity.open(atp, root=am.project(DATA).root)
    info = parity.info
    assert info.protected_size == len(DATA) and info.root == am.project(DATA).root and info.id == bytes(16)
    assert info.parity_size == atp.stat().st_size
    report = parity.check(path)
    assert report.intact and report.damage == () and report.size == len(DATA)

    damaged = bytearray(DATA)
    damaged[10_000:20_000] = bytes(10_000)
    path.write_bytes(damaged)
    report = parity.check(path)
    assert report.data is am.ParityVerdict.REPAIRABLE and not report.intact
    assert report.bad_units == len(report.damage) == 3 and all(each.repairable for each in report.damage)
    with pytest.raises(am.WitnessError):
        parity.repair(path, mode=am.RepairMode.IN_PLACE, damage=lambda each: False)
    assert path.read_bytes() == damaged
    assert parity.repair(path, other_path=tmp_path / "mended").repaired_units == 3
    assert (tmp_path / "mended").read_bytes() == DATA and path.read_bytes() == damaged
    parity.repair(path, mode=am.RepairMode.KEEP, other_path=tmp_path / "kept")
    assert path.read_bytes() == DATA and (tmp_path / "kept").read_bytes() == damaged

    path.write_bytes(bytes(len(DATA)))
    assert parity.check(path).data is am.ParityVerdict.INCOMPLETE
    with pytest.raises(am.IncompleteError) as error:
        parity.repair(path, mode=am.RepairMode.IN_PLACE)
    assert error.value.ranges and error.value.ranges[0].offset == 0

    path.write_bytes(DATA)
    parity.restore(path, tmp_path / "restored.atp")
    assert (tmp_path / "restored.atp").read_bytes() == atp.read_bytes()
    changed = DATA[:5] + b"x" + DATA[6:]
    path.write_bytes(changed)
    parity.update(path, [(5, 1)], tmp_path / "new.atp")
    assert am.Parity.open(tmp_path / "new.atp").check(path).intact
    with pytest.raises(am.WitnessError):
        parity.update(path, [], tmp_path / "wrong.atp", options=am.ParityOptions(store_root=True))
