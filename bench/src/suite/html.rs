//! The report as one page that needs nothing else: charts as inline SVG, in the colours of the reader's
//! light or dark setting.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, SegmentValue, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "\
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #5b6470; --line: #d8dde3;
        --bar: #2f6fb5; --limit: #9aa4b0; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171b; --text: #e6e9ed; --soft: #98a2ae; --line: #323941; --bar: #5b9be0;
          --limit: #68727e; }
}
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p, dd { color: var(--soft); } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; }
svg { width: 100%; min-width: 44rem; height: auto; display: block; }
.legend span { margin-right: 1.5rem; white-space: nowrap; }
.legend i { display: inline-block; width: 1.6rem; margin-right: .4rem; vertical-align: middle; }
.bar, .limit { height: .7rem; background: var(--bar); } .limit { background: var(--limit); }
.spread, .full { border-top: 1px solid var(--text); } .full { border-top: 2px solid var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
";

const LEGEND: &str = "\
<p class=\"legend\"><span><i class=\"bar\"></i>a case</span><span><i class=\"limit\"></i>a limit itself</span>
<span><i class=\"full\"></i>100 % of the limit (upright in the charts)</span>
<span><i class=\"spread\"></i>from the slowest to the fastest iteration</span></p>
";

/// Placeholder for a colour of the page until the chart is drawn.
const BAR: RGBColor = RGBColor(1, 0, 0);
const LIMIT: RGBColor = RGBColor(2, 0, 0);
const TEXT: RGBColor = RGBColor(3, 0, 0);
const SOFT: RGBColor = RGBColor(4, 0, 0);
const LINE: RGBColor = RGBColor(5, 0, 0);
const NAMES: [(RGBColor, &str); 5] =
    [(BAR, "bar"), (LIMIT, "limit"), (TEXT, "text"), (SOFT, "soft"), (LINE, "line")];

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
    let words =
        |list: &Value, by: &str| list.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(by);
    fact("Date", word(&machine["date"]));
    fact(
        "Library",
        format!(
            "{} {}, revision {}; {}",
            word(&suite["library"]),
            word(&suite["version"]),
            word(&machine["revision"]),
            words(&machine["crates"], ", ")
        ),
    );
    fact(
        "Processor",
        format!(
            "{}, {} CPUs, {}",
            word(&machine["processor"]),
            machine["cpus"],
            words(&machine["instruction_sets"], " ")
        ),
    );
    fact("Memory", word(&machine["memory"]));
    if let Some(load) = machine["load_before"].as_f64() {
        let over = "on average over the minute before the run, a build included";
        fact("Load", format!("{load:.1} processes {over}, on {} CPUs", machine["cpus"]));
    }
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
    let _ = writeln!(page, "</dl>\n<p>{}</p>\n{LEGEND}", escaped(&word(&suite["note"])));
    for size in sizes {
        let rows: Vec<&Value> = results.iter().filter(|row| row["data_size"] == size).collect();
        let _ = writeln!(page, "<h2>A domain of {}</h2>", bytes(size));
        page += "<h3>Speed as a part of what the machine allows</h3>\n";
        page += &fractions(&rows);
        page += "<h3>Rate of what reads or writes the whole domain</h3>\n";
        page += &rates(&rows);
        page += "<h3>Time of what does not grow with the domain</h3>\n";
        page += &times(&rows);
        page += &table(&rows);
    }
    let names = words(&suite["not_built_in"], ", ");
    if !names.is_empty() {
        let _ = writeln!(page, "<p>Not built in: {}.</p>", escaped(&names));
    }
    page + "</html>\n"
}

struct Bar<'a> {
    name: &'a str,
    value: f64,
    /// Place of the thin line.
    spread: Option<(f64, f64)>,
    label: String,
    color: RGBColor,
}

/// Horizontal bars over `axis`, the first at the top, with their names before them and their values in a
/// column at the end, so that none crosses `full`, which is a line across.
fn chart<X>(
    what: &str,
    bars: &[Bar<'_>],
    (axis, base): (X, f64),
    full: Option<f64>,
    mark: &dyn Fn(&f64) -> String,
) -> String
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    if bars.is_empty() {
        return String::new();
    }
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (960, 20 * bars.len() as u32 + 34)).into_drawing_area();
    draw(&area, bars, axis, base, full, mark).expect("a string takes everything");
    drop(area);
    let mut svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{what}\" "), 1);
    for (color, name) in NAMES {
        let RGBColor(red, green, blue) = color;
        for what in ["fill", "stroke"] {
            let (from, to) = (format!("{what}=\"#{red:02X}{green:02X}{blue:02X}\""), "var(--");
            svg = svg.replace(&from, &format!("style=\"{what}:{to}{name})\""));
        }
    }
    format!("<div class=\"wide\">{svg}</div>\n")
}

fn draw<X>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    bars: &[Bar<'_>],
    axis: X,
    base: f64,
    full: Option<f64>,
    mark: &dyn Fn(&f64) -> String,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let count = bars.len();
    let bar = |row: usize| &bars[count - 1 - row];
    let text = |color: RGBColor| ("sans-serif", 15).into_font().color(&color);
    let rows = (0..count - 1).into_segmented();
    let mut chart = ChartBuilder::on(area)
        .margin_right(130)
        .margin_top(4)
        .set_label_area_size(LabelAreaPosition::Left, 230)
        .set_label_area_size(LabelAreaPosition::Bottom, 28)
        .build_cartesian_2d(axis, rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE)
        .axis_style(LINE)
        .x_labels(8)
        .x_label_formatter(mark)
        .x_label_style(text(SOFT))
        .y_labels(count)
        .y_label_style(text(TEXT))
        .y_label_formatter(&|row| match row {
            SegmentValue::CenterOf(row) if *row < count => bar(*row).name.to_owned(),
            _ => String::new(),
        })
        .draw()?;
    chart.draw_series(
        Histogram::horizontal(&chart)
            .style_func(|row, _| match row {
                SegmentValue::CenterOf(row) | SegmentValue::Exact(row) => bar(*row).color.filled(),
                SegmentValue::Last => BAR.filled(),
            })
            .margin(2)
            .baseline(base)
            .data((0..count).map(|row| (row, bar(row).value))),
    )?;
    if let Some(full) = full {
        let ends = [(full, SegmentValue::Exact(0)), (full, SegmentValue::Last)];
        chart.draw_series([PathElement::new(ends, SOFT.stroke_width(2))])?;
    }
    let end_of_axis = chart.x_range().end;
    for row in 0..count {
        let (bar, middle) = (bar(row), || SegmentValue::CenterOf(row));
        if let Some((low, high)) = bar.spread {
            chart.draw_series([PathElement::new([(low, middle()), (high, middle())], TEXT)])?;
        }
        let style = text(SOFT).pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series([
            EmptyElement::at((end_of_axis, middle())) + Text::new(bar.label.clone(), (8, 0), style)
        ])?;
    }
    area.present()?;
    Ok(())
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

/// A little beyond the longest bar, from 0.
fn linear(bars: &[Bar<'_>], least: f64) -> std::ops::Range<f64> {
    let ends = bars.iter().map(|bar| bar.spread.map_or(bar.value, |spread| spread.1.max(bar.value)));
    0.0..ends.fold(least, f64::max) * 1.02
}

fn fractions(rows: &[&Value]) -> String {
    let bars: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let (limit, value) = (row["limit"].as_str()?, row["of_limit"].as_f64()?);
            let label = format!("{} of {limit}", percent(value));
            Some(Bar { name: name(row), value, spread: None, label, color: BAR })
        })
        .collect();
    chart("fractions of the limit", &bars, (linear(&bars, 1.0), 0.0), Some(1.0), &|x| {
        format!("{:.0} %", x * 100.0)
    })
}

fn rates(rows: &[&Value]) -> String {
    let bars = rows.iter().filter(|row| follows_the_domain(row)).map(|row| {
        let rate = |time: &str| number(row, "data_size") / number(row, time).max(1.0);
        let (value, spread) = (rate("median_ns"), (rate("max_ns"), rate("min_ns")));
        let color = if row["limit"].is_null() { LIMIT } else { BAR };
        Bar { name: name(row), value, spread: Some(spread), label: format!("{value:.2} GB/s"), color }
    });
    let bars: Vec<_> = bars.collect();
    chart("rates", &bars, (linear(&bars, f64::MIN_POSITIVE), 0.0), None, &|x| format!("{x} GB/s"))
}

/// Nanoseconds and milliseconds beside one another: on an axis of powers of ten.
fn times(rows: &[&Value]) -> String {
    let bars = rows.iter().filter(|row| !follows_the_domain(row)).map(|row| {
        let value = number(row, "median_ns");
        Bar { name: name(row), value, spread: None, label: time(value), color: BAR }
    });
    let bars: Vec<_> = bars.collect();
    let power = |value: f64, round: fn(f64) -> f64| 10f64.powf(round(value.max(1.0).log10()));
    let least = bars.iter().map(|bar| power(bar.value * 0.99, f64::floor)).fold(f64::INFINITY, f64::min);
    let most = bars.iter().map(|bar| power(bar.value, f64::ceil)).fold(least * 10.0, f64::max);
    chart("times", &bars, ((least..most).log_scale(), least), None, &|x| time(*x).replace(".00", ""))
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
