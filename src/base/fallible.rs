//! Fallible allocation of boxes and texts, so that an error can be reported even without free memory.

use crate::base::reserve;
use std::alloc::Layout;
use std::fmt::{self, Write};
use std::io;

/// Puts `value` into a box. Returns `value` as the error if there is no memory for the box.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    let layout = Layout::new::<T>();
    // A value without bytes has no allocation, so that its box cannot fail.
    if layout.size() == 0 {
        return Ok(Box::new(value));
    }
    // SAFETY: the layout has a size greater than 0.
    let place = unsafe { std::alloc::alloc(layout) }.cast::<T>();
    if place.is_null() {
        return Err(value);
    }
    if reserve::is_scarce(place) {
        // SAFETY: allocated above with this layout.
        unsafe { std::alloc::dealloc(place.cast(), layout) };
        return Err(value);
    }
    // SAFETY: there is room for a value, aligned for its type, and a box owns memory of this layout.
    unsafe {
        place.write(value);
        Ok(Box::from_raw(place))
    }
}

/// Formats `arguments` as a text, which is empty if there is no memory for it. `format!` in this crate calls
/// this function.
pub(crate) fn text(arguments: fmt::Arguments<'_>) -> String {
    // A part of a text could mislead, so that a text is complete or empty.
    written(|text| text.write_fmt(arguments)).unwrap_or_default()
}

/// Returns the text that `write` writes. `None` if there is no memory for it.
pub(crate) fn written(write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> Option<String> {
    struct Text(String);

    impl Write for Text {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0.try_reserve(part.len()).map_err(|_| fmt::Error)?;
            if reserve::is_scarce(self.0.as_ptr()) {
                return Err(fmt::Error);
            }
            self.0.push_str(part);
            Ok(())
        }
    }

    let mut text = Text(String::new());
    write(&mut text).ok().map(|()| text.0)
}

/// Formats `arguments`, which are never empty, as the name of a file. Fails with `OutOfMemory` instead of returning the
/// empty text of [`text`], which would name another file.
pub(crate) fn file_name(arguments: fmt::Arguments<'_>) -> io::Result<String> {
    Some(text(arguments)).filter(|name| !name.is_empty()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Displays an error of the operating system as `std::io::Error` does, but without allocating memory.
pub(crate) struct SystemError<'e>(pub(crate) &'e std::io::Error);

impl fmt::Display for SystemError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(all(unix, any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
        if let Some(code) = self.0.raw_os_error() {
            let mut text = [0_u8; 256];
            // SAFETY: `text` has room for the given number of bytes; the call ends its output with a NUL.
            let told = unsafe { libc::strerror_r(code, text.as_mut_ptr().cast(), text.len()) };
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
            if let (0, Ok(text)) = (told, str::from_utf8(&text[..end])) {
                return write!(f, "{text} (os error {code})");
            }
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_written_as_the_standard_library_writes_them() {
        for code in [1, 2, 5, 17, 28, 125, 9_999] {
            let error = std::io::Error::from_raw_os_error(code);
            assert_eq!(std::format!("{}", SystemError(&error)), error.to_string());
        }
        let other = std::io::Error::other("no number");
        assert_eq!(std::format!("{}", SystemError(&other)), "no number");
    }

    #[test]
    fn boxes_of_values_with_and_without_a_size() {
        assert_eq!(*try_box([1_u64; 40]).unwrap(), [1; 40]);
        assert_eq!(*try_box(()).unwrap(), ());
    }
}
