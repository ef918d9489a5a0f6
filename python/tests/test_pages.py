"""The pages in docs/ are all in its index. Their Python examples and those of the READMEs print the outputs shown."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page for page in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"] if "```python\n>>> " in page.read_text(encoding="utf-8")
)


def test_there_are_pages() -> None:
    assert {"python.md", "download.md", "archive.md", "edit.md", "stream.md"} <= {page.name for page in PAGES}


def test_the_index_has_every_page() -> None:
    folder = ROOT / "docs"
    tables = re.findall(r"^```\{toctree\}\n(.*?)^```$", (folder / "index.md").read_text(encoding="utf-8"), re.S | re.M)
    listed = {line for table in tables for line in table.splitlines() if not line.startswith(":")}
    pages = {page.relative_to(folder).with_suffix("").as_posix() for page in folder.glob("**/*.md")}
    assert pages - listed == {"index"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page(page: Path) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(re.findall(r"^```python\n(>>> .*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)):
        example = doctest.DocTestParser().get_doctest(block, names, f"{page.name} {number}", str(page), 0)
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        assert runner.run(example, clear_globs=False).failed == 0
        names = example.globs
