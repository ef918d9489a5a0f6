//! Alternating runs, and the table that they end in.

use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

/// An odd number, so that there is a median.
const ROUNDS: usize = 7;

pub struct Case<'a> {
    name: &'a str,
    run: Box<dyn FnMut() -> f64 + 'a>,
}

/// A case that is timed from beginning to end, including the freeing of its result.
pub fn case<'a, R>(name: &'a str, mut run: impl FnMut() -> R + 'a) -> Case<'a> {
    timing(name, move || {
        let start = Instant::now();
        drop(black_box(run()));
        start.elapsed().as_secs_f64()
    })
}

/// A case that measures its own time and returns it in seconds.
pub fn timing<'a>(name: &'a str, run: impl FnMut() -> f64 + 'a) -> Case<'a> {
    Case { name, run: Box::new(run) }
}

pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The report, as Markdown, shown and written as it grows, part by part. An earlier run's text of the
/// other parts stays.
pub struct Report {
    path: PathBuf,
    /// The name of a part and its text, in the order of the report.
    parts: Vec<(&'static str, String)>,
    /// The part that grows.
    current: usize,
    finished: bool,
}

const HEAD: &str = "\
# The library beside its peers

`make bench-peers` makes this page, `make bench-peers BENCH=part` one part of it. All runs of a row
alternate in one process; the medians of 7 are shown, and of the ratio, theirs by ours, the median with the
smallest and the largest. Above 1: ours is so many times as fast.
";
const UNFINISHED: &str = "\n(This part was not finished.)\n";

fn mark(name: &str) -> String {
    format!("\n<!-- {name} -->\n")
}

impl Report {
    pub fn new(path: &str, names: &[&'static str]) -> Report {
        let before = std::fs::read_to_string(path).unwrap_or_default();
        let part = |name: &&'static str| {
            let text = before.split_once(&mark(name)).map_or("", |(_, text)| text);
            (*name, text.split("\n<!-- ").next().unwrap_or_default().to_owned())
        };
        Report { path: path.into(), parts: names.iter().map(part).collect(), current: 0, finished: true }
    }

    /// Begins a part anew.
    pub fn begin(&mut self, name: &str, what: &str) {
        self.current = self.parts.iter().position(|part| part.0 == name).expect("a part of the report");
        self.parts[self.current].1.clear();
        self.finished = false;
        self.line(what);
    }

    pub fn end(&mut self) {
        self.finished = true;
        self.write();
    }

    pub fn line(&mut self, line: &str) {
        println!("{line}");
        let text = &mut self.parts[self.current].1;
        text.push_str(line);
        text.push('\n');
        self.write();
    }

    /// A run that ends early loses nothing that was measured.
    fn write(&self) {
        let mut all = HEAD.to_owned();
        for (index, (name, text)) in self.parts.iter().enumerate().filter(|(_, part)| !part.1.is_empty()) {
            all += &mark(name);
            all += text;
            if index == self.current && !self.finished {
                all += UNFINISHED;
            }
        }
        if let Err(error) = std::fs::write(&self.path, all) {
            panic!("{}: {error}", self.path.display());
        }
    }

    /// Begins a table.
    pub fn section(&mut self, title: &str, note: &str) {
        let heads = "| ours | | peer | | ours by peer |\n|---|---:|---|---:|---:|";
        self.line(&format!("\n### {title}\n\n{note}\n\n{heads}"));
    }

    /// Runs all in turn, the first of them being ours, and adds a row for each of the others. `bytes` are
    /// the work of a run, for rates; 0 shows times. A ratio above 1 means that ours is faster by that factor.
    pub fn against(&mut self, bytes: usize, cases: &mut [Case<'_>]) {
        let notes = vec![String::new(); cases.len()];
        self.against_with(bytes, cases, &notes);
    }

    /// The same with something to be said of each.
    pub fn against_with(&mut self, bytes: usize, cases: &mut [Case<'_>], notes: &[String]) {
        let times = alternate(cases);
        let show = |times: &[f64]| speed(bytes, median(times));
        for peer in 1..cases.len() {
            let mut ratios: Vec<f64> =
                times[peer].iter().zip(&times[0]).map(|(theirs, ours)| theirs / ours).collect();
            ratios.sort_by(f64::total_cmp);
            let mut row = format!("| {}{} | {} ", cases[0].name, notes[0], show(&times[0]));
            let (middle, least, most) = (ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]);
            let (middle, least, most) = (digits(middle), digits(least), digits(most));
            let _ = write!(row, "| {}{} | {} ", cases[peer].name, notes[peer], show(&times[peer]));
            let _ = write!(row, "| {middle} ({least}..{most}) |");
            self.line(&row);
        }
    }
}

/// The times of each case, all of them in turn.
fn alternate(cases: &mut [Case<'_>]) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let elapsed = (case.run)();
            // The first round warms up.
            if round > 0 {
                times.push(elapsed);
            }
        }
    }
    times
}

/// The median seconds of each case, all of them in turn.
pub fn medians(cases: &mut [Case<'_>]) -> Vec<f64> {
    alternate(cases).iter().map(|times| median(times)).collect()
}

fn digits(ratio: f64) -> String {
    if ratio >= 100.0 { format!("{ratio:.0}") } else { format!("{ratio:.2}") }
}

fn speed(bytes: usize, seconds: f64) -> String {
    if bytes > 0 {
        let rate = bytes as f64 / seconds;
        return if rate >= 1e9 {
            format!("{:.2} GB/s", rate / 1e9)
        } else {
            format!("{:.0} MB/s", rate / 1e6)
        };
    }
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.2} µs", s * 1e6),
    }
}
