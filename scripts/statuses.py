#!/usr/bin/env python3
"""Which status of which C function some test has produced.

  statuses.py shim HEADER              prints C for a library to preload, which writes each new pair of function and status
                                       to the file that ATLAS_STATUSES names
  statuses.py report HEADER FILE       compares these pairs with the statuses that the header's comments name
"""

import re
import sys

STATUSES = ("OK INVALID_ARGUMENT OUT_OF_MEMORY OUT_OF_RANGE IO CONSERVATION WITNESS FORMAT UNSUPPORTED STATE INCOMPLETE "
            "CONFLICT CANCELLED LIMIT INTERNAL").split()
# These come of builds without a feature, which tests/features.sh makes, and of defects.
OTHER_BUILDS = ("UNSUPPORTED", "INTERNAL")

SHIM = """#define _GNU_SOURCE 1
#include "atlas_manifold.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The calls of the system are none of the program's functions, which it may count or let fail. */
static enum atlas_status told(const char *name, unsigned *seen, enum atlas_status status)
{
    const unsigned bit = 1u << (unsigned)status;
    if ((__atomic_fetch_or(seen, bit, __ATOMIC_RELAXED) & bit) == 0) {
        const char *path = getenv("ATLAS_STATUSES");
        char line[96];
        const int length = snprintf(line, sizeof line, "%s %d\\n", name, (int)status);
        const long file = path == NULL ? -1 : syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (file >= 0) {
            (void)syscall(SYS_write, file, line, (size_t)length);
            (void)syscall(SYS_close, file);
        }
    }
    return status;
}
"""


def functions(header):
    """The functions that return a status: comment, name and parameters of each."""
    pattern = r"/\*\*((?:(?!\*/).)*?)\*/\s*ATLAS_API\s+enum atlas_status\s+(\w+)\(([^;]*)\);"
    for comment, name, parameters in re.findall(pattern, header, re.S):
        yield re.sub(r"\s*\n \*\s*", " ", comment), name, " ".join(parameters.split())


def documented(comments, name):
    """The statuses that the comment of a function names from "Fails" on, and those of the function that it fails like:
    before, it may tell of other calls with the result."""
    comment = comments[name]
    comment = comment[max(comment.find("Fails"), 0):]
    others = re.findall(r"Fails as (atlas_\w+)\(\) does", comment)
    return set().union(*(documented(comments, other) for other in others)) | {status for status in STATUSES[1:]
            if re.search(rf"(?<![A-Z_])(ATLAS_STATUS_)?{status}(?![A-Z_])", comment)}


def shim(header):
    print(SHIM)
    for _, name, parameters in functions(header):
        names = ", ".join(re.sub(r"\[\d+\]$", "", parameter).split()[-1].lstrip("*") for parameter in parameters.split(","))
        print(f"enum atlas_status {name}({parameters})\n{{\n    static unsigned seen;\n"
              f"    static enum atlas_status (*behind)({parameters});\n"
              f"    if (behind == NULL) {{\n        *(void **)(void *)&behind = dlsym(RTLD_NEXT, \"{name}\");\n    }}\n"
              f"    return told(\"{name}\", &seen, behind({names}));\n}}\n")


def report(header, path):
    seen = {}
    for line in open(path, encoding="ascii"):
        name, status = line.split()
        seen.setdefault(name, set()).add(STATUSES[int(status)])
    pairs = produced = 0
    comments = {name: comment for comment, name, _ in functions(header)}
    for name in comments:
        named, found = documented(comments, name), seen.get(name, set())
        expected = {"OK"} | {status for status in named if status not in OTHER_BUILDS or status in found}
        pairs += len(expected)
        produced += len(expected & found)
        missing = [status for status in STATUSES if status in expected - found]
        unnamed = [status for status in STATUSES[1:] if status in found - named - {"INTERNAL"}]
        if missing or unnamed:
            print(name + (f"  not produced: {' '.join(missing)}" if missing else "")
                  + (f"  not named: {' '.join(unnamed)}" if unnamed else ""))
    print(f"{produced} of {pairs} pairs of a function and a status that the header names were produced")
    return 0 if produced == pairs else 1


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "shim":
        shim(open(sys.argv[2], encoding="utf-8").read())
        return 0
    if len(sys.argv) == 4 and sys.argv[1] == "report":
        return report(open(sys.argv[2], encoding="utf-8").read(), sys.argv[3])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
