"""`python -m atlas_manifold ...` runs the command line, atlasm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def packaged() -> Path:
    """Where a wheel has the program."""
    return Path(__file__).resolve().parent / "bin" / ("atlasm.exe" if os.name == "nt" else "atlasm")


def main() -> int:
    named = os.environ.get("ATLAS_MANIFOLD_COMMAND")
    program = named or (str(packaged()) if packaged().exists() else shutil.which("atlasm"))
    if program is None:
        print("atlasm is neither in this package nor on the PATH", file=sys.stderr)
        return 127
    if os.name == "posix":
        # The program takes the place of Python: signals and the exit status are its own.
        os.execv(program, ["atlasm", *sys.argv[1:]])
    return subprocess.call([program, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
