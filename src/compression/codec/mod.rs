//! The codecs that blocks are encoded with.

pub(super) mod deflate;
