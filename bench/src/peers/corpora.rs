//! The six kinds of data that compression is measured on, 16 MiB or 20 MiB of each, from packages that
//! `setup.sh` unpacks and from what a machine with Rust has.

use std::fs;
use std::path::{Path, PathBuf};

const MIB: usize = 1 << 20;

pub struct Corpus {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// Of its numbers, which c-blosc2 is told and the library is not.
    #[allow(dead_code, reason = "measured with c-blosc2 alone")]
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

fn sysroot() -> PathBuf {
    let sysroot = std::process::Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc");
    PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim())
}

/// Pages of the Rust library's documentation, where rustup installed it.
#[allow(dead_code, reason = "measured by one program of two")]
pub fn html() -> Option<Corpus> {
    let pages = files(&sysroot().join("share/doc/rust/html/std"), &[".html"]);
    let bytes = joined(&pages, 20 * MIB, |file| file);
    (bytes.len() >= 20 * MIB).then_some(Corpus { name: "HTML", bytes, type_size: 1 })
}

pub fn all(peers: &Path, random: Vec<u8>) -> Vec<Corpus> {
    let home = std::env::var("CARGO_HOME")
        .map_or_else(|_| PathBuf::from(std::env::var("HOME").expect("a home")).join(".cargo"), PathBuf::from);
    let driver = files(&sysroot().join("lib"), &[".so"]);
    let driver = driver.iter().max_by_key(|path| fs::metadata(path).map_or(0, |info| info.len()));
    let glosea = files(&peers.join("iris-sample-data"), &[".pp"]);
    let glosea: Vec<PathBuf> = glosea
        .into_iter()
        .filter(|path| {
            let path = path.to_string_lossy();
            path.contains("GloSea4") || path.contains("time_varying_hybrid_height")
        })
        .collect();
    let zones = files(&peers.join("timezonefinder"), &["poly_data.bin"]);
    let corpus = |name, type_size, bytes: Vec<u8>| {
        assert!(bytes.len() >= 16 * MIB, "{name}: {} bytes are too few", bytes.len());
        Corpus { name, bytes, type_size }
    };
    vec![
        corpus("text", 1, joined(&files(&home.join("registry/src"), &[".rs"]), 20 * MIB, |file| file)),
        corpus("ELF", 1, joined(&driver.into_iter().cloned().collect::<Vec<_>>(), 20 * MIB, |file| file)),
        corpus("float32", 4, joined(&glosea, 16 * MIB, pp)),
        corpus("float64", 8, joined(&files(&peers.join("de421"), &[".npy"]), 16 * MIB, npy)),
        corpus("int32", 4, joined(&zones, 16 * MIB, |file| file)),
        corpus("random", 1, random[..16 * MIB].to_vec()),
    ]
}
