//! The codecs that blocks are encoded with.

pub(crate) mod deflate;
