"""Streams: the root of the whole, chunks without a copy, and no view of memory that is gone."""

from __future__ import annotations

import io
import os
from pathlib import Path

import atlas_manifold as am
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = os.urandom(1_000_000)
SMALL = am.StreamConfig(chunk_size=65536, chunk_overlap=100)


def test_chunks_are_the_bytes() -> None:
    with am.Stream(io.BytesIO(DATA), config=SMALL) as stream:
        assert not stream.is_complete
        joined = b""
        for number, chunk in enumerate(stream):
            assert chunk.id == number and chunk.offset == len(joined)
            joined += chunk.data
            assert chunk.overlap == DATA[len(joined) : len(joined) + 100]
            assert chunk.residue == sum(chunk.data) % 96
            assert chunk.data.readonly
        assert joined == DATA
        assert stream.is_complete and stream.progress.bytes_done == stream.progress.bytes_total == len(DATA)
        assert stream.finish().root == am.project(DATA).root
        with pytest.raises(am.StateError):
            stream.finish()


@pytest.mark.parametrize(
    "keep", [lambda chunk: chunk.data[:10], lambda chunk: np.frombuffer(chunk.data, np.uint8), lambda c: c.overlap[1:]]
)
def test_a_view_that_is_kept_is_an_error_and_never_other_bytes(keep: object) -> None:
    stream = am.Stream(DATA, config=SMALL)
    chunk = next(stream)
    kept = keep(chunk)  # type: ignore[operator]
    before = bytes(kept)
    with pytest.raises(BufferError, match="still in use"):
        next(stream)
    assert bytes(kept) == before
    del kept
    assert next(stream).id == 1
    with pytest.raises(ValueError, match="released"):
        chunk.data[0]


def test_a_closed_stream_leaves_its_last_chunk() -> None:
    with am.Stream(DATA, config=SMALL) as stream:
        chunk = next(stream)
    assert chunk.data == DATA[:65536]


def test_finish_reads_the_rest() -> None:
    stream = am.Stream(DATA, config=SMALL, type=am.ProjectionType.R96_FOURIER, r96_data_classes=50)
    next(stream)
    assert stream.finish().root == am.project(DATA, type=am.ProjectionType.R96_FOURIER, r96_data_classes=50).root


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 200_000), max_size=8))
def test_pushed_pieces_of_any_size(sizes: list[int]) -> None:
    data, at = DATA, 0
    with am.PushStream(config=SMALL) as stream:
        for size in sizes:
            stream.push(memoryview(data)[at : at + size])
            at = min(len(data), at + size)
        assert stream.finish().root == am.project(data[:at]).root


def test_pushed_to_a_file(tmp_path: Path) -> None:
    with am.PushStream(tmp_path / "spool") as stream:
        stream.push(DATA)
        assert not (tmp_path / "spool").exists()
        stream.finish()
    assert (tmp_path / "spool").read_bytes() == DATA
    with am.PushStream(tmp_path / "other") as stream:
        stream.push(DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_in_one_call(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    seen = []
    operation = am.Operation(progress=lambda now: seen.append(now.bytes_done))
    p = am.stream_project(tmp_path / "data", config=SMALL, operation=operation)
    assert p.root == am.project(DATA).root and seen[-1] == len(DATA) and len(seen) >= len(DATA) // 65536
    with pytest.raises(am.InvalidArgumentError, match="chunk_size 5 is outside"):
        am.stream_project(DATA, config=am.StreamConfig(chunk_size=5))
