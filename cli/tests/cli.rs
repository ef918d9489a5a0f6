//! The program as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod schema;

use common::{Place, bytes, ran};
use serde_json::json;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// A sealed file of 3 MiB and a bit, with a copy.
fn sealed() -> (Place, Vec<u8>) {
    let place = Place::new();
    let data = bytes(3 * MIB + 12_345);
    place.write("big.iso", &data);
    place.write("copy", &data);
    place.line("seal --parity 10% big.iso").expect(0);
    (place, data)
}

// Exit statuses, one test each.

#[test]
fn status_0_is_intact() {
    let (place, _) = sealed();
    let ran = place.line("verify big.iso").expect(0);
    assert_eq!(ran.text(), "big.iso: intact, 3.01 MiB\n");
    assert_eq!(ran.stderr, "");
}

#[test]
fn status_1_is_other_bytes() {
    let place = Place::new();
    place.write("a", "one");
    place.write("LIST", place.line("hash a").expect(0).stdout);
    place.write("a", "two");
    let ran = place.line("hash -c LIST").expect(1);
    assert_eq!(ran.text(), "a: FAILED\n");
    assert!(ran.stderr.contains("1 of 1 file does not match"), "{}", ran.stderr);
    place.line("seal a").expect(0);
    place.write("a", "six");
    place.line("verify a").expect(1);
    assert_eq!(place.line("--json verify a").json()[0]["status"], 1);
}

#[test]
fn status_2_is_a_wrong_command_line() {
    let place = Place::new();
    for line in [
        "",
        "nonsense",
        "hash --nonsense",
        "seal",
        "seal --parity 0% x",
        "cat x 5",
        "-j x hash",
        "hash -q -v",
        ".",
    ] {
        let ran = place.line(line).expect(2);
        assert_eq!(ran.text(), "", "{line}");
        assert!(!ran.stderr.is_empty());
    }
    let ran = place.line("--json hash --nonsense").expect(2);
    let object = &ran.json()[0];
    assert_eq!(
        (&object["command"], &object["error"]["kind"], &object["status"]),
        (&json!("hash"), &json!("usage"), &json!(2))
    );
    // A range outside the file, and a folder without -r.
    place.write("x", "12345");
    assert!(place.line("cat x 3+3").expect(2).stderr.contains("outside the available 5 bytes"));
    fs::create_dir(place.path("d")).unwrap();
    assert!(place.line("hash d").expect(2).stderr.contains("give -r to take the files in it"));
}

#[test]
fn status_3_is_damage_that_can_be_repaired() {
    let (place, data) = sealed();
    place.damage("big.iso", MIB + 5);
    place.damage("big.iso", 3 * MIB);
    let ran = place.line("verify big.iso").expect(3);
    let (first, second) = (MIB, 3 * MIB);
    let wanted = format!(
        "big.iso: damaged, 28.1 KiB of 3.01 MiB in 2 ranges\n  {first}..{}  16 KiB, differs\n  {second}..{}  12.1 KiB, differs\n  \
         big.iso.atp can repair all of it: atlasm repair big.iso\n  \
         it was written to after it was sealed; if that was meant: atlasm update big.iso\n",
        first + 16_384,
        data.len(),
    );
    assert_eq!(ran.text(), wanted);
    let object = place.line("--json verify big.iso").expect(3).json().remove(0);
    assert_eq!(
        object["damage"],
        json!([
            { "kind": "differs", "offset": first, "length": 16_384 },
            { "kind": "differs", "offset": second, "length": 12_345 }
        ])
    );
    assert_eq!(object["bad_bytes"], 28_729);
    let ran = place.line("repair -n big.iso").expect(3);
    assert!(
        ran.text().starts_with("big.iso: would be repaired: big.iso.atp can rebuild 8 KiB\n"),
        "{}",
        ran.text()
    );
    assert_eq!(place.names(), ["big.iso", "big.iso.atlas", "big.iso.atp", "copy"]);
}

#[test]
fn status_4_is_incomplete() {
    let (place, data) = sealed();
    place.write("big.iso", &data[..MIB]);
    let object = place.line("verify --json big.iso").expect(4).json().remove(0);
    assert_eq!(object["damage"][0]["kind"], "missing");
    assert_eq!(
        (&object["damage"][0]["offset"], &object["parity"]["repairable"]),
        (&json!(MIB), &json!(false))
    );
    let ran = place.line("repair big.iso").expect(4);
    assert!(ran.stderr.contains("nothing was written; atlasm repair --from COPY big.iso"), "{}", ran.stderr);
    assert_eq!(place.read("big.iso"), &data[..MIB]);
    // A file that nobody sealed.
    fs::remove_file(place.path("big.iso.atlas")).unwrap();
    fs::remove_file(place.path("big.iso.atp")).unwrap();
    assert!(place.line("verify copy").expect(4).stderr.contains("copy.atlas is not there"));
}

#[test]
fn status_5_is_an_input_or_output_error() {
    let place = Place::new();
    let ran = place.line("hash absent").expect(5);
    assert!(ran.stderr.starts_with("atlasm: opening absent: No such file"), "{}", ran.stderr);
    place.write("a", "a");
    // The others are hashed all the same.
    let ran = place.line("hash absent a").expect(5);
    assert!(ran.text().ends_with("  a\n"));
    // A full disk, for results.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.command(["hash", "a"]).stdout(full).output().unwrap();
    let ran = common::ran(output).expect(5);
    assert!(ran.stderr.contains("writing to standard output: No space left"), "{}", ran.stderr);
}

#[test]
fn status_6_is_not_ours() {
    let place = Place::new();
    place.write("text", "no container at all, and no shard");
    assert!(place.line("log text").expect(6).stderr.contains("text is no outline or container"));
    place.line("check text").expect(6);
    place.line("hash -c text").expect(6);
    place.write("text.atlas", "nor is this an outline");
    place.line("verify text").expect(6);
    // A shard of a newer version.
    place.line("shard text 0+5 -o x.shard").expect(0);
    let mut newer = place.read("x.shard");
    newer[8] = 9;
    let end = newer.len() - 32;
    let digest = *blake3::hash(&newer[..end]).as_bytes();
    newer[end..].copy_from_slice(&digest);
    place.write("newer.shard", newer);
    assert!(place.line("check newer.shard").expect(6).stderr.contains("version"));
}

#[test]
fn status_7_is_a_limit() {
    let place = Place::new();
    place.write("a", bytes(3 * MIB));
    let ran = place.line("hash --memory 64K a").expect(7);
    assert!(ran.stderr.contains("--memory 65536"), "{}", ran.stderr);
    place.line("hash --memory 64M a").expect(0);
}

#[test]
fn status_8_is_an_output_that_exists() {
    let place = Place::new();
    place.write("a", "a");
    place.line("seal --parity 10% a").expect(0);
    let before = (place.read("a.atlas"), place.read("a.atp"));
    assert!(place.line("seal a").expect(8).stderr.contains("a.atlas exists\n        -f replaces it"));
    place.line("seal --parity 5% a").expect(8);
    fs::remove_file(place.path("a.atlas")).unwrap();
    // Asked before the work: neither of the two is written.
    place.line("seal --parity 5% a").expect(8);
    assert_eq!(place.names(), ["a", "a.atp"]);
    assert_eq!(place.read("a.atp"), before.1);
    place.line("seal -f --parity 5% a").expect(0);
    place.write("b", "b");
    place.line("pack a -o b").expect(8);
    place.line("cat a -o b").expect(8);
    place.line("shard a 0+1 -o b").expect(8);
    assert_eq!(place.read("b"), b"b");
    place.line("cat -f a -o b").expect(0);
    assert_eq!(place.read("b"), b"a");
}

#[test]
fn status_130_is_a_signal_and_nothing_is_left() {
    stop_at_many_moments(40);
}

#[test]
#[ignore = "half a minute"]
fn nothing_is_left_whenever_a_signal_comes() {
    stop_at_many_moments(200);
}

fn stop_at_many_moments(rounds: usize) {
    let place = Place::new();
    place.write("big", bytes(24 * MIB));
    let lines = ["seal --parity 10% -j 1 big", "pack big -o x.atlas", "hash -j 1 big", "cat big -o y"];
    let remove = || {
        for name in ["big.atlas", "big.atp", "x.atlas", "y"] {
            drop(fs::remove_file(place.path(name)));
        }
        assert_eq!(place.names(), ["big"]);
    };
    // How long each takes here, so that signals come while it runs.
    let times = lines.map(|line| {
        let start = Instant::now();
        place.line(line).expect(0);
        remove();
        u64::try_from(start.elapsed().as_micros()).unwrap()
    });
    let mut stopped = 0;
    let mut random = 0;
    for round in 0..rounds {
        let line = lines[round % 4];
        let mut command = place.command(line.split(' '));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        random = (random * 7 + 3_989) % 120_011;
        std::thread::sleep(Duration::from_micros(times[round % 4] * random / 120_011));
        // SAFETY: a signal to a child that was not waited for.
        unsafe { libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGINT) };
        let status = child.wait().unwrap();
        let names = place.names();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        match status.code() {
            // Before the program takes signals.
            None => assert_eq!(names, ["big"]),
            Some(130) => {
                stopped += 1;
                assert_eq!(names, ["big"], "{line}: {text}");
            }
            Some(0) => remove(),
            other => panic!("{line}: {other:?}: {text}"),
        }
    }
    assert!(stopped > 0, "no run was stopped");
}

// Safety.

#[test]
fn an_output_is_never_the_input() {
    let place = Place::new();
    place.write("a", "bytes");
    fs::hard_link(place.path("a"), place.path("same")).unwrap();
    std::os::unix::fs::symlink("a", place.path("link")).unwrap();
    for output in ["a", "same", "link", "./a"] {
        let ran = place.run(["pack", "-f", "a", "-o", output]).expect(2);
        assert!(ran.stderr.contains("is the input"), "{}", ran.stderr);
        place.run(["cat", "-f", "a", "-o", output]).expect(2);
        place.run(["shard", "-f", "a", "0+1", "-o", output]).expect(2);
    }
    place.line("pack a -o x.atlas").expect(0);
    place.line("unpack -f x.atlas -o x.atlas").expect(2);
    assert_eq!(place.read("a"), b"bytes");
}

#[test]
fn a_file_that_is_damaged_is_not_sealed_anew() {
    let (place, _) = sealed();
    let before = (place.read("big.iso.atlas"), place.read("big.iso.atp"));
    place.damage("big.iso", 100);
    let ran = place.line("seal -f --parity 10% big.iso").expect(1);
    assert!(ran.stderr.contains("sealing it again could seal damaged bytes"), "{}", ran.stderr);
    assert_eq!((place.read("big.iso.atlas"), place.read("big.iso.atp")), before);
    fs::remove_file(place.path("big.iso.atlas")).unwrap();
    place.line("seal -f --parity 10% big.iso").expect(0);
    place.line("verify --parity-too big.iso").expect(0);
}

/// Runs the program as a user whom modes of files bind: for root that is nobody. `None` if that one may not run it.
fn as_a_user(place: &Place, line: &str) -> Option<common::Ran> {
    let mut command = place.command(line.split_whitespace());
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(65_534).gid(65_534);
    }
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => None,
        output => Some(common::ran(output.unwrap())),
    }
}

#[test]
fn a_read_only_folder_is_refused_before_the_work() {
    let place = Place::new();
    let mode = |name: &str, mode| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("", 0o755);
    for folder in ["ro", "seals"] {
        fs::create_dir(place.path(folder)).unwrap();
        mode(folder, 0o777);
    }
    place.write("ro/a", "a");
    mode("ro/a", 0o644);
    mode("ro", 0o555);
    let Some(ran) = as_a_user(&place, "seal ro/a") else {
        eprintln!("skipped: nobody may not run the program where it lies");
        return;
    };
    let ran = ran.expect(5);
    assert!(ran.stderr.contains("name a writable place with -o"), "{}", ran.stderr);
    as_a_user(&place, "seal --parity 10% -o seals ro/a").unwrap().expect(0);
    as_a_user(&place, "verify --outline seals ro/a").unwrap().expect(0);
    mode("ro", 0o755);
}

#[test]
fn a_full_disk_leaves_no_part_of_an_output() {
    let place = Place::new();
    let data = bytes(3 * MIB + 77);
    place.write("big", &data);
    fs::create_dir(place.path("full")).unwrap();
    for line in [
        "seal --parity 10% big",
        "pack big -o big.packed",
        "shard big 0.. -o big.shard",
        "split big -k 64 -o classes",
    ] {
        place.line(line).expect(0);
    }
    let classes: Vec<String> = fs::read_dir(place.path("classes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    // A file system of 1 MiB that nobody else sees, on which each command writes too much.
    let program = env!("CARGO_BIN_EXE_atlasm");
    let mounted = |size: &str, script: &str| {
        let script = format!("mount -t tmpfs -o size={size} none full || exit 77\n{script}");
        let mut command = std::process::Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .current_dir(place.path(""));
        command
            .output()
            .ok()
            .filter(|output| !matches!(output.status.code(), Some(77 | 1)) || !output.stdout.is_empty())
    };
    if mounted("1m", "echo here").is_none() {
        eprintln!("skipped: no name space of mounts can be had");
        return;
    }
    let joined = format!("join {} -o full/x", classes.join(" "));
    for line in [
        "pack big -o full/x",
        "pack --compress zstd big -o full/x",
        "shard big 0.. -o full/x",
        "unpack big.packed -o full/x",
        "cat big.shard -o full/x",
        "split big -k 64 -o full/x",
        "seal --parity 90% big -o full",
        joined.as_str(),
    ] {
        let ran =
            common::ran(mounted("1m", &format!("{program} {line} >&2; echo $?; find full -type f")).unwrap());
        assert_eq!(ran.text(), "5\n", "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains("No space left on device"), "{line}: {}", ran.stderr);
    }
    // A repair from parity writes beside the file, which keeps its bytes if there is no room.
    let script = format!(
        "cp big big.atlas big.atp full && printf x | dd of=full/big bs=1 seek=5 conv=notrunc status=none && \
         sum=$(cksum < full/big); {program} repair full/big >&2; echo $?; \
         [ \"$sum\" = \"$(cksum < full/big)\" ] && find full -type f | sort"
    );
    let ran = common::ran(mounted("4m", &script).unwrap());
    assert_eq!(ran.text(), "5\nfull/big\nfull/big.atlas\nfull/big.atp\n", "{}", ran.stderr);
}

#[test]
fn seals_may_lie_in_another_folder() {
    let (place, data) = sealed();
    fs::create_dir(place.path("seals")).unwrap();
    place.line("seal --parity 10% -o seals copy").expect(0);
    place.damage("copy", 77);
    fs::remove_file(place.path("big.iso.atlas")).unwrap();
    fs::remove_file(place.path("big.iso.atp")).unwrap();
    place.line("verify --outline seals copy").expect(3);
    place.line("repair --outline seals copy").expect(0);
    assert_eq!(place.read("copy"), data);
}

#[test]
fn bytes_are_not_written_to_a_terminal() {
    let place = Place::new();
    place.write("a", "bytes");
    let script = format!("{} cat a", env!("CARGO_BIN_EXE_atlasm"));
    let output = std::process::Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .current_dir(place.path(""))
        .stdin(Stdio::null())
        .output();
    // Without that program there is no terminal to try.
    let Ok(output) = output else { return };
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("standard output is a terminal"));
}

#[test]
fn a_pipe_that_closes_is_no_error() {
    let place = Place::new();
    place.write("big", bytes(8 * MIB));
    let mut child =
        place.command(["cat", "big"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ended = ran(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(ended.stderr, "");
    // The file after the line that nobody reads is not looked at, though it is missing.
    let mut child = place.command(["hash", "-", "missing"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = ran(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(ended.stderr, "");
}

/// Bytes that change after the root was checked are not written.
#[test]
fn bytes_of_a_root_are_verified_as_they_are_written() {
    let place = Place::new();
    let data = bytes(8 * MIB);
    place.write("big", &data);
    let root = place.line("hash --no-names big").expect(0).text();
    let args = ["cat", "big", "--root", root.trim()];
    assert!(place.run(args).expect(0).stdout == data);
    let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut written = vec![0; 10];
    stdout.read_exact(&mut written).unwrap();
    // The pipe holds less than the file, so that the program has not read the end yet.
    let file = std::fs::File::options().write(true).open(place.path("big")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[data[7 * MIB] ^ 1], 7 * MIB as u64).unwrap();
    stdout.read_to_end(&mut written).unwrap();
    let ran = ran(child.wait_with_output().unwrap()).expect(1);
    assert!(ran.stderr.contains("big"), "{}", ran.stderr);
    assert!(written.len() < data.len() && data.starts_with(&written));
}

// hash

#[test]
fn hash_is_the_same_for_files_pipes_and_mappings() {
    let place = Place::new();
    for size in [0, 1, 5_000, MIB, 9 * MIB + 1] {
        let data = bytes(size);
        place.write("a", &data);
        let root = place.line("hash --no-names a").expect(0).text();
        assert_eq!(root.len(), 65);
        for line in [
            "hash --no-names --io mmap a",
            "hash --no-names -j 1 a",
            "hash --no-names -j 3 a",
            "hash --no-names --io read a",
        ] {
            assert_eq!(place.line(line).expect(0).text(), root, "{line}");
        }
        assert_eq!(place.pipe("hash --no-names", &data).expect(0).text(), root);
        assert_eq!(place.pipe("hash -", &data).expect(0).text(), format!("{}  -\n", root.trim()));
        let r96 = place.line("hash --no-names --type r96:64 a").expect(0).text();
        assert_eq!(place.pipe("hash --no-names --type r96:64", &data).expect(0).text(), r96);
        assert_ne!(r96, root);
    }
}

#[test]
fn hash_prints_other_digests_in_the_same_pass() {
    use sha2::Digest;
    let place = Place::new();
    let data = bytes(20 * MIB + 3);
    place.write("a b", &data);
    let root = place.run(["hash", "a b"]).expect(0).text();
    let text = place.run(["hash", "--also", "sha256,blake3", "a b"]).expect(0).text();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (sha256, blake3) = (hex(&sha2::Sha256::digest(&data)), blake3::hash(&data).to_hex());
    assert_eq!(text, format!("{root}SHA256 (a b) = {sha256}\nBLAKE3 (a b) = {blake3}\n"));
    // The list with all of them is checked, line by line.
    place.write("LIST", &text);
    assert_eq!(place.line("hash -c LIST").expect(0).text(), "a b: OK\na b: OK\na b: OK\n");
    let object = place.run(["hash", "--json", "--also", "sha256", "a b"]).expect(0).json().remove(0);
    assert_eq!(object["also"]["sha256"], sha256);
    assert_eq!(object["size"], data.len());
    place.write("LIST", text.replace(&sha256, &"0".repeat(64)));
    assert_eq!(place.line("hash -c LIST").expect(1).text(), "a b: OK\na b: FAILED\na b: OK\n");
}

#[test]
fn hash_takes_names_of_all_bytes() {
    let place = Place::new();
    let names: Vec<OsString> =
        [&b"plain"[..], b"with space", b"line\nfeed", b"back\\slash", b"no utf-8 \xff\xfe"]
            .iter()
            .map(|name| OsString::from_vec(name.to_vec()))
            .collect();
    for name in &names {
        place.write(name, "x");
    }
    let list =
        place.run(std::iter::once(OsString::from("hash")).chain(names.iter().cloned())).expect(0).stdout;
    place.write("LIST", &list);
    let ran = place.line("hash -c LIST").expect(0);
    assert_eq!(ran.stdout.iter().filter(|byte| **byte == b'\n').count(), names.len());
    let zero: Vec<OsString> =
        ["hash", "-z"].map(OsString::from).into_iter().chain(names.iter().cloned()).collect();
    place.write("LIST", place.run(zero).expect(0).stdout);
    place.line("hash -z -c LIST").expect(0);
    let last: Vec<OsString> = vec!["hash".into(), "--json".into(), names[4].clone()];
    let object = place.run(last).expect(0).json().remove(0);
    assert_eq!(object["path_b64"], "bm8gdXRmLTgg//4=");
    assert!(object.get("path").is_none());
    // The whole way, with a name that is no UTF-8.
    place.write(&names[4], bytes(MIB));
    for command in [&["seal", "--parity", "10%"][..], &["verify"]] {
        place.run(command.iter().map(OsString::from).chain([names[4].clone()])).expect(0);
    }
    place.damage(&names[4], 5);
    place.run(["verify".into(), names[4].clone()]).expect(3);
    place.run(["repair".into(), names[4].clone()]).expect(0);
    place.run(["verify".into(), names[4].clone()]).expect(0);
}

#[test]
fn hash_goes_into_folders() {
    let place = Place::new();
    fs::create_dir_all(place.path("d/e")).unwrap();
    for name in ["d/b", "d/a", "d/e/c"] {
        place.write(name, name);
    }
    std::os::unix::fs::symlink("/", place.path("d/root")).unwrap();
    let text = place.line("hash -r d").expect(0).text();
    let names: Vec<&str> = text.lines().map(|line| &line[66..]).collect();
    assert_eq!(names, ["d/a", "d/b", "d/e/c"]);
}

#[test]
fn a_key_makes_other_roots() {
    let place = Place::new();
    place.write("a", "bytes");
    place.write("KEY", [7; 32]);
    place.write("HEX", format!("{}\n", "07".repeat(32)));
    place.write("BAD", "short");
    let plain = place.line("hash a").expect(0).text();
    let keyed = place.line("hash --key-file KEY a").expect(0).text();
    assert_ne!(plain, keyed);
    assert_eq!(place.line("hash --key-file HEX a").expect(0).text(), keyed);
    place.line("hash --key-file BAD a").expect(2);
    place.line("hash --key-file ABSENT a").expect(5);
    place.line("seal --key-file KEY --parity 10% a").expect(0);
    place.line("verify --key-file KEY --parity-too a").expect(0);
    place.line("verify a").expect(1);
}

// seal, verify, repair

#[test]
fn repair_rebuilds_from_parity_and_keeps_the_damaged_file() {
    let (place, data) = sealed();
    place.damage("big.iso", 1);
    place.damage("big.iso", 2 * MIB);
    let damaged = place.read("big.iso");
    let ran = place.line("repair big.iso").expect(0);
    assert_eq!(
        ran.text(),
        "big.iso: repaired from big.iso.atp, 8 KiB rebuilt\n  the damaged file is kept as big.iso.damaged\n"
    );
    assert_eq!((place.read("big.iso"), place.read("big.iso.damaged")), (data.clone(), damaged));
    assert_eq!(place.line("repair big.iso").expect(0).text(), "big.iso: intact, nothing to repair\n");
    // A second one would replace the kept file.
    place.damage("big.iso", 9);
    let again = place.read("big.iso");
    place.line("repair big.iso").expect(8);
    assert_eq!(place.read("big.iso"), again);
    place.line("repair -f big.iso").expect(0);
    assert_eq!((place.read("big.iso"), place.read("big.iso.damaged")), (data.clone(), again));
    fs::remove_file(place.path("big.iso.damaged")).unwrap();
    place.damage("big.iso", 9);
    let object = place.line("repair --json --discard big.iso").expect(0).json().remove(0);
    assert_eq!((&object["result"], &object["repaired_bytes"]), (&json!("repaired"), &json!(4_096)));
    place.damage("big.iso", 9);
    place.line("repair big.iso -o fixed").expect(0);
    assert_eq!(place.read("fixed"), data);
    assert_eq!(place.names(), ["big.iso", "big.iso.atlas", "big.iso.atp", "copy", "fixed"]);
}

#[test]
fn repair_takes_only_what_is_bad_from_a_copy() {
    let (place, data) = sealed();
    fs::remove_file(place.path("big.iso.atp")).unwrap();
    place.damage("big.iso", MIB + 1);
    place.damage("big.iso", 3 * MIB);
    // The copy is damaged too, elsewhere.
    place.damage("copy", 5);
    place.line("repair big.iso").expect(4);
    let object = place.line("repair -n --json --from copy big.iso").expect(3).json().remove(0);
    assert_eq!(object["fetched_bytes"], 16_384 + 12_345);
    let object = place.line("repair --json --from copy big.iso").expect(0).json().remove(0);
    assert_eq!((&object["fetched_bytes"], &object["repaired_bytes"]), (&json!(28_729), &json!(28_729)));
    assert_eq!(place.read("big.iso"), data);
    // Bytes that the copy lacks are not written.
    place.damage("big.iso", 5);
    let before = place.read("big.iso");
    let object = place.line("repair --json --from copy big.iso").expect(4).json().remove(0);
    assert_eq!(object["left"], json!([{ "kind": "differs", "offset": 0, "length": 16_384 }]));
    assert_eq!(place.read("big.iso"), before);
    place.line("repair --from big.iso big.iso").expect(2);
}

#[test]
fn repair_takes_shards_and_containers() {
    let (place, data) = sealed();
    fs::remove_file(place.path("big.iso.atp")).unwrap();
    place.line("shard copy 0+2MiB -o part.shard").expect(0);
    place.line("pack copy -o packed.atlas").expect(0);
    place.damage("big.iso", 5);
    place.line("repair --from part.shard big.iso").expect(0);
    assert_eq!(place.read("big.iso"), data);
    place.damage("big.iso", 2 * MIB + 5);
    place.line("repair --from part.shard big.iso").expect(4);
    place.line("repair --from part.shard --from packed.atlas big.iso").expect(0);
    assert_eq!(place.read("big.iso"), data);
    // A shard of other bytes is refused.
    place.write("other", bytes(9));
    place.line("shard other 0+9 -o other.shard").expect(0);
    place.damage("big.iso", 5);
    place.line("repair --from other.shard big.iso").expect(1);
}

#[test]
fn a_file_that_was_cut_gets_its_end_back() {
    let (place, data) = sealed();
    for len in [data.len() - 1, 3 * MIB - 1, MIB + 1, 0] {
        place.write("big.iso", &data[..len]);
        let ran = place.line("verify big.iso");
        assert!(ran.code == 3 || ran.code == 4, "{}", ran.code);
        assert!(ran.text().contains("missing"), "{}", ran.text());
        place.line("repair --from copy big.iso").expect(0);
        assert_eq!(place.read("big.iso"), data, "{len}");
    }
    place.write("big.iso", &data[..data.len() - 100]);
    place.line("repair big.iso").expect(0);
    assert_eq!(place.read("big.iso"), data);
}

#[test]
fn bytes_behind_the_end_are_found_and_cut_off() {
    let (place, data) = sealed();
    let longer = [&data[..], b"tail"].concat();
    place.write("big.iso", &longer);
    let object = place.line("verify --json big.iso").expect(3).json().remove(0);
    assert_eq!((&object["surplus"], &object["damage"]), (&json!(4), &json!([])));
    place.line("repair -n big.iso").expect(3);
    assert_eq!(place.read("big.iso"), longer);
    place.line("repair --from copy big.iso").expect(1);
    place.line("repair big.iso").expect(0);
    assert_eq!((place.read("big.iso"), place.read("big.iso.damaged")), (data.clone(), longer.clone()));
    // Together with damage inside.
    fs::remove_file(place.path("big.iso.damaged")).unwrap();
    place.write("big.iso", &longer);
    place.damage("big.iso", 5);
    place.line("repair big.iso").expect(0);
    assert_eq!(place.read("big.iso"), data);
    place.line("verify big.iso").expect(0);
    place.write("big.iso", &longer);
    place.line("repair --discard --from copy big.iso").expect(0);
    // From a copy nothing is bad; the end is cut off in place.
    assert_eq!(place.read("big.iso"), data);
}

#[test]
fn a_damaged_parity_file_is_found_and_written_anew() {
    let (place, _) = sealed();
    let parity = place.read("big.iso.atp");
    place.damage("big.iso.atp", parity.len() / 2);
    place.line("verify big.iso").expect(0);
    let ran = place.line("verify --parity-too big.iso").expect(3);
    assert!(ran.text().contains("atlasm repair --parity-too big.iso"), "{}", ran.text());
    place.line("repair --parity-too big.iso").expect(0);
    assert_eq!(place.read("big.iso.atp"), parity);
    place.line("verify --parity-too big.iso").expect(0);
}

#[test]
fn a_damaged_outline_is_said_to_be_one() {
    let (place, _) = sealed();
    let outline = place.read("big.iso.atlas");
    let mut refused = 0;
    for at in (0..outline.len()).step_by(997) {
        place.damage("big.iso.atlas", at);
        let ran = place.line("verify big.iso");
        // A byte of a slot, or between records, is not read.
        assert!([0, 1, 3, 4, 6].contains(&ran.code), "byte {at}: {} {}", ran.code, ran.stderr);
        refused += i32::from(ran.code != 0);
        place.write("big.iso.atlas", &outline);
    }
    assert!(refused > 0);
}

#[test]
fn an_outline_of_the_size_is_found_and_named() {
    let (place, data) = sealed();
    fs::rename(place.path("big.iso"), place.path("renamed")).unwrap();
    let ran = place.line("verify renamed").expect(0);
    assert!(
        ran.stderr.contains("renamed: using big.iso.atlas, an outline of 3158073 bytes"),
        "{}",
        ran.stderr
    );
    place.write("another.atlas", place.read("big.iso.atlas"));
    assert!(
        place.line("verify renamed").expect(2).stderr.contains("name the outline to use with --outline PATH")
    );
    place.line("verify --outline big.iso.atlas renamed").expect(0);
    place.write("shorter", &data[1..]);
    place.line("verify shorter").expect(4);
}

#[test]
fn verify_compares_the_root() {
    let (place, _) = sealed();
    let root = place.line("hash --no-names big.iso").expect(0).text();
    place.run(["verify", "--root", root.trim(), "big.iso"]).expect(0);
    place.run(["verify", "--root", &"0".repeat(64), "big.iso"]).expect(1);
    place.run(["verify", "--root", "xyz", "big.iso"]).expect(2);
}

#[test]
fn folders_are_sealed_and_verified_file_by_file() {
    let place = Place::new();
    fs::create_dir_all(place.path("d/e")).unwrap();
    for name in ["d/a", "d/e/b", "d/e/empty"] {
        place.write(name, if name.ends_with("empty") { "" } else { name });
    }
    place.line("seal -r --parity 10% d").expect(0);
    place.write("d/new", "not sealed");
    let text = place.line("verify -r d").expect(0).text();
    assert_eq!(text, "d/a: intact, 3 B\nd/e/b: intact, 5 B\nd/e/empty: intact, 0 B\n");
    place.write("d/e/b", "d/e/x");
    assert_eq!(place.line("verify -r d --json").expect(3).json().len(), 3);
}

#[test]
fn a_slow_verification_goes_on_where_it_ended() {
    let place = Place::new();
    fs::create_dir(place.path("d")).unwrap();
    for name in ["d/a", "d/b", "d/c"] {
        place.write(name, bytes(2 * MIB));
    }
    place.line("seal -r d").expect(0);
    let start = Instant::now();
    let line = "verify -r --json --rate 4M --max-time 0.7s --resume STATE d";
    let finished = |ran: &common::Ran| -> Vec<String> {
        let objects = ran.json();
        let whole = objects.iter().filter(|object| object["result"] == "intact");
        whole.map(|object| object["path"].as_str().unwrap().to_owned()).collect()
    };
    // Half a second a file: one of them, then the next ones.
    let first = finished(&place.line(line).expect(0));
    assert_eq!(first, ["d/a"]);
    let second = finished(&place.line(line).expect(0));
    assert_eq!(second, ["d/b"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    // Without a state it counts as incomplete.
    place.line("verify -r --rate 4M --max-time 0.7s d").expect(4);
    place.write("STATE", "{}");
    place.line(line).expect(6);
}

#[test]
fn a_file_that_takes_several_runs_is_verified_part_by_part() {
    let place = Place::new();
    let size = 8 * MIB + 5;
    place.write("big", bytes(size));
    place.line("seal big").expect(0);
    place.damage("big", 7 * MIB);
    let line = "verify --json --rate 2M --max-time 1.5s --resume STATE big";
    // Each run begins where the one before it ended, and the last one finds the damage.
    let (mut at, mut runs) = (0, 0);
    loop {
        let ran = place.line(line);
        let object = &ran.json()[0];
        runs += 1;
        let (from, to) = (object["verified_from"].as_u64().unwrap(), object["verified_to"].as_u64().unwrap());
        assert_eq!(from, at, "{object}");
        assert!(to > from && runs < 9, "{object}");
        if to == size as u64 {
            ran.expect(1);
            assert_eq!(object["bad_bytes"], 16_384, "{object}");
            break;
        }
        at = to;
        let is_found = to > 7 * MIB as u64;
        assert_eq!(object["result"], if is_found { "damaged" } else { "unfinished" }, "{object}");
        ran.expect(i32::from(is_found));
        if is_found {
            break;
        }
    }
    assert!(runs > 1);
    // A place holds for the root that it was made with.
    place.write("big", bytes(size - 1));
    fs::remove_file(place.path("big.atlas")).unwrap();
    place.line("seal big").expect(0);
    let name = serde_json::json!({ "path": place.path("big") }).to_string();
    let mut unfinished = serde_json::Map::new();
    unfinished.insert(name, serde_json::json!({ "offset": MIB, "root": "00".repeat(32) }));
    let state = serde_json::json!({ "atlasm_verified_ns": {}, "unfinished": unfinished });
    place.write("STATE", state.to_string());
    let whole = place.line("verify --json --resume STATE big").expect(0);
    assert_eq!(whole.json()[0].get("verified_from"), None);
    // With the root of the outline it is where the search begins.
    let root = whole.json()[0]["root"].as_str().unwrap().to_owned();
    place.write("STATE", state.to_string().replace(&"00".repeat(32), &root));
    let rest = place.line("verify --json --resume STATE big").expect(0);
    assert_eq!(rest.json()[0]["verified_from"], MIB);
}

#[test]
fn a_range_is_verified_against_its_own_outline() {
    let place = Place::new();
    place.write("big", bytes(5 * MIB + 7));
    place.line("seal --range 2MiB.. big -o 1.atlas").expect(0);
    place.line("verify --range 2MiB.. --outline 1.atlas big").expect(0);
    // Bytes before the range belong to another.
    place.damage("big", MIB);
    place.line("verify --range 2MiB.. --outline 1.atlas big").expect(0);
    place.damage("big", 3 * MIB + 5);
    let ran = place.line("verify --json --range 2MiB.. --outline 1.atlas big").expect(1);
    assert_eq!(ran.json()[0]["damage"][0]["offset"], 3 * MIB);
    place.line("verify --range 3MiB.. --outline 1.atlas big").expect(1);
    place.line("verify --range 2MiB..99MiB --outline 1.atlas big").expect(2);
    place.line("verify --range 2MiB.. big").expect(2);
}

#[test]
fn repair_takes_what_a_command_prints() {
    let (place, data) = sealed();
    fs::remove_file(place.path("big.iso.atp")).unwrap();
    place.damage("big.iso", MIB + 1);
    place.damage("big.iso", 3 * MIB);
    let damaged = place.read("big.iso");
    let dd = |input: &str| {
        format!(
            "dd if={input} iflag=skip_bytes,count_bytes skip={{first}} count=$(({{last}}-{{first}}+1)) \
             status=none"
        )
    };
    let zeros = dd("/dev/zero");
    let long = format!("{}; echo more", dd("copy"));
    let failing = format!("{}; exit 3", dd("copy"));
    // Wrong, too short, too long, failing, not there: nothing changes.
    for command in [
        "true {first} {last}",
        "printf x {first} {last}",
        &zeros,
        &long,
        &failing,
        "no-such-command {first} {last}",
    ] {
        let ran = place.run(["repair", "--from-command", command, "big.iso"]).expect(4);
        assert!(ran.text().contains("damaged still"), "{command}: {}", ran.text());
        assert_eq!(place.read("big.iso"), damaged, "{command}");
    }
    // What never comes, and what never ends.
    let start = Instant::now();
    for command in
        ["sleep 100 # {first} {last}", "yes {first} {last}", "exec >&-; sleep 100 # {first} {last}"]
    {
        place.run(["repair", "--patience", "0.3s", "--from-command", command, "big.iso"]).expect(4);
        assert_eq!(place.read("big.iso"), damaged, "{command}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    place.run(["repair", "--from-command", "cat copy", "big.iso"]).expect(2);
    let object =
        place.run(["repair", "--json", "--from-command", &dd("copy"), "big.iso"]).expect(0).json().remove(0);
    assert_eq!(object["fetched_bytes"], 16_384 + 12_345);
    assert_eq!(place.read("big.iso"), data);
}

/// A web server of one file, which gives ranges or ignores them; the port.
fn serve(data: Vec<u8>, gives_ranges: bool) -> u16 {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut request, mut buffer) = (Vec::new(), [0; 1_024]);
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&request).to_lowercase();
            let range =
                text.split("bytes=").nth(1).and_then(|rest| rest.split_once("\r\n")).and_then(|line| {
                    let (first, last) = line.0.split_once('-')?;
                    Some(first.parse::<usize>().ok()?..last.parse::<usize>().ok()? + 1)
                });
            let (status, body) = match range {
                Some(range) if gives_ranges => ("206 Partial Content", data[range].to_vec()),
                _ => ("200 OK", data.clone()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            drop(stream.write_all(&[head.into_bytes(), body].concat()));
        }
    });
    port
}

#[test]
fn repair_asks_a_web_server_for_ranges() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let (place, data) = sealed();
    fs::remove_file(place.path("big.iso.atp")).unwrap();
    place.damage("big.iso", 5);
    place.damage("big.iso", MIB + 1);
    let damaged = place.read("big.iso");
    let deaf = format!("http://127.0.0.1:{}/big.iso", serve(data.clone(), false));
    place.run(["repair", "--from-url", &deaf, "big.iso"]).expect(4);
    assert_eq!(place.read("big.iso"), damaged);
    let url = format!("http://127.0.0.1:{}/big.iso", serve(data.clone(), true));
    let object = place.run(["repair", "--json", "--from-url", &url, "big.iso"]).expect(0).json().remove(0);
    assert_eq!(object["fetched_bytes"], 2 * 16_384);
    assert_eq!(place.read("big.iso"), data);
    place.damage("big.iso", 5);
    place.run(["repair", "--from-url", "http://127.0.0.1:1/x", "big.iso"]).expect(4);
}

#[test]
fn update_follows_a_change_and_no_damage() {
    let (place, data) = sealed();
    place.damage("big.iso", MIB + 1);
    place.damage("big.iso", 2 * MIB + 1);
    let changed = place.read("big.iso");
    // The second one was not named: it is damage.
    let ran = place.line("update --ranges 1MiB+4096 big.iso").expect(1);
    assert!(ran.stderr.contains("also differs at 2097152..2113536"), "{}", ran.stderr);
    let text = place.line("update -n big.iso").expect(0).text();
    assert!(text.contains("32 KiB in 2 ranges"), "{text}");
    place.line("verify big.iso").expect(3);
    let object =
        place.line("update --json --ranges 1MiB+4096 --ranges 2MiB+2 big.iso").expect(0).json().remove(0);
    assert_eq!((&object["changed_bytes"], &object["generation"]), (&json!(32_768), &json!(2)));
    place.line("verify --parity-too big.iso").expect(0);
    assert_eq!(
        place.line("update big.iso").expect(0).text(),
        "big.iso: as it was sealed, nothing to update\n"
    );
    // The new parity mends the new bytes.
    place.damage("big.iso", MIB + 5);
    place.line("repair --discard big.iso").expect(0);
    assert_eq!(place.read("big.iso"), changed);
    // Growth, and a cut.
    for bytes in
        [[&data[..], &bytes(5 * MIB)].concat(), data[..MIB + 1].to_vec(), Vec::new(), b"few".to_vec()]
    {
        place.write("big.iso", &bytes);
        place.line("update big.iso").expect(0);
        place.line("verify --parity-too big.iso").expect(0);
        if !bytes.is_empty() {
            place.damage("big.iso", 0);
            place.line("repair --discard big.iso").expect(0);
            assert!(place.read("big.iso") == bytes);
        }
    }
    place.line("update copy").expect(4);
}

#[test]
fn diff_lists_what_differs() {
    let (place, data) = sealed();
    assert!(place.line("diff big.iso copy").expect(0).text().starts_with("big.iso: equal to copy"));
    place.damage("copy", MIB + 5_000);
    place.line("seal copy").expect(0);
    place.line("pack copy -o packed.atlas").expect(0);
    let exact = json!([{ "kind": "differs", "offset": MIB + 4_096, "length": 4_096 }]);
    for line in ["big.iso copy", "big.iso.atlas copy.atlas", "packed.atlas big.iso"] {
        let object = place.line(&format!("diff --json {line}")).expect(1).json().remove(0);
        assert_eq!(object["ranges"], exact, "{line}");
    }
    place.write("longer", [&data[..], b"tail"].concat());
    let object = place.line("diff --json longer big.iso").expect(1).json().remove(0);
    assert_eq!(object["ranges"], json!([{ "kind": "missing", "offset": data.len(), "length": 4 }]));
    // Two outlines without their files.
    fs::remove_file(place.path("big.iso")).unwrap();
    fs::remove_file(place.path("copy")).unwrap();
    let object = place.line("diff --json big.iso.atlas copy.atlas").expect(1).json().remove(0);
    assert_eq!(object["ranges"][0]["offset"].as_u64().unwrap() / MIB as u64, 1);
    place.pipe("insert packed.atlas 10 -", b"x").expect(0);
    place.line("diff packed.atlas packed.atlas --generation-a 1").expect(1);
    place.line("diff packed.atlas big.iso.atp").expect(2);
}

// Containers and shards.

#[test]
fn a_file_is_split_and_joined_from_any_k_classes() {
    let place = Place::new();
    for size in [0, 5, 2 * MIB + 77] {
        let data = bytes(size);
        place.write("f", &data);
        let object = place.line("split --json -k 3 f -o classes").expect(0).json().remove(0);
        assert_eq!((&object["windows"], &object["data_classes"]), (&json!(1), &json!(3)));
        place.line("split -k 3 f -o classes").expect(8);
        place.line("join classes -o again").expect(0);
        assert!(place.read("again") == data, "{size}");
        place.line("join classes -o again").expect(8);
        let root = object["root"].as_str().unwrap();
        let three = ["classes/f.95-00000.shard", "classes/f.07-00000.shard", "classes/f.40-00000.shard"];
        let joined = [&["join", "-f", "-o", "again", "--root", root][..], &three].concat();
        place.run(&joined).expect(0);
        assert!(place.read("again") == data);
        if size > 5 {
            fs::remove_file(place.path("again")).unwrap();
            let ran = place.run(["join", three[0], three[1], "-o", "again"]).expect(4);
            assert!(ran.stderr.contains("1 more class"), "{}", ran.stderr);
            // A damaged one is left out, and another takes its place.
            place.damage(three[1], 700);
            place.run(["join", three[0], three[1], three[2], "-o", "again"]).expect(4);
            let ran = place
                .run(["join", three[0], three[1], three[2], "classes/f.00-00000.shard", "-o", "again"])
                .expect(0);
            assert!(ran.stderr.contains("left out"), "{}", ran.stderr);
            assert!(place.read("again") == data);
            place.run(["join", "--root", &"0".repeat(64), "classes", "-o", "none"]).expect(4);
        }
        fs::remove_dir_all(place.path("classes")).unwrap();
        fs::remove_file(place.path("again")).unwrap();
    }
    // Ranges of a file are shards too.
    place.line("shard f 0..1MiB 1MiB.. -o parts").expect(0);
    place.line("join parts -o again").expect(0);
    assert!(place.read("again") == place.read("f"));
    assert_eq!(place.names(), ["again", "f", "parts"]);
}

#[test]
fn a_file_of_several_windows_is_split_and_joined() {
    let place = Place::new();
    let data = bytes(65 * MIB);
    place.write("f", &data);
    place.line("split -k 64 f -o classes").expect(0);
    for class in 0..32 {
        fs::remove_file(place.path(format!("classes/f.{:02}-00000.shard", 3 * class))).unwrap();
        fs::remove_file(place.path(format!("classes/f.{:02}-00001.shard", 3 * class + 1))).unwrap();
    }
    place.line("join classes -o again").expect(0);
    assert!(place.read("again") == data);
}

#[test]
fn a_container_is_packed_edited_and_unpacked() {
    let place = Place::new();
    let mut model = bytes(2 * MIB + 7);
    place.write("a", &model);
    place.line("pack --compress zstd a -o x.atlas --note first").expect(0);
    let check = |model: &[u8]| {
        assert!(place.line("cat x.atlas").expect(0).stdout == model);
        let root = place.pipe("hash --no-names", &place.line("cat x.atlas").stdout).text();
        root.trim().to_owned()
    };
    check(&model);
    place.pipe("insert x.atlas 1000 -", b"new bytes").expect(0);
    model.splice(1_000..1_000, *b"new bytes");
    check(&model);
    place.write("tail", bytes(70_000));
    place.line("insert x.atlas end tail").expect(0);
    model.extend(bytes(70_000));
    check(&model);
    place.line("delete x.atlas 1MiB+4097").expect(0);
    model.drain(MIB..MIB + 4_097);
    check(&model);
    place.pipe("replace x.atlas -64KiB..-1 -", b"shorter").expect(0);
    let end = model.len();
    model.splice(end - 65_536..end - 1, *b"shorter");
    check(&model);
    place.line("move x.atlas 0+10 end").expect(0);
    let moved: Vec<u8> = model.drain(..10).collect();
    model.extend(moved);
    check(&model);
    let dry = place.line("delete -n x.atlas 0+1").expect(0).text();
    assert!(dry.contains("would have"), "{dry}");
    check(&model);

    let log = place.line("log --json x.atlas").expect(0).json().remove(0);
    let numbers: Vec<u64> = log["generations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["generation"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
    assert_eq!(
        (&log["generations"][5]["note"], &log["generations"][0]["note"]),
        (&json!("first"), &json!("move"))
    );
    place.line("unpack x.atlas -o now").expect(0);
    assert!(place.read("now") == model);
    place.line("unpack --generation 1 x.atlas -o old").expect(0);
    assert!(place.read("old") == place.read("a"));
    place.line("unpack --generation 9 x.atlas -o none").expect(2);
    assert_eq!(place.line("cat x.atlas --generation 1 0+5").expect(0).stdout, place.read("a")[..5]);

    place.line("rollback x.atlas 1").expect(0);
    assert!(place.line("cat x.atlas").expect(0).stdout == place.read("a"));
    place.line("rollback x.atlas").expect(0);
    check(&model);
    let object = place.line("forget --json --keep-from 8 x.atlas").expect(0).json().remove(0);
    assert_eq!((&object["oldest"], &object["newest"]), (&json!(8), &json!(8)));
    assert!(object["size_after"].as_u64() < object["size_before"].as_u64());
    place.line("rollback x.atlas 1").expect(2);
    place.line("forget --keep-from 99 x.atlas").expect(2);
    place.line("compact x.atlas").expect(0);
    check(&model);
    assert_eq!(place.names(), ["a", "now", "old", "tail", "x.atlas"]);
}

#[test]
fn a_strict_container_takes_edits_that_keep_its_sum() {
    let place = Place::new();
    place.write("a", [1; 96]);
    place.line("pack --strict a -o x.atlas").expect(0);
    place.pipe("insert x.atlas 0 -", b"x").expect(1);
    place.pipe("replace x.atlas 0+2 -", &[2, 0]).expect(0);
    assert_eq!(place.line("cat x.atlas 0+3").expect(0).stdout, [2, 0, 1]);
    place.pipe("replace x.atlas 0+2 -", &[2, 1]).expect(1);
    place.write("b", "odd");
    place.line("pack --strict b -o y.atlas").expect(1);
    assert_eq!(place.names(), ["a", "b", "x.atlas"]);
}

#[test]
fn a_pipe_is_packed_and_an_outline_is_not_edited() {
    let place = Place::new();
    let data = bytes(3 * MIB);
    place.pipe("pack - -o x.atlas", &data).expect(0);
    assert_eq!(place.names(), ["x.atlas"]);
    assert!(place.line("cat x.atlas").expect(0).stdout == data);
    place.write("f", "text");
    place.line("seal f").expect(0);
    assert!(place.line("delete f.atlas 0+1").expect(2).stderr.contains("is an outline"));
    assert_eq!(place.line("cat f.atlas").expect(0).stdout, b"text");
    place.write("f", "tent");
    place.line("cat f.atlas").expect(1);
    fs::remove_file(place.path("f")).unwrap();
    place.line("cat f.atlas").expect(4);
}

#[test]
fn shards_are_cut_and_verified() {
    let place = Place::new();
    let data = bytes(3 * MIB + 5);
    place.write("a", &data);
    place.line("seal a").expect(0);
    let root = place.line("hash --no-names a").expect(0).text();
    let root = root.trim();
    for from in ["a", "a.atlas"] {
        for compress in ["", "--compress zstd", "--compress auto"] {
            place.line(&format!("shard -f {from} {compress} 1000000+5000 -o one.shard")).expect(0);
            place.run(["check", "--root", root, "one.shard"]).expect(0);
            place.line("check one.shard").expect(0);
            place.run(["check", "--root", &"0".repeat(64), "one.shard"]).expect(1);
            assert_eq!(place.line("cat one.shard").expect(0).stdout, data[1_000_000..1_005_000]);
            assert_eq!(place.line("cat one.shard 1000001+3").expect(0).stdout, data[1_000_001..1_000_004]);
            place.line("cat one.shard 0+3").expect(2);
        }
    }
    place.line("shard a 0+10 -10.. -o parts").expect(0);
    let last = format!("parts/a.{}-10.shard", data.len() - 10);
    assert_eq!(place.run(["cat", &last]).expect(0).stdout, data[data.len() - 10..]);
    place.line("shard a 0+10 -10.. -o parts").expect(8);
    let object = place.line("info --json one.shard").expect(0).json().remove(0);
    assert_eq!(object["region"], json!({ "offset": 1_000_000, "length": 5_000 }));
    let shard = place.read("parts/a.0-10.shard");
    for at in [0, 9, 30, shard.len() / 2, shard.len() - 1] {
        let mut bad = shard.clone();
        bad[at] ^= 1;
        place.write("bad.shard", bad);
        let code = place.run(["check", "--root", root, "bad.shard"]).code;
        assert!(code == 1 || code == 6, "byte {at}: {code}");
    }
}

#[test]
fn info_says_what_files_are() {
    let (place, data) = sealed();
    place.line("pack big.iso -o x.atlas").expect(0);
    place.line("shard big.iso 0+5 -o s.shard").expect(0);
    let objects =
        place.line("info --json big.iso big.iso.atlas big.iso.atp x.atlas s.shard").expect(0).json();
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["file", "container", "parity file", "container", "shard"]);
    assert_eq!((&objects[1]["outline"], &objects[3]["outline"]), (&json!(true), &json!(false)));
    for object in &objects {
        let size = object.get("size").or(object.get("protected_size"));
        assert_eq!(size, Some(&json!(data.len())));
    }
    let text = place.line("info big.iso.atp").expect(0).text();
    assert!(text.contains("may be lost"), "{text}");
}

// Output.

#[test]
fn progress_goes_to_standard_error_and_nothing_else() {
    let place = Place::new();
    place.write("a", bytes(4 * MIB));
    let plain = place.line("hash a").expect(0);
    assert_eq!(plain.stderr, "");
    let ran = place.line("hash --progress json --rate 1 a");
    assert_eq!(ran.code, 2);
    let ran = place.line("hash --progress json a").expect(0);
    assert_eq!(ran.stdout, plain.stdout);
    let first: serde_json::Value = serde_json::from_str(ran.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["progress"]["bytes_total"], &first["progress"]["path"]),
        (&json!(4 * MIB), &json!("a"))
    );
    place.line("seal a").expect(0);
    let ran = place.line("verify --progress bar --rate 4M a").expect(0);
    assert!(ran.stderr.contains("MiB/s") && ran.stderr.ends_with("\r\x1b[K"), "{}", ran.stderr);
    assert_eq!(place.line("verify -q --progress bar --rate 4M a").expect(0).stderr, "");
}

#[test]
fn the_pages_and_completions_are_made() {
    let place = Place::new();
    let page = place.line("man").expect(0).text();
    assert!(page.contains(".SH \"EXIT STATUS\"") || page.contains(".SH EXIT STATUS"), "{page}");
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "70", "130"] {
        assert!(page.contains(&format!("\\fB{code}\\fR")), "status {code}");
    }
    place.line("man seal").expect(0);
    place.line("man nonsense").expect(2);
    place.line("man --all pages").expect(0);
    assert!(place.path("pages/atlasm.1").exists() && place.path("pages/atlasm-seal.1").exists());
    for shell in ["bash", "zsh", "fish"] {
        let text = place.run(["completions", shell]).expect(0).text();
        assert!(text.contains("parity-too"), "{shell}");
    }
}

#[test]
fn the_examples_of_the_manual_work() {
    let place = Place::new();
    place.write("big.iso", bytes(MIB + 5));
    let page = place.line("man").expect(0).text();
    let examples = page.split(".SH EXAMPLES").nth(1).unwrap().split(".SH").next().unwrap();
    let lines: Vec<String> = examples
        .lines()
        .filter(|line| line.contains("atlasm ") && !line.starts_with('.'))
        .map(|line| line.replace("\\-", "-").replace("\\&", "").replace("\\\\", "\\"))
        .collect();
    assert!(lines.len() >= 12, "{lines:?}");
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_atlasm")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for line in lines {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-ec", &line]).current_dir(place.path("")).env("PATH", &path).stdin(Stdio::null());
        let ran = ran(shell.output().unwrap());
        assert_eq!(ran.code, 0, "{line}\n{}{}", ran.text(), ran.stderr);
    }
}

#[test]
fn the_help_is_as_it_was_agreed() {
    let place = Place::new();
    let text = place.line("--help").expect(0).text();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");
    if std::env::var_os("ATLASM_HELP").is_some_and(|value| value == "update") {
        fs::write(golden, &text).unwrap();
    }
    assert_eq!(
        text,
        fs::read_to_string(golden).unwrap(),
        "ATLASM_HELP=update cargo test -p atlasm renews tests/help.txt"
    );
    assert_eq!(place.line("--version").expect(0).text(), format!("atlasm {}\n", env!("CARGO_PKG_VERSION")));
    for command in
        text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty())
    {
        let name = command.split_whitespace().next().unwrap();
        if name != "help" {
            // The list has a few words, the help of the command says more.
            let few = command.trim().split_once(' ').unwrap().1.trim().to_owned();
            let more = place.line(&format!("{name} --help")).expect(0).text();
            assert!(!more.starts_with(&few), "{name}: {more}");
            place.line(&format!("help {name}")).expect(0);
        }
    }
}

#[test]
fn an_empty_file_starts_no_thread() {
    let place = Place::new();
    place.write("empty", "");
    place.write("small", bytes(MIB));
    let output = std::process::Command::new("strace")
        .args([
            "-f",
            "-e",
            "trace=clone,clone3",
            "-o",
            "trace",
            env!("CARGO_BIN_EXE_atlasm"),
            "hash",
            "empty",
            "small",
        ])
        .current_dir(place.path(""))
        .output();
    // Without that program there is nothing to see.
    let Ok(output) = output else { return };
    if output.status.code() == Some(0) {
        let trace = String::from_utf8(place.read("trace")).unwrap();
        assert!(!trace.contains("clone"), "{trace}");
    }
}

#[test]
fn a_picture_shows_what_is_bad_and_what_was_repaired() {
    let (place, _) = sealed();
    place.damage("big.iso", MIB + 1);
    let text = place.line("verify --map big.iso").expect(3).text();
    assert!(text.contains("\n  ░█░░\n  ░ good  █ bad  each 1 MiB\n"), "{text}");
    let text = place.line("repair --map big.iso").expect(0).text();
    assert!(text.contains("\n  ░▓░░\n  ░ good  ▓ repaired  each 1 MiB\n"), "{text}");
}

#[test]
fn a_terminal_shows_a_bar_and_colours() {
    let place = Place::new();
    place.write("a", bytes(3 * MIB));
    place.line("seal a").expect(0);
    let script = format!("{} verify --rate 3M a", env!("CARGO_BIN_EXE_atlasm"));
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &script, "/dev/null"]).current_dir(place.path("")).stdin(Stdio::null());
    let Ok(output) = command.env("TERM", "xterm").env_remove("NO_COLOR").output() else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("░") && text.contains(" of 3 MiB") && text.contains(" left"), "{text}");
    // The bar is gone before the result comes.
    assert!(text.ends_with("\r\x1b[Ka: \x1b[32mintact\x1b[0m, 3 MiB\r\n"), "{text:?}");
    let output = command.env("NO_COLOR", "1").env("TERM", "dumb").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a: intact, 3 MiB\r\n");
}

/// Runs the program and returns the most memory that it had, in KiB.
#[allow(clippy::zombie_processes, reason = "wait4 waits, and tells the memory too")]
fn peak(place: &Place, line: &str, code: i32) -> i64 {
    let child = place.command(line.split(' ')).stdout(Stdio::null()).spawn().unwrap();
    let (mut status, id) = (0, i32::try_from(child.id()).unwrap());
    // SAFETY: a child that nobody else waits for, and a structure that the call fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(id, &mut status, 0, &mut usage), id);
        usage
    };
    assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, code), "{line}");
    usage.ru_maxrss
}

#[test]
#[ignore = "reads files of 5 GiB"]
fn memory_does_not_follow_the_size() {
    use std::os::unix::fs::FileExt;
    let place = Place::new();
    let size = (5_u64 << 30) + 4_097;
    for name in ["big", "copy"] {
        let file = fs::File::create(place.path(name)).unwrap();
        file.set_len(size).unwrap();
        for at in [0, 1 << 30, (4 << 30) + 5, size - 3] {
            file.write_all_at(b"abc", at).unwrap();
        }
    }
    let limit = 512 * 1_024;
    for (line, code) in
        [("hash big", 0), ("seal --parity 1% big", 0), ("verify big", 0), ("verify --parity-too big", 0)]
    {
        let peak = peak(&place, line, code);
        assert!(peak < limit, "{line}: {peak} KiB");
    }
    let file = fs::File::options().write(true).open(place.path("big")).unwrap();
    file.write_all_at(&[1; 100_000], 3 << 30).unwrap();
    for (line, code) in [("verify big", 3), ("repair --from copy big", 0), ("verify big", 0)] {
        let peak = peak(&place, line, code);
        assert!(peak < limit, "{line}: {peak} KiB");
    }
    file.write_all_at(&[1; 100_000], 3 << 30).unwrap();
    let peak = peak(&place, "repair --discard big", 0);
    assert!(peak < limit, "repair: {peak} KiB");
    place.line("verify big").expect(0);
    for line in ["split big -k 64 -o classes", "join classes -o joined"] {
        let peak = self::peak(&place, line, 0);
        assert!(peak < limit, "{line}: {peak} KiB");
    }
    place.line("diff big joined").expect(0);
    fs::remove_dir_all(place.path("classes")).unwrap();
    // A hole has no bytes to read.
    let file = fs::File::create(place.path("sparse")).unwrap();
    file.set_len(64 << 30).unwrap();
    file.write_all_at(&bytes(4 * MIB), 40 << 30).unwrap();
    for line in ["seal sparse", "verify sparse"] {
        let start = Instant::now();
        let peak = self::peak(&place, line, 0);
        assert!(peak < 64 * 1_024, "{line}: {peak} KiB");
        assert!(start.elapsed() < Duration::from_secs(10), "{line}: {:?}", start.elapsed());
    }
}

#[test]
fn bench_measures() {
    let place = Place::new();
    let line = "bench --size 64K --iterations 1 --seconds 0.01";
    let object = place.line(&format!("{line} --json")).expect(0).json().remove(0);
    assert_eq!(object["report"]["library"], "atlas_manifold");
    assert!(place.line(line).expect(0).text().lines().count() > 5);
    place.line("bench --iterations 0").expect(2);
}

#[test]
fn outlines_of_ranges_are_merged() {
    let (place, _) = sealed();
    for (index, range) in ["..1MiB", "1MiB..3MiB", "3MiB.."].iter().enumerate() {
        place.line(&format!("seal --range {range} copy -o {index}.atlas")).expect(0);
    }
    let object = place.line("merge --json 0.atlas 1.atlas 2.atlas -o copy.atlas").expect(0).json().remove(0);
    let root = place.line("hash --no-names copy").expect(0).text();
    assert_eq!(object["root"], root.trim());
    place.line("verify copy").expect(0);
    place.damage("copy", 2 * MIB);
    let object = place.line("verify --json copy").expect(1).json().remove(0);
    assert_eq!(object["damage"], json!([{ "kind": "differs", "offset": 2 * MIB, "length": 16_384 }]));
    place.line("merge 0.atlas 2.atlas 1.atlas -o x.atlas").expect(2);
    place.line("merge 0.atlas 1.atlas 2.atlas -o copy.atlas").expect(8);
    place.line("merge big.iso -o x.atlas").expect(6);
    place.line("seal --range 5..1MiB copy -o x.atlas").expect(2);
    place.line("seal --range ..1MiB copy").expect(2);
    assert!(!place.path("x.atlas").exists());
}
