"""The generated file is fresh, and C agrees with its layouts."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from atlas_manifold import _abi

PYTHON = Path(__file__).resolve().parents[1]
HEADER = PYTHON.parent / "include" / "atlas_manifold.h"


def test_generated_file_is_fresh() -> None:
    subprocess.run([sys.executable, str(PYTHON / "generate.py"), "--check"], check=True)


def test_every_name_of_the_header_is_there() -> None:
    # Counted by a plainer look at the header than that of generate.py.
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.S)
    functions = set(re.findall(r"\b(atlas_\w+)\(", text))
    callbacks = set(re.findall(r"\(\*(atlas_\w+)\)", text))
    assert set(_abi.PROTOTYPES) == functions - callbacks


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_layouts_are_those_of_the_c_compiler(tmp_path: Path) -> None:
    structs = {
        match: getattr(_abi, "".join(part.capitalize() for part in match.removeprefix("atlas_").split("_")))
        for match in re.findall(r"typedef struct (\w+) \{", HEADER.read_text(encoding="utf-8"))
    }
    assert len(structs) > 25
    lines = ['#include "atlas_manifold.h"', "#include <stdio.h>", "#include <stddef.h>", "int main(void) {"]
    for name, struct in structs.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in struct._fields_:
            lines.append(
                f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
            )
    lines += ["return 0; }"]
    (tmp_path / "layout.c").write_text("\n".join(lines))
    program = tmp_path / "layout"
    subprocess.run(["cc", f"-I{HEADER.parent}", str(tmp_path / "layout.c"), "-o", str(program)], check=True)
    said = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    expected = []
    for name, struct in structs.items():
        expected.append(f"{name} {ctypes.sizeof(struct)}")
        for field, *_ in struct._fields_:
            descriptor = getattr(struct, field)
            expected.append(f"{name}.{field} {descriptor.offset} {descriptor.size}")
    assert said == expected
