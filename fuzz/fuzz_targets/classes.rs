#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| atlas_manifold_fuzz::targets::classes::run(input));
