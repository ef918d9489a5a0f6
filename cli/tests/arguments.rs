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
    assert!(ran.stderr.contains("a temporary file beside x.atlas"), "{}", ran.stderr);
    assert!(!ran.stderr.contains(".tmp"), "{}", ran.stderr);
    assert_eq!(place.names(), ["a"]);
}
