//! Shared by the tests: golden files, and bytes that are easy to make again.

use serde_json::Value;
use std::path::PathBuf;

/// Path of a golden file.
pub(super) fn vector(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/parity").join(name)
}

pub(super) fn golden(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(vector(name)).unwrap()).unwrap()
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    crate::hash::digest::hex(bytes)
}

/// The first `len` bytes of the SplitMix64 stream of `seed`.
pub(super) fn stream(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}
