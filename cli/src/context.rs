//! Common parts of all commands: the global options, the output of results, and calls of the library.

use crate::args::{Global, IoMode};
use crate::names;
use crate::output::Out;
use crate::progress::{Bar, ProgressMode};
use crate::signals;
use crate::status::{Failure, Res, Status};
use crate::units;
use atlas_manifold::{
    AtlasError, Operation, ParityOptions, Pool, Progress, ProjectionOptions, Source, TILE_SIZE, VerifyOptions,
};
use serde_json::{Map, Value, json};
use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// One run of the program: its options, the key, the threads, the output, and the exit status so far.
pub(crate) struct Ctx {
    command: &'static str,
    pub(crate) global: Global,
    key: Option<Zeroizing<[u8; 32]>>,
    pool: OnceCell<Pool>,
    out: RefCell<Out>,
    colours: bool,
    status: Cell<Status>,
    /// Moment at which `--max-time` is over. `None` means no limit.
    deadline: Cell<Option<Instant>>,
    /// Maximum number of bytes read per second, from `--rate`. `None` means no limit.
    rate: Cell<Option<u64>>,
}

/// Result of a command for one file: its exit status, and the output as text and as JSON.
pub(crate) struct Report {
    pub(crate) status: Status,
    pub(crate) json: Map<String, Value>,
    /// Lines for standard output, each with its line end.
    pub(crate) text: Vec<u8>,
}

impl Report {
    /// Returns a report without text. `result` names the result in JSON, such as `intact`.
    pub(crate) fn new(status: Status, result: &str) -> Report {
        let mut json = Map::new();
        json.insert("result".to_owned(), result.into());
        Report { status, json, text: Vec::new() }
    }

    pub(crate) fn put(&mut self, key: &str, value: impl Into<Value>) -> &mut Report {
        self.json.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn put_path(&mut self, key: &str, path: &Path) -> &mut Report {
        names::put(&mut self.json, key, path);
        self
    }

    /// Adds a line to the text of the report.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) {
        self.text.extend_from_slice(text.as_ref());
        self.text.push(b'\n');
    }

    /// Adds a line to the text of the report. It begins with the name of the file `path`.
    pub(crate) fn line_of(&mut self, path: &Path, text: impl AsRef<[u8]>) {
        self.text.extend(names::text(path));
        self.text.extend(b": ");
        self.line(text);
    }
}

/// Colours of words in the text output, by their ANSI codes.
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    Good = 32,
    Bad = 31,
    Note = 33,
}

impl Ctx {
    pub(crate) fn new(command: &'static str, global: Global) -> Res<Ctx> {
        let key = match &global.key_file {
            Some(path) => Some(read_key(path)?),
            None => None,
        };
        let wants_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Ctx {
            command,
            key,
            pool: OnceCell::new(),
            out: RefCell::new(Out::new()),
            colours: wants_colours && !global.json && io::stdout().is_terminal(),
            status: Cell::new(Status::Done),
            deadline: Cell::new(None),
            rate: Cell::new(None),
            global,
        })
    }

    /// Returns the exit status of the run so far: the most severe status of all files.
    pub(crate) fn status(&self) -> Status {
        self.status.get()
    }

    pub(crate) fn add_status(&self, status: Status) {
        self.status.set(self.status.get().and(status));
    }

    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    /// Returns a word, in a colour if standard output is a terminal and colours are not disabled.
    pub(crate) fn coloured(&self, colour: Colour, word: &str) -> String {
        if self.colours { format!("\x1b[{}m{word}\x1b[0m", colour as u8) } else { word.to_owned() }
    }

    // Results and messages.

    /// Writes bytes to standard output unchanged.
    pub(crate) fn write(&self, bytes: &[u8]) -> Res<()> {
        self.out.borrow_mut().write(bytes)
    }

    /// Returns true once a write has failed because the reader closed standard output.
    pub(crate) fn is_closed(&self) -> bool {
        self.out.borrow().is_closed()
    }

    /// Prints the report on the file `path`, as text or as JSON, and adds its status to that of the run.
    pub(crate) fn report(&self, path: Option<&Path>, mut report: Report) -> Res<()> {
        self.add_status(report.status);
        if !self.json() {
            return self.write(&report.text);
        }
        let mut object = Map::new();
        object.insert("command".to_owned(), self.command.into());
        if let Some(path) = path {
            names::put(&mut object, "path", path);
        }
        object.append(&mut report.json);
        object.insert("status".to_owned(), report.status.code().into());
        self.write(format!("{}\n", Value::from(object)).as_bytes())
    }

    /// Prints a failure for the file `path` on standard error and, with `--json`, as an object on standard
    /// output. Adds its status to that of the run.
    pub(crate) fn fail(&self, path: Option<&Path>, failure: &Failure) -> Res<()> {
        self.add_status(failure.status);
        complain(failure);
        if !self.json() {
            return Ok(());
        }
        let mut object = failed_object(self.command, failure);
        if let Some(path) = path {
            names::put(&mut object, "path", path);
        }
        self.write(format!("{}\n", Value::from(object)).as_bytes())
    }

    /// Prints a warning on standard error, unless `-q` is given.
    pub(crate) fn warn(&self, text: &str) {
        if !self.global.quiet {
            drop(writeln!(io::stderr(), "atlasm: {text}"));
        }
    }

    /// Prints a detail on standard error if `-v` is given.
    pub(crate) fn detail(&self, text: &str) {
        if self.global.verbose {
            drop(writeln!(io::stderr(), "atlasm: {text}"));
        }
    }

    /// Runs `one` for each file, and prints its report or failure. A failure does not end the loop; a signal or
    /// the end of `--max-time` does.
    pub(crate) fn each<P: AsRef<Path>>(
        &self,
        files: impl IntoIterator<Item = P>,
        mut one: impl FnMut(&Path) -> Res<Report>,
    ) -> Res<()> {
        for file in files {
            let file = file.as_ref();
            if signals::cancelled() {
                self.add_status(Status::Cancelled);
                break;
            }
            if self.is_late() {
                break;
            }
            match one(file) {
                Ok(report) => self.report(Some(file), report)?,
                Err(failure) => self.fail(Some(file), &failure)?,
            }
        }
        Ok(())
    }

    /// Returns true if the run must stop: after a signal, or after the end of `--max-time`.
    pub(crate) fn is_stopped(&self) -> bool {
        signals::cancelled() || self.is_late()
    }

    /// Returns true after the end of `--max-time`.
    pub(crate) fn is_late(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Sets the limits of `--rate`, in bytes per second, and of `--max-time`, which begins now.
    pub(crate) fn set_pace(&self, rate: Option<u64>, max_time: Option<Duration>) {
        self.rate.set(rate);
        self.deadline.set(max_time.and_then(|time| Instant::now().checked_add(time)));
    }

    // Operations of the library.

    /// Runs `work`, one or more calls of the library, with the threads, the memory limit and the progress display of
    /// the global options. `name` is the name in the display. `size` is the number of bytes of the work, which decides
    /// if it runs on several threads.
    pub(crate) fn operate<R>(
        &self,
        name: &Path,
        size: u64,
        work: impl FnOnce(&mut Operation<'_>) -> Result<R, AtlasError>,
    ) -> Res<R> {
        if signals::cancelled() {
            return Err(Failure::new(
                Status::Cancelled,
                "stopped by a signal; no incomplete output was left",
            ));
        }
        let mode = if self.global.quiet { ProgressMode::Never } else { self.global.progress };
        let mut bar = Bar::new(mode, name);
        let mut throttle = Throttle::new(self.rate.get());
        let mut is_late = false;
        let mut callback = |progress: &Progress| {
            throttle.wait(progress.bytes_done, || self.is_stopped());
            is_late = self.is_late();
            !is_late && bar.update(progress)
        };
        let result = work(&mut self.operation(size)?.with_progress(&mut callback));
        drop(bar);
        result.map_err(|error| {
            let failure = Failure::from(error);
            if is_late && !signals::cancelled() {
                let text = "--max-time is over, and this file was not finished";
                return Failure::new(Status::Incomplete, text);
            }
            failure
        })
    }

    /// Returns an operation with the threads and the memory limit of the global options. Work of at most one
    /// tile, or with `--rate`, runs on the calling thread.
    fn operation(&self, size: u64) -> Res<Operation<'_>> {
        let is_small = size <= TILE_SIZE as u64;
        let operation = match self.global.threads() {
            _ if is_small || self.rate.get().is_some() => Operation::sequential(),
            Some(1) => Operation::sequential(),
            None => Operation::new(),
            Some(threads) => {
                if self.pool.get().is_none() {
                    let pool = Pool::new(threads).map_err(Failure::from)?;
                    // Only this function sets the pool, so that `set` does not fail.
                    drop(self.pool.set(pool));
                }
                match self.pool.get() {
                    Some(pool) => Operation::new().with_pool(pool),
                    None => Operation::new(),
                }
            }
        };
        Ok(match self.global.memory {
            Some(memory) => operation.with_memory_limit(memory),
            None => operation,
        })
    }

    /// Opens a regular file as a source of bytes that is read by the method of `--io`.
    pub(crate) fn source(&self, path: &Path) -> Res<Source> {
        match self.global.io {
            IoMode::Auto => {
                // SAFETY: only files that cannot become shorter are mapped, and a user whose files are
                // written to meanwhile can choose `--io read`.
                Ok(unsafe { Source::open_file_auto(path) }?)
            }
            IoMode::Read => Ok(Source::open_file(path)?),
            IoMode::Mmap => {
                // SAFETY: with `--io mmap` the user promises that the file is not changed; the help names the
                // consequence if it is.
                Ok(unsafe { Source::map_file(path) }?)
            }
        }
    }

    pub(crate) fn key(&self) -> Option<&[u8; 32]> {
        self.key.as_deref()
    }

    /// Returns the options to verify with: `root`, if it is given, and the key of `--key-file`.
    pub(crate) fn verify_options(&self, root: Option<&[u8; 32]>) -> VerifyOptions {
        let mut options = VerifyOptions::new();
        if let Some(root) = root {
            options = options.with_root(*root);
        }
        match self.key() {
            Some(key) => options.with_key(key),
            None => options,
        }
    }

    pub(crate) fn projection_options(&self) -> ProjectionOptions {
        match self.key() {
            Some(key) => ProjectionOptions::new().with_key(key),
            None => ProjectionOptions::new(),
        }
    }

    pub(crate) fn parity_options(&self) -> ParityOptions {
        match self.key() {
            Some(key) => ParityOptions::new().with_key(key),
            None => ParityOptions::new(),
        }
    }
}

/// Slows down reading to a maximum number of bytes per second.
struct Throttle {
    rate: Option<u64>,
    started: Instant,
    last: u64,
    done: u64,
}

impl Throttle {
    fn new(rate: Option<u64>) -> Throttle {
        Throttle { rate, started: Instant::now(), last: 0, done: 0 }
    }

    /// Sleeps until the rate allows all bytes that were read so far. `bytes_done` is the number of bytes that the
    /// present call of the library has read. Ends early if `is_over`, asked at least every 50 ms, returns true.
    fn wait(&mut self, bytes_done: u64, is_over: impl Fn() -> bool) {
        let Some(rate) = self.rate else { return };
        // A further call of the same task begins at 0 again.
        self.done += bytes_done.checked_sub(self.last).unwrap_or(bytes_done);
        self.last = bytes_done;
        #[expect(clippy::cast_precision_loss, reason = "a time to sleep")]
        let due = Duration::from_secs_f64(self.done as f64 / rate.max(1) as f64);
        while let Some(rest) = due.checked_sub(self.started.elapsed()) {
            if is_over() || rest.is_zero() {
                break;
            }
            std::thread::sleep(rest.min(Duration::from_millis(50)));
        }
    }
}

/// Prints a failure and its hint on standard error.
pub(crate) fn complain(failure: &Failure) {
    let mut text = format!("atlasm: {}\n", failure.message);
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("        {hint}\n"));
    }
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Returns a failure of a command as a JSON object.
pub(crate) fn failed_object(command: &str, failure: &Failure) -> Map<String, Value> {
    let mut error = json!({ "kind": failure.status.name(), "message": failure.message });
    if let Some(hint) = &failure.hint {
        error["hint"] = hint.as_str().into();
    }
    let mut object = Map::new();
    object.insert("command".to_owned(), command.into());
    object.insert("result".to_owned(), "failed".into());
    object.insert("error".to_owned(), error);
    object.insert("status".to_owned(), failure.status.code().into());
    object
}

/// Reads the key file: 32 bytes, or 64 hexadecimal digits and perhaps a line end.
fn read_key(path: &Path) -> Res<Zeroizing<[u8; 32]>> {
    let wrong = |what: String| {
        Failure::usage(format!("the key file {} {what}", names::shown(path)))
            .with_hint("a key file has 32 bytes, or 64 hexadecimal digits: head -c 32 /dev/urandom > KEY")
    };
    let mut file = signals::open(path).map_err(|error| Failure::io("opening the key file", path, &error))?;
    // A file that fills the buffer is too long for a key and is refused. The buffer never grows, so that no
    // copy of a key is left in memory.
    let mut bytes = Zeroizing::new(vec![0; 4_097]);
    let mut filled = 0;
    while filled < bytes.len() {
        match signals::read(&mut file, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) => return Err(Failure::io("reading the key file", path, &error)),
        }
    }
    bytes.truncate(filled);
    if filled > 4_096 {
        return Err(wrong("has more than 4096 bytes".to_owned()));
    }
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() == 32 {
        key.copy_from_slice(&bytes);
        return Ok(key);
    }
    let text = std::str::from_utf8(&bytes).map(str::trim_ascii_end);
    let digits = text.ok().filter(|text| text.len() == 64);
    match digits.and_then(|digits| units::parse_digest(digits).ok()) {
        Some(digest) => key.copy_from_slice(&digest),
        None => return Err(wrong(format!("has {} bytes", bytes.len()))),
    }
    Ok(key)
}
