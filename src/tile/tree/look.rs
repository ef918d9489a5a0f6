//! Search for a single tile of a tree whose nodes in a container file may be damaged.

use super::node::Children;
use super::{TileAt, Tree};
use crate::base::damage::kind_of;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{ByteOffset, TileIndex};
use std::ops::Range;
use std::sync::Arc;

/// Result of the search: the tile, or the damaged node below which it lies.
pub(crate) enum Seen {
    Tile(TileAt),
    Unloaded(Unloaded),
}

/// A node whose children cannot be loaded, because its record is damaged or cannot be read.
pub(crate) struct Unloaded {
    /// Indices of the tiles below the node.
    pub(crate) tiles: Range<u64>,
    /// Range of the bytes of these tiles in the domain.
    pub(crate) bytes: Range<u64>,
    pub(crate) error: AtlasError,
}

impl Tree {
    /// Finds tile `index`, or the node above it whose children cannot be loaded. `None` if there is no such tile.
    pub(crate) fn look_at_tile(&self, index: TileIndex) -> Result<Option<Seen>> {
        self.look(|tiles, _| tiles <= index.0)
    }

    /// Finds the tile that holds the byte at `offset`, or the node above it whose children cannot be loaded. `None`
    /// if no tile holds the byte.
    pub(crate) fn look_at_byte(&self, offset: ByteOffset) -> Result<Option<Seen>> {
        self.look(|_, bytes| bytes <= offset.0)
    }

    /// Finds the first tile for whose end `skip` returns false, or the node above it whose children cannot be loaded.
    /// `skip` gets the number of tiles and of bytes from the start of the tree to that end.
    fn look(&self, skip: impl Fn(u64, u64) -> bool) -> Result<Option<Seen>> {
        // A place after the end of the tree skips its root.
        let Some(mut node) = self.root.clone().filter(|root| !skip(root.tiles(), root.bytes())) else {
            return Ok(None);
        };
        // Walk down, and skip whole children by their measures.
        let (mut index, mut offset) = (0, 0);
        loop {
            // A node that cannot be loaded is a finding, because its range is known.
            let children = match node.children() {
                Ok(children) => children,
                Err(error) if kind_of(&error).is_some() => {
                    let (tiles, bytes) = (index..index + node.tiles(), offset..offset + node.bytes());
                    return Ok(Some(Seen::Unloaded(Unloaded { tiles, bytes, error })));
                }
                Err(error) => return Err(error),
            };
            // The last child is never skipped, because the place lies inside the node.
            let mut child = 0;
            while child + 1 < children.len() {
                let (bytes, tiles) = children.measure(child);
                if !skip(index + tiles, offset + bytes) {
                    break;
                }
                (index, offset, child) = (index + tiles, offset + bytes, child + 1);
            }
            // In a leaf the walk ends with a tile.
            let below = match &*children {
                Children::Nodes(nodes) => nodes.get(child).cloned(),
                Children::Tiles(tiles) => {
                    let (index, offset) = (TileIndex(index), ByteOffset(offset));
                    return Ok(tiles
                        .get(child)
                        .map(|tile| Seen::Tile(TileAt { index, offset, tile: Arc::clone(tile) })));
                }
            };
            drop(children);
            node = below.ok_or_else(|| {
                AtlasError::internal("a defect of the library, please report it: a node has no children")
            })?;
        }
    }
}
