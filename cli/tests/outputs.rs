//! Files that the program replaces, and their attributes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod schema;

use common::{Place, bytes};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

const ACCESS_LIST: &CStr = c"system.posix_acl_access";
const NOTE: &CStr = c"user.note";

/// Access list of `u::rw-,u:12345:rw-,g::r--,m::rw-,o::---`, as Linux stores it.
fn access_list() -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, permissions, id) in
        [(0x01_u16, 6_u16, none), (0x02, 6, 12_345), (0x04, 4, none), (0x10, 6, none), (0x20, 0, none)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Returns false if the file system refuses the attribute.
fn set_attribute(path: &Path, name: &CStr, value: &[u8]) -> bool {
    let path = c_path(path);
    // SAFETY: both texts end with a NUL, and there are `value.len()` bytes.
    unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) == 0 }
}

fn attribute(path: &Path, name: &CStr) -> Option<Vec<u8>> {
    let (path, mut value) = (c_path(path), vec![0; 4_096]);
    // SAFETY: both texts end with a NUL, and there is room for `value.len()` bytes.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(usize::try_from(len).ok()?);
    Some(value)
}

fn is_root() -> bool {
    // SAFETY: the call has no arguments, and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Owner, group, mode with set-id bits, an extended attribute and the access list.
type Attributes = (u32, u32, u32, Option<Vec<u8>>, Option<Vec<u8>>);

fn attributes(path: &Path) -> Attributes {
    let metadata = fs::metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o7777;
    (metadata.uid(), metadata.gid(), mode, attribute(path, NOTE), attribute(path, ACCESS_LIST))
}

/// Gives a file attributes that no new file has: those that this user and the file system can set.
fn mark(path: &Path) -> Attributes {
    if is_root() && chown(path, Some(12_345), Some(23_456)).is_err() {
        eprintln!("this root cannot give files away, which is left out");
    }
    if !set_attribute(path, NOTE, b"kept") || !set_attribute(path, ACCESS_LIST, &access_list()) {
        eprintln!("this file system lacks extended attributes or access lists, which are left out");
    }
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o2010)).unwrap();
    let marked = attributes(path);
    assert_eq!(marked.2 & 0o2010, 0o2010);
    marked
}

/// Makes `name` with `line`, marks it, makes it again with `line -f`, and compares the attributes.
#[track_caller]
fn replaced(place: &Place, line: &str, names: &[&str]) {
    place.line(line).expect(0);
    let marked: Vec<Attributes> = names.iter().map(|name| mark(&place.path(name))).collect();
    let before: Vec<u64> = names.iter().map(|name| fs::metadata(place.path(name)).unwrap().ino()).collect();
    place.line(&format!("{line} -f")).expect(0);
    for ((name, marked), before) in names.iter().zip(marked).zip(before) {
        let path = place.path(name);
        assert_ne!(fs::metadata(&path).unwrap().ino(), before, "{line}: {name} was not replaced");
        assert_eq!(attributes(&path), marked, "{line}: {name}");
    }
}

#[test]
fn a_file_that_is_replaced_passes_its_attributes_on() {
    let place = Place::new();
    place.write("a", bytes(MIB + 12_345));
    replaced(&place, "pack a -o a.pack", &["a.pack"]);
    replaced(&place, "unpack a.pack -o unpacked", &["unpacked"]);
    replaced(&place, "cat a.pack -o written", &["written"]);
    replaced(&place, "shard a 0+4096 -o a.shard", &["a.shard"]);
    replaced(&place, "seal --parity 10% a", &["a.atlas", "a.atp"]);
    // The state of a folder is replaced at each run.
    place.line("verify --resume state a").expect(0);
    let marked = mark(&place.path("state"));
    place.line("verify --resume state a").expect(0);
    assert_eq!(attributes(&place.path("state")), marked);
    assert!(place.names().iter().all(|name| !name.starts_with(".atlas-")), "{:?}", place.names());
}

#[test]
fn a_new_file_has_the_mode_of_any_new_file() {
    let place = Place::new();
    place.write("a", bytes(12_345));
    let usual = attributes(&place.path("a"));
    for (line, name) in
        [("cat a -o written", "written"), ("pack a -o a.pack", "a.pack"), ("seal a", "a.atlas")]
    {
        place.line(line).expect(0);
        assert_eq!(attributes(&place.path(name)), usual, "{line}");
    }
}

#[test]
fn a_file_that_is_cut_keeps_its_attributes() {
    for options in ["", "--discard", "-f"] {
        let place = Place::new();
        let data = bytes(MIB + 12_345);
        place.write("a", &data);
        place.line("seal a").expect(0);
        let longer = [&data[..], b"surplus"].concat();
        place.write("a", &longer);
        let marked = mark(&place.path("a"));
        if options == "-f" {
            place.write("a.damaged", "an older one");
        }
        place.line(&format!("repair a {options}")).expect(0);
        assert_eq!(place.read("a"), data, "{options}");
        assert_eq!(attributes(&place.path("a")), marked, "{options}");
        if options != "--discard" {
            // The damaged file is the same file as before.
            assert_eq!(place.read("a.damaged"), longer, "{options}");
            assert_eq!(attributes(&place.path("a.damaged")), marked, "{options}");
        }
        let count = if options == "--discard" { 2 } else { 3 };
        assert_eq!(place.names().len(), count, "{:?}", place.names());
    }
}

#[test]
fn a_damaged_file_that_is_kept_has_its_own_attributes() {
    let place = Place::new();
    place.write("a", bytes(MIB + 12_345));
    place.line("seal --parity 10% a").expect(0);
    place.damage("a", 5_000);
    let damaged = place.read("a");
    let marked = mark(&place.path("a"));
    place.write("a.damaged", "an older one");
    place.line("repair a -f").expect(0);
    assert_eq!(attributes(&place.path("a")), marked);
    assert_eq!(place.read("a.damaged"), damaged);
    assert_eq!(attributes(&place.path("a.damaged")), marked);
}

/// Runs a line of words as another user, who may write to the folder. `None` if that user cannot run the program.
fn as_nobody(place: &Place, line: &str) -> Option<common::Ran> {
    let mut command = place.command(line.split_whitespace());
    command.uid(65_534).gid(65_534);
    command.output().ok().map(common::ran)
}

#[test]
fn attributes_that_cannot_be_kept_are_refused_before_anything_is_replaced() {
    if !is_root() {
        eprintln!("only root can run the program as another user");
        return;
    }
    let place = Place::new();
    let data = bytes(MIB + 12_345);
    place.write("a", &data);
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    place.line("pack a -o a.pack").expect(0);
    place.line("seal --parity 10% a").expect(0);
    // The outline belongs to the other user, so that only the parity file is refused, and the outline stays too.
    if chown(place.path("a.atlas"), Some(65_534), Some(65_534)).is_err() {
        eprintln!("this root cannot give files away");
        return;
    }
    let longer = [&data[..], b"surplus"].concat();
    for name in ["a", "a.pack", "a.atlas", "a.atp"] {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    if as_nobody(&place, "hash a").is_none_or(|ran| ran.code != 0) {
        eprintln!("the other user cannot run the program");
        return;
    }
    let refused = |line: &str| {
        let names = place.names();
        let seen = || -> Vec<_> {
            let one = |name| (place.read(name), fs::metadata(place.path(name)).unwrap().ino());
            names.iter().map(one).collect()
        };
        let before = seen();
        let ran = as_nobody(&place, line).unwrap();
        assert_ne!(ran.code, 0, "{line}: {}", ran.text());
        assert!(ran.stderr.contains("keeping the owner"), "{line}: {}", ran.stderr);
        assert_eq!(place.names(), names, "{line}");
        assert!(seen() == before, "{line}: a file was replaced");
    };
    ["cat a -o a.pack -f", "pack a -o a.pack -f", "seal --parity 10% a -f"].into_iter().for_each(refused);
    place.write("a", &longer);
    ["repair a", "repair a --discard"].into_iter().for_each(refused);
}

/// Names of temporary files in the folder.
fn temporary(place: &Place) -> Vec<String> {
    let is_temporary = |name: &String| name.starts_with(".atlas-");
    place.names().into_iter().filter(is_temporary).collect()
}

#[test]
fn a_killed_run_leaves_a_name_of_the_documented_pattern() {
    let place = Place::new();
    let mut command = place.command(["pack", "-", "-o", "a.pack"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // Standard input stays open, so that the run waits for more.
    child.stdin.as_mut().unwrap().write_all(&bytes(5_000)).unwrap();
    let begun = Instant::now();
    while temporary(&place).is_empty() && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let names = temporary(&place);
    assert!(!names.is_empty(), "{:?}", place.names());
    for name in names {
        let digits = name.strip_prefix(".atlas-").and_then(|name| name.strip_suffix(".tmp")).unwrap();
        let is_digit = |digit: char| matches!(digit, '0'..='9' | 'a'..='f');
        assert!(digits.len() == 16 && digits.chars().all(is_digit), "{name}");
        let mode = fs::metadata(place.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
