//! The fuzz targets on the inputs that are kept in fuzz/corpus: those that reach new code, and past crashers.

// The code of the targets has the habits of a program.
#![allow(missing_docs, dead_code, unreachable_pub)]
#![allow(clippy::cast_possible_truncation, clippy::print_stdout, clippy::unwrap_used)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::targets;
use std::path::Path;

/// Runs the kept inputs of a target, of which there must be some.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

macro_rules! targets {
    ($($name:ident)*) => { $(#[test] fn $name() { replay(stringify!($name), targets::$name::run); })* };
}

targets! { classes compress compressed_shard container edits outline parity push regions shard sources stream }
