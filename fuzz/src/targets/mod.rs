//! The targets, each a function of one input. tests/fuzz_corpus.rs runs them on the inputs of corpus/.

pub mod classes;
pub mod compress;
pub mod compressed_shard;
pub mod container;
pub mod edits;
pub mod outline;
pub mod parity;
pub mod push;
pub mod regions;
pub mod shard;
pub mod sources;
pub mod stream;
