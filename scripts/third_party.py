#!/usr/bin/env python3
"""What of others is inside the libraries and the command line.

third_party.py notices          writes LICENSE-THIRD-PARTY anew: the licences of all of it, each text once
third_party.py check            fails if LICENSE-THIRD-PARTY is not what `notices` writes
third_party.py sbom FILE        writes a bill of materials, CycloneDX 1.5 in JSON; its time is SOURCE_DATE_EPOCH

The packages are those that cargo links for Linux on x86-64 with default features, as Cargo.lock pins them. What builds
or tests them is not inside. The notices also have those of the feature opencl, which a build can have. Needs their
sources, which any build or `cargo fetch` brings.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
OURS = ("atlas_manifold", "atlasm")
# Code in other languages that a package carries and compiles, beside its own.
CARRIED = {"zstd-sys": ("zstd", "BSD-3-Clause", "zstd/LICENSE")}


def metadata(features):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET, *features]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def inside(*features):
    """The packages by id, and which of them each links, ours included."""
    data = metadata(features)
    packages = {package["id"]: package for package in data["packages"]}
    links = {
        node["id"]: sorted(
            dependency["pkg"]
            for dependency in node["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        )
        for node in data["resolve"]["nodes"]
    }
    waiting = [name for name in packages if packages[name]["name"] in OURS]
    found = {}
    while waiting:
        at = waiting.pop()
        if at not in found:
            # A macro runs in the compiler, and so do its dependencies.
            links[at] = [link for link in links[at] if not is_macro(packages[link])]
            found[at] = packages[at]
            waiting.extend(links[at])
    return found, {name: links[name] for name in found}


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])


def expression(package):
    """The licence in SPDX, in which a slash is the older spelling of OR."""
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")


def texts(package):
    """The licence files of a package that count: that of MIT if it may be chosen, else all there are."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(
        path for path in folder.iterdir()
        if path.is_file() and re.match(r"(licen[cs]e|copying|notice|unlicense)", path.name, re.IGNORECASE)
    )
    mit = [path for path in files if re.search(r"mit", path.name, re.IGNORECASE)]
    if mit and "MIT" in expression(package).split(" "):
        files = mit
    found = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    if package["name"] in CARRIED:
        found.append((folder / CARRIED[package["name"]][2]).read_text(encoding="utf-8"))
    return ["\n".join(line.rstrip() for line in text.strip().splitlines()) for text in found]


def notices():
    packages, _ = inside("--features", "opencl")
    by_text, silent = {}, []
    for package in sorted(packages.values(), key=lambda package: (package["name"], package["version"])):
        if package["name"] in OURS:
            continue
        title = f"{package['name']} {package['version']}, {expression(package)}"
        found = texts(package)
        if not found:
            silent.append(title)
        for text in found:
            by_text.setdefault(text, []).append(title)
    rule = "=" * 80
    lines = [
        "Licences of what the libraries and atlasm contain of others, as `scripts/third_party.py notices` finds it.",
        "Each text stands once, below the packages that came with it. Those of Rust's standard library, which is inside",
        "too, are MIT OR Apache-2.0, as is atlas_manifold; the Apache License is in LICENSE-APACHE.",
        "",
    ]
    if silent:
        lines += ["Without a text of their own:", *(f"    {title}" for title in silent), ""]
    for text, titles in by_text.items():
        lines += [rule, *titles, rule, "", text, ""]
    return "\n".join(lines)


def licences_of(text):
    # A name alone is an id, more is an expression.
    return [{"license": {"id": text}}] if re.fullmatch(r"[A-Za-z0-9.\-]+", text) else [{"expression": text}]


def sbom():
    packages, links = inside()
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    sums = {
        (name, version): digest
        for name, version, digest in re.findall(
            r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]{64})"', lock)
    }

    def reference(package):
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package):
        made = {
            "type": "application" if package["name"] == "atlasm" else "library",
            "bom-ref": reference(package),
            "name": package["name"],
            "version": package["version"],
            "licenses": licences_of(expression(package)),
            "purl": reference(package),
        }
        digest = sums.get((package["name"], package["version"]))
        if digest:
            made["hashes"] = [{"alg": "SHA-256", "content": digest}]
        if package["name"] in CARRIED:
            name, licence, _ = CARRIED[package["name"]]
            version = package["version"].rsplit("+zstd.", 1)[-1]
            made["components"] = [{
                "type": "library", "bom-ref": f"pkg:generic/{name}@{version}", "name": name, "version": version,
                "licenses": licences_of(licence), "purl": f"pkg:generic/{name}@{version}",
            }]
        return made

    ordered = sorted(packages.values(), key=lambda package: (package["name"], package["version"]))
    ours = next(package for package in ordered if package["name"] == "atlas_manifold")
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    rust = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    standard = {
        "type": "library", "bom-ref": f"pkg:generic/rust-std@{rust}", "name": "rust-std", "version": rust,
        "licenses": licences_of("MIT OR Apache-2.0"), "purl": f"pkg:generic/rust-std@{rust}",
    }
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": component(ours)},
        "components": [component(package) for package in ordered if package is not ours] + [standard],
        "dependencies": [
            {"ref": reference(package), "dependsOn": [reference(packages[link]) for link in links[package["id"]]]}
            for package in ordered
        ],
    }
    # The same for the same content.
    digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).digest()
    bom["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    return json.dumps(bom, indent=2) + "\n"


def main():
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    file = ROOT / "LICENSE-THIRD-PARTY"
    if action == "notices":
        file.write_text(notices(), encoding="utf-8")
    elif action == "check":
        if file.read_text(encoding="utf-8") != notices():
            sys.exit("LICENSE-THIRD-PARTY is stale: `scripts/third_party.py notices` writes it anew")
    elif action == "sbom" and len(sys.argv) == 3:
        Path(sys.argv[2]).write_text(sbom(), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
