//! The committed header: fresh, and telling of every call how it fails.

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
            assert!(list.contains(status), "{name} takes an operation and does not name {status}");
        }
    }
}
