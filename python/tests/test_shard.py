"""Shards: contents, serialisation, false bytes that never become one, and batches."""

from __future__ import annotations

import gc
import itertools
import os
import sys
from pathlib import Path

import atlas_manifold as am
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = os.urandom((2 << 20) + 777)
P = am.project(DATA)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(DATA)), st.integers(0, 100_000))
def test_any_region_travels(offset: int, length: int) -> None:
    length = min(length, len(DATA) - offset)
    shard = P.shard(offset, length)
    assert shard.data == DATA[offset : offset + length]
    arrived = am.Shard.from_bytes(bytearray(shard.serialize()), root=P.root)
    assert arrived.data == shard.data and arrived.region == (offset, length)
    assert bytes(arrived) == DATA[offset : offset + length] and len(arrived) == length
    assert arrived.to_bytes() == shard.to_bytes()


def test_properties() -> None:
    shard = P.shard(10, 100)
    info = shard.info
    assert info.type is am.ProjectionType.LINEAR and info.domain_size == len(DATA)
    assert info.region == am.Region(10, 100) and info.region.end == 110 and info.payload_size == 100
    assert info.residue == sum(DATA[10:110]) % 96 and info.classes == frozenset() and not info.keyed
    assert shard.root == info.root == P.root
    assert repr(shard) == f"<atlas_manifold.Shard LINEAR 10..110 of {len(DATA)}>"
    assert shard.read(20, 5) == DATA[20:25]
    target = bytearray(5)
    assert shard.read_into(20, target) == 5 and target == DATA[20:25]
    with pytest.raises(am.OutOfRangeError):
        shard.read(0, 5)


def test_data_is_a_view_that_cannot_be_written() -> None:
    shard = P.shard(0, 1 << 20)
    view = shard.data
    assert view.readonly and view.format == "B" and view is shard.data
    with pytest.raises(TypeError):
        view[0] = 1
    array = np.frombuffer(view, np.uint8)
    assert not array.flags.writeable and array.ctypes.data == np.frombuffer(shard.data, np.uint8).ctypes.data


def test_data_outlives_its_shard() -> None:
    views = []
    for offset in range(0, 1 << 20, 4096):
        with P.shard(offset, 4096) as shard:
            views.append(shard.data[1:])
        with pytest.raises(ValueError, match="this Shard is closed"):
            shard.region  # noqa: B018
    gc.collect()
    for index, view in enumerate(views):
        assert view == DATA[index * 4096 + 1 : (index + 1) * 4096]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688 came with Python 3.12")
def test_a_shard_is_a_buffer() -> None:
    shard = P.shard(5, 100)
    assert memoryview(shard) == DATA[5:105]  # type: ignore[arg-type]
    assert memoryview(shard).readonly  # type: ignore[arg-type]
    assert am.project(shard).size == 100  # type: ignore[arg-type]


def test_every_flipped_or_cut_byte_is_refused() -> None:
    blob = P.shard(5000, 100).to_bytes()
    for index in range(len(blob)):
        changed = bytearray(blob)
        changed[index] ^= 0x40
        with pytest.raises((am.FormatError, am.WitnessError, am.UnsupportedError, am.LimitError)):
            am.Shard.from_bytes(changed)
    for size in range(0, len(blob), 97):
        with pytest.raises(am.FormatError):
            am.Shard.from_bytes(blob[:size])


def test_the_root_decides() -> None:
    other = am.project(DATA[:-1]).shard(0, 10)
    am.Shard.from_bytes(other.to_bytes())
    with pytest.raises(am.WitnessError):
        am.Shard.from_bytes(other.to_bytes(), root=P.root)
    with pytest.raises(am.WitnessError):
        other.verify(root=P.root)
    other.verify(root=other.root)
    with pytest.raises(ValueError, match="root has 31 bytes"):
        other.verify(root=bytes(31))


def test_limits() -> None:
    blob = P.shard(0, 100_000).to_bytes()
    with pytest.raises(am.LimitError, match="max_payload_size of 1000"):
        am.Shard.from_bytes(blob, max_payload_size=1000)
    with pytest.raises(am.LimitError):
        am.Shard.from_bytes(blob, max_proof_size=1)


def test_the_error_has_the_numbers() -> None:
    with pytest.raises(am.OutOfRangeError) as error:
        P.shards([(0, 1), (5, 5), (len(DATA), 1)])
    assert error.value.index == 2 and error.value.offset == len(DATA) and error.value.length == 1
    assert error.value.status is am.Status.OUT_OF_RANGE


@pytest.mark.parametrize("strategy", [each for each in am.ParallelStrategy if each.name != "POOL"])
def test_batches_are_their_shards(strategy: am.ParallelStrategy) -> None:
    regions = [(i * 1000, 900) for i in range(100)]
    with P.shards(regions, strategy=strategy) as batch:
        assert len(batch) == 100 and repr(batch) == "<atlas_manifold.ShardBatch of 100 shards>"
        assert [shard.region for shard in batch] == regions
        assert batch[-1].data == DATA[99_000:99_900]
        assert [shard.region for shard in batch[10:12]] == regions[10:12]
        with pytest.raises(IndexError):
            batch[100]
        kept = batch[7]
    assert len(batch) == 0
    gc.collect()
    assert kept.data == DATA[7000:7900]
    with am.Pool(2) as pool:
        batch = P.shards(regions, strategy=am.ParallelStrategy.POOL, operation=am.Operation(pool=pool))
        assert batch[3].data == DATA[3000:3900]
    with pytest.raises(am.InvalidArgumentError):
        P.shards(regions, strategy=am.ParallelStrategy.POOL)


def test_a_batch_of_a_hundred_thousand() -> None:
    regions = np.empty((100_000, 2), np.uint64)
    regions[:, 0] = np.arange(100_000) * 20
    regions[:, 1] = 20
    batch = P.shards(regions)
    assert len(batch) == 100_000
    for index in (0, 1, 52_428, 52_429, 99_999):
        assert batch[index].data == DATA[index * 20 : index * 20 + 20]
    assert len(P.shards([])) == 0


def test_classes_rebuild() -> None:
    p = am.project(DATA, type=am.ProjectionType.R96_FOURIER, r96_data_classes=32)
    assert p.info.r96_data_classes == 32
    batch = p.classes()
    assert len(batch) == 96 and [shard.info.classes for shard in batch] == [frozenset([i]) for i in range(96)]
    chosen = list(batch)[10:96:3]
    r = am.Reconstruction(root=p.root)
    r.add_all(chosen)
    assert not r.is_complete and r.classes_needed == 3 and r.missing == [(0, len(DATA))]
    with pytest.raises(am.IncompleteError, match="missing") as error:
        r.finish()
    assert error.value.ranges == ((0, len(DATA)),)
    r.add_all(batch[:3])
    assert r.is_complete and r.classes_needed == 0 and r.missing == []
    rebuilt = r.finish()
    assert rebuilt.read() == DATA and rebuilt.root == p.root
    with pytest.raises(am.IncompleteError):
        batch[0].read(0, 10)
    one = p.classes([5, 7], (0, 10))
    assert [shard.region for shard in one] == [(0, 1 << 20)] * 2
    with pytest.raises(am.InvalidArgumentError):
        p.classes([5, 5])
    with pytest.raises(am.InvalidArgumentError, match="no classes"):
        P.classes()


def test_reconstruction_in_any_order(tmp_path: Path) -> None:
    regions = [(offset, min(300_000, len(DATA) - offset)) for offset in range(0, len(DATA), 300_000)]
    for order in itertools.islice(itertools.permutations(regions), 3):
        with am.Reconstruction(root=P.root, spool_path=tmp_path / "out") as r:
            assert r.missing == []
            for offset, length in order:
                r.add(P.shard(offset, length))
                r.add(P.shard(offset, length // 2))
            assert r.is_complete
            assert r.finish().root == P.root
            with pytest.raises(am.StateError):
                r.finish()
        assert (tmp_path / "out").read_bytes() == DATA


def test_foreign_shards_change_nothing() -> None:
    r = am.Reconstruction(root=P.root)
    with pytest.raises(am.WitnessError):
        r.add(am.project(b"other").shard(0, 5))
    small = am.Reconstruction(max_domain_size=1000)
    with pytest.raises(am.LimitError):
        small.add(P.shard(0, 10))
    r.add(P.shard(0, 1000))
    with pytest.raises(am.IncompleteError) as error:
        r.finish()
    assert error.value.ranges == (am.Region(4096, len(DATA) - 4096),)


def test_compression() -> None:
    p = am.project(bytes(1000) * 1000 + DATA)
    shard = p.shard(0, 1_000_000)
    for algorithm in am.CompressionAlgorithm:
        compressed = shard.compress(am.Compression(algorithm))
        assert (compressed.info.compressed_size < 100_000) == (algorithm != am.CompressionAlgorithm.NONE)
        assert compressed.info.original_size == 1_000_000
        assert compressed.read(999_990, 10) == bytes(10)
        target = bytearray(b"xxx")
        assert compressed.read_into(5, target) == 3 and target == bytes(3)
        arrived = am.CompressedShard.from_bytes(compressed.serialize())
        assert arrived.decompress(root=p.root).data == shard.data
        assert algorithm.name in repr(arrived) or algorithm is am.CompressionAlgorithm.AUTO
    with pytest.raises(am.WitnessError):
        compressed.decompress(root=bytes(32))
    with pytest.raises(am.FormatError):
        am.CompressedShard.from_bytes(compressed.to_bytes()[:-1])
    with pytest.raises(am.InvalidArgumentError, match="level 10 is outside"):
        shard.compress(am.Compression(level=10))
    assert p.shard(1_000_000, 100_000).compress().info.algorithm is am.CompressionAlgorithm.NONE


def test_compression_of_batches() -> None:
    p = am.project(bytes(1000) * 1000)
    batch = p.shards([(i * 10_000, 10_000) for i in range(100)])
    with am.Compressor(am.Compression(am.CompressionAlgorithm.LZ4)) as compressor:
        compressed = compressor.compress(batch)
        assert len(compressed) == 100
        back = compressor.decompress(compressed, root=p.root)
        assert [shard.region for shard in back] == [shard.region for shard in batch]
        assert len(compressor.compress([batch[3], batch[4]])) == 2
        assert compressor.compress([]) == [] and len(compressor.decompress([])) == 0
        stats = compressor.stats
        assert stats.compression_operations == 102 and stats.decompression_operations == 100
        assert stats.saved_bytes == stats.original_bytes - stats.compressed_bytes > 900_000
        with pytest.raises(am.WitnessError):
            compressor.decompress(compressed, root=bytes(32))
