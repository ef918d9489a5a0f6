//! Comparison of two runs: the rows with a limit, fraction by fraction.

use serde_json::Value;

/// Allowed difference between two runs of a quiet machine.
const ALLOWED: f64 = 0.1;

/// Prints the differences, largest last. Returns 0 if all are within the limit, 1 if not, 2 if
/// the reports are not of the same cases.
pub fn run(first: &str, second: &str) -> i32 {
    match (fractions(first), fractions(second)) {
        (Ok(first), Ok(second)) => differences(&first, &second),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            2
        }
    }
}

/// A row: its size and name, and its fraction.
type Row = (String, f64);

fn fractions(path: &str) -> Result<Vec<Row>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let rows = report["suite"]["results"].as_array().ok_or(format!("{path} is no report"))?;
    let row = |row: &Value| {
        row["limit"].as_str()?;
        let name = format!("{:>10} bytes, {}", row["data_size"].to_string(), row["name"].as_str()?);
        Some((name, row["of_limit"].as_f64()?))
    };
    Ok(rows.iter().filter_map(row).collect())
}

fn differences(first: &[Row], second: &[Row]) -> i32 {
    if first.is_empty() || !first.iter().map(|row| &row.0).eq(second.iter().map(|row| &row.0)) {
        eprintln!("the reports are not of the same cases and sizes");
        return 2;
    }
    let pairs = first.iter().zip(second);
    let mut rows: Vec<_> =
        pairs.map(|((name, a), (_, b))| (a.max(*b) / a.min(*b) - 1.0, name, a, b)).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (difference, name, a, b) in &rows {
        println!("{:>6.1} %  {name}: {a:.4} and {b:.4} of the limit", difference * 100.0);
    }
    let over = rows.iter().filter(|row| row.0 > ALLOWED).count();
    println!(
        "{} rows, {over} of which differ by more than {:.0} %; the largest difference is {:.1} %",
        rows.len(),
        ALLOWED * 100.0,
        rows.last().map_or(0.0, |row| row.0) * 100.0
    );
    i32::from(over > 0)
}
