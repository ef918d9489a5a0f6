//! Shared by the tests: golden files, and bytes that are generated from a seed.

use crate::base::split_mix::SplitMix64;
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
    SplitMix64(seed).bytes(len)
}
