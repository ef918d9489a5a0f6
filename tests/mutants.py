#!/usr/bin/env python3
"""mutants.py FOLDER [--number N] [--seed N] [--diff FILE] [MODULE...]

Changes one place of the library at a time and runs the Rust tests, which must fail. `cargo mutants` lists the changes
(mutants), N of each module are drawn by the seed, and the rest differs from cargo-mutants: all drawn mutants are
compiled into one build, as copies of their functions, and ATLAS_MUTANT selects one at run time. A build for each would
take twenty times as long. FOLDER holds the build and the result, `mutants.json` and `survivors.txt`.

A module is one of those below, all by default; --diff takes the mutants of the changed lines of a diff instead.
Left out are mutants of constants and of `const fn`, about 3 %, which cannot be selected at run time.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMATS = ("src/shard/format.rs", "src/shard/layout.rs", "src/hash/record.rs", "src/parity/format.rs",
           "src/compression/format.rs", "src/compression/record.rs", "src/compression/coding.rs",
           "src/container/records.rs", "src/container/log.rs")
# The first module whose beginning of a path fits a file has its mutants.
MODULES = {
    "formats": FORMATS,
    "tree": ("src/tile/",),
    "hashes": ("src/hash/", "src/r96/"),
    "container": ("src/container/",),
    "parity": ("src/parity/",),
    "reconstruction": ("src/reconstruction/", "src/shard/"),
}
# Tests that look at the source and not at what it does.
NO_TESTS = ("header", "layers", "planted_race")
# Modules and tests that take most of the time: they come last, the simulations of crashes for mutants of containers alone.
SLOW = ("compression::", "container::")
SLOWEST = ("container::tests::crash", "container::tests::changing")
SIMULATED = "container::"
# Tiles on a device of OpenCL, which this build has not.
LEFT_OUT = re.compile(r"/tests?[/.]|planted|/offload/")
# What a run without a mutant takes is multiplied by this, and a loop without an end is a caught mutant.
PATIENCE = 4
MEMORY = 12 << 30
# Flushes to a disk would take most of the time.
TEMPORARY = "/dev/shm" if os.path.isdir("/dev/shm") else None

SELECTOR = """
/// Whether the environment selects this mutant. Allocates nothing, since tests count allocations.
#[doc(hidden)]
pub fn mutant(number: u32) -> bool {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SELECTED: AtomicU32 = AtomicU32::new(u32::MAX);
    let mut selected = SELECTED.load(Ordering::Relaxed);
    if selected == u32::MAX {
        selected = 0;
        // SAFETY: The name ends in a zero byte. Nothing changes the environment while the tests run.
        let mut text = unsafe { libc::getenv(c"ATLAS_MUTANT".as_ptr()) };
        // SAFETY: The text ends in a zero byte, which is no digit.
        while !text.is_null() && unsafe { *text } != 0 {
            // SAFETY: As above.
            selected = selected * 10 + u32::from(unsafe { *text } as u8 - b'0');
            // SAFETY: The byte was not the last.
            text = unsafe { text.add(1) };
        }
        SELECTED.store(selected, Ordering::Relaxed);
    }
    selected == number
}
"""


def module_of(path):
    for name, beginnings in MODULES.items():
        if path.startswith(beginnings):
            return name
    return None


def listed(diff):
    """The mutants that cargo-mutants would make, outside of tests."""
    command = ["cargo", "mutants", "--list", "--json", "--no-config"]
    if diff:
        command += ["--in-diff", diff]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [mutant for mutant in json.loads(text or "[]")
            if mutant["file"].startswith("src/") and not LEFT_OUT.search(mutant["file"])]


class Lines:
    """Offsets of lines and columns, both counted from 1; a column counts characters."""

    def __init__(self, text):
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def offset(self, place):
        return self.starts[place["line"] - 1] + place["column"] - 1


def body_of(text, begin, end):
    """Where the block of a function lies, from behind its brace on, or None for a `const fn`."""
    at = begin
    while True:  # Comments and attributes before the signature.
        at += len(text[at:end]) - len(text[at:end].lstrip())
        if text.startswith("//", at):
            at = text.index("\n", at)
        elif text.startswith("#[", at):
            depth = 0
            while True:
                depth += {"[": 1, "]": -1}.get(text[at], 0)
                at += 1
                if depth == 0:
                    break
        else:
            break
    brace = text.index("{", at)
    if re.search(r"\bconst\s+(unsafe\s+)?fn\b", text[at:brace]):
        return None
    return brace + 1, end - 1


def drawn(mutants, modules, number, seed):
    """The sample: each module's mutants that can be selected at run time, in the order of the seed."""
    chosen = []
    texts = {}
    for mutant in mutants:
        path = mutant["file"]
        if path not in texts:
            text = (ROOT / path).read_text()
            texts[path] = text, Lines(text)
        text, lines = texts[path]
        mutant["module"] = module_of(path)
        function = mutant["function"]
        if function is None:
            continue
        mutant["extent"] = [lines.offset(function["span"][end]) for end in ("start", "end")]
        mutant["place"] = [lines.offset(mutant["span"][end]) for end in ("start", "end")]
        body = body_of(text, *mutant["extent"])
        if body is not None and body[0] <= mutant["place"][0] and mutant["place"][1] <= body[1]:
            chosen.append(mutant)
    print(f"{len(mutants)} mutants, {len(mutants) - len(chosen)} of constants and const fn left out")
    if number is None:
        return chosen
    sample = []
    for module in modules:
        of_module = sorted((m for m in chosen if m["module"] == module), key=lambda m: m["name"])
        sample += random.Random(f"{seed} {module}").sample(of_module, min(number, len(of_module)))
    return sample


def apply(tree, files, sample):
    """Writes these files with the copies; returns, for each file, the lines of each mutant."""
    places = {}
    for path in files:
        text = (ROOT / path).read_text()
        mutants = [mutant for mutant in sample if mutant["file"] == path]
        # A function inside of another is a part of its copies.
        outermost = []
        for extent in sorted({tuple(mutant["extent"]) for mutant in mutants}):
            if not outermost or extent[0] >= outermost[-1][1]:
                outermost.append(extent)
        parts, copied = [], 0
        for extent in outermost:
            begin, end = body_of(text, *extent)
            parts.append((text[copied:begin], None))
            body = text[begin:end]
            for mutant in mutants:
                if extent[0] <= mutant["place"][0] < extent[1]:
                    first, last = mutant["place"][0] - begin, mutant["place"][1] - begin
                    changed = body[:first] + mutant["replacement"] + body[last:]
                    parts.append((f"\nif crate::mutant({mutant['number']}) {{{changed}}} else ", mutant))
            parts.append((f"{{{body}}}", None))
            copied = end
        parts.append((text[copied:], None))
        line = 1
        places[path] = []
        for part, mutant in parts:
            if mutant is not None:
                places[path].append((line, line + part.count("\n"), mutant))
            line += part.count("\n")
        (tree / path).write_text("".join(part for part, _ in parts))
    return places


def compiled(command, environment, tree):
    """Messages of cargo, and whether the build is there."""
    done = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.returncode == 0, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def blamed(messages, places):
    """The mutants in whose copies the compiler found errors."""
    numbers, others = set(), []
    for message in messages:
        error = message.get("message", {}) if message.get("reason") == "compiler-message" else {}
        if error.get("level") != "error" or not error.get("spans"):
            continue
        found = {mutant["number"] for span in error["spans"] for first, last, mutant in places.get(span["file_name"], ())
                 if first <= span["line_start"] <= last and (span["is_primary"] or first <= span["line_end"] <= last)}
        numbers |= found
        if not found:
            others.append(error["rendered"])
    return numbers, others


def stop(process):
    """Ends the tests, and the children of their own that still run."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass


def run(tree, programs, number, threads, baseline):
    """Runs the stages until one fails. Returns what the mutant came to, and the seconds of each stage."""
    seconds = []
    for index, (name, command) in enumerate(programs):
        limit = 30 + PATIENCE * baseline[index] if baseline else None
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mutant-", dir=TEMPORARY) as folder:
            environment = dict(os.environ, ATLAS_MUTANT=str(number), TMPDIR=folder, RUST_BACKTRACE="0",
                               RUST_TEST_THREADS=str(threads), PROPTEST_CASES="32")
            process = subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
            watch = threading.Timer(limit, stop, [process]) if limit else None
            if watch:
                watch.start()
            failed, last = None, ""
            for last in process.stdout:
                # The first test that fails is enough.
                failed = failed or (found := re.match(r"test (\S+) .*FAILED", last)) and found[1]
                if failed:
                    break
            is_late = bool(watch) and watch.finished.is_set()
            if watch:
                watch.cancel()
            if failed or is_late:
                stop(process)
            status = process.wait()
            stop(process)
        seconds.append(time.monotonic() - start)
        if failed:
            return "caught", failed, seconds
        if is_late:
            return "no end", name, seconds
        if status != 0:
            return "caught", f"{name}: status {status}: {last.strip()[:200]}", seconds
    return "survived", "", seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--number", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--diff")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    arguments = parser.parse_args()
    modules = arguments.modules or list(MODULES)
    for module in modules:
        if module not in MODULES:
            parser.error(f"{module} is none of {', '.join(MODULES)}")
    sample = drawn(listed(arguments.diff), modules, None if arguments.diff else arguments.number, arguments.seed)
    if not sample:
        print("no mutant")
        return 0

    # The tree of the build: tracked files, the changed ones as copies.
    folder = arguments.folder.resolve()
    tree = folder / "source"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(lambda name: name and (ROOT / name).is_file(), files.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    with open(tree / "src/lib.rs", "a") as library:
        library.write(SELECTOR)
    environment = dict(os.environ, CARGO_TARGET_DIR=str(folder / "target"), CARGO_PROFILE_DEV_DEBUG="0",
                       CARGO_PROFILE_DEV_OPT_LEVEL="2",
                       RUSTFLAGS="--cap-lints=warn")
    for number, mutant in enumerate(sample, 1):
        mutant["number"] = number

    viable, unviable = sample, []
    while True:
        places = apply(tree, sorted({mutant["file"] for mutant in sample}), viable)
        checked, messages = compiled(["cargo", "check", "--locked", "--lib", "--message-format=json"], environment, tree)
        if checked:
            break
        numbers, others = blamed(messages, places)
        if not numbers:
            sys.exit("the copies do not compile:\n" + "\n".join(others[:5]))
        unviable += [mutant for mutant in viable if mutant["number"] in numbers]
        viable = [mutant for mutant in viable if mutant["number"] not in numbers]
    print(f"{len(sample)} drawn, {len(unviable)} do not compile, {len(viable)} to be run")

    built, messages = compiled(["cargo", "test", "--locked", "--no-run", "--message-format=json"], environment, tree)
    if not built:
        sys.exit("the tests do not compile")
    library, others = None, []
    for message in messages:
        if message.get("executable") and message["profile"]["test"]:
            if "lib" in message["target"]["kind"] or "rlib" in message["target"]["kind"]:
                library = message["executable"]
            elif message["target"]["name"] not in NO_TESTS:
                others.append((message["target"]["name"], [message["executable"]]))

    def stages(own):
        # Most are caught by the tests beside them, or else by those that are quick.
        def without(*tests):
            return [argument for test in tests for argument in ("--skip", test)]

        slow = [module for module in SLOW if module != own]
        quicker = [(own, [library, own, *without(*SLOWEST)]), ("others", [library, *without(own, *SLOW)]), *sorted(others),
                   ("slow", [library, *slow, *without(*SLOWEST)])]
        return quicker + [("slowest", [library, *SLOWEST])] * (own == SIMULATED)

    owns = sorted({mutant["file"].split("/")[1] + "::" for mutant in viable}, key=lambda own: (own != SIMULATED, own))
    baselines = {}
    for own in owns:
        # The stages after the first differ by one module only.
        outcome, what, seconds = run(tree, stages(own) if own == owns[0] else stages(own)[:1], 0, 2, None)
        if outcome != "survived":
            sys.exit(f"without a mutant {what} fails")
        baselines[own] = seconds + (baselines[owns[0]][1:] if own != owns[0] else [])
        print(own, " ".join(f"{second:.0f}" for second in seconds), "s without a mutant", flush=True)

    lock, begun, log = threading.Lock(), time.monotonic(), open(folder / "mutants.jsonl", "w")

    def judge(mutant, first, last):
        own = mutant["file"].split("/")[1] + "::"
        outcome, by, seconds = run(tree, stages(own)[first:last], mutant["number"], 1, baselines[own][first:last])
        with lock:
            mutant.update(outcome=outcome, by=by, seconds=round(sum(seconds) + mutant.get("seconds", 0), 1))
            if outcome != "survived" or last is None:
                kept = {key: mutant[key] for key in ("module", "name", "outcome", "by", "seconds")}
                print(json.dumps(kept), file=log, flush=True)
            if outcome == "survived":
                print(f"{time.monotonic() - begun:6.0f} s  survived {'all' if last is None else 'so far'}: {mutant['name']}",
                      flush=True)

    # All by the quick tests first, then the survivors by the others, which take most of the time.
    left = random.Random(arguments.seed).sample(viable, len(viable))
    for first, last in ((0, 2), (2, None)):
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(lambda mutant, first=first, last=last: judge(mutant, first, last), left))
        left = [mutant for mutant in left if mutant["outcome"] == "survived"]
    print("module drawn viable caught no-end survived")
    for module in sorted({mutant["module"] or "-" for mutant in sample}):
        of_module = [mutant for mutant in sample if (mutant["module"] or "-") == module]
        counts = [sum(mutant.get("outcome") == outcome for mutant in of_module)
                  for outcome in ("caught", "no end", "survived")]
        print(module, len(of_module), sum(counts), *counts, f"{100 - 100 * counts[2] / max(1, sum(counts)):.0f} %")
    survivors = [mutant for mutant in viable if mutant["outcome"] == "survived"]
    (folder / "survivors.txt").write_text("".join(mutant["diff"] + "\n" for mutant in survivors))
    share = 1 - len(survivors) / len(viable)
    print(f"{len(viable)} viable, {len(survivors)} survived, {100 * share:.1f} % caught; "
          f"{time.monotonic() - begun:.0f} s, see {folder}/survivors.txt")
    return 0 if share >= 0.85 else 1


if __name__ == "__main__":
    sys.exit(main())
