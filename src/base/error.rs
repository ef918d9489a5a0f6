//! The one error of the library: a kind with exactly one status, a text and the place.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What went wrong, one kind for each status of the C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is not acceptable: an unknown value, a bad configuration.
    InvalidArgument,
    /// A buffer whose size comes from outside could not be allocated.
    OutOfMemory,
    /// An offset or a length lies outside the domain.
    OutOfRange,
    /// The operating system or a callback failed.
    Io,
    /// The sum of bytes mod 96 is not as it must be.
    Conservation,
    /// A digest, a proof or a key does not match.
    Witness,
    /// Serialised data is malformed or cut.
    Format,
    /// A feature that is not built in, or a newer version.
    Unsupported,
    /// The call is not valid in this state.
    State,
    /// Shards are missing for reconstruction.
    Incomplete,
    /// Overlapping shards disagree.
    Conflict,
    /// A progress callback asked to stop.
    Cancelled,
    /// A resource limit would be exceeded.
    Limit,
    /// A defect of the library, such as a caught panic.
    Internal,
}

/// An error of any operation of the library.
///
/// The kind alone is enough to act on. The text says what was wrong, with the value and the
/// limit; `index`, `offset` and `length` say where, as far as that is known.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AtlasError {
    /// In a box, so that results of calls that succeed are small.
    details: Box<Details>,
}

#[derive(Debug, Clone)]
struct Details {
    kind: ErrorKind,
    message: String,
    index: Option<u64>,
    offset: Option<u64>,
    length: Option<u64>,
    os_error: i32,
    source: Option<Arc<io::Error>>,
}

/// The result of any operation of the library.
pub type Result<T> = std::result::Result<T, AtlasError>;

impl AtlasError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::of_text(kind, message.into())
    }

    #[cold]
    #[inline(never)]
    fn of_text(kind: ErrorKind, message: String) -> Self {
        let (index, offset, length) = (None, None, None);
        let details = Details { kind, message, index, offset, length, os_error: 0, source: None };
        AtlasError { details: Box::new(details) }
    }

    /// The text of an I/O error names what was done, to what, and the system's reason.
    pub(crate) fn io(what: impl fmt::Display, error: io::Error) -> Self {
        let mut this = Self::new(ErrorKind::Io, format!("{what}: {error}"));
        this.details.os_error = error.raw_os_error().unwrap_or(0);
        this.details.source = Some(Arc::new(error));
        this
    }

    pub(crate) fn with_os_error(mut self, code: i32) -> Self {
        self.details.os_error = code;
        self
    }

    /// Says which item of a batch, which tile, chunk or class; an inner place wins.
    #[cold]
    pub(crate) fn at_index(mut self, index: u64) -> Self {
        self.details.index.get_or_insert(index);
        self
    }

    /// Says which item of a batch, instead of a tile or block in it.
    #[cold]
    pub(crate) fn in_batch(mut self, index: u64) -> Self {
        self.details.index = Some(index);
        self
    }

    /// Says nothing of the number of an item: what failed is not one of the caller's.
    #[cold]
    pub(crate) fn without_index(mut self) -> Self {
        self.details.index = None;
        self
    }

    /// Says where in the domain, or in the bytes read; an inner place wins.
    #[cold]
    pub(crate) fn at_range(mut self, offset: u64, length: u64) -> Self {
        self.details.offset.get_or_insert(offset);
        self.details.length.get_or_insert(length);
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.details.kind
    }

    /// What was wrong, with the value and the limit.
    pub fn message(&self) -> &str {
        &self.details.message
    }

    /// The batch item, tile, chunk or class that failed.
    pub fn index(&self) -> Option<u64> {
        self.details.index
    }

    /// Where in the domain, or in the bytes read, the failure lies.
    pub fn offset(&self) -> Option<u64> {
        self.details.offset
    }

    /// How many bytes from [`offset`](Self::offset) on are concerned.
    pub fn length(&self) -> Option<u64> {
        self.details.length
    }

    /// The error number of the operating system or of a callback, or 0.
    pub fn os_error(&self) -> i32 {
        self.details.os_error
    }
}

impl fmt::Display for AtlasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details.message)
    }
}

impl std::error::Error for AtlasError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.details.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl AtlasError {
            $(pub(crate) fn $name(message: impl Into<String>) -> Self {
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

/// The range check that every call with an offset and a length shares.
pub(crate) fn check_range(offset: u64, length: u64, size: u64, what: &str) -> Result<()> {
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
}
