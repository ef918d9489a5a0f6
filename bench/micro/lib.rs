//! Internal parts of the library, compiled from its own sources, for the benchmarks in `benches`: those are
//! built as tests, and would include the tests of these files.

#[path = "../src/base.rs"]
mod base;
#[path = "../../src/compression/filter/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is measured")]
mod filter;
#[path = "../../src/r96/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is measured")]
mod r96;

/// The exact transform of whole blocks.
pub struct Transform {
    encoder: r96::Encoder,
    blocks: usize,
    block: usize,
}

impl Transform {
    /// Returns a transform of as many blocks as `len` bytes have.
    pub fn new(data_classes: usize, len: usize) -> Transform {
        let block = r96::block_bytes(data_classes);
        Transform { encoder: r96::Encoder::new(data_classes).expect("K"), blocks: len / block, block }
    }

    /// Bytes that are transformed.
    pub fn len(&self) -> usize {
        self.blocks * self.block
    }

    /// Bytes of their spectrum.
    pub fn spectrum_len(&self) -> usize {
        self.blocks * r96::CLASSES * r96::CLASS_BLOCK_BYTES
    }

    /// Transforms `bytes`.
    pub fn run(&self, bytes: &[u8], spectrum: &mut [u8]) {
        self.encoder.encode(bytes, spectrum).expect("memory for the work");
    }
}

fn filter(stride: usize) -> filter::Filter {
    filter::Filter::SPLITS.into_iter().find(|filter| filter.stride() == stride).expect("a stride")
}

/// The byte planes of `from`.
pub fn split(stride: usize, from: &[u8], to: &mut [u8]) {
    filter(stride).split(from, to);
}

/// Restores the bytes from the byte planes `from`.
pub fn merge(stride: usize, from: &[u8], to: &mut [u8]) {
    filter(stride).merge(from, to);
}

/// Returns true if a split could help.
pub fn has_candidate(block: &[u8]) -> bool {
    filter::Histogram::of(block).candidate().is_some()
}
