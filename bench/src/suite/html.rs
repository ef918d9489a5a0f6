//! The report as one page that needs nothing else: bars as inline SVG, in the colours of the reader's
//! light or dark setting.

use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "\
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #5b6470; --line: #d8dde3;
        --bar: #2f6fb5; --limit: #9aa4b0; --spread: #1b1f24; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171b; --text: #e6e9ed; --soft: #98a2ae; --line: #323941; --bar: #5b9be0;
          --limit: #68727e; --spread: #e6e9ed; }
}
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, dd { color: var(--soft); } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--text); font-size: 12px; }
svg .soft { fill: var(--soft); } .bar { fill: var(--bar); } .limit { fill: var(--limit); }
.axis { stroke: var(--line); } .full { stroke: var(--soft); stroke-dasharray: 3 3; }
.spread { stroke: var(--spread); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
";

pub fn page(all: &Value) -> String {
    let (machine, suite) = (&all["machine"], &all["suite"]);
    let results = suite["results"].as_array().map_or(&[][..], Vec::as_slice);
    let mut sizes: Vec<u64> = Vec::new();
    for size in results.iter().filter_map(|row| row["data_size"].as_u64()) {
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    page += "<title>atlas_manifold benchmarks</title>\n<style>\n";
    page += STYLE;
    page += "</style>\n<h1>atlas_manifold benchmarks</h1>\n<dl>\n";
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
    };
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let sets = machine["instruction_sets"].as_array().into_iter().flatten().map(word);
    fact("Date", word(&machine["date"]));
    fact(
        "Library",
        format!(
            "{} {}, revision {}",
            word(&suite["library"]),
            word(&suite["version"]),
            word(&machine["revision"])
        ),
    );
    fact(
        "Processor",
        format!(
            "{}, {} CPUs, {}",
            word(&machine["processor"]),
            machine["cpus"],
            sets.collect::<Vec<_>>().join(" ")
        ),
    );
    fact("Memory", word(&machine["memory"]));
    fact("System", format!("{}, Linux {}", word(&machine["system"]), word(&machine["kernel"])));
    fact("Compiler", word(&machine["compiler"]));
    fact(
        "Run",
        format!(
            "{} threads, {} iterations after {}, at most {} s a case, {:.0} s in all",
            suite["threads"],
            suite["iterations"],
            suite["warmup_iterations"],
            suite["max_seconds"],
            suite["seconds"].as_f64().unwrap_or(0.0)
        ),
    );
    page += "</dl>\n<p>The limit of a case, BLAKE3 or a copy of the bytes that it has to touch on the same threads, \
             is measured in turn with it, and the fraction is the median of time by time. Thin lines go from the \
             slowest to the fastest iteration.</p>\n";
    for size in sizes {
        let rows: Vec<&Value> = results.iter().filter(|row| row["data_size"] == size).collect();
        let _ = writeln!(page, "<h2>A domain of {}</h2>", bytes(size));
        page += "<h3>Of the limit</h3>\n";
        page += &fractions(&rows);
        page += "<h3>Rate</h3>\n";
        page += &rates(&rows);
        page += "<h3>Time of what does not follow the domain</h3>\n";
        page += &times(&rows);
        page += &table(&rows);
    }
    let names: Vec<_> = suite["not_built_in"].as_array().into_iter().flatten().map(word).collect();
    if !names.is_empty() {
        let _ = writeln!(page, "<p>Not built in: {}.</p>", escaped(&names.join(", ")));
    }
    page + "</html>\n"
}

struct Bar<'a> {
    name: &'a str,
    value: f64,
    /// Where the thin line goes.
    spread: Option<(f64, f64)>,
    label: String,
    class: &'static str,
}

/// Horizontal bars with their names before and their values behind them; `full` is a line across.
fn chart(bars: &[Bar<'_>], full: Option<f64>, what: &str) -> String {
    const LEFT: f64 = 230.0;
    const WIDTH: f64 = 560.0;
    const ROW: f64 = 20.0;
    let ends = bars.iter().map(|bar| bar.spread.map_or(bar.value, |spread| spread.1.max(bar.value)));
    let most = ends.chain(full).fold(f64::MIN_POSITIVE, f64::max);
    let x = |value: f64| LEFT + value / most * WIDTH;
    let height = ROW * bars.len() as f64 + 8.0;
    let mut svg = format!("<svg viewBox=\"0 0 960 {height}\" role=\"img\" aria-label=\"{what}\">\n");
    let _ = writeln!(svg, "<line class=\"axis\" x1=\"{LEFT}\" y1=\"0\" x2=\"{LEFT}\" y2=\"{height}\"/>");
    if let Some(full) = full {
        let x = x(full);
        let _ = writeln!(svg, "<line class=\"full\" x1=\"{x:.1}\" y1=\"0\" x2=\"{x:.1}\" y2=\"{height}\"/>");
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = ROW * index as f64 + 4.0;
        let (text, middle) = (y + 13.0, y + 8.0);
        let mut end = x(bar.value);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            escaped(bar.name)
        );
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" rx=\"2\"><title>{}: {}</title></rect>",
            bar.class,
            (end - LEFT).max(0.5),
            escaped(bar.name),
            escaped(&bar.label)
        );
        if let Some((low, high)) = bar.spread {
            end = end.max(x(high));
            let _ = writeln!(
                svg,
                "<line class=\"spread\" x1=\"{:.1}\" y1=\"{middle}\" x2=\"{:.1}\" y2=\"{middle}\"/>",
                x(low),
                x(high)
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"soft\" x=\"{:.1}\" y=\"{text}\">{}</text>",
            end + 8.0,
            escaped(&bar.label)
        );
    }
    svg + "</svg>\n"
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(0.0)
}

fn name(row: &Value) -> &str {
    row["name"].as_str().unwrap_or_default()
}

fn follows_the_domain(row: &Value) -> bool {
    row["work_bytes"] == row["data_size"]
}

fn fractions(rows: &[&Value]) -> String {
    let bars: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let (limit, value) = (row["limit"].as_str()?, row["of_limit"].as_f64()?);
            let label = format!("{} of {limit}", percent(value));
            Some(Bar { name: name(row), value, spread: None, label, class: "bar" })
        })
        .collect();
    chart(&bars, Some(1.0), "fractions of the limit")
}

fn rates(rows: &[&Value]) -> String {
    let bars = rows.iter().filter(|row| follows_the_domain(row)).map(|row| {
        let rate = |time: &str| number(row, "data_size") / number(row, time).max(1.0);
        let (value, spread) = (rate("median_ns"), (rate("max_ns"), rate("min_ns")));
        let class = if row["limit"].is_null() { "limit" } else { "bar" };
        Bar { name: name(row), value, spread: Some(spread), label: format!("{value:.2} GB/s"), class }
    });
    chart(&bars.collect::<Vec<_>>(), None, "rates in GB/s")
}

fn times(rows: &[&Value]) -> String {
    let bars = rows.iter().filter(|row| !follows_the_domain(row)).map(|row| {
        let value = number(row, "median_ns");
        Bar { name: name(row), value, spread: None, label: time(value), class: "bar" }
    });
    chart(&bars.collect::<Vec<_>>(), None, "times")
}

fn table(rows: &[&Value]) -> String {
    let mut table = String::from("<details><summary>All numbers</summary><div class=\"wide\"><table>\n<tr>");
    for head in ["case", "runs", "median", "min", "max", "mean", "stddev", "rate", "of limit"] {
        let _ = write!(table, "<th>{head}</th>");
    }
    table += "</tr>\n";
    for row in rows {
        let _ = write!(table, "<tr><td>{}</td><td>{}</td>", escaped(name(row)), row["iterations"]);
        for column in ["median_ns", "min_ns", "max_ns", "mean_ns", "stddev_ns"] {
            let _ = write!(table, "<td>{}</td>", time(number(row, column)));
        }
        let rate = match follows_the_domain(row) {
            true => format!("{:.3} GB/s", number(row, "bytes_per_second") / 1e9),
            false => "–".to_owned(),
        };
        let of_limit = match (row["of_limit"].as_f64(), row["limit"].as_str()) {
            (Some(part), Some(limit)) => format!("{} {limit}", percent(part)),
            _ => "–".to_owned(),
        };
        let _ = writeln!(table, "<td>{rate}</td><td>{of_limit}</td></tr>");
    }
    table + "</table></div></details>\n"
}

fn percent(value: f64) -> String {
    format!("{:.*} %", if value < 0.0995 { 1 } else { 0 }, value * 100.0)
}

fn time(nanoseconds: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    match units.iter().find(|(unit, _)| nanoseconds >= *unit) {
        Some((unit, name)) => format!("{:.2} {name}", nanoseconds / unit),
        None => format!("{nanoseconds:.0} ns"),
    }
}

fn bytes(size: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| size >= *unit && size.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", size / unit),
        None => format!("{size} bytes"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
