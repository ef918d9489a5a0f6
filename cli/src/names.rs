//! Names of files: their form in messages, and the names of the seals of a file.

use serde_json::{Map, Value};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Suffix of the names of outlines and containers.
pub(crate) const ATLAS: &str = ".atlas";
/// Suffix of the names of parity files.
pub(crate) const PARITY: &str = ".atp";
/// Suffix of the name under which a repair keeps the damaged file.
pub(crate) const DAMAGED: &str = ".damaged";

/// Returns true for the name `-`: standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns the name of a file for messages: control characters are escaped, and bytes that are not UTF-8 are
/// replaced.
pub(crate) fn shown(path: &Path) -> String {
    if is_dash(path) {
        return "standard input".to_owned();
    }
    let name = path.to_string_lossy();
    if name.is_empty() {
        return "''".to_owned();
    }
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Returns the name of a file for result lines: the bytes unchanged, except that control characters are
/// escaped.
pub(crate) fn text(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\n' => out.extend(b"\\n"),
            0..32 | 127 => out.extend(format!("\\x{byte:02x}").bytes()),
            _ => out.push(*byte),
        }
    }
    out
}

/// Adds the name of a file to a JSON object: as `key` if it is UTF-8, else in base64 as `key_b64`.
pub(crate) fn put(object: &mut Map<String, Value>, key: &str, path: &Path) {
    match path.to_str() {
        Some(name) => object.insert(key.to_owned(), name.into()),
        None => object.insert(format!("{key}_b64"), base64(path.as_os_str().as_bytes()).into()),
    };
}

/// Returns a JSON object with the name of a file alone, for lists of files.
pub(crate) fn object(path: &Path) -> Value {
    let mut object = Map::new();
    put(&mut object, "path", path);
    object.into()
}

/// Encodes bytes in the base64 of RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= group.len() { DIGITS[index as usize].into() } else { '=' });
        }
    }
    out
}

/// Returns the path with `suffix` appended to its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the path of the seal of `file` in the place that the user named: `given` itself, or a file in the
/// folder `given`. `None` if `given` is.
///
/// In a folder, `below` decides the name of the seal. It is the name of the file below the folder in which it was
/// found, as `seal -r` uses it. If `below` is `None`, the user named the file itself, and the existing seal whose
/// name agrees with the longest end of the file's path is taken.
pub(crate) fn seal_of(
    given: Option<&Path>,
    below: Option<&Path>,
    file: &Path,
    suffix: &str,
) -> Option<PathBuf> {
    let given = given?;
    if !std::fs::metadata(given).is_ok_and(|metadata| metadata.is_dir()) {
        return Some(given.to_owned());
    }
    if let Some(below) = below {
        return Some(with_suffix(&given.join(below), suffix));
    }
    let parts: Vec<&OsStr> = file
        .components()
        .rev()
        .map_while(|part| if let Component::Normal(name) = part { Some(name) } else { None })
        .collect();
    let ends = (1..=parts.len()).rev().map(|count| parts[..count].iter().rev().collect::<PathBuf>());
    let seals = ends.map(|end| with_suffix(&given.join(end), suffix));
    let plain = with_suffix(&given.join(last(file)), suffix);
    Some(seals.into_iter().find(|seal| std::fs::metadata(seal).is_ok()).unwrap_or(plain))
}

/// Returns the path without `suffix`. `None` if its last name does not end with the suffix, or consists of it
/// alone.
pub(crate) fn without_suffix(path: &Path, suffix: &str) -> Option<PathBuf> {
    let stem = path.as_os_str().as_bytes().strip_suffix(suffix.as_bytes())?;
    let is_name = stem.last().is_some_and(|byte| *byte != b'/');
    is_name.then(|| OsString::from_vec(stem.to_vec()).into())
}

/// Returns the folder of a file. `.` if the path has none.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Quotes the name of a file for a shell command that is shown to a person.
pub(crate) fn quoted(path: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    let name = shown(path);
    if name.chars().all(plain) && !name.starts_with('-') {
        return name;
    }
    let name = if name.starts_with('-') { format!("./{name}") } else { name };
    format!("'{}'", name.replace('\'', "'\\''"))
}

/// Returns the last name of a path.
pub(crate) fn last(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, wanted) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), wanted);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0x00]), "//4A");
    }

    #[test]
    fn suffixes_come_and_go() {
        assert_eq!(with_suffix(Path::new("a/b.iso"), ATLAS), Path::new("a/b.iso.atlas"));
        assert_eq!(without_suffix(Path::new("a/b.iso.atlas"), ATLAS), Some("a/b.iso".into()));
        assert_eq!(without_suffix(Path::new(".atlas"), ATLAS), None);
        assert_eq!(without_suffix(Path::new("a/.atlas"), ATLAS), None);
        assert_eq!(without_suffix(Path::new("b.iso"), ATLAS), None);
    }

    #[test]
    fn a_shell_reads_a_quoted_name_back() {
        for name in ["a b", "it's", "$(rm)", "-f", "ü\"x"] {
            let line = format!("printf %s {}", quoted(Path::new(name)));
            let out = std::process::Command::new("sh").arg("-c").arg(line).output().unwrap();
            let read = String::from_utf8(out.stdout).unwrap();
            assert_eq!(read.strip_prefix("./").unwrap_or(&read), name);
        }
    }
}
