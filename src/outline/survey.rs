//! Comparison of a projection's tiles, one per task, with bytes from any source.

use super::select::{Selected, Selection};
use crate::base::damage::{Damage, DamageKind, DamagePart, kind_of};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::units::{GROUP_SIZE, TILE_BYTES, to_u64};
use crate::projection::state::State;
use crate::source::Holes;
use crate::tile::Tile;
use crate::tile::check::is_hole;
use crate::tile::inspect::{Inspector, ReadTile, Verdict};
use crate::tile::rehash::{self, CheckedReader};
use crate::tile::stored::{StoredTile, TilePlace};
use crate::tile::tree::TileAt;
use std::ops::Range;
use std::sync::Arc;

/// Number of tiles that a worker may be ahead of the last progress report.
pub(super) const AHEAD: u64 = 2;

/// Selected tiles of a projection state, which a search or a repair compares with bytes.
pub(super) struct Survey<'s> {
    pub(super) state: &'s State,
    pub(super) selection: Selection,
    /// Generation of the container that stores the whole tree of the state. 0 if no container stores all of it.
    pub(super) generation: u64,
    /// True if tiles of the state were edited and have to be hashed before they can be compared.
    is_edited: bool,
    pub(super) holes: Holes,
}

/// Buffers of one worker thread for comparing and hashing tiles.
pub(super) struct Worker<'s> {
    inspector: Inspector<'s>,
    reader: CheckedReader<'s>,
}

/// Result of the comparison of one tile.
pub(super) enum Looked {
    Tile(TileAt, Verdict),
    /// The tile was not compared, because its expected bytes are unknown.
    Lost(Lost),
    /// The tile was not compared, because the result of an earlier task covers it.
    Told,
}

/// Bytes of the domain whose expected contents are unknown, and the error that is the reason.
pub(super) struct Lost {
    pub(super) index: u64,
    pub(super) range: Range<u64>,
    pub(super) error: AtlasError,
    /// Byte range of the damaged record in the container that describes the expected contents. `None` if no
    /// record is damaged.
    pub(super) record: Option<Range<u64>>,
    /// True if the expected contents are unknown because no base is attached.
    pub(super) is_unattached: bool,
}

impl<'s> Survey<'s> {
    pub(super) fn new(state: &'s State, selection: Selection) -> Result<Survey<'s>> {
        // Only a tree that is stored as a whole belongs to a generation.
        let top = state.tree.top_node().and_then(|top| top.stored());
        let generation = top.map_or(0, |(store, _)| store.commit().generation);
        let is_edited = state.tree.count_unhashed() > 0;
        Ok(Survey { state, selection, generation, is_edited, holes: Holes::default() })
    }

    /// Returns the number of bytes of memory that a worker needs, besides the tile that it compares.
    pub(super) fn per_worker(&self) -> u64 {
        let scheme = &self.state.context.scheme;
        // Edited tiles are hashed by a reader with buffers of its own.
        let edits =
            if self.is_edited { 2 * TILE_BYTES + 2 * to_u64(GROUP_SIZE) + scheme.workspace() } else { 0 };
        scheme.workspace() + edits + self.state.context.reading()
    }

    pub(super) fn worker(&self) -> Worker<'s> {
        let context = &self.state.context;
        Worker { inspector: Inspector::new(&context.scheme), reader: CheckedReader::new(context) }
    }

    /// Compares the tile of a task with bytes. The closure `compare` gets the tile and an inspector, and passes the
    /// bytes to the inspector.
    pub(super) fn look(
        &self,
        worker: &mut Worker<'s>,
        task: u64,
        compare: impl FnOnce(&mut Inspector<'s>, &TileAt) -> Result<Verdict>,
    ) -> Result<Looked> {
        let at = match self.selection.look(&self.state.tree, task)? {
            Selected::Tile(at) => at,
            Selected::Told => return Ok(Looked::Told),
            Selected::Unknown(unknown) => {
                let (error, range) = (unknown.error, unknown.bytes);
                // The place in the error is the place of the record in the container.
                let record = error.offset().zip(error.length());
                let record = record.map(|(offset, length)| offset..offset.saturating_add(length));
                let (index, is_unattached) = (unknown.tiles.start, false);
                return Ok(Looked::Lost(Lost { index, range, error, record, is_unattached }));
            }
        };
        // The witness of an edited tile is computed from its parts, each of which is checked.
        match rehash::witness(&self.state.context, &at.tile, &mut worker.reader) {
            Ok(_) => {}
            Err(error) if kind_of(&error).is_some() => return Ok(Looked::Lost(lost(&at, error))),
            Err(error) => return Err(error),
        }
        // The tile has its witness now, so that any bytes can be compared with it.
        let verdict = compare(&mut worker.inspector, &at)?;
        Ok(Looked::Tile(at, verdict))
    }

    /// Returns the report of a damaged range of the domain in the tile number `index`, not marked as
    /// repairable.
    pub(super) fn damage(&self, index: u64, range: Range<u64>, kind: DamageKind, os_error: i32) -> Damage {
        Damage {
            part: DamagePart::Data,
            kind,
            repairable: false,
            os_error,
            generation: self.generation,
            index,
            offset: range.start,
            length: range.end - range.start,
        }
    }

    /// Returns the kind of damage for bytes with unknown contents: the kind of their error if no record is
    /// damaged, else `Unknown`.
    pub(super) fn kind_of_lost(lost: &Lost) -> DamageKind {
        // If a record is damaged, it is unknown if the bytes are right.
        let kind = kind_of(&lost.error).filter(|_| lost.record.is_none());
        kind.unwrap_or(DamageKind::Unknown)
    }

    /// Returns the report of the damaged record in the container that makes `lost` unknown. `None` if no record
    /// is damaged.
    pub(super) fn record(&self, lost: &Lost) -> Option<Damage> {
        let record = lost.record.clone()?;
        let kind = kind_of(&lost.error).unwrap_or(DamageKind::Differs);
        let found = self.damage(0, record, kind, lost.error.os_error());
        Some(Damage { part: DamagePart::Record, ..found })
    }
}

/// Returns all bytes of a tile as lost, with `error` as the reason: one of the tile's records is damaged, or
/// bytes that an edit kept are missing.
pub(super) fn lost(at: &TileAt, error: AtlasError) -> Lost {
    let record = unloaded_spans(&at.tile).map(|(record, _)| record);
    // Bytes of a base that is not attached are not lost.
    let is_unattached = record.is_none() && error.kind() == ErrorKind::Incomplete && lacks_base(&at.tile);
    Lost { index: at.index.0, range: at.offset.0..at.end().0, error, record, is_unattached }
}

/// Returns the tiles stored in containers from which the pieces of `tile` come.
pub(super) fn stored_tiles(tile: &Tile) -> impl Iterator<Item = &Arc<StoredTile>> {
    tile.pieces().iter().filter_map(|piece| piece.extent().stored_tile())
}

/// Finds the first of a tile's records that cannot be loaded. Returns the record's byte range in the container, and
/// the error. `None` if all records can be loaded.
pub(super) fn unloaded_spans(tile: &Tile) -> Option<(Range<u64>, AtlasError)> {
    stored_tiles(tile).find_map(|stored| {
        let error = stored.spans().err()?;
        // A tile without a record of its own is named by its leaf.
        let named = match stored.entry.place {
            TilePlace::Record(offset) => offset,
            TilePlace::Span(..) => stored.leaf,
        };
        // The shortest record has a head and one span.
        let (offset, length) = (error.offset().unwrap_or(named), error.length().unwrap_or(56));
        Some((offset..offset.saturating_add(length), error))
    })
}

/// Returns true if bytes of a tile are stored in a container to which no base is attached.
pub(super) fn lacks_base(tile: &Tile) -> bool {
    stored_tiles(tile).any(|stored| stored.store.base().is_none())
}

impl Survey<'_> {
    /// Compares the bytes that the projection reads for a tile with the tile's witness. Bytes in a hole of a
    /// sparse file are not read if the witness is the witness of zeros.
    pub(super) fn compare(&self, inspector: &mut Inspector<'_>, at: &TileAt) -> Result<Verdict> {
        // A hole is right if the tile consists of zeros. Otherwise it is compared like all bytes.
        if is_hole(&self.holes, &at.tile) && inspector.is_of_zeros(&at.tile)? {
            return Ok(Verdict::default());
        }
        compare_with(inspector, at, at.tile.slice(), &|start, out| at.tile.read(start, out))
    }
}

/// Compares bytes with the witness of a tile: those of `in_place` if they are in memory, else those that `read`
/// returns.
pub(super) fn compare_with(
    inspector: &mut Inspector<'_>,
    at: &TileAt,
    in_place: Option<&[u8]>,
    read: &ReadTile<'_>,
) -> Result<Verdict> {
    inspector.inspect(&at.tile, in_place, read).map_err(|error| error.at_index(at.index.0))
}
