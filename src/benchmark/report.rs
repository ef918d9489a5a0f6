//! Results of a run, as values, as text for people, and as JSON and CSV for programs.

use super::cases::{Limit, Name};
use super::config::BenchmarkConfig;
use super::measure::Measured;
use std::ffi::CStr;
use std::fmt::{self, Write};

/// Explanation of the column `of limit`, printed below the table.
const NOTE: &str = "\
The limit is measured in turn with each row, and the ratio is that of their lower quartiles. BLAKE3
of the domain runs on all threads, a MiB a task, so that a domain of up to 1 MiB has one. R96
inverse and its limit run on one thread, and so do the incremental cases and theirs, which are of
the 4 KiB at most that change. Reconstruction verifies its shards on one thread, and the whole on
all. A transformation and a rollback touch no byte.";

/// Result of one case on a domain of one size.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BenchmarkResult {
    /// Name of the measured case.
    pub name: &'static str,
    /// Size of the domain in bytes.
    pub data_size: u64,
    /// Number of measured iterations.
    pub iterations: u64,
    /// Time of the fastest iteration in nanoseconds.
    pub min_ns: f64,
    /// Time of the slowest iteration in nanoseconds.
    pub max_ns: f64,
    /// Mean time of an iteration in nanoseconds.
    pub mean_ns: f64,
    /// Median time of an iteration in nanoseconds.
    pub median_ns: f64,
    /// Standard deviation of the times in nanoseconds. 0 for one iteration.
    pub stddev_ns: f64,
    /// `data_size` divided by the median time in seconds. Not a processing rate if [`work_bytes`](Self::work_bytes)
    /// is less than `data_size`.
    pub bytes_per_second: f64,
    /// Number of bytes that an iteration has to touch: the domain, the bytes of an update, or none.
    pub work_bytes: u64,
    /// Name of the row whose time is a lower bound for the time of this row. `None` if no byte needs to be
    /// touched.
    pub limit: Option<&'static str>,
    /// Time of the `limit` row for `work_bytes` divided by the time of this case, measured alternately. Both times
    /// are lower quartiles, which other work on the machine disturbs least. 1 for a limit itself, `None` if no byte
    /// needs to be touched.
    pub of_limit: Option<f64>,
    /// `name` as a C string.
    pub(crate) c_name: &'static CStr,
}

impl BenchmarkResult {
    pub(super) fn new(name: Name, limit: Limit, size: usize, measured: &mut Measured) -> BenchmarkResult {
        let (data_size, work_bytes) =
            (crate::base::units::to_u64(size), crate::base::units::to_u64(limit.work(size)));
        let median_ns = measured.times.median();
        // A limit is its own bound, and a case without bytes has none.
        let of_limit = match limit {
            Limit::Itself => Some(1.0),
            Limit::None => None,
            _ => Some(measured.of_limit()),
        };
        let times = &measured.times;
        BenchmarkResult {
            name: name.rust,
            data_size,
            iterations: times.count,
            min_ns: times.min,
            max_ns: times.max,
            mean_ns: times.mean,
            median_ns,
            stddev_ns: times.deviation(),
            // Computed for every case; `line` omits it if the work does not depend on the size of the domain.
            bytes_per_second: super::measure::float(data_size) / (median_ns / 1e9),
            work_bytes,
            limit: limit.name(),
            of_limit,
            c_name: name.c,
        }
    }
}

/// Report of a run: its configuration, number of threads and duration, the cases that were left out, and the results.
/// The results are in the order of the sizes, and for each size in the order of the cases.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkReport {
    pub(super) config: BenchmarkConfig,
    pub(super) threads: usize,
    pub(super) results: Vec<BenchmarkResult>,
    /// Names of the cases whose Cargo feature is not built in.
    pub(super) left_out: Vec<&'static str>,
    pub(super) seconds: f64,
}

/// Summary of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BenchmarkSummary {
    /// Number of rows of the report.
    pub results: usize,
    /// Number of rows that have fewer iterations than requested because of max_seconds.
    pub cut_short: usize,
    /// Number of cases that were left out because their Cargo feature is not built in.
    pub left_out: usize,
    /// Number of measured iterations of all rows.
    pub iterations: u64,
    /// Number of threads available to the run.
    pub threads: usize,
    /// Duration of the whole run, including warm-up and preparation.
    pub seconds: f64,
}

impl fmt::Display for BenchmarkSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BenchmarkSummary { results, cut_short, left_out, iterations, threads, seconds } = self;
        let iterations = count(*iterations);
        write!(f, "{results} results, {iterations} iterations, {seconds:.1} s, {threads} threads")?;
        // Numbers that are 0 are left out.
        if *cut_short > 0 {
            write!(f, ", {cut_short} cut short")?;
        }
        if *left_out > 0 {
            write!(f, ", {left_out} not built in")?;
        }
        Ok(())
    }
}

impl BenchmarkReport {
    /// Returns all results.
    pub fn results(&self) -> &[BenchmarkResult] {
        &self.results
    }

    /// Returns the names of the cases that were left out because their Cargo feature is not built in.
    pub fn left_out(&self) -> &[&'static str] {
        &self.left_out
    }

    /// Returns a summary of the run.
    pub fn summary(&self) -> BenchmarkSummary {
        let asked = u64::from(self.config.iterations);
        BenchmarkSummary {
            results: self.results.len(),
            // A row has fewer iterations if its time was over.
            cut_short: self.results.iter().filter(|result| result.iterations < asked).count(),
            left_out: self.left_out.len(),
            iterations: self.results.iter().map(|result| result.iterations).sum(),
            threads: self.threads,
            seconds: self.seconds,
        }
    }

    /// Returns a table for people in UTF-8, at most 100 columns wide.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_text(&mut text);
        text
    }

    /// Writes the text of [`to_text`](Self::to_text).
    pub(crate) fn write_text(&self, f: &mut dyn Write) -> fmt::Result {
        writeln!(f, "atlas_manifold {}\n{}", env!("CARGO_PKG_VERSION"), self.summary())?;
        // A header line before the rows of each size.
        let mut size = None;
        for result in &self.results {
            // The first case begins a table, also if a size is given twice.
            if size != Some(result.data_size) || result.name == "memcpy" {
                size = Some(result.data_size);
                writeln!(
                    f,
                    "\n{:<33}{:>5}{:>8}{:>8}{:>8}{:>8}{:>8}{:>10}{:>12}",
                    format!("domain of {}", bytes(result.data_size)),
                    "runs",
                    "median",
                    "min",
                    "max",
                    "mean",
                    "stddev",
                    "rate",
                    "of limit"
                )?;
            }
            writeln!(f, "{}", line(result))?;
        }
        writeln!(f, "\n{NOTE}")?;
        // Missing rows are named, so that no case seems to be forgotten.
        if !self.left_out.is_empty() {
            writeln!(f, "Not built in:")?;
            self.left_out.iter().try_for_each(|name| writeln!(f, "  {name}"))?;
        }
        Ok(())
    }

    /// Returns a JSON object with the environment and an array of results.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_json(&mut text);
        text
    }

    /// Writes the text of [`to_json`](Self::to_json).
    pub(crate) fn write_json(&self, f: &mut dyn Write) -> fmt::Result {
        // Numbers of the environment first, then the results.
        let BenchmarkConfig { warmup_iterations, iterations, max_seconds, data_sizes } = &self.config;
        writeln!(f, "{{")?;
        writeln!(f, "  \"library\": \"atlas_manifold\",")?;
        writeln!(f, "  \"version\": \"{}\",", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  \"os\": \"{}\",", std::env::consts::OS)?;
        writeln!(f, "  \"architecture\": \"{}\",", std::env::consts::ARCH)?;
        writeln!(f, "  \"threads\": {},", self.threads)?;
        writeln!(f, "  \"seconds\": {},", self.seconds)?;
        writeln!(f, "  \"warmup_iterations\": {warmup_iterations},")?;
        writeln!(f, "  \"iterations\": {iterations},")?;
        writeln!(f, "  \"max_seconds\": {max_seconds},")?;
        write!(f, "  \"data_sizes\": [")?;
        let separator = |index| if index == 0 { "" } else { ", " };
        for (index, size) in data_sizes.iter().enumerate() {
            write!(f, "{}{size}", separator(index))?;
        }
        write!(f, "],\n  \"not_built_in\": [")?;
        for (index, name) in self.left_out.iter().enumerate() {
            write!(f, "{}\"{name}\"", separator(index))?;
        }
        writeln!(f, "],")?;
        // JSON allows no line break in a text.
        writeln!(f, "  \"note\": \"{}\",", NOTE.replace('\n', " "))?;
        // An object for each row, in the order of the table.
        writeln!(f, "  \"results\": [")?;
        for (index, result) in self.results.iter().enumerate() {
            // Names need no escaping, and all numbers are finite.
            let limit = result.limit.map_or("null".to_owned(), |name| format!("\"{name}\""));
            let of_limit = result.of_limit.map_or("null".to_owned(), |part| part.to_string());
            writeln!(
                f,
                "    {{\"name\": \"{}\", \"data_size\": {}, \"iterations\": {}, \"min_ns\": {}, \
                 \"max_ns\": {}, \"mean_ns\": {}, \"median_ns\": {}, \"stddev_ns\": {}, \"bytes_per_second\": {}, \
                 \"work_bytes\": {}, \"limit\": {limit}, \"of_limit\": {of_limit}}}{}",
                result.name,
                result.data_size,
                result.iterations,
                result.min_ns,
                result.max_ns,
                result.mean_ns,
                result.median_ns,
                result.stddev_ns,
                result.bytes_per_second,
                result.work_bytes,
                if index + 1 < self.results.len() { "," } else { "" }
            )?;
        }
        writeln!(f, "  ]\n}}")
    }

    /// Returns comma-separated values: a line of names, then a line per result. Values that do not apply
    /// are empty.
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_csv(&mut text);
        text
    }

    /// Writes the text of [`to_csv`](Self::to_csv).
    pub(crate) fn write_csv(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_str(
            "name,data_size,iterations,min_ns,max_ns,mean_ns,median_ns,stddev_ns,bytes_per_second,\
             work_bytes,limit,of_limit\n",
        )?;
        for result in &self.results {
            // An empty value, because 0 would be a ratio.
            let of_limit = result.of_limit.map(|part| part.to_string()).unwrap_or_default();
            // Names have no comma.
            writeln!(
                f,
                "{},{},{},{},{},{},{},{},{},{},{},{of_limit}",
                result.name,
                result.data_size,
                result.iterations,
                result.min_ns,
                result.max_ns,
                result.mean_ns,
                result.median_ns,
                result.stddev_ns,
                result.bytes_per_second,
                result.work_bytes,
                result.limit.unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

fn line(result: &BenchmarkResult) -> String {
    // A rate of bytes is meaningless if the work does not depend on the domain.
    let rate = if result.work_bytes < result.data_size {
        "-".to_owned()
    } else {
        scaled(result.bytes_per_second, 1e3, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s", "EB/s", "ZB/s"])
    };
    let of_limit = match (result.of_limit, result.limit) {
        (Some(part), Some(limit)) => format!("{} {limit}", percent(part)),
        // The row is a limit itself.
        (Some(_), None) => "limit".to_owned(),
        (None, _) => "-".to_owned(),
    };
    format!(
        "{:<33}{:>5}{:>8}{:>8}{:>8}{:>8}{:>8}{:>10}{:>12}",
        result.name,
        count(result.iterations),
        time(result.median_ns),
        time(result.min_ns),
        time(result.max_ns),
        time(result.mean_ns),
        time(result.stddev_ns),
        rate,
        of_limit
    )
}

/// Formats a ratio in at most 4 characters, such as `97%` or `12x`.
fn percent(part: f64) -> String {
    // Each bound is the value at which rounding leads into the next form.
    match part {
        0.0..0.00995 => format!("{:.1}%", part * 100.0),
        0.0..9.995 => format!("{:.0}%", part * 100.0),
        0.0..999.5 => format!("{part:.0}x"),
        _ => ">999".to_owned(),
    }
}

/// Formats a count in at most 4 characters, such as `9999` or `12k`.
fn count(value: u64) -> String {
    let units = [(1_000_000_000_u64, "G"), (1_000_000, "M"), (1_000, "k")];
    // The number is cut and not rounded, so that four characters suffice.
    match units.iter().find(|(unit, _)| value >= 10_000 && value >= *unit) {
        Some((unit, name)) => format!("{}{name}", value / unit),
        None => value.to_string(),
    }
}

/// Formats a time in at most 7 characters, three digits and a unit, for less than 31 years.
fn time(nanoseconds: f64) -> String {
    // Longer times are counted in seconds, whose multiples have units of their own.
    if nanoseconds < 1e12 {
        return scaled(nanoseconds, 1e3, &["ns", "µs", "ms", "s"]);
    }
    scaled(nanoseconds / 1e9, 1e3, &["s", "ks", "Ms"])
}

/// Formats a number of bytes in binary units, because sizes of domains are often a power of two.
fn bytes(size: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    scaled(super::measure::float(size), 1024.0, &units)
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let (mut value, mut units) = (value, units.iter());
    let mut unit = units.next().copied().unwrap_or_default();
    // A value that would be rounded to 1,000 is 1 of the next unit.
    while value >= step.min(999.5)
        && let Some(next) = units.next()
    {
        (value, unit) = (value / step, next);
    }
    // Three significant digits.
    let digits = if value >= 99.95 || value.fract() == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}
