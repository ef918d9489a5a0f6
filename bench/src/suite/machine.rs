//! What the figures were measured on, as far as the system tells.

use serde_json::{Value, json};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn describe() -> Value {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let field = |text: &str, name: &str, sign: char| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(sign).map_or("unknown", |(_, value)| value).trim().trim_matches('"').to_owned()
    };
    let flags = field(&cpus, "flags", ':');
    let vectors = ["sse4_1", "avx2", "avx512f", "sha_ni"];
    let vectors: Vec<_> = vectors.iter().filter(|name| flags.split(' ').any(|flag| flag == **name)).collect();
    json!({
        "date": date(),
        "processor": field(&cpus, "model name", ':'),
        "instruction_sets": vectors,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&file("/proc/meminfo"), "MemTotal", ':'),
        "system": field(&file("/etc/os-release"), "PRETTY_NAME", '='),
        "kernel": file("/proc/sys/kernel/osrelease").trim(),
        "compiler": run("rustc", &["--version"]),
        "revision": run("git", &["describe", "--always", "--dirty", "--tags"]),
    })
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The date and time of now, UTC.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year}-{:02}-{:02} {hour:02}:{minute:02} UTC", month + 1, days + 1)
}
