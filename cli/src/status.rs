//! End of a run: exit statuses, and the failures that lead to them.

use atlas_manifold::{AtlasError, ErrorKind};
use std::fmt;
use std::io;
use std::path::Path;

use crate::names;
use crate::output;
use crate::signals;

/// Exit status of the program. The numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Done, or intact.
    Done = 0,
    /// The bytes differ from the expected bytes.
    Differs = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Damaged, and repairable with the available files.
    Repairable = 3,
    /// Needed parts are missing.
    Incomplete = 4,
    /// The operating system refused an operation.
    Io = 5,
    /// The file has another format or a newer version.
    Foreign = 6,
    /// A limit or the memory is exceeded.
    Limit = 7,
    /// The output exists.
    Exists = 8,
    /// A defect of the program.
    Defect = 70,
    /// Stopped by a signal.
    Cancelled = 130,
}

/// Meanings of all exit statuses, for the help and the man page.
pub(crate) const MEANINGS: [(Status, &str); 11] = [
    (Status::Done, "done; the file is intact"),
    (Status::Differs, "the bytes are not those that were sealed, hashed or expected"),
    (Status::Usage, "the command line is wrong"),
    (Status::Repairable, "damaged, and can be repaired with what is at hand"),
    (Status::Incomplete, "incomplete: parts that are needed are missing, or too much is damaged"),
    (Status::Io, "an input or output error"),
    (Status::Foreign, "not a file of this program, or one of a newer version"),
    (Status::Limit, "a limit, such as --memory, is exceeded"),
    (Status::Exists, "the output exists, and -f was not given"),
    (Status::Defect, "a defect of this program"),
    (Status::Cancelled, "stopped by a signal, such as Ctrl-C"),
];

impl Status {
    /// Returns the exit status of the process as a number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Returns the word for the status in the output of `--json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Differs => "differs",
            Status::Usage => "usage",
            Status::Repairable => "repairable",
            Status::Incomplete => "incomplete",
            Status::Io => "io",
            Status::Foreign => "foreign",
            Status::Limit => "limit",
            Status::Exists => "exists",
            Status::Defect => "defect",
            Status::Cancelled => "cancelled",
        }
    }

    /// Returns the severity of the status. A run over several files ends with the most severe status.
    fn weight(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Repairable => 1,
            Status::Differs => 2,
            Status::Incomplete => 3,
            Status::Exists => 4,
            Status::Foreign => 5,
            Status::Usage => 6,
            Status::Io => 7,
            Status::Limit => 8,
            Status::Defect => 9,
            Status::Cancelled => 10,
        }
    }

    /// Returns the more severe of two statuses.
    pub(crate) fn and(self, other: Status) -> Status {
        if other.weight() > self.weight() { other } else { self }
    }
}

/// A failed operation: an exit status, a text, and a hint at the next step.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The library's error that led to the failure, if one did.
    pub(crate) cause: Option<Cause>,
}

/// The parts of an error of the library that programs read. Its text has names of files, which may have any words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) kind: ErrorKind,
    /// Offset of the first wrong byte, if the error has one.
    pub(crate) offset: Option<u64>,
}

/// Hint for the user if the file system is full (ENOSPC).
pub(crate) const FULL: &str =
    "the file system is full: free some space, or write the output to another file system";

/// Text of a failure that a signal caused.
const STOPPED: &str = "stopped by a signal; no incomplete output was left";

/// Result of a function that may fail with a [`Failure`].
pub(crate) type Res<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Failure {
        // A failure after a signal counts as caused by the signal.
        let status = if signals::cancelled() { Status::Cancelled } else { status };
        Failure { status, message: message.into(), hint: None, cause: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Self::new(Status::Usage, message)
    }

    /// Returns the failure of a system call on the file `path`. `what` is the step, such as `opening`.
    pub(crate) fn io(what: &str, path: &Path, error: &io::Error) -> Failure {
        let status = match error.kind() {
            io::ErrorKind::AlreadyExists => Status::Exists,
            io::ErrorKind::OutOfMemory => Status::Limit,
            _ => Status::Io,
        };
        if signals::cancelled() {
            return Self::new(Status::Cancelled, STOPPED);
        }
        let failure = Self::new(status, format!("{what} {}: {error}", names::shown(path)));
        if error.raw_os_error() == Some(libc::ENOSPC) { failure.with_hint(FULL) } else { failure }
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Puts a step, or the name of a file, before the text of the failure.
    #[must_use]
    pub(crate) fn while_doing(mut self, what: impl fmt::Display) -> Failure {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<AtlasError> for Failure {
    fn from(error: AtlasError) -> Failure {
        let status = match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::OutOfRange => Status::Usage,
            ErrorKind::OutOfMemory | ErrorKind::Limit => Status::Limit,
            ErrorKind::Io if error.os_error() == libc::EEXIST => Status::Exists,
            ErrorKind::Io => Status::Io,
            // EAGAIN means that another process writes to the container.
            ErrorKind::State if error.os_error() == libc::EAGAIN => Status::Io,
            ErrorKind::Conservation | ErrorKind::Witness | ErrorKind::Conflict => Status::Differs,
            ErrorKind::Format | ErrorKind::Unsupported => Status::Foreign,
            ErrorKind::Incomplete => Status::Incomplete,
            ErrorKind::Cancelled => Status::Cancelled,
            _ => Status::Defect,
        };
        let message = match status {
            Status::Cancelled => STOPPED.to_owned(),
            // The texts name the option and the output instead of the library's names, because the user knows
            // these. A file may have such a name too.
            Status::Limit | Status::Usage => {
                output::with_targets(&error.message().replace("memory_limit", "--memory"))
            }
            _ => output::with_targets(error.message()),
        };
        let mut failure = Failure::new(status, message);
        failure.cause = Some(Cause { kind: error.kind(), offset: error.offset() });
        if status == Status::Io && error.os_error() == libc::ENOSPC {
            failure.with_hint(FULL)
        } else {
            failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_status_wins_in_any_order() {
        for (first, _) in MEANINGS {
            for (second, _) in MEANINGS {
                assert_eq!(first.and(second), second.and(first));
                assert!([first, second].contains(&first.and(second)));
            }
            assert_eq!(first.and(Status::Done), first);
            assert_eq!(first.and(Status::Cancelled), Status::Cancelled);
        }
    }
}
