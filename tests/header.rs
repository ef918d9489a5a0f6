//! The committed header: fresh, in the order of a reader, with examples that compile, and with the
//! statuses of every call.

const COMMITTED: &str = include_str!("../include/atlas_manifold.h");

#[cfg(feature = "cbindgen")]
#[test]
fn the_committed_header_is_what_the_source_gives() {
    const RENDERED: &str = include_str!(concat!(env!("OUT_DIR"), "/atlas_manifold.h"));
    assert!(COMMITTED == RENDERED, "include/atlas_manifold.h is stale: `make generate` renews it");
}

/// The macros are rendered with the header, and the version is written in Cargo.toml.
#[test]
fn the_committed_header_has_the_version_of_the_package() {
    let version = format!("#define ATLAS_MANIFOLD_VERSION_STRING \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(
        COMMITTED.contains(&version),
        "include/atlas_manifold.h is of another version: `make generate` renews it"
    );
}

/// Title and text of the comments that open the parts of the header.
fn openings() -> Vec<(&'static str, &'static str)> {
    let rule = format!("/* {}\n * ", "-".repeat(95));
    COMMITTED
        .split(&rule)
        .skip(1)
        .map(|part| {
            let comment = part.split(" */\n").next().expect("a comment ends");
            (comment.lines().next().expect("a comment has a title"), comment)
        })
        .collect()
}

/// Lines of the example in an opening, which are indented further than its text.
fn example(opening: &str) -> String {
    let lines = opening.lines().filter_map(|line| line.strip_prefix(" *   "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_parts_of_the_header_come_in_the_order_of_a_reader() {
    let titles: Vec<_> =
        openings().iter().map(|(title, _)| title.split([',', ':']).next().unwrap()).collect();
    let expected = [
        "Version",
        "Operations",
        "Sources",
        "Projections",
        "Shards",
        "Reconstruction",
        "Streaming",
        "Incremental updates",
        "Compression",
        "Damage reports",
        "Containers",
        "Outlines",
        "Parity files",
        "Accelerators",
        "Benchmark",
    ];
    assert_eq!(titles, expected);
}

/// Compiles every example as strict C11 against the committed header, with warnings as errors.
#[cfg(unix)]
#[test]
fn the_examples_of_the_header_compile() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = "#include <atlas_manifold.h>\n#include <stdio.h>\n".to_owned();
    for (title, opening) in openings() {
        let example = example(opening);
        let lines = example.lines().count();
        assert!((8..=17).contains(&lines), "{title}: the example has {lines} lines");
        program += &example;
    }
    let path = folder.path().join("examples.c");
    std::fs::write(&path, program).unwrap();
    let compiled = std::process::Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-Wno-unused-function",
            "-fsyntax-only",
        ])
        .arg(concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include"))
        .arg(&path)
        .output()
        .expect("a C compiler runs");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

/// Name, parameters and comment of each function that returns a status.
fn functions() -> Vec<(&'static str, &'static str, String)> {
    let mut found = Vec::new();
    for (start, _) in COMMITTED.match_indices("\nATLAS_API") {
        let declaration = &COMMITTED[start + 1..];
        let declaration = &declaration[..declaration.find(';').expect("a declaration ends")];
        let Some(declaration) = declaration.split_once("atlas_status ").map(|(_, rest)| rest) else {
            continue;
        };
        let (name, parameters) = declaration.split_once('(').expect("a function has parameters");
        let comment = &COMMITTED[COMMITTED[..start].rfind("/**").expect("a function has a comment")..start];
        let words = comment.lines().map(|line| line.trim_start_matches([' ', '*', '/'])).collect::<Vec<_>>();
        found.push((name, parameters, words.join(" ")));
    }
    found
}

/// Statuses that a call never has although it takes an operation, because it reports no progress or counts no memory.
const NEVER: [(&str, &str); 4] = [
    ("atlas_container_create", "CANCELLED"),
    ("atlas_container_create", "LIMIT"),
    ("atlas_container_refresh", "CANCELLED"),
    ("atlas_parity_open", "LIMIT"),
];

#[test]
fn every_call_says_how_it_fails() {
    let functions = functions();
    assert!(functions.len() > 50, "{} functions were found", functions.len());
    for (name, parameters, comment) in functions {
        let Some((_, list)) = comment.split_once("Fails") else { panic!("{name} does not say how it fails") };
        if list.contains(" as atlas_") {
            continue;
        }
        // A stream is opened with the operation of its later calls.
        if !parameters.contains("atlas_operation *operation") || name.starts_with("atlas_stream_open") {
            continue;
        }
        for status in ["STATE", "CANCELLED", "LIMIT", "OUT_OF_MEMORY"] {
            let is_named = !NEVER.contains(&(name, status));
            assert_eq!(
                list.contains(status),
                is_named,
                "{name} takes an operation; {status} is to be named: {is_named}"
            );
        }
    }
}
