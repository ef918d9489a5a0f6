//! The six kinds of data that compression is measured on, those of docs/compression.md: 16 MiB or 20 MiB
//! of each, from packages that `setup.sh` unpacks and from files that come with Rust.

use std::fs;
use std::path::{Path, PathBuf};

const MIB: usize = 1 << 20;

pub struct Corpus {
    pub name: &'static str,
    pub from: String,
    pub bytes: Vec<u8>,
    /// Size of its numbers, which c-blosc2 gets and the library does not.
    pub type_size: i32,
}

/// All files below a folder that end in one of these, in the order of their paths.
fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn joined(paths: &[PathBuf], most: usize, part: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut all = Vec::new();
    for path in paths {
        if all.len() >= most {
            break;
        }
        all.extend(part(fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))));
    }
    all.truncate(most);
    all
}

/// The numbers of an array of NumPy's, version 1 of the format.
fn npy(file: Vec<u8>) -> Vec<u8> {
    assert!(
        file.starts_with(b"\x93NUMPY\x01") && file[10..].windows(4).take(200).any(|four| four == b"<f8'")
    );
    file[10 + usize::from(u16::from_le_bytes([file[8], file[9]]))..].to_vec()
}

/// The fields of a file of the Met Office's PP format, which are Fortran records of big-endian floats
/// between headers of 256 bytes, in little-endian.
fn pp(file: Vec<u8>) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(head) = file.get(at..at + 4) {
        let len = u32::from_be_bytes(head.try_into().expect("four bytes")) as usize;
        if len != 256 && len.is_multiple_of(4) {
            out.extend(file[at + 4..at + 4 + len].chunks_exact(4).flat_map(|word| word.iter().rev()));
        }
        at += len + 8;
    }
    out
}

/// Debian's libclang if installed, which is the same on every machine of a release; otherwise the largest
/// library of Rust.
fn elf(sysroot: &Path) -> PathBuf {
    let clang = PathBuf::from("/usr/lib/x86_64-linux-gnu/libclang-14.so.14.0.6");
    if clang.is_file() {
        return clang;
    }
    let libraries = files(&sysroot.join("lib"), &[".so"]);
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |info| info.len());
    libraries.into_iter().max_by_key(size).expect("a library of Rust")
}

pub fn all(peers: &Path, random: &[u8]) -> Vec<Corpus> {
    let sysroot = PathBuf::from(crate::machine::run("rustc", &["--print", "sysroot"]));
    let rust = crate::machine::run("rustc", &["--version"]);
    let html = files(&sysroot.join("share/doc/rust/html/std"), &[".html"]);
    assert!(!html.is_empty(), "the documentation of Rust is missing: rustup component add rust-docs");
    let elf = elf(&sysroot);
    let fields = files(&peers.join("iris-sample-data"), &[".pp"]).into_iter().filter(|path| {
        let path = path.to_string_lossy();
        path.contains("GloSea4") || path.contains("time_varying_hybrid_height")
    });
    let fields: Vec<PathBuf> = fields.collect();
    let planets = files(&peers.join("de421"), &[".npy"]);
    let zones = files(&peers.join("timezonefinder"), &["poly_data.bin"]);
    let corpus = |name, type_size, from: &str, bytes: Vec<u8>| {
        assert!(bytes.len() >= 16 * MIB, "{name}: {} bytes are too few", bytes.len());
        Corpus { name, from: from.to_owned(), bytes, type_size }
    };
    let whole = |file| file;
    vec![
        corpus(
            "HTML",
            1,
            &format!("`share/doc/rust/html/std/**.html` of {rust}"),
            joined(&html, 20 * MIB, whole),
        ),
        corpus("ELF", 1, &format!("`{}`", elf.display()), joined(&[elf.clone()], 20 * MIB, whole)),
        corpus("float32", 4, "PyPI's iris-sample-data, fields of two models", joined(&fields, 16 * MIB, pp)),
        corpus("float64", 8, "PyPI's de421, `.npy` of the planets", joined(&planets, 16 * MIB, npy)),
        corpus("int32", 4, "PyPI's timezonefinder, `poly_data.bin`", joined(&zones, 16 * MIB, whole)),
        corpus("random", 1, "SplitMix64 from 7", random[..16 * MIB].to_vec()),
    ]
}
