//! Description of the machine of the figures, as far as the system provides it.

use serde_json::{Value, json};
use std::process::Command;

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
        "date": run("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "processor": field(&cpus, "model name", ':'),
        "instruction_sets": vectors,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": gibibytes(&field(&file("/proc/meminfo"), "MemTotal", ':')),
        "system": field(&file("/etc/os-release"), "PRETTY_NAME", '='),
        "kernel": file("/proc/sys/kernel/osrelease").trim(),
        "compiler": run("rustc", &["--version"]),
        // The crates that take most of the time, in the versions that the library is built with.
        "crates": versions(include_str!("../../../Cargo.lock"), &["blake3", "flate2", "zlib-rs", "rayon"]),
        "revision": run("git", &["describe", "--always", "--dirty", "--tags"]),
    })
}

/// `24683656 kB`, as the kernel writes it, in GiB.
fn gibibytes(text: &str) -> String {
    let number = text.strip_suffix(" kB").and_then(|number| number.parse::<f64>().ok());
    number.map_or(text.to_owned(), |number| format!("{:.1} GiB", number / 1048576.0))
}

/// Returns the output of a program.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The versions of crates, as a lock file has them.
pub fn versions(lock: &str, names: &[&str]) -> Vec<String> {
    let version = |name: &&str| {
        let at = lock.split("[[package]]").find(|part| part.contains(&format!("\nname = \"{name}\"\n")))?;
        Some(format!("{name} {}", at.split_once("version = \"")?.1.split_once('"')?.0))
    };
    names.iter().filter_map(version).collect()
}
