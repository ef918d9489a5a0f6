//! Another Rust library behind a C API, with std and unwinding of its own.

use std::ffi::{CStr, c_char};

/// The bytes of a C string, counted on another thread.
///
/// # Safety
/// `text` is a C string.
#[no_mangle]
pub unsafe extern "C" fn other_length(text: *const c_char) -> u32 {
    let text = unsafe { CStr::from_ptr(text) }.to_owned();
    std::thread::spawn(move || text.as_bytes().len() as u32).join().unwrap_or(0)
}

/// 1 where a panic of this library is caught by it.
#[no_mangle]
pub extern "C" fn other_catches_a_panic() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    i32::from(std::panic::catch_unwind(|| panic!("on purpose")).is_err())
}
