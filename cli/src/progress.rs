//! Progress on standard error: a bar on a terminal, or lines of JSON.

use crate::names;
use crate::signals;
use crate::units;
use atlas_manifold::Progress;
use clap::ValueEnum;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Forms in which progress is displayed on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar if standard error is a terminal
    #[default]
    Auto,
    /// A bar, even if standard error is not a terminal
    Bar,
    /// A line of JSON ten times a second
    Json,
    /// Nothing
    Never,
}

/// Duration of a task after which its progress bar appears.
const DELAY: Duration = Duration::from_millis(400);
const INTERVAL: Duration = Duration::from_millis(100);
/// Width of the bar in characters, without the numbers beside it.
const COLUMNS: usize = 24;

/// Display of the progress of one task, which is one or more calls of the library.
pub(crate) struct Bar {
    mode: ProgressMode,
    name: PathBuf,
    started: Instant,
    shown: Option<Instant>,
    is_drawn: bool,
    width: usize,
    /// Number of bytes done at the last update. If the next number is smaller, a further call of the same task has
    /// begun.
    last: u64,
    phase: Instant,
}

impl Bar {
    pub(crate) fn new(mode: ProgressMode, name: &Path) -> Bar {
        let mode = match mode {
            ProgressMode::Auto if is_terminal() => ProgressMode::Bar,
            ProgressMode::Auto => ProgressMode::Never,
            other => other,
        };
        let now = Instant::now();
        Bar {
            mode,
            name: name.to_owned(),
            started: now,
            shown: None,
            is_drawn: false,
            width: if mode == ProgressMode::Bar { terminal_width() } else { 0 },
            last: 0,
            phase: now,
        }
    }

    /// Displays the progress if a display is due. Returns false if a signal asks the run to stop.
    pub(crate) fn update(&mut self, progress: &Progress) -> bool {
        if signals::cancelled() {
            return false;
        }
        if self.mode == ProgressMode::Never {
            return true;
        }
        let now = Instant::now();
        // A further call of the same task begins at 0 again.
        if progress.bytes_done < self.last {
            self.phase = now;
        }
        self.last = progress.bytes_done;
        let is_due = match (self.mode, self.shown) {
            (ProgressMode::Json, None) => true,
            (_, None) => now.duration_since(self.started) >= DELAY,
            (_, Some(shown)) => now.duration_since(shown) >= INTERVAL,
        };
        if is_due {
            self.shown = Some(now);
            self.show(progress, now.duration_since(self.phase));
        }
        true
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates and shares are shown with three digits"
    )]
    fn show(&mut self, progress: &Progress, elapsed: Duration) {
        let (done, total) = (progress.bytes_done, progress.bytes_total);
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let rate = done as f64 / seconds;
        if self.mode == ProgressMode::Json {
            let mut object = json!({
                "progress": { "bytes_done": done, "bytes_total": total, "bytes_per_second": rate.round() }
            });
            if let Some(inner) = object["progress"].as_object_mut() {
                names::put(inner, "path", &self.name);
            }
            drop(writeln!(io::stderr(), "{object}"));
            return;
        }
        let mut line = if total == 0 {
            format!("{}  {}/s", units::human(done), units::human(rate as u64))
        } else {
            let share = done as f64 / total as f64;
            let filled = ((share * COLUMNS as f64) as usize).min(COLUMNS);
            let left = if rate > 0.0 { ((total - done.min(total)) as f64 / rate) as u64 } else { 0 };
            format!(
                "{}{} {:3.0} %  {} of {}  {}/s  {} left",
                "█".repeat(filled),
                "░".repeat(COLUMNS - filled),
                (share * 100.0).floor(),
                units::human(done),
                units::human(total),
                units::human(rate as u64),
                units::human_time(left)
            )
        };
        // The name gets the remaining width of the line.
        let room = self.width.saturating_sub(line.chars().count() + 3);
        let name = names::shown(&self.name);
        let length = name.chars().count();
        if length <= room {
            line = format!("{line}  {name}");
        } else if room > 8 {
            let end: String = name.chars().skip(length - (room - 1)).collect();
            line = format!("{line}  …{end}");
        }
        let line: String = line.chars().take(self.width.saturating_sub(1)).collect();
        drop(write!(io::stderr(), "\r{line}\x1b[K"));
        self.is_drawn = true;
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.is_drawn {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

/// Returns true if standard error is a terminal on which a bar can be redrawn.
fn is_terminal() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty())
}

fn terminal_width() -> usize {
    // SAFETY: the structure consists of numbers, which the call fills.
    let columns = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        if libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &mut size) == 0 { size.ws_col } else { 0 }
    };
    if columns == 0 { 80 } else { usize::from(columns) }
}
