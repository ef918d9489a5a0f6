//! The one error of the library: a kind with exactly one status, a message and the place.

use crate::base::fallible::{SystemError, try_box};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Kind of a failure, one for each status of the C API.
///
/// ```
/// use atlas_manifold::{ErrorKind, Source};
///
/// let error = Source::open_file("/no such file").unwrap_err();
/// match error.kind() {
///     ErrorKind::Io => assert_eq!(error.os_error(), 2), // ENOENT on Linux
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is not acceptable: an unknown value, a bad configuration.
    InvalidArgument,
    /// Memory could not be allocated, such as a buffer whose size comes from outside.
    OutOfMemory,
    /// An offset or a length lies outside the domain.
    OutOfRange,
    /// The operating system or a callback failed.
    Io,
    /// The sum of bytes mod 96 differs from the required or recorded sum.
    Conservation,
    /// A digest, a proof or a key does not match.
    Witness,
    /// Serialised data is malformed or truncated.
    Format,
    /// A feature is not built in, or the data is of a newer version.
    Unsupported,
    /// The call is not valid in the present state.
    State,
    /// Shards are missing for reconstruction.
    Incomplete,
    /// Overlapping shards disagree.
    Conflict,
    /// A progress callback returned false.
    Cancelled,
    /// A resource limit would be exceeded.
    Limit,
    /// A defect of the library, such as a caught panic.
    Internal,
}

/// An error of any operation of the library.
///
/// The kind alone is enough to act on. The message says what was wrong, with the value and the limit;
/// `index`, `offset` and `length` have the place, as far as it is known.
///
/// ```
/// use atlas_manifold::{AtlasProjection, ErrorKind, Source};
///
/// let projection = AtlasProjection::linear(&Source::copy(&[1, 2, 3])?)?;
/// let error = projection.read(2, &mut [0; 5]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::OutOfRange);
/// assert_eq!((error.offset(), error.length()), (Some(2), Some(5)));
/// println!("{error}"); // names the range and the size of the domain
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct AtlasError {
    kind: ErrorKind,
    /// Message, place and cause of the error, in a box so that results of successful calls are small. `None` if
    /// there was no memory for the box.
    details: Option<Box<Details>>,
}

#[derive(Debug)]
struct Details {
    message: Cow<'static, str>,
    index: Option<u64>,
    offset: Option<u64>,
    length: Option<u64>,
    os_error: i32,
    source: Option<Source>,
}

/// Underlying I/O error that caused an [`AtlasError`].
#[derive(Debug)]
enum Source {
    /// Error of the operating system, which consists of its number (errno) alone.
    System(io::Error),
    Shared(Arc<io::Error>),
}

/// Result of any operation of the library.
pub type Result<T> = std::result::Result<T, AtlasError>;

impl Clone for AtlasError {
    /// Clones the error. If there is no memory for its message and place, the clone has only the kind.
    fn clone(&self) -> Self {
        let details = self.details.as_deref().and_then(|details| {
            // `format!` of this crate survives a lack of memory, and the clone of a text does not.
            let message = match &details.message {
                Cow::Borrowed(text) => Cow::Borrowed(*text),
                Cow::Owned(text) => Cow::Owned(format!("{text}")),
            };
            // An `io::Error` cannot be cloned, but the number of a system error can be kept.
            let source = details.source.as_ref().map(|source| match source {
                Source::System(error) => {
                    Source::System(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0)))
                }
                Source::Shared(error) => Source::Shared(Arc::clone(error)),
            });
            let Details { index, offset, length, os_error, .. } = *details;
            try_box(Details { message, index, offset, length, os_error, source }).ok()
        });
        AtlasError { kind: self.kind, details }
    }
}

impl AtlasError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::of_text(kind, message.into())
    }

    #[cold]
    #[inline(never)]
    fn of_text(kind: ErrorKind, message: Cow<'static, str>) -> Self {
        let (index, offset, length) = (None, None, None);
        // If there is no memory, the error has only its kind, which is enough for the caller to act on.
        let details = try_box(Details { message, index, offset, length, os_error: 0, source: None }).ok();
        AtlasError { kind, details }
    }

    /// Returns an error of kind `Io` from the system's `error`. Its text is `what`, the operation and its
    /// object, followed by the system's reason. If `error` contains an error of the library, that error's kind
    /// is kept. A lack of memory that the system did not report, because it was met before the call of the system, is
    /// of kind `OutOfMemory`.
    pub(crate) fn io(what: impl fmt::Display, error: io::Error) -> Self {
        // An error of the library that passed a reader of the standard library keeps its kind.
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<AtlasError>()) {
            return Self::new(inner.kind(), format!("{what}: {inner}")).with_os_error(inner.os_error());
        }
        if error.kind() == io::ErrorKind::OutOfMemory && error.raw_os_error().is_none() {
            return Self::new(ErrorKind::OutOfMemory, format!("{what}: no memory"));
        }
        let mut this = Self::new(ErrorKind::Io, format!("{what}: {}", SystemError(&error)));
        this.change(|details| {
            details.os_error = error.raw_os_error().unwrap_or(0);
            details.source = Some(match error.raw_os_error() {
                // An error of the system consists of its number, which needs no shared memory.
                Some(_) => Source::System(error),
                None => Source::Shared(Arc::new(error)),
            });
        });
        this
    }

    fn change(&mut self, change: impl FnOnce(&mut Details)) {
        if let Some(details) = &mut self.details {
            change(details);
        }
    }

    /// Returns an error of kind `Io` for an errno value of C, followed by its meaning.
    #[cfg(unix)]
    pub(crate) fn errno(what: impl fmt::Display, code: i32) -> Self {
        Self::io(what, io::Error::from_raw_os_error(code))
    }

    /// Returns an error of kind `Io` for an errno value of C, which is no error number of the system here, so that
    /// the error has no source.
    #[cfg(not(unix))]
    pub(crate) fn errno(what: impl fmt::Display, code: i32) -> Self {
        Self::new(ErrorKind::Io, format!("{what}: errno {code}")).with_os_error(code)
    }

    pub(crate) fn with_os_error(mut self, code: i32) -> Self {
        self.change(|details| details.os_error = code);
        self
    }

    /// Adds the index of the failed batch item, tile, chunk or class, unless the error already has an index.
    #[cold]
    pub(crate) fn at_index(mut self, index: u64) -> Self {
        self.change(|details| _ = details.index.get_or_insert(index));
        self
    }

    /// Sets the index to that of the failed batch item. It replaces the index of a tile or block in the item.
    #[cold]
    pub(crate) fn in_batch(mut self, index: u64) -> Self {
        self.change(|details| details.index = Some(index));
        self
    }

    /// Removes the index, because the failed item is not an item of the caller's batch.
    #[cold]
    pub(crate) fn without_index(mut self) -> Self {
        self.change(|details| details.index = None);
        self
    }

    /// Adds offset and length of the failed range, in the domain or in the bytes read, unless the error already
    /// has them.
    #[cold]
    pub(crate) fn at_range(mut self, offset: u64, length: u64) -> Self {
        self.change(|details| {
            details.offset.get_or_insert(offset);
            details.length.get_or_insert(length);
        });
        self
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message, with the offending value and its limit.
    pub fn message(&self) -> &str {
        match &self.details {
            // A text is empty if there was no memory for it.
            Some(details) if !details.message.is_empty() => &details.message,
            _ => "there is no memory for the text of this error",
        }
    }

    /// Returns the index of the batch item, tile, chunk or class that failed.
    pub fn index(&self) -> Option<u64> {
        self.details.as_ref()?.index
    }

    /// Returns the offset of the failure in the domain, or in the bytes read.
    pub fn offset(&self) -> Option<u64> {
        self.details.as_ref()?.offset
    }

    /// Returns the number of affected bytes from [`offset`](Self::offset) on.
    pub fn length(&self) -> Option<u64> {
        self.details.as_ref()?.length
    }

    /// Returns the error number (errno) of the operating system or of a callback, or 0.
    pub fn os_error(&self) -> i32 {
        self.details.as_ref().map_or(0, |details| details.os_error)
    }
}

impl fmt::Display for AtlasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for AtlasError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.details.as_ref()?.source.as_ref()? {
            Source::System(error) => Some(error),
            Source::Shared(error) => Some(&**error),
        }
    }
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl AtlasError {
            $(pub(crate) fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    invalid_argument => InvalidArgument,
    out_of_memory => OutOfMemory,
    out_of_range => OutOfRange,
    conservation => Conservation,
    witness => Witness,
    format => Format,
    unsupported => Unsupported,
    state => State,
    incomplete => Incomplete,
    conflict => Conflict,
    cancelled => Cancelled,
    limit => Limit,
    internal => Internal,
}

/// Fails with OUT_OF_RANGE if the range of `length` bytes at `offset` is not within 0..`size`. `what` names the
/// operation in the error text.
pub(crate) fn check_range(offset: u64, length: u64, size: u64, what: &str) -> Result<()> {
    // The sum of offset and length may pass 2^64.
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(AtlasError::out_of_range(format!(
            "{what} of {length} bytes at offset {offset} is outside 0..{size}"
        ))
        .at_range(offset, length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_place_wins_over_an_outer_one() {
        let error = AtlasError::witness("tile 3").at_index(3).at_index(9).at_range(1, 2).at_range(5, 6);
        assert_eq!((error.index(), error.offset(), error.length()), (Some(3), Some(1), Some(2)));
    }

    #[test]
    fn the_range_check_does_not_overflow() {
        assert!(check_range(u64::MAX, 1, u64::MAX, "read").is_err());
        assert!(check_range(u64::MAX, 0, u64::MAX, "read").is_ok());
        assert!(check_range(5, 5, 10, "read").is_ok());
        let error = check_range(5, 6, 10, "read").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert_eq!(error.message(), "read of 6 bytes at offset 5 is outside 0..10");
    }

    #[test]
    fn io_errors_keep_their_number_and_source() {
        let error = AtlasError::io("reading x.bin", io::Error::from_raw_os_error(5));
        assert_eq!(error.os_error(), 5);
        assert!(error.message().starts_with("reading x.bin: "));
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_lack_of_memory_before_the_call_of_the_system_is_no_io_error() {
        let before = AtlasError::io("naming x.bin", io::ErrorKind::OutOfMemory.into());
        assert_eq!((before.kind(), before.os_error()), (ErrorKind::OutOfMemory, 0));
        // ENOMEM.
        let of_system = AtlasError::io("reading x.bin", io::Error::from_raw_os_error(12));
        assert_eq!((of_system.kind(), of_system.os_error()), (ErrorKind::Io, 12));
    }
}
