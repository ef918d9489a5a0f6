//! Runs the library's own benchmark suite on the shared library and writes the results: the table to
//! the standard output, and all of them to `report.json`, of which two can be compared.
//!
//! `--help` lists the arguments. By default a case runs for 6 seconds or a thousand times: the slow ones
//! often enough for a median that comes out the same again, the fast ones no longer than it takes.

mod compare;
mod machine;
#[path = "../sys.rs"]
mod sys;

const USAGE: &str = "\
usage: atlas_bench_suite FOLDER [ITERATIONS [SECONDS [MIB...]]]
       atlas_bench_suite FOLDER --compare REPORT.JSON REPORT.JSON
       make bench [BENCH='ITERATIONS SECONDS MIB...']

Runs the benchmark suite of the library and writes report.json to FOLDER.

  ITERATIONS  runs of a case at most, a whole number from 1; 1000 by default
  SECONDS     time of a case at most, a number above 0; 6 by default
  MIB         sizes of the domains in MiB, each above 0; the library's own by default
  --compare   instead compares two runs, row by row";
const ITERATIONS: u32 = 1_000;
const SECONDS: f64 = 6.0;

use serde_json::{Value, json};
use std::ffi::c_void;
use std::io::Write;
use std::path::Path;
use std::ptr::{null, null_mut};
use sys::check;

/// Shows how far the run is.
extern "C" fn progress(progress: *const sys::Progress, user_data: *mut c_void) -> bool {
    // The library hands out its struct and our own counter, on this thread.
    let (progress, shown) = unsafe { (&*progress, &mut *user_data.cast::<u64>()) };
    if progress.chunks_done > *shown {
        *shown = progress.chunks_done;
        eprint!("\r{} of {} ", progress.chunks_done, progress.chunks_total);
    }
    true
}

/// Processes that ran or waited for a CPU, over the last minute.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn text(report: *const sys::BenchmarkReport, format: u32) -> String {
    let mut buffer = sys::Buffer { data: null_mut(), size: 0 };
    check(unsafe { sys::atlas_benchmark_report_format(report, format, &raw mut buffer) });
    let bytes = unsafe { std::slice::from_raw_parts(buffer.data, buffer.size) };
    let text = String::from_utf8_lossy(bytes).into_owned();
    unsafe { sys::atlas_buffer_free(&raw mut buffer) };
    text
}

fn write(path: &Path, text: &str) {
    if let Err(error) = std::fs::write(path, text) {
        eprintln!("{}: {error}", path.display());
        std::process::exit(1);
    }
}

/// The value of an argument, or the end of the program.
fn argument<T: std::str::FromStr>(name: &str, text: &str, wanted: &str, fits: fn(&T) -> bool) -> T {
    text.parse().ok().filter(fits).unwrap_or_else(|| {
        eprintln!("{name} is '{text}' and must be {wanted}\n\n{USAGE}");
        std::process::exit(2);
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return;
    }
    let above_0 = |name: &str, text: &String| {
        argument(name, text, "a number above 0", |number: &f64| number.is_finite() && *number > 0.0)
    };
    let Some(folder) = arguments.first().map(Path::new) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    if arguments.get(1).is_some_and(|word| word == "--compare") {
        let [_, _, first, second] = &arguments[..] else {
            eprintln!("{USAGE}");
            std::process::exit(2);
        };
        std::process::exit(compare::run(first, second));
    }
    let sizes: Vec<u64> =
        arguments.iter().skip(3).map(|mib| (above_0("MIB", mib) * 1048576.0) as u64).collect();
    let mut config = sys::BenchmarkConfig {
        struct_size: 0,
        warmup_iterations: 0,
        iterations: 0,
        max_seconds: 0.0,
        data_sizes: null(),
        data_size_count: 0,
    };
    let mut operation = sys::Operation {
        struct_size: 0,
        pool: null(),
        progress: None,
        user_data: null_mut(),
        memory_limit: 0,
    };
    let (mut report, mut shown) = (null_mut(), 0u64);
    unsafe {
        sys::atlas_benchmark_config_init(&raw mut config);
        config.iterations = arguments.get(1).map_or(ITERATIONS, |text| {
            argument("ITERATIONS", text, "a whole number from 1", |number: &u32| *number > 0)
        });
        sys::atlas_operation_init(&raw mut operation);
    }
    config.max_seconds = arguments.get(2).map_or(SECONDS, |text| above_0("SECONDS", text));
    if !sizes.is_empty() {
        (config.data_sizes, config.data_size_count) = (sizes.as_ptr(), sizes.len());
    }
    operation.progress = Some(progress);
    operation.user_data = (&raw mut shown).cast();
    let load = load();
    check(unsafe { sys::atlas_benchmark_run(&raw const config, &raw const operation, &raw mut report) });
    eprint!("\r");

    print!("{}", text(report, 0));
    let suite: Value = serde_json::from_str(&text(report, 1)).expect("the library writes JSON");
    unsafe { sys::atlas_benchmark_report_destroy(report) };
    let mut machine = machine::describe();
    machine["load_before"] = json!(load);
    let all = json!({ "machine": machine, "suite": suite });
    let pretty = serde_json::to_string_pretty(&all).expect("values can be written");
    write(&folder.join("report.json"), &(pretty + "\n"));
    println!("\n{}", folder.join("report.json").display());
    let _ = std::io::stdout().flush();
}
