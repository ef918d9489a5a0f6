//! Guard around every call, and the last error of each thread.

use super::callback::NoCancellation;
use super::status::atlas_status;
use crate::base::error::Result;
use crate::base::stack;
use crate::exec::pool::panic_error;
use std::cell::RefCell;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Size of the longest error text: a path of maximum length, and the words around it.
const TEXT: usize = 4_608;

/// Outcome of a thread's last call. It has no destructor and no heap memory, so that recording a failure
/// allocates nothing.
pub(super) struct Last {
    pub(super) status: atlas_status,
    pub(super) os_error: i32,
    pub(super) index: Option<u64>,
    pub(super) offset: Option<u64>,
    pub(super) length: Option<u64>,
    /// Ends with a NUL.
    text: [u8; TEXT],
}

thread_local! {
    static LAST: RefCell<Last> = const {
        RefCell::new(Last {
            status: atlas_status::ATLAS_STATUS_OK,
            os_error: 0,
            index: None,
            offset: None,
            length: None,
            text: [0; TEXT],
        })
    };
}

impl Last {
    /// Writes `text` without NUL bytes, as far as there is room, and a NUL.
    fn set_text(&mut self, text: &str) {
        // The cut is made between characters, so that the text stays valid UTF-8.
        let end = (0..=text.len().min(TEXT - 1)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let bytes = text[..end].bytes().filter(|byte| *byte != 0).chain([0]);
        self.text.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    }
}

/// Runs a call that can fail. A panic becomes INTERNAL, and the outcome becomes the thread's last
/// error.
pub(super) fn boundary(call: impl FnOnce() -> Result<()>) -> atlas_status {
    // A thread that is cancelled inside the call would be unwound through Rust frames, which aborts.
    let _whole = NoCancellation::new();
    let call = || stack::wiping(call);
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(panic_error(payload)));
    record(result)
}

/// Runs a call that cannot fail, and returns `otherwise` after a panic. The last error stays.
pub(super) fn infallible<R>(otherwise: R, call: impl FnOnce() -> R) -> R {
    let _whole = NoCancellation::new();
    catch_unwind(AssertUnwindSafe(|| stack::wiping(call))).unwrap_or_else(|payload| {
        // The payload is not dropped: its drop could panic again, outside of the guard.
        std::mem::forget(payload);
        otherwise
    })
}

fn record(result: Result<()>) -> atlas_status {
    // The status follows from the result alone, so that it is right even if nothing can be recorded.
    let status = result.as_ref().map_or_else(|error| error.kind().into(), |()| atlas_status::ATLAS_STATUS_OK);
    // At the end of a thread its thread-locals may be gone: then only the status is reported.
    let _ = LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else { return };
        last.status = status;
        match &result {
            // The numbers of a success are never read.
            Ok(()) => last.text[0] = 0,
            Err(error) => {
                last.os_error = error.os_error();
                (last.index, last.offset, last.length) = (error.index(), error.offset(), error.length());
                last.set_text(error.message());
            }
        }
    });
    status
}

/// Returns the text of the last failure, empty after success. Valid until the thread's next call.
pub(super) fn last_message() -> *const c_char {
    let text = LAST.try_with(|last| last.try_borrow().ok().map(|last| last.text.as_ptr().cast()));
    // A thread that is about to end has no text left.
    text.ok().flatten().unwrap_or(c"".as_ptr())
}

/// Passes the last failure of the thread to `look`. Returns `None` after a success.
pub(super) fn last_error<R>(look: impl FnOnce(&Last) -> R) -> Option<R> {
    let failed = |last: &RefCell<Last>| {
        let last = last.try_borrow().ok()?;
        (last.status != atlas_status::ATLAS_STATUS_OK).then(|| look(&last))
    };
    LAST.try_with(failed).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::AtlasError;
    use std::ffi::CStr;

    fn message() -> String {
        // SAFETY: the text of this thread, read before its next call.
        unsafe { CStr::from_ptr(last_message()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_internal_with_its_text() {
        assert_eq!(boundary(|| panic!("lost in {}", "thought")), atlas_status::ATLAS_STATUS_INTERNAL);
        assert!(message().contains("lost in thought"));
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a payload's drop");
            }
        }
        assert_eq!(boundary(|| std::panic::panic_any(Bomb)), atlas_status::ATLAS_STATUS_INTERNAL);
        assert_eq!(infallible(7, || panic!("again")), 7);
    }

    #[test]
    fn texts_with_nul_bytes_and_success_are_recorded() {
        let status = boundary(|| Err(AtlasError::limit("a\0b")));
        assert_eq!((status, message().as_str()), (atlas_status::ATLAS_STATUS_LIMIT, "ab"));
        assert!(last_error(|_| ()).is_some());
        assert_eq!(boundary(|| Ok(())), atlas_status::ATLAS_STATUS_OK);
        assert_eq!(message(), "");
        assert!(last_error(|_| ()).is_none());
        let long = format!("{}ä", "x".repeat(TEXT - 2));
        assert_eq!(boundary(|| Err(AtlasError::limit(long))), atlas_status::ATLAS_STATUS_LIMIT);
        assert_eq!(message(), "x".repeat(TEXT - 2));
    }
}
