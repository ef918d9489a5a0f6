"""The type hints: complete, strict, and without Any."""

from __future__ import annotations

import collections.abc
import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import atlas_manifold as am
import pytest

PYTHON = Path(__file__).resolve().parents[1]

USER = """
import atlas_manifold as am
import io
from pathlib import Path

p: am.Projection = am.project("big.bin", operation=am.Operation(progress=lambda now: now.bytes_done < 100))
am.project(Path("a")), am.project(b""), am.project(bytearray()), am.project(memoryview(b"")), am.project(io.BytesIO())
with open("a", "rb") as file:
    am.project(file)
text: str = p.root.hex()
view: memoryview = p.shard(1, 2).data
with p.shards([(0, 1), am.Region(5, 7)]) as batch:
    lengths: list[int] = [shard.region.length for shard in batch]
chunks: list[bytes] = [bytes(chunk.data) for chunk in am.Stream(b"")]
reveal_type(am.Container.open("x").snapshot())
am.project(5)
p.shard("a", 2)
"""


def test_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=PYTHON, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "user.py").write_text(USER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(tmp_path / "user.py")],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(PYTHON / "src")},
    )  # fmt: skip
    assert done.stdout, done.stderr
    lines = [line.partition("user.py:")[2] for line in done.stdout.splitlines()[:-1]]
    assert [line.split(":")[1].strip() for line in lines] == ["note", "error", "error"], done.stdout
    assert 'Revealed type is "atlas_manifold._projection.Projection"' in lines[0]


def public() -> collections.abc.Iterator[tuple[str, typing.Any]]:
    """Each public class, and each public function and method, with its name."""
    for name in am.__all__:
        thing = getattr(am, name)
        yield name, thing
        for member_name, member in vars(thing).items() if inspect.isclass(thing) else ():
            if member_name.startswith("_") and member_name not in ("__init__", "__getitem__", "__iter__"):
                continue
            if isinstance(member, property):
                member = member.fget
            function = inspect.unwrap(getattr(member, "__func__", member))
            if inspect.isfunction(function) and not function.__module__.startswith(("enum", "collections", "namedtuple")):
                yield f"{name}.{member_name}", function


def test_no_any_in_a_public_signature() -> None:
    for name, function in public():
        if inspect.isclass(function) or not callable(function):
            continue
        hints = function.__annotations__
        expected = set(inspect.signature(function).parameters) - {"self", "cls"}
        assert expected | {"return"} <= set(hints), name
        assert "Any" not in " ".join(map(str, hints.values())).replace("AnySource", "").replace("AnyRegion", ""), name


def test_annotations_are_resolved_by_their_public_names() -> None:
    assert typing.get_type_hints(am.Generation)["time_ns"] == typing.Optional[int]
    assert typing.get_type_hints(am.Shard.compress)["return"] is am.CompressedShard
    for _, thing in public():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            typing.get_type_hints(thing)


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(typing.cast(str, am.__file__)).parent / "py.typed").exists()
