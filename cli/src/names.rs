//! Names of files: their form in messages, and the names of the seals of a file.

use serde_json::{Map, Value};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Suffix of outlines and containers.
pub(crate) const ATLAS: &str = ".atlas";
/// Suffix of parity files.
pub(crate) const PARITY: &str = ".atp";
/// Suffix of the damaged file that a repair keeps.
pub(crate) const DAMAGED: &str = ".damaged";

/// Returns true for the name `-`: standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns a name for messages: control characters are escaped, and bytes that are not UTF-8 are replaced.
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

/// Returns a name for result lines: the bytes unchanged, except that control characters are escaped.
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

/// Adds a name to a JSON object: as `key` if it is UTF-8, else as `key_b64`.
pub(crate) fn put(object: &mut Map<String, Value>, key: &str, path: &Path) {
    match path.to_str() {
        Some(name) => object.insert(key.to_owned(), name.into()),
        None => object.insert(format!("{key}_b64"), base64(path.as_os_str().as_bytes()).into()),
    };
}

/// Returns a name as a JSON object of its own, for lists.
pub(crate) fn object(path: &Path) -> Value {
    let mut object = Map::new();
    put(&mut object, "path", path);
    object.into()
}

/// Returns the bytes in base64 of RFC 4648, with padding.
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

/// Appends `suffix` to the name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the seal of `file` that `given` names. If `given` is a folder and the file was found in a folder,
/// `below` is the name of the file in that folder, under which `seal -r` puts the seal. If the file was named
/// itself, the seal whose name agrees with the longest end of the file's name is taken.
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

/// Returns the name without `suffix`, if the name ends with the suffix and has other characters before it.
pub(crate) fn without_suffix(path: &Path, suffix: &str) -> Option<PathBuf> {
    let stem = path.as_os_str().as_bytes().strip_suffix(suffix.as_bytes())?;
    let is_name = stem.last().is_some_and(|byte| *byte != b'/');
    is_name.then(|| OsString::from_vec(stem.to_vec()).into())
}

/// Returns the folder of a file, in a form that can be opened.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Quotes a name for a shell line that is shown to a person.
pub(crate) fn quoted(path: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    let name = shown(path);
    if name.chars().all(plain) && !name.starts_with('-') {
        return name;
    }
    let name = if name.starts_with('-') { format!("./{name}") } else { name };
    format!("'{}'", name.replace('\'', "'\\''"))
}

/// Returns the last part of a name.
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
