//! Guard around every call, and the last error of each thread.

use super::callback::NoCancellation;
use super::status::atlas_status;
use crate::base::error::{AtlasError, Result};
use crate::exec::pool::panic_error;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// A failure and its text as a C string.
struct Last {
    error: AtlasError,
    text: CString,
}

/// Runs a call that can fail. A panic becomes INTERNAL, and the outcome becomes the thread's last
/// error.
pub(super) fn boundary(call: impl FnOnce() -> Result<()>) -> atlas_status {
    let _whole = NoCancellation::new();
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(panic_error(payload)));
    record(result)
}

/// Runs a call that cannot fail, and returns `otherwise` after a panic. The last error stays.
pub(super) fn infallible<R>(otherwise: R, call: impl FnOnce() -> R) -> R {
    let _whole = NoCancellation::new();
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        std::mem::forget(payload);
        otherwise
    })
}

fn record(result: Result<()>) -> atlas_status {
    let (status, last) = match result {
        Ok(()) => (atlas_status::ATLAS_STATUS_OK, None),
        Err(error) => {
            let status = atlas_status::from(error.kind());
            let mut text = error.message().as_bytes().to_vec();
            text.retain(|byte| *byte != 0);
            // NUL bytes were removed, so the conversion cannot fail.
            (status, Some(Last { error, text: CString::new(text).unwrap_or_default() }))
        }
    };
    // At the end of a thread its locals may be gone. Then only the status is left.
    drop(LAST.try_with(|slot| slot.try_borrow_mut().map(|mut slot| *slot = last)));
    status
}

/// Returns the text of the last failure, empty after success. Valid until the thread's next call.
pub(super) fn last_message() -> *const c_char {
    let empty: &CStr = c"";
    let text = LAST.try_with(|slot| {
        slot.try_borrow().ok().and_then(|slot| slot.as_ref().map(|last| last.text.as_ptr()))
    });
    text.ok().flatten().unwrap_or(empty.as_ptr())
}

/// Returns the last failure itself.
pub(super) fn last_error() -> Option<AtlasError> {
    let error = LAST.try_with(|slot| {
        slot.try_borrow().ok().and_then(|slot| slot.as_ref().map(|last| last.error.clone()))
    });
    error.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(last_error().is_some());
        assert_eq!(boundary(|| Ok(())), atlas_status::ATLAS_STATUS_OK);
        assert_eq!(message(), "");
        assert!(last_error().is_none());
    }
}
