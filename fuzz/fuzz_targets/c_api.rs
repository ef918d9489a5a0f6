#![no_main]

use atlas_manifold_fuzz as _;

unsafe extern "C" {
    fn atlas_fuzz_c_api(input: *const u8, size: usize) -> i32;
}

// SAFETY: The function reads the bytes of the input and keeps none of them.
libfuzzer_sys::fuzz_target!(|input: &[u8]| unsafe {
    atlas_fuzz_c_api(input.as_ptr(), input.len());
});
