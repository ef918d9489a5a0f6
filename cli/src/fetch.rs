//! Bytes from a command or a web server, fetched range by range. The caller verifies all these bytes.

use crate::names;
use crate::signals;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use atlas_manifold::ReadAt;

/// Default time without a new byte after which a child process is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Function that returns the command to print the bytes `first..=last`.
type Make = Box<dyn Fn(u64, u64) -> Command + Send + Sync>;

/// A source of bytes that child processes print, one process for each range.
pub(crate) struct Fetched {
    make: Make,
    patience: Duration,
    /// Offset of the range that `ahead` fetched last, and its bytes.
    last: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Fetched {
    /// Returns a source that runs a shell command for each range. In the command, `{first}` and `{last}` are
    /// replaced by the offsets of the first and the last byte.
    pub(crate) fn by_command(command: &str, patience: Option<Duration>) -> Fetched {
        let command = command.to_owned();
        Self::new(
            move |first, last| {
                let line =
                    command.replace("{first}", &first.to_string()).replace("{last}", &last.to_string());
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(line);
                shell
            },
            patience,
        )
    }

    /// Returns a source that requests each range of `url` with curl.
    pub(crate) fn by_url(url: &str, patience: Option<Duration>) -> Fetched {
        let url = url.to_owned();
        Self::new(
            move |first, last| {
                let mut curl = Command::new("curl");
                curl.args(["--fail", "--silent", "--show-error", "--location", "--globoff"]).args([
                    "--range",
                    &format!("{first}-{last}"),
                    "--",
                    &url,
                ]);
                curl
            },
            patience,
        )
    }

    fn new(
        make: impl Fn(u64, u64) -> Command + Send + Sync + 'static,
        patience: Option<Duration>,
    ) -> Fetched {
        Fetched { make: Box::new(make), patience: patience.unwrap_or(PATIENCE), last: Mutex::new(None) }
    }

    /// Fetches a range and keeps its bytes. Later reads inside of the range start no process.
    pub(crate) fn ahead(&self, offset: u64, len: usize) -> io::Result<()> {
        let bytes = self.fetch(offset, len)?;
        *self.lock() = Some((offset, bytes));
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(u64, Vec<u8>)>> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Fetches exactly `len` bytes at `offset`. Fails if fewer or more arrive.
    fn fetch(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let Some(last) = (len as u64).checked_sub(1).and_then(|more| offset.checked_add(more)) else {
            return Ok(Vec::new());
        };
        let mut command = (self.make)(offset, last);
        // The child gets a process group of its own, so that the children of a shell are killed with it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let program = names::shown(Path::new(command.get_program()));
        let child =
            command.spawn().map_err(|error| io::Error::other(format!("starting {program}: {error}")))?;
        let mut child = Running { child };
        let bytes = child.read(len, self.patience)?;
        if bytes.len() > len {
            return Err(io::Error::other(format!("{program} returned more than the requested {len} bytes")));
        }
        let status = child.end(self.patience)?;
        if !status.success() {
            return Err(io::Error::other(format!("{program} failed: {status}")));
        }
        if bytes.len() < len {
            let text = format!("{program} returned {} bytes instead of the requested {len}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        Ok(bytes)
    }
}

impl ReadAt for Fetched {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if let Some((start, bytes)) = &*self.lock()
            && let Some(skip) = offset.checked_sub(*start).and_then(|skip| usize::try_from(skip).ok())
            && let Some(part) = bytes.get(skip..).and_then(|rest| rest.get(..buffer.len()))
        {
            buffer.copy_from_slice(part);
            return Ok(());
        }
        buffer.copy_from_slice(&self.fetch(offset, buffer.len())?);
        Ok(())
    }
}

/// A child process that is killed on drop, with its process group.
struct Running {
    child: Child,
}

impl Running {
    /// Reads the child's output until its end, or until `len` + 1 bytes. Fails if no byte arrives for the time
    /// `patience`, or after a signal.
    fn read(&mut self, len: usize, patience: Duration) -> io::Result<Vec<u8>> {
        let Some(mut out) = self.child.stdout.take() else {
            return Err(io::Error::other(
                "a defect of this program, please report it: the child process has no standard output",
            ));
        };
        let mut bytes = Vec::new();
        let mut heard = Instant::now();
        let mut buffer = [0; 1 << 16];
        loop {
            if signals::cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if heard.elapsed() >= patience {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "no further byte arrived for {:.1} s (--patience), after {} of the {len} requested \
                         bytes",
                        patience.as_secs_f64(),
                        bytes.len()
                    ),
                ));
            }
            let mut poll = libc::pollfd { fd: out.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `poll` is one initialised structure with an open descriptor.
            let ready = unsafe { libc::poll(&mut poll, 1, 100) };
            if ready <= 0 {
                continue;
            }
            let room = buffer.len().min(len + 1 - bytes.len());
            match out.read(&mut buffer[..room]) {
                Ok(0) => return Ok(bytes),
                Ok(read) => {
                    heard = Instant::now();
                    bytes.extend_from_slice(&buffer[..read]);
                    if bytes.len() > len {
                        return Ok(bytes);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Running {
    /// Waits until the child exits, and returns its exit status. Fails after the time `patience`, or after a
    /// signal.
    fn end(&mut self, patience: Duration) -> io::Result<std::process::ExitStatus> {
        let closed = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if closed.elapsed() >= patience || signals::cancelled() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the program closed its output, and did not exit in the time of --patience",
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Ok(group) = i32::try_from(self.child.id()) {
                // SAFETY: the signal goes to the group that this child leads. The child was not waited for,
                // so that the number still belongs to it.
                unsafe { libc::kill(-group, libc::SIGKILL) };
            }
            drop(self.child.wait());
        }
    }
}
