//! Check before a repair that the file to be written does not hold the bytes from which the projection reads.

use crate::base::damage::kind_of;
use crate::base::error::{AtlasError, Result};
use crate::base::storage::FileId;
use crate::base::units::to_u64;
use crate::exec::operation::Operation;
use crate::exec::progress::Tracker;
use crate::source::Source;
use crate::tile::Tile;
use crate::tile::piece::Piece;
use crate::tile::stored::{SpanKind, Store, StoredTile};
use crate::tile::tree::{Children, Node, Tree};
use std::path::Path;
use std::sync::Arc;

/// A file that is about to be repaired. A repair writes each byte of the domain to the same offset of the file.
struct Target<'t, 'o, 'a> {
    file: FileId,
    path: &'t Path,
    /// Address of the container store that was checked last, and true if its base has parts in the target file.
    store: Option<(*const (), bool)>,
    tracker: Tracker<'o, 'a>,
}

/// Fails with INVALID_ARGUMENT if the file to be repaired is the container of the projection, or holds bytes of
/// the projection at other offsets than those of the domain, because a repair would overwrite them. Loads
/// stored nodes only if a base has parts in the file.
pub(super) fn refuse_own_bytes(
    tree: &Tree,
    file: FileId,
    path: &Path,
    operation: &mut Operation<'_>,
) -> Result<()> {
    let Some(top) = tree.top_node() else { return Ok(()) };
    let tracker = operation.tracker_before(tree.bytes(), tree.tiles());
    Target { file, path, store: None, tracker }.node(top, 0)
}

impl Target<'_, '_, '_> {
    fn node(&mut self, node: &Arc<Node>, start: u64) -> Result<()> {
        // A stored subtree without bytes in the target is not loaded.
        if let Some((store, _)) = node.stored()
            && !self.is_concerned(&**store)?
        {
            return Ok(());
        }
        let children = match node.children() {
            Ok(children) => children,
            // If the nodes cannot be loaded, the bytes of their tiles cannot be read either, so that they are
            // not checked.
            Err(error) if kind_of(&error).is_some() => return Ok(()),
            Err(error) => return Err(error),
        };
        // Offset in the domain, which is also the offset in the target.
        let mut offset = start;
        match &*children {
            Children::Nodes(nodes) => {
                for child in nodes {
                    self.node(child, offset)?;
                    offset += child.bytes();
                }
            }
            Children::Tiles(tiles) => {
                for tile in tiles {
                    self.tile(tile, offset)?;
                    offset += to_u64(tile.len());
                }
                // Progress is reported for each leaf, so that the caller can cancel.
                self.tracker.advance(0, 0)?;
            }
        }
        Ok(())
    }

    fn tile(&mut self, tile: &Tile, start: u64) -> Result<()> {
        let mut offset = start;
        for piece in tile.pieces() {
            // Stored tiles lie in a base or in their container, all other tiles directly in a source.
            match piece.extent().stored_tile() {
                Some(stored) if self.is_concerned(&*stored.store)? => self.stored(stored, piece, offset)?,
                Some(_) => {}
                None => {
                    let (source, place) = piece.extent().place();
                    self.bytes(source, place + to_u64(piece.start()), to_u64(piece.len()), offset)?;
                }
            }
            offset += to_u64(piece.len());
        }
        Ok(())
    }

    /// Returns true if the base of the container `store` has parts in the target file. Fails with
    /// INVALID_ARGUMENT if the target file is the container itself.
    fn is_concerned(&mut self, store: &dyn Store) -> Result<bool> {
        // Neighbouring nodes have the same store, and the search through its base can be long.
        let address = std::ptr::from_ref(store).cast::<()>();
        if let Some((known, is_concerned)) = self.store
            && known == address
        {
            return Ok(is_concerned);
        }
        // A repair of the container by itself would destroy the projection.
        if store.file() == Some(self.file) {
            return Err(AtlasError::invalid_argument(format!(
                "{} is the container of the projection: name the file that is to be repaired",
                self.path.display()
            )));
        }
        let base = store.base();
        let is_concerned = base.is_some_and(|base| {
            base.runs(0, base.size()).any(|run| run.source.file_identity() == Some(self.file))
        });
        self.store = Some((address, is_concerned));
        Ok(is_concerned)
    }

    /// Fails with INVALID_ARGUMENT if `piece`, which begins at offset `start` of the domain, has bytes of a
    /// base that lie in the target file at another offset than in the domain.
    fn stored(&self, stored: &StoredTile, piece: &Piece, start: u64) -> Result<()> {
        // Without a base only bytes of the container can be read, and the container is not the target.
        let Some(base) = stored.store.base() else { return Ok(()) };
        let spans = match stored.spans() {
            Ok(spans) => spans,
            Err(error) if kind_of(&error).is_some() => return Ok(()),
            Err(error) => return Err(error),
        };
        let (first, end) = (to_u64(piece.start()), to_u64(piece.start() + piece.len()));
        let mut at = 0;
        for span in &spans.spans {
            // The bytes of this span that belong to the piece.
            let (from, to) = (first.max(at), end.min(at + u64::from(span.len)));
            if span.kind == SpanKind::Base && from < to {
                self.bytes(base, span.place + (from - at), to - from, start + (from - first))?;
            }
            at += u64::from(span.len);
        }
        Ok(())
    }

    /// Fails with INVALID_ARGUMENT if any of the `len` bytes at `place` of `source`, which are the domain's
    /// bytes from `offset` on, lie in the target file at another offset than in the domain.
    fn bytes(&self, source: &Source, place: u64, len: u64, offset: u64) -> Result<()> {
        let mut at = offset;
        for run in source.runs(place, len) {
            // Bytes at their own offset may lie in the target: a repair gives them their own value.
            if run.source.file_identity() == Some(self.file) && run.offset != at {
                return Err(AtlasError::invalid_argument(format!(
                    "{} holds bytes of the projection at other offsets than a repair would write: those \
                     of offset {at} of the domain lie at {}. Repair a copy, or give the projection \
                     another base",
                    self.path.display(),
                    run.offset
                ))
                .at_range(at, run.len));
            }
            at += run.len;
        }
        Ok(())
    }
}
