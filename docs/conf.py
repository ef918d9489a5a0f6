"""Sphinx for the reference site: pages in Markdown, the Python package by autodoc. `make docs` runs it after Doxygen."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "atlas_manifold"
release = re.search(r'^version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
version = release
author = "the contributors of atlas_manifold"
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Links to files outside of this folder are for readers of the source: they stay texts here.
suppress_warnings = ["myst.xref_missing"]
exclude_patterns = ["site"]
source_suffix = {".md": "markdown"}
highlight_language = "none"
default_role = "code"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "inherited-members": "Exception,OSError,tuple,int,IntEnum,IntFlag,Sequence"}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"atlas_manifold {release}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_extra_path = [str(ROOT / "build" / "docs" / "extra")]
html_theme_options = {"navigation_with_keys": True}


def setup(app: object) -> None:
    """Objects say the package as their module; the comments on their fields are in the module that has the source."""
    import atlas_manifold

    for name, module in list(sys.modules.items()):
        if name.startswith("atlas_manifold._") and name.count(".") == 1:
            for thing in vars(module).values():
                if getattr(thing, "__module__", None) == "atlas_manifold" and hasattr(thing, "__qualname__"):
                    source = getattr(sys.modules.get(name), "__file__", "")
                    text = Path(source).read_text()
                    if re.search(rf"^(class|def) {thing.__name__}\b", text, re.M):
                        thing.__module__ = name
    del atlas_manifold
