#!/usr/bin/env python3
"""Writes src/atlas_manifold/_abi.py from include/atlas_manifold.h.

    python generate.py           renews the file
    python generate.py --check   compares it, and changes nothing: status 1 if it is stale

The header is cbindgen's, so a few regular expressions are a parser for all of it. What they do not understand is an
error: nothing is left out in silence.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = HERE.parent / "include" / "atlas_manifold.h"
OUTPUT = HERE / "src" / "atlas_manifold" / "_abi.py"

# ctypes type, and the type that a type checker sees.
SCALARS = {
    "uint8_t": ("ctypes.c_uint8", "int"),
    "uint32_t": ("ctypes.c_uint32", "int"),
    "int32_t": ("ctypes.c_int32", "int"),
    "int": ("ctypes.c_int", "int"),
    "uint64_t": ("ctypes.c_uint64", "int"),
    "int64_t": ("ctypes.c_int64", "int"),
    "size_t": ("ctypes.c_size_t", "int"),
    "double": ("ctypes.c_double", "float"),
    "bool": ("ctypes.c_bool", "bool"),
    "char": ("ctypes.c_char", "bytes"),
}


class Header:
    """The declarations of a header, in its order."""

    def __init__(self, text: str) -> None:
        self.constants: list[tuple[str, int, str]] = []
        self.enums: dict[str, list[tuple[str, int, str]]] = {}
        self.enum_docs: dict[str, str] = {}
        self.opaque: list[str] = []
        self.structs: dict[str, list[tuple[str, str]]] = {}
        self.callbacks: dict[str, tuple[str, list[tuple[str, str]]]] = {}
        self.functions: dict[str, tuple[str, list[tuple[str, str]]]] = {}
        self._parse(text)

    def _parse(self, text: str) -> None:
        documented = r"(?:/\*\*(?P<doc>(?:(?!\*/).)*)\*/\s*)?"
        for match in re.finditer(documented + r"#define (?P<name>ATLAS_\w+) (?P<value>\d+)\n", text, re.S):
            self.constants.append((match["name"], int(match["value"]), sentence(match["doc"])))
        for match in re.finditer(documented + r"typedef enum (?P<name>\w+) \{(?P<body>.*?)\} (?P=name);", text, re.S):
            values = [
                (item["name"], int(item["value"]), sentence(item["doc"]))
                for item in re.finditer(documented + r"(?P<name>ATLAS_\w+) = (?P<value>-?\d+),", match["body"], re.S)
            ]
            self.enums[match["name"]] = values
            self.enum_docs[match["name"]] = sentence(match["doc"])
        code = re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
        code = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*$", "", code, flags=re.M)
        code = code.replace('extern "C" {', "").replace("ATLAS_API", "")
        code = re.sub(r"typedef enum \w+ \{.*?\} \w+;", "", code, flags=re.S)
        for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \w+;", code, re.S):
            self.structs[name] = [declaration(part) for part in body.split(";") if part.strip()]
        code = re.sub(r"typedef struct \w+ \{.*?\} \w+;", "", code, flags=re.S)
        for statement in code.replace("}", "").split(";"):
            self._statement(" ".join(statement.split()))

    def _statement(self, statement: str) -> None:
        if not statement:
            return
        if match := re.fullmatch(r"typedef struct (\w+) \1", statement):
            self.opaque.append(match[1])
        elif match := re.fullmatch(r"typedef (.+?)\(\*(\w+)\)\((.*)\)", statement):
            self.callbacks[match[2]] = (match[1].strip(), parameters(match[3]))
        elif match := re.fullmatch(r"(.+?)\b(atlas_\w+)\((.*)\)", statement):
            self.functions[match[2]] = (match[1].strip(), parameters(match[3]))
        else:
            raise SystemExit(f"generate.py does not understand {statement!r} in {HEADER.name}")


def sentence(comment: str | None) -> str:
    """The text of a comment on one line."""
    return " ".join(re.sub(r"^\s*\*", "", comment or "", flags=re.M).split())


def declaration(text: str) -> tuple[str, str]:
    """`const struct x *name[4]` as ("const struct x *[4]", "name")."""
    match = re.fullmatch(r"(.*?[\s*])(\w+)(\[\d+\])?", " ".join(text.split()))
    if match is None:
        raise SystemExit(f"generate.py does not understand the declaration {text!r}")
    return match[1].strip() + (match[3] or ""), match[2]


def parameters(text: str) -> list[tuple[str, str]]:
    return [] if text.strip() in ("", "void") else [declaration(part) for part in text.split(",")]


def python_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.removeprefix("atlas_").split("_"))


class Writer:
    def __init__(self, header: Header) -> None:
        self.header = header

    def ctype(self, c: str, *, field: bool = False) -> tuple[str, str]:
        """The ctypes type of a C type, and its annotation."""
        plain = c.replace("enum ", "").replace("struct ", "").strip()
        if array := re.fullmatch(r"(\w+)\[(\d+)\]", plain):
            inner, _ = SCALARS[array[1]]
            # An array of characters is read as bytes, without the zeros at its end.
            if array[1] == "char" and field:
                return (f"{inner} * {array[2]}", "bytes")
            # An array as a parameter is a pointer.
            return (f"{inner} * {array[2]}", f"ctypes.Array[{inner}]") if field else ("ctypes.c_void_p", "object")
        if plain == "const char *":
            return ("ctypes.c_char_p", "bytes | None")
        # A field takes bytes and addresses alike, and is never read.
        if plain == "const void *" and field:
            return ("ctypes.c_char_p", "bytes | int | None")
        if plain.endswith("*") or plain in self.header.callbacks:
            return ("ctypes.c_void_p", "int | None" if field else "object")
        if plain in self.header.enums:
            return ("ctypes.c_int", "int")
        if plain in self.header.structs and field:
            return (python_name(plain), python_name(plain))
        if plain == "void":
            return ("None", "None")
        return SCALARS[plain]

    def text(self) -> str:
        header = self.header
        lines = [
            '"""Values, layouts and prototypes of the C API. Written by generate.py from include/atlas_manifold.h."""',
            "",
            "from __future__ import annotations",
            "",
            "import ctypes",
            "import enum",
            "from collections.abc import Callable",
            "",
            f"VERSION = {self.version()!r}",
            f"ABI = {'.'.join(self.version().split('.')[: 2 if self.version().startswith('0.') else 1])!r}",
        ]
        for name, value, doc in header.constants:
            if not name.startswith(("ATLAS_MANIFOLD_VERSION", "ATLAS_FEATURE_")):
                lines += [f"{name.removeprefix('ATLAS_')} = {value}", f'"""{doc}"""']
        lines += ["", "", "class Feature(enum.IntFlag):", '    """Features that are built in."""', ""]
        for name, value, doc in header.constants:
            if name.startswith("ATLAS_FEATURE_"):
                lines += [f"    {name.removeprefix('ATLAS_FEATURE_')} = {value}", f'    """{doc}"""']
        for name, values in header.enums.items():
            prefix = re.sub(r"[^_]*$", "", os.path.commonprefix([value for value, _, _ in values]))
            lines += ["", "", f"class {python_name(name)}(enum.IntEnum):", f'    """{header.enum_docs[name]}"""', ""]
            for value, number, doc in values:
                lines += [f"    {value.removeprefix(prefix)} = {number}"]
                lines += wrapped(f'"""{self.pythonic(doc)}"""')
        for name, fields in self.ordered_structs():
            lines += ["", "", f"class {python_name(name)}(ctypes.Structure):"]
            for c, field in fields:
                lines.append(f"    {field}: {self.ctype(c, field=True)[1]}")
            lines += ["", "    _fields_ = ["]
            lines += [f'        ("{field}", {self.ctype(c, field=True)[0]}),' for c, field in fields]
            lines.append("    ]")
        lines += ["", "", "# What the library calls: a progress, a damage, the end of a source, a read.", ""]
        for name, (result, arguments) in header.callbacks.items():
            types = ", ".join([self.ctype(result)[0], *(self.ctype(c)[0] for c, _ in arguments)])
            lines.append(f"{python_name(name)} = ctypes.CFUNCTYPE({types})")
        lines += ["", "", "class Functions:", '    """The functions of the library, as attributes."""', ""]
        for name, (result, arguments) in header.functions.items():
            types = ", ".join(self.ctype(c)[1] for c, _ in arguments)
            returned = self.ctype(result)[1]
            lines.append(f"    {name}: Callable[[{types}], {'bytes' if returned == 'bytes | None' else returned}]")
        lines += ["", "", "# Result and parameters of each function.", "PROTOTYPES = {"]
        for name, (result, arguments) in header.functions.items():
            types = ", ".join(self.ctype(c)[0] for c, _ in arguments)
            lines.append(f'    "{name}": ({self.ctype(result)[0]}, ({types}{"," if arguments else ""})),')
        lines += ["}", ""]
        return "\n".join(lines)

    def version(self) -> str:
        found = re.search(r'#define ATLAS_MANIFOLD_VERSION_STRING "([\d.]+)"', HEADER.read_text(encoding="utf-8"))
        assert found is not None
        return found[1]

    def pythonic(self, doc: str) -> str:
        return doc.replace("\\", "\\\\")

    def ordered_structs(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Structs after those that they contain."""
        done: list[tuple[str, list[tuple[str, str]]]] = []
        left = dict(self.header.structs)
        while left:
            for name, fields in list(left.items()):
                inner = {c.replace("struct ", "").strip() for c, _ in fields}
                if not inner & left.keys():
                    done.append((name, left.pop(name)))
        return done


def wrapped(text: str) -> list[str]:
    """A docstring of at most 118 columns."""
    lines, line = [], "   "
    for word in text.split():
        if len(line) + 1 + len(word) > 118:
            lines.append(line)
            line = "   "
        line += " " + word
    return [*lines, line]


def main() -> int:
    text = Writer(Header(HEADER.read_text(encoding="utf-8"))).text()
    if sys.argv[1:] == ["--check"]:
        if OUTPUT.read_text(encoding="utf-8") == text:
            return 0
        print(f"{OUTPUT.name} is not what {HEADER.name} asks for: run python/generate.py", file=sys.stderr)
        return 1
    OUTPUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
