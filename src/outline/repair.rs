//! Repair of a file in place, with bytes that are read through a projection.
//!
//! ```text
//! workers    read a tile of the file and compare it; read the damaged ranges through the projection, and verify them
//! caller     passes each damaged range to the damage callback, and writes if it returns true
//! ```
//!
//! Written bytes were verified in memory that no other program can write to, and the bytes that they replace were
//! wrong, so that an interruption at any moment does no harm.

use super::places;
use super::select::Selection;
use super::survey::{AHEAD, Looked, Lost, Survey, Worker, compare_with};
use crate::base::buffer::{Buffer, try_grow};
use crate::base::damage::{Damage, DamageFn, DamageKind, tell};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::in_place;
use crate::base::out_bytes::OutBytes;
use crate::base::storage::Storage;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, to_u64};
use crate::exec::operation::Operation;
use crate::hash::digest::same;
use crate::hash::outboard::{group_value, source_changed};
use crate::projection::AtlasProjection;
use crate::shard::AtlasBoundaryRegion;
use crate::source::DataMap;
use crate::tile::inspect::{Fault, Verdict, chaining_values, group_range};
use crate::tile::scheme::{Scheme, Workspace};
use crate::tile::tree::TileAt;
use std::ops::Range;
use std::path::Path;

impl AtlasProjection {
    /// Repairs the file at `path` in place until it holds the projection's bytes in `regions`. `None` means
    /// the whole domain.
    ///
    /// The file is read and compared. Only ranges that differ, cannot be read or are missing are read through
    /// the projection, verified, and then written. `damage` is called once per range, ascending, each at most a
    /// tile, before it is written: `repairable` means that verified bytes are available, and `false` leaves the
    /// range as it is. A shorter file is extended; bytes after the domain stay. Everything is synced before the
    /// call returns, also if it was cancelled. If the sync fails, bytes may not be on the disk: the call fails with
    /// IO and drops the system's cached bytes of the file, so that the next call reads the disk and repairs again.
    /// If the call ends at any moment, each byte is right or unchanged, and the next call continues.
    ///
    /// `Ok` means that all bytes of `regions` are right. Fails with IO if a range could not be written or its
    /// good bytes could not be read, else INCOMPLETE if the good bytes lie in a base that is not attached,
    /// else WITNESS if a range was refused or the bytes read for it did not verify. Fails with
    /// INVALID_ARGUMENT, before anything is written, if `path` is not a regular file, or holds bytes of the
    /// projection at other offsets than those of the domain.
    pub fn repair_file(
        &self,
        path: impl AsRef<Path>,
        regions: Option<&[AtlasBoundaryRegion]>,
        damage: &mut DamageFn<'_>,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        let path = path.as_ref();
        repair(self, path, &*crate::source::open_for_repair(path)?, regions, damage, operation)
    }
}

/// Repairs the file `storage` like [`AtlasProjection::repair_file`]. Errors call the file `path`.
pub(super) fn repair(
    projection: &AtlasProjection,
    path: &Path,
    storage: &dyn Storage,
    regions: Option<&[AtlasBoundaryRegion]>,
    damage: &mut DamageFn<'_>,
    operation: &mut Operation<'_>,
) -> Result<()> {
    let state = projection.state();
    let (selection, listed) =
        (Selection::new(&state.tree, regions, operation)?, Selection::footprint(regions));
    // A wrong target is refused before anything is written.
    if let Some(file) = storage.identity() {
        places::refuse_own_bytes(&state.tree, file, path, operation)?;
    }
    // If the root does not match the tiles, it cannot prove the bytes of a repair.
    let made = state.made_by_proof();
    operation.beside(listed, |operation| state.prove(operation))?;
    let listed = listed.saturating_add(made);
    let survey = Survey::new(&state, selection)?;
    let Selection { tasks, bytes, .. } = survey.selection;
    // Memory of a worker: the tile of the file, and good bytes that wait to be written or are being verified.
    let per_worker = survey.per_worker() + state.context.scheme.workspace() + (2 + AHEAD) * TILE_BYTES;
    let workers = operation.workers(tasks, per_worker, listed)?.ahead(AHEAD);
    let mut tracker = operation.tracker(bytes, tasks);
    // A tile is written only after it was compared, so that the holes of the file can be found in advance.
    let repair = Repair { survey, storage, path, data: DataMap::of_storage(storage) };
    let mut outcome = Outcome::default();
    let done = workers.run(
        tasks,
        || Ok((repair.survey.worker(), Workspace::default())),
        |(worker, workspace), task| repair.task(worker, workspace, task),
        |_, found: Found| {
            // The ranges are offered on the calling thread and in order, because the owner is asked before
            // each write.
            for offer in &found.offers {
                repair.settle(offer, damage, &mut outcome)?;
            }
            tracker.advance(found.bytes, 1)
        },
    );
    // The file is synced also after an early end, because the written ranges stay.
    let synced = in_place::flush(storage, path);
    // An error of the search takes precedence over an error of the flush.
    done?;
    synced?;
    tracker.finish()?;
    outcome.judge(path)
}

struct Repair<'r> {
    survey: Survey<'r>,
    storage: &'r dyn Storage,
    path: &'r Path,
    /// Parts of the damaged file outside of its holes. `None` means that the file has no known holes.
    data: Option<DataMap>,
}

/// Result of a repair task: the number of bytes that it covers, and the damaged ranges in them.
#[derive(Default)]
struct Found {
    bytes: u64,
    offers: Vec<Offer>,
}

/// A damaged range of the file, and the bytes that can repair it if there are any.
struct Offer {
    damage: Damage,
    /// Verified bytes to write over the range, or the error with which reading or verifying them failed.
    good: Result<Buffer>,
}

/// Counts and errors of the damaged ranges handled so far, which decide the result of the repair.
#[derive(Default)]
struct Outcome {
    repaired: u64,
    refused: u64,
    /// First error of kind IO. The next two fields have the first error INCOMPLETE and the first other error.
    io: Option<AtlasError>,
    incomplete: Option<AtlasError>,
    witness: Option<AtlasError>,
}

impl<'r> Repair<'r> {
    fn task(&self, worker: &mut Worker<'r>, workspace: &mut Workspace, task: u64) -> Result<Found> {
        let looked = self.survey.look(worker, task, |inspector, at| {
            // A tile in a hole is right without a read if the tile consists of zeros.
            let is_hole = |data: &DataMap| data.is_hole(at.offset.0, to_u64(at.tile.len()));
            if self.data.as_ref().is_some_and(is_hole) && inspector.is_of_zeros(&at.tile)? {
                return Ok(Verdict::default());
            }
            // The bytes come from the file, and not from the projection.
            compare_with(inspector, at, None, &|start, out| self.read(at.offset.0 + to_u64(start), out))
        })?;
        let (at, verdict) = match looked {
            Looked::Told => return Ok(Found::default()),
            Looked::Lost(lost) => return self.lost(&lost),
            Looked::Tile(at, verdict) => (at, verdict),
        };
        let mut offers = Vec::new();
        for fault in &verdict.faults {
            self.offer(&at, fault, workspace, &mut offers)?;
        }
        Ok(Found { bytes: to_u64(at.tile.len()), offers })
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let len = out.len();
        self.storage.read_at(offset, OutBytes::new(out)).map_err(|error| {
            let what = format_args!("reading {len} bytes at offset {offset} of {}", self.path.display());
            AtlasError::io(what, error).at_range(offset, to_u64(len))
        })
    }

    /// Returns the offers for `lost`, whose expected contents are unknown, so that no offer has bytes to write:
    /// first the damaged record, if there is one, then ranges of at most a tile.
    fn lost(&self, lost: &Lost) -> Result<Found> {
        let mut found = Found { bytes: lost.range.end - lost.range.start, ..Found::default() };
        let mut push = |damage| {
            try_grow(&mut found.offers, 1)?;
            found.offers.push(Offer { damage, good: Err(lost.error.clone()) });
            Ok(())
        };
        // The damaged record is reported before the ranges that it leaves unknown.
        if let Some(record) = self.survey.record(lost) {
            push(record)?;
        }
        // The callback gets ranges of at most a tile.
        let mut start = lost.range.start;
        while start < lost.range.end {
            let end = start.saturating_add(TILE_BYTES).min(lost.range.end);
            push(self.survey.damage(lost.index, start..end, DamageKind::Unknown, 0))?;
            start = end;
        }
        Ok(found)
    }

    /// Reads the damaged range `fault` of a tile through the projection. Adds an offer for each part of the
    /// range to `offers`: with the bytes if they verify, else with the error.
    fn offer(
        &self,
        at: &TileAt,
        fault: &Fault,
        workspace: &mut Workspace,
        offers: &mut Vec<Offer>,
    ) -> Result<()> {
        for (range, good) in fetch(at, fault.range.clone(), &self.survey.state.context.scheme, workspace)? {
            let place = |within: usize| at.offset.0 + to_u64(within);
            let range = place(range.start)..place(range.end);
            // For a range that cannot be repaired, the error of its good bytes is reported, for any other
            // range the error of the file.
            let os_error = match &good {
                Ok(_) => fault.os_error,
                Err(error) => error.os_error(),
            };
            let found = self.survey.damage(at.index.0, range, fault.kind, os_error);
            try_grow(offers, 1)?;
            offers.push(Offer { damage: Damage { repairable: good.is_ok(), ..found }, good });
        }
        Ok(())
    }

    /// Passes the damaged range of `offer` to the callback `damage`. If there are verified bytes for it and the
    /// callback returns true, writes them to the file. Counts the result in `outcome`.
    fn settle(&self, offer: &Offer, damage: &mut DamageFn<'_>, outcome: &mut Outcome) -> Result<()> {
        // The owner is asked about every range, also if there are no good bytes for it.
        let wanted = tell(damage, &offer.damage)?;
        let Damage { offset, length, index, .. } = offer.damage;
        let good = match &offer.good {
            Ok(good) => good,
            Err(error) => {
                outcome.note(error.clone().at_index(index).at_range(offset, length));
                return Ok(());
            }
        };
        if !wanted {
            outcome.refused += 1;
            return Ok(());
        }
        // A range that cannot be written stays unchanged, and the repair continues.
        match self.storage.write_at(offset, good) {
            Ok(()) => outcome.repaired += 1,
            Err(error) => {
                let what =
                    format_args!("writing {length} bytes at offset {offset} of {}", self.path.display());
                outcome.note(AtlasError::io(what, error).at_index(index).at_range(offset, length));
            }
        }
        Ok(())
    }
}

impl Outcome {
    fn note(&mut self, error: AtlasError) {
        let place = match error.kind() {
            ErrorKind::Io => &mut self.io,
            ErrorKind::Incomplete => &mut self.incomplete,
            _ => &mut self.witness,
        };
        // The first error of each kind is the cause that is reported.
        place.get_or_insert(error);
    }

    fn judge(self, path: &Path) -> Result<()> {
        let Outcome { repaired, refused, io, incomplete, witness } = self;
        // The worst result is returned, in the order IO, INCOMPLETE, WITNESS.
        match io.or(incomplete) {
            Some(error) => return Err(error),
            None if witness.is_none() && refused == 0 => return Ok(()),
            None => {}
        }
        // The place of the first range that could not be verified.
        let place = witness.as_ref().map(|error| (error.index(), error.offset(), error.length()));
        let mut text = format!("{}: {repaired} ranges were repaired", path.display());
        if refused > 0 {
            text = format!("{text}, {refused} were refused");
        }
        if let Some(error) = witness {
            text = format!("{text}, and others could not be: {error}");
        }
        let error = AtlasError::witness(text);
        Err(match place {
            Some((Some(index), Some(offset), Some(length))) => error.at_index(index).at_range(offset, length),
            _ => error,
        })
    }
}

/// Part of a tile, with its verified bytes or the error of reading or verifying them.
type Fetched = (Range<usize>, Result<Buffer>);

/// Reads `range` of a tile through the projection and verifies it: by groups of 16 KiB if the chaining values
/// of the tile are stored, else as a whole tile. Returns the parts of the range, ascending.
fn fetch(
    at: &TileAt,
    range: Range<usize>,
    scheme: &Scheme,
    workspace: &mut Workspace,
) -> Result<Vec<Fetched>> {
    let mut buffer = Buffer::aligned(range.len())?;
    let read = at.tile.read(range.start, &mut buffer);
    // Without chaining values, only the whole tile can be verified.
    let Some(values) = chaining_values(&at.tile) else {
        let verified = match read {
            Ok(()) => {
                let (_, found) = scheme.sum_and_witness(&buffer, workspace)?;
                let is_good = at.tile.witness().is_some_and(|witness| same(witness, &found));
                if is_good { Ok(()) } else { Err(source_changed(at)) }
            }
            Err(error) => Err(said_of_bytes(error)?),
        };
        return Ok(vec![(range, verified.map(|()| buffer))]);
    };
    // If a run cannot be read as a whole, it is read again group by group, because some groups may be
    // readable.
    let failed = match read {
        Ok(()) => None,
        Err(error) => Some(said_of_bytes(error)?),
    };
    // Each group is verified by its chaining value. Neighbours with the same result are one part.
    let mut parts: Vec<(Range<usize>, Option<AtlasError>)> = Vec::new();
    let groups = range.start / GROUP_SIZE..range.end.div_ceil(GROUP_SIZE);
    for (group, value) in groups.clone().zip(&values[groups]) {
        let part = group_range(group, at.tile.len());
        let within = part.start - range.start..part.end - range.start;
        let again = match &failed {
            None => Ok(()),
            Some(error) if within.len() == range.len() => Err(error.clone()),
            Some(_) => at.tile.read(part.start, &mut buffer[within.clone()]),
        };
        let error = match again {
            Ok(()) if same(&group_value(scheme.digests(), group, &buffer[within]), value) => None,
            Ok(()) => Some(source_changed(at)),
            Err(error) => Some(said_of_bytes(error)?),
        };
        // Neighbours with the same error are a single part for the caller.
        let key = |error: &Option<AtlasError>| error.as_ref().map(|error| (error.kind(), error.os_error()));
        match parts.last_mut() {
            Some((last, known)) if key(known) == key(&error) => last.end = part.end,
            _ => {
                try_grow(&mut parts, 1)?;
                parts.push((part, error));
            }
        }
    }
    // The usual case: everything is right, and the buffer is passed on without a copy.
    if let [(_, None)] = &parts[..] {
        return Ok(vec![(range, Ok(buffer))]);
    }
    let mut fetched = Vec::new();
    try_grow(&mut fetched, parts.len())?;
    // Otherwise each part has its own bytes, or its own error.
    for (part, error) in parts {
        let good = match error {
            None => Ok(Buffer::copy_of(&buffer[part.start - range.start..part.end - range.start])?),
            Some(error) => Err(error),
        };
        fetched.push((part, good));
    }
    Ok(fetched)
}

/// Returns `error` as a value if it means that bytes are damaged or missing. Fails with any other error, which
/// ends the call.
fn said_of_bytes(error: AtlasError) -> Result<AtlasError> {
    if crate::base::damage::kind_of(&error).is_some() { Ok(error) } else { Err(error) }
}
