//! Arguments and messages of the program, as a user who has read the help alone meets them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod schema;

use common::{Place, bytes};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

#[test]
fn a_minus_sign_counts_from_the_end_in_ranges_alone() {
    let place = Place::new();
    place.write("-5", "five");
    place.write("five", "five");
    // The name of a file after --, and in the value of an option.
    let named = place.line("hash --no-names -- -5").expect(0);
    assert_eq!(named.text(), place.line("hash --no-names five").expect(0).text());
    place.line("seal five -o=-7").expect(0);
    assert!(place.path("-7").exists(), "{:?}", place.names());
    // An option that does not exist, or takes no such value, is refused by the text that was given.
    for line in ["seal five -o -8", "hash -5", "seal --parity -5% five", "-j -1 hash five", "cat -5 0+1"] {
        let ran = place.line(line).expect(2);
        assert!(ran.stderr.contains("'-") && !ran.stderr.contains("end-"), "{line}: {}", ran.stderr);
    }
    place.line("pack five -o x.atlas --note=-3").expect(0);
    assert!(place.line("log x.atlas").text().trim_end().ends_with("  -3"));
    // Ranges and offsets, beside options with and without a space.
    for line in
        ["cat five -3..", "cat -j1 five -3.. -q", "-j 1 cat --generation 0 five -3..-0", "cat five -3+3"]
    {
        assert_eq!(place.line(line).expect(0).text(), "ive", "{line}");
    }
    place.line("shard five -3.. -4..-1 -oparts").expect(0);
    assert_eq!(fs::read_dir(place.path("parts")).unwrap().count(), 2);
    place.pipe("insert x.atlas -1 -", b"...").expect(0);
    assert_eq!(place.line("cat x.atlas").expect(0).text(), "fiv...e");
    place.line("move x.atlas -1.. -4").expect(0);
    assert_eq!(place.line("cat x.atlas").expect(0).text(), "five...");
    place.line("update --ranges -4.. five --outline=-7").expect(0);
    assert!(place.line("cat five -3Q..").expect(2).stderr.contains("'-3Q..' is not a range"));
}

/// Starts a command line, and ends it by `signal` after a while. Returns the exit status.
fn stopped_by(place: &Place, line: &str, signal: i32, stdin: Stdio) -> i32 {
    let mut command = place.command(line.split_whitespace());
    let mut child = command.stdin(stdin).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // SAFETY: a process that this test started and did not wait for.
    unsafe { libc::kill(child.id() as i32, signal) };
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if start.elapsed() > Duration::from_secs(5) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{line} goes on after the signal {signal}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_pipe() {
    let place = Place::new();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    place.write("a", "a");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        assert_eq!(stopped_by(&place, "hash pipe", signal, Stdio::null()), 130);
        assert_eq!(stopped_by(&place, "hash --key-file pipe a", signal, Stdio::null()), 130);
        // Standard input that stays open and gives nothing.
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(stopped_by(&place, "hash -c -", signal, reader.into()), 130);
    }
    // What is written to the pipe is hashed, however late the writer comes.
    let child = place.command(["hash", "--no-names", "pipe"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    place.write("pipe", "a");
    let output = child.wait_with_output().unwrap();
    assert_eq!(common::ran(output).expect(0).text(), place.line("hash --no-names a").text());
}

#[test]
fn a_dash_is_standard_input_and_output_or_is_refused() {
    let place = Place::new();
    let data = bytes(MIB + 100);
    place.write("a", &data);
    place.write("other", &data);
    // Written by position, or under a name of its own until it is whole.
    for line in [
        "seal a -o -",
        "pack a -o -",
        "merge a.atlas -o -",
        "join x -o -",
        "split -k 64 a -o -",
        "shard a 0+1 1+1 -o -",
        "--json shard a 0+1 -o -",
    ] {
        let ran = place.line(line).expect(2);
        assert!(
            ran.stderr.contains("standard output") && !ran.stderr.contains("standard input"),
            "{}",
            ran.stderr
        );
        assert!(
            line.starts_with("--json") || (ran.text().is_empty() && ran.stderr.contains("./-")),
            "{}",
            ran.stderr
        );
    }
    // Read by position.
    for line in [
        "cat -",
        "check -",
        "info -",
        "log -",
        "diff - a",
        "seal -",
        "split -k 64 - -o x",
        "verify --outline - a",
    ] {
        let ran = place.pipe(line, b"bytes").expect(2);
        assert!(ran.stderr.contains("./-") || line == "seal -", "{line}: {}", ran.stderr);
    }
    assert_eq!(place.names(), ["a", "other"]);
    // A shard is a stream, and names a file like any other with a folder before it.
    let cut = place.line("shard a 4096+10 -o -").expect(0);
    assert_eq!(cut.stderr, "");
    place.line("shard a 4096+10 -o ./-").expect(0);
    assert_eq!(place.read("-"), cut.stdout);
    place.line("check ./-").expect(0);
}

#[test]
fn a_read_of_damaged_bytes_names_them_and_what_to_do() {
    let place = Place::new();
    let data = bytes(4 * MIB);
    place.write("a", &data);
    place.line("seal a").expect(0);
    place.line("pack a -o x.atlas").expect(0);
    // The groups of 16 KiB are found, whatever was read.
    place.damage("a", 3 * MIB + 5);
    let wanted = format!(
        "atlasm: the bytes {}..{} of a differ from those that a.atlas was made of\n        atlasm verify a lists all",
        3 * MIB,
        3 * MIB + 16_384
    );
    for line in ["cat a.atlas 2MiB..", "shard a.atlas 2MiB.. -o s", "unpack a.atlas -o b"] {
        let ran = place.line(line).expect(1);
        assert!(ran.stderr.starts_with(&wanted), "{line}: {}", ran.stderr);
    }
    // The bytes of a container.
    let at = place.read("x.atlas").windows(32).position(|window| *window == data[MIB..][..32]).unwrap();
    place.damage("x.atlas", at + 100);
    let ran = place.line("cat x.atlas 1000000..").expect(1);
    let wanted =
        format!("the bytes {MIB}..{} in x.atlas are damaged\n        atlasm verify x.atlas", 2 * MIB);
    assert!(ran.stderr.contains(&wanted), "{}", ran.stderr);
}

#[test]
fn a_damaged_shard_is_damaged_and_not_foreign() {
    let place = Place::new();
    place.write("a", bytes(100_000));
    place.line("shard a 0+50000 -o s").expect(0);
    place.line("shard a --compress zstd 0+50000 -o z").expect(0);
    for name in ["s", "z"] {
        let whole = place.read(name);
        // The digest at the end, the middle, a byte of the header, and half of the file.
        for at in [whole.len() - 1, whole.len() / 2, 20] {
            place.damage(name, at);
            for line in ["check", "cat", "info"] {
                let ran = place.line(&format!("{line} {name}")).expect(1);
                assert!(ran.stderr.contains(&format!("{name}:")), "{}", ran.stderr);
            }
            place.write(name, &whole);
        }
        place.write(name, &whole[..whole.len() / 2]);
        place.line(&format!("check {name}")).expect(1);
    }
    place.write("foreign", "none of this program's files");
    place.line("check foreign").expect(6);
}

#[test]
fn a_damaged_container_is_verified_and_neither_compacted_nor_shortened() {
    let place = Place::new();
    let data = bytes(3 * MIB);
    place.write("a", &data);
    place.line("pack a -o x.atlas").expect(0);
    place.pipe("insert x.atlas end -", b"more").expect(0);
    let ran = place.line("verify x.atlas").expect(0);
    assert_eq!(ran.text(), "x.atlas: intact, 3 MiB in 2 generations\n");
    let whole = place.read("x.atlas");
    let at = whole.windows(32).position(|window| *window == data[MIB..][..32]).unwrap();
    place.damage("x.atlas", at + 100);
    let damaged = place.read("x.atlas");
    let object = place.line("--json verify x.atlas").expect(1).json().remove(0);
    assert_eq!(object["result"], "damaged");
    assert_eq!(object["damage"][0]["offset"], MIB);
    assert_eq!(object["damage"][0]["generation"], 1);
    for line in ["compact x.atlas", "forget --keep-from 2 x.atlas", "forget -n --keep-from 2 x.atlas"] {
        let ran = place.line(line).expect(1);
        assert!(
            ran.stderr.contains("x.atlas is damaged") && ran.stderr.contains("nothing was changed"),
            "{}",
            ran.stderr
        );
        assert!(place.read("x.atlas") == damaged);
    }
    place.write("x.atlas", &whole);
    place.line("compact x.atlas").expect(0);
    place.line("forget --keep-from 2 x.atlas").expect(0);
    // Damage that is forgotten is no reason to keep it.
    place.pipe("replace x.atlas .. -", b"short").expect(0);
    let at = place.read("x.atlas").windows(32).position(|window| *window == data[MIB..][..32]).unwrap();
    place.damage("x.atlas", at + 100);
    place.line("compact x.atlas").expect(1);
    place.line("forget --keep-from 3 x.atlas").expect(0);
    place.line("verify x.atlas").expect(0);
    // An outline is whole whatever happened to its file; it and a parity file are named by their file.
    place.line("seal --parity 10% a").expect(0);
    place.damage("a", 5);
    place.line("compact a.atlas").expect(0);
    for (line, hint) in
        [("verify a.atlas", "atlasm verify a"), ("verify a.atp", "atlasm verify --parity-too a")]
    {
        let ran = place.line(line).expect(2);
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
    }
}

#[test]
fn messages_name_the_options_and_the_outputs() {
    let place = Place::new();
    place.write("a", bytes(3 * MIB));
    let ran = place.line("hash --memory 64K a").expect(7);
    assert!(ran.stderr.starts_with("atlasm: --memory 65536 is less than"), "{}", ran.stderr);
    // A file that may not grow stands for a full disk; the temporary name is no help to anybody.
    let line = format!("ulimit -f 8; {} pack a -o x.atlas", env!("CARGO_BIN_EXE_atlasm"));
    let mut shell = Command::new("sh");
    // SAFETY: only the disposition of a signal is set, as a shell may.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut shell, || {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    let ran = common::ran(shell.args(["-c", &line]).current_dir(place.path("")).output().unwrap()).expect(5);
    assert!(ran.stderr.contains("the temporary file of x.atlas"), "{}", ran.stderr);
    assert!(!ran.stderr.contains(".tmp"), "{}", ran.stderr);
    assert_eq!(place.names(), ["a"]);
}

#[test]
fn a_repair_says_that_it_parts_hard_links() {
    let place = Place::new();
    place.write("a", bytes(MIB));
    place.line("seal --parity 10% a").expect(0);
    fs::hard_link(place.path("a"), place.path("b")).unwrap();
    place.damage("a", 5);
    let ran = place.line("repair a").expect(0);
    assert!(
        ran.stderr.contains("a has 1 other name (hard links), which keeps the damaged bytes"),
        "{}",
        ran.stderr
    );
}

#[test]
fn join_says_why_shards_are_left_out() {
    let place = Place::new();
    place.write("a", bytes(MIB));
    place.write("b", bytes(1_000));
    place.line("split -k 64 a -o classes").expect(0);
    // The root of another type.
    let root = place.line("hash --no-names a").expect(0).text();
    let ran = place.line(&format!("join classes -o x --root {}", root.trim())).expect(4);
    assert!(ran.stderr.contains("'atlasm hash --type r96:64' prints"), "{}", ran.stderr);
    assert!(ran.stderr.lines().count() < 8, "{}", ran.stderr);
    let root = place.line("hash --no-names --type r96:64 a").expect(0).text();
    place.line(&format!("join classes -o x --root {}", root.trim())).expect(0);
    // The shards of another file.
    place.line("split -k 64 b -o classes").expect(0);
    let ran = place.line("join classes -o y").expect(0);
    assert!(
        ran.stderr.contains("left out: 96 shards of b, which the output does not need"),
        "{}",
        ran.stderr
    );
    assert!(place.read("y") == place.read("a"));
}

#[test]
fn sizes_are_exact_where_an_edit_or_a_log_says_them() {
    let place = Place::new();
    place.write("a", bytes(4 * MIB));
    place.line("pack a -o x.atlas").expect(0);
    let ran = place.pipe("insert x.atlas end -", b"five!");
    assert!(ran.text().contains("4 MiB (4194309 bytes)"), "{}", ran.text());
    assert!(place.line("log --long x.atlas").expect(0).text().contains("  4194309  "));
    // Nothing to drop is said so.
    place.line("compact x.atlas").expect(0);
    let ran = place.line("compact x.atlas").expect(0);
    assert!(ran.text().contains("there was nothing to drop"), "{}", ran.text());
}

#[test]
fn sealing_anew_says_that_the_log_is_dropped() {
    let place = Place::new();
    place.write("a", "first");
    place.line("seal a").expect(0);
    assert_eq!(place.line("seal -f a").expect(0).stderr, "");
    place.write("a", "second");
    place.line("update a").expect(0);
    let ran = place.line("seal -f a").expect(0);
    assert!(
        ran.stderr.contains("the log of a.atlas (2 generations, with their notes) is dropped"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_share_without_a_percent_sign_is_no_fraction() {
    let place = Place::new();
    place.write("a", "a");
    let ran = place.line("seal --parity 0.1 a").expect(2);
    assert!(ran.stderr.contains("write 10% for a tenth"), "{}", ran.stderr);
    assert_eq!(place.names(), ["a"]);
    place.line("seal --parity 10 a").expect(0);
}

#[test]
fn a_list_of_other_digests_is_said_to_be_one() {
    let place = Place::new();
    place.write("a", "a");
    place.write("b", "b");
    let list = Command::new("sha256sum").args(["a", "b"]).current_dir(place.path("")).output().unwrap();
    place.write("LIST", &list.stdout);
    let ran = place.line("hash -c LIST").expect(6);
    assert!(ran.text().is_empty() && ran.stderr.contains("sha256sum -c LIST checks it"), "{}", ran.stderr);
    place.write("LIST", place.line("hash --type r96:64 a b").expect(0).stdout);
    let ran = place.line("hash -c LIST").expect(1);
    assert!(
        ran.stderr.contains("2 of 2 files do not match") && ran.stderr.contains("--type"),
        "{}",
        ran.stderr
    );
    place.write("LIST", place.line("hash a").expect(0).stdout);
    place.write("a", "other");
    assert!(place.line("hash -c LIST").expect(1).stderr.contains("1 of 1 file does not match"));
}

#[test]
fn a_shard_says_what_goes_along() {
    let place = Place::new();
    place.write("a", bytes(MIB));
    let ran = place.line("shard a 5000+10 -o s").expect(0);
    assert!(ran.text().contains("  with up to 4095 bytes before and after it"), "{}", ran.text());
    assert_eq!(place.line("shard a 4096+4096 -o t").expect(0).text().lines().count(), 1);
}

#[test]
fn parts_are_merged_in_their_order_alone() {
    let place = Place::new();
    place.write("a", bytes(3 * MIB + 5));
    for (name, range) in [("0", "..1MiB"), ("1", "1MiB..2MiB"), ("2", "2MiB..")] {
        place.line(&format!("seal a --range {range} --note part -o {name}")).expect(0);
    }
    assert!(place.line("info 1").expect(0).text().contains("1048576..2097152 of 3 MiB (3145733 bytes)"));
    let object = place.line("--json info 1").expect(0).json().remove(0);
    assert_eq!(object["region"], serde_json::json!({ "offset": MIB, "length": MIB }));
    let ran = place.line("merge 1 0 2 -o x").expect(2);
    let first =
        "1 is the range 1048576..2097152 of a file of 3145733 bytes, and the first part must begin at byte 0";
    assert!(ran.stderr.contains(first), "{}", ran.stderr);
    let ran = place.line("merge 0 2 -o x").expect(2);
    let before = "the part before it ends at byte 1048576 of a file of 3145733 bytes";
    assert!(ran.stderr.contains(before), "{}", ran.stderr);
    let ran = place.line("merge 0 1 -o x").expect(4);
    let last = "the last part ends at byte 2097152 of a file of 3145733 bytes";
    assert!(ran.stderr.contains(last), "{}", ran.stderr);
    place.line("merge 0 1 2 -o a.atlas").expect(0);
    place.line("verify a").expect(0);
}

/// Runs a line of words while this process has a lease on the file `name`, which it gives up when the system asks for
/// it. `None` if the system grants no lease.
fn with_lease(place: &Place, name: &str, line: &str) -> Option<common::Ran> {
    use std::os::fd::AsRawFd;
    // The system asks by this signal, which ends a process by default.
    // SAFETY: a valid signal, and no handler.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    let file = fs::File::options().read(true).write(true).open(place.path(name)).unwrap();
    let lease = |command, argument: libc::c_int| {
        // SAFETY: the descriptor is open, and the call accesses no memory.
        unsafe { libc::fcntl(file.as_raw_fd(), command, argument) }
    };
    if lease(libc::F_SETLEASE, libc::F_WRLCK) != 0 {
        return None;
    }
    let mut command = place.command(line.split_whitespace());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    // Once the lease is asked for, the system states the type that it shall get.
    while lease(libc::F_GETLEASE, 0) == libc::F_WRLCK && begun.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(lease(libc::F_SETLEASE, libc::F_UNLCK), 0);
    Some(common::ran(child.wait_with_output().unwrap()))
}

#[test]
fn a_file_under_a_lease_is_waited_for() {
    let place = Place::new();
    place.write("a", bytes(12_345));
    place.write("key", [7; 32]);
    for (name, line) in [("a", "hash --also sha256 a"), ("key", "hash --key-file key a"), ("a", "hash a")] {
        let expected = place.line(line).expect(0).text();
        let Some(ran) = with_lease(&place, name, line) else {
            eprintln!("no leases here");
            return;
        };
        assert_eq!(ran.expect(0).text(), expected, "{line}");
    }
}
