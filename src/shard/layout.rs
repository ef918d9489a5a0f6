//! Scope of a shard, which is its region and classes, and the share of the shard in each of its tiles.

#![forbid(unsafe_code)]

use super::AtlasBoundaryRegion;
use crate::base::error::Result;
use crate::base::units::{PAGE_BYTES, to_u64, to_usize};
use crate::hash::class_tree::{self, ClassSet};
use crate::hash::outboard::{page_bytes, pages_in};
use crate::hash::rfc6962;
use crate::layer2::Residue;
use crate::r96::{CLASS_BLOCK_BYTES, block_count};
use std::ops::Range;

/// Part of the domain that a shard covers: a region, and for R96 the classes of its tiles.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) region: AtlasBoundaryRegion,
    /// Classes that the shard covers. Empty for LINEAR.
    pub(crate) classes: ClassSet,
    /// K of R96, the number of classes from which a tile can be decoded. 0 for LINEAR.
    pub(crate) data_classes: u8,
}

impl Scope {
    /// Returns the share of the shard in the tile of `len` bytes at `offset` of the domain. The region must
    /// touch this tile.
    pub(crate) fn share(&self, offset: u64, len: usize) -> Share {
        if self.data_classes > 0 {
            // A class has a part in every block of the tile.
            let class_len = block_count(len, usize::from(self.data_classes)) * CLASS_BLOCK_BYTES;
            return Share::Classes { classes: self.classes, class_len };
        }
        // The region, cut to this tile and rounded outwards to pages.
        let start = self.region.offset.max(offset) - offset;
        let end = self.region.end().min(offset + to_u64(len)) - offset;
        Share::Pages(start / PAGE_BYTES..end.div_ceil(PAGE_BYTES))
    }

    /// Returns the byte range of the shard's content in a payload that begins at `payload_offset` of the
    /// domain: the region's bytes, or all of the classes. [`super::Proof::layout`] checks that the payload
    /// covers the region.
    pub(crate) fn content(&self, payload_len: usize, payload_offset: u64) -> Range<usize> {
        // A shard without bytes and an R96 shard have no bytes beside their content.
        if self.data_classes > 0 || payload_len == 0 {
            return 0..payload_len;
        }
        // The payload begins with a page, the content with the region.
        let start = to_usize(self.region.offset - payload_offset);
        start..start + to_usize(self.region.length)
    }

    /// Returns the residue of the shard's content: `total`, the residue of the payload, minus the residues of
    /// the bytes on either side of the content.
    pub(crate) fn content_residue(&self, total: Residue, payload: &[u8], payload_offset: u64) -> Residue {
        let within = self.content(payload.len(), payload_offset);
        total - Residue::of(&payload[..within.start]) - Residue::of(&payload[within.end..])
    }
}

/// Share of a shard in one tile: the bytes of this tile that the shard carries.
#[derive(Clone)]
pub(crate) enum Share {
    /// LINEAR: range of pages, counted from the tile's start.
    Pages(Range<u64>),
    /// R96: payloads of `class_len` bytes, class by class.
    Classes { classes: ClassSet, class_len: usize },
}

impl Share {
    /// Returns the offset in the tile of the first byte of the share.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Share::Pages(pages) => pages.start * PAGE_BYTES,
            Share::Classes { .. } => 0,
        }
    }

    /// Returns the number of payload bytes of the share, in a tile of `len` bytes.
    pub(crate) fn payload_len(&self, len: usize) -> usize {
        match self {
            Share::Pages(pages) => page_bytes(pages, len).len(),
            Share::Classes { classes, class_len } => classes.len() * class_len,
        }
    }

    /// Returns the number of nodes inside a tile of `len` bytes that prove the share against the tile's
    /// witness.
    pub(crate) fn proof_len(&self, len: usize) -> Result<usize> {
        match self {
            // A whole tile is hashed as a whole and needs no nodes.
            Share::Pages(_) if self.is_whole(len) => Ok(0),
            Share::Pages(pages) => Ok(rfc6962::siblings(pages, pages_in(len))?.len()),
            Share::Classes { classes, .. } => class_tree::proof_len(*classes),
        }
    }

    /// Returns true if the share has all pages of a tile of `len` bytes. False for classes.
    pub(crate) fn is_whole(&self, len: usize) -> bool {
        matches!(self, Share::Pages(pages) if *pages == (0..pages_in(len)))
    }

    /// Returns the byte range in the share of the payload of `class`. `None` for pages, or if the share lacks
    /// the class.
    pub(crate) fn class_range(&self, class: u8) -> Option<Range<usize>> {
        match self {
            Share::Classes { classes, class_len } if classes.contains(class) => {
                // Payloads lie in the order of the classes, without gaps.
                let start = classes.rank(class) * class_len;
                Some(start..start + class_len)
            }
            _ => None,
        }
    }

    /// Divides `bytes`, the payload of the share, into the payloads of its classes, ascending. Returns none for
    /// pages.
    pub(crate) fn class_payloads<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        match self {
            Share::Pages(_) => [].chunks_exact(1),
            // No tile has a class of 0 bytes, for which this would panic.
            Share::Classes { class_len, .. } => bytes.chunks_exact((*class_len).max(1)),
        }
    }
}
