//! Commit to a container file: appends a batch (commit record, payload, tree records), syncs it, and writes a slot, a
//! hint to the newest commit. docs/container.md, "Commit", has the order of the writes.

use super::body::{Body, Finished, Laid, Stop};
use super::file::ContainerFile;
use super::log::{self, Located};
use super::planted::{Planted, planted};
use super::records::{Commit, RecordKind, SLOT_SIZE, Slot, commit_size, frame, history_of};
use crate::base::buffer::try_grow;
use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;
use crate::hash::digest::Digest;
use crate::tile::stored::NodeRef;
use std::sync::atomic::Ordering;

/// Fields of the commit record of a new generation: time, note, size of the base, root, and top node of the tree.
pub(super) struct NewCommit {
    pub(super) time: i64,
    pub(super) note: Vec<u8>,
    pub(super) base_size: u64,
    pub(super) root: Digest,
    pub(super) top: Option<NodeRef>,
}

/// Number and history digest of a generation that a compaction copies. Both stay the same in the new file.
pub(super) struct Kept {
    pub(super) generation: u64,
    pub(super) history: Digest,
}

/// Failure of a commit: its error, and the state of the container file after it.
pub(super) struct Unwritten {
    pub(super) error: AtlasError,
    /// True if the bytes on the disk are unknown, because a sync or the cutting off of the batch failed.
    pub(super) outcome_is_open: bool,
}

impl From<AtlasError> for Unwritten {
    fn from(error: AtlasError) -> Unwritten {
        Unwritten { error, outcome_is_open: false }
    }
}

/// Fails with STATE if the container file does not end with the newest batch of `located`, or a slot names a newer
/// generation: another program wrote without the writer's lock.
pub(super) fn check_fence(file: &ContainerFile, located: &Located) -> Result<()> {
    // A writer with the lock leaves a file that ends exactly with the tip, and slots that name no later
    // generation.
    let (len, end) = (file.len()?, located.end(file));
    let tip = located.tip.as_ref().map_or(0, |tip| tip.generation);
    let newer = [file.slot(0)?, file.slot(1)?].into_iter().flatten().any(|slot| slot.generation > tip);
    if len == end && !newer {
        return Ok(());
    }
    Err(AtlasError::state(format!(
        "{}: another writer changed the file without its lock, after generation {tip}: {}; open the \
         container again",
        file.path.display(),
        match len == end {
            true => "a slot names a later generation".to_owned(),
            false => format!("the file has {len} bytes, and generation {tip} ends at {end}"),
        }
    )))
}

/// Builds the body of the next batch with `lay`, which appends payload and tree records to the given [`Body`]. `lay` is
/// called with the body of a small batch, in memory, and `false`. If the batch exceeds 1 MiB, `lay` is called again
/// with the body of a large batch, in the file, and `true`. `note` is the length of the commit's note in bytes. Returns
/// the body and the result of the last call.
pub(super) fn lay_out<'f, T>(
    file: &'f ContainerFile,
    located: &Located,
    note: usize,
    mut lay: impl FnMut(Body<'f>, bool) -> Laid<(Body<'f>, T)>,
) -> Result<(Finished, T)> {
    let (commit, record) = (located.end(file), commit_size(note));
    // The small layout is tried first, because its size is known only once the encoder ran.
    for is_large in [false, true] {
        let laid = lay(Body::new(file, commit, record, is_large), is_large)
            .and_then(|(body, result)| Ok((body.finish()?, result)));
        match laid {
            Ok(done) => return Ok(done),
            Err(Stop::Failed(error)) => return Err(error),
            // The bytes of the small attempt were only in memory, so that nothing needs to be undone.
            Err(Stop::Large) => {}
        }
    }
    Err(AtlasError::internal(
        "a defect of the library, please report it: the body of a large batch was refused as too large",
    ))
}

/// Cuts the container file back to the end of its newest batch after a failed commit, and syncs it. Returns `error`,
/// with `outcome_is_open` set if the cut or an earlier sync of a batch failed.
pub(super) fn undo(file: &ContainerFile, located: &Located, error: AtlasError) -> Unwritten {
    // In the child of a fork in a callback the commit is the parent's, which may still go on.
    if !file.process.is_current() {
        return Unwritten { error, outcome_is_open: true };
    }
    let end = located.end(file);
    // The cut must be durable too, or a later opening could find a part of the attempt.
    let cut = file.storage.set_len(end).and_then(|()| file.storage.sync());
    // A sync that failed earlier may have dropped pages, so that the contents are unknown even if the cut
    // succeeds.
    Unwritten { error, outcome_is_open: cut.is_err() || file.sync_failed.load(Ordering::Relaxed) }
}

/// Writes the commit record, together with the body of a small batch, and syncs the file, so that the generation is
/// durable. Then writes a slot for it, ignoring an error of that write, and makes the commit the tip of `located`.
/// Returns the commit. A batch that fails is cut off.
pub(super) fn commit(
    file: &ContainerFile,
    located: &mut Located,
    body: Finished,
    new: NewCommit,
    kept: Option<Kept>,
) -> std::result::Result<Commit, Unwritten> {
    // Building the record reads earlier commits for the jump, and can fail before anything is written.
    let commit = match record_of(file, located, &body, new, kept) {
        Ok(commit) => commit,
        Err(error) => return Err(undo(file, located, error)),
    };
    let (commit, record) = commit;
    if let Err(error) = write(file, located.next_slot(), &commit, &record, body) {
        return Err(match error {
            Written::Not(error) => undo(file, located, error),
            Written::Perhaps(error) => {
                // After a failed sync the contents of the file are unknown, even after the cut.
                let _ = file.storage.set_len(located.end(file));
                Unwritten { error, outcome_is_open: true }
            }
        });
    }
    // The generation is durable here; the slot only shortens the next opening ("Commit", step 4).
    let slot = Slot { generation: commit.generation, commit: commit.offset, seal: commit.seal };
    let number = located.next_slot();
    // The worse slot is overwritten, so that a torn write loses no hint.
    located.is_confirmed = write_slot(file, number, &slot).is_ok();
    // A slot that was not written, or in part, is the next one to be written.
    located.slots[usize::from(number)] = located.is_confirmed.then_some(slot);
    located.tip = Some(commit.clone());
    // The new number is above that of a lost generation, which therefore no longer matters.
    located.lost = 0;
    Ok(commit)
}

enum Written {
    Not(AtlasError),
    Perhaps(AtlasError),
}

fn write(
    file: &ContainerFile,
    next_slot: u8,
    commit: &Commit,
    record: &[u8],
    body: Finished,
) -> std::result::Result<(), Written> {
    let offset = commit.offset;
    // An error names the range of the whole batch, which the caller can compare with the file.
    let failed = |what: &str, error| file.failed(what, error).at_range(offset, commit.end - offset);
    // A failed sync leaves the outcome open, in contrast to a failed write, which can be cut off.
    let sync = |error| {
        let text = format!(
            "flushing generation {} failed; open the container again to learn if the generation is \
             durable:",
            commit.generation
        );
        Written::Perhaps(failed(&text, error))
    };
    // A small batch is written with its commit record in one write.
    let mut bytes = record.to_vec();
    match body.bytes {
        Some(body) => {
            try_grow(&mut bytes, body.len()).map_err(Written::Not)?;
            bytes.extend_from_slice(&body);
        }
        None if planted(Planted::NoSyncBeforeCommit) => {}
        // The body of a large batch must be durable before the commit record that names it.
        None => file.sync_data().map_err(sync)?,
    }
    // The commit record makes the generation visible.
    let write = file.storage.write_at(offset, &bytes);
    write.map_err(|error| Written::Not(failed("writing a commit to", error)))?;
    // Only the crash simulation plants this fault: a slot that is durable before its commit.
    if planted(Planted::SlotBeforeSync) {
        let slot = Slot { generation: commit.generation, commit: commit.offset, seal: commit.seal };
        let _ = write_slot(file, next_slot, &slot);
    }
    // The generation is durable after this flush.
    file.sync_data().map_err(sync)
}

fn record_of(
    file: &ContainerFile,
    located: &Located,
    body: &Finished,
    new: NewCommit,
    kept: Option<Kept>,
) -> Result<(Commit, Vec<u8>)> {
    // The tip is `None` for the first batch, whose links to a previous commit are zeros.
    let tip = located.tip.as_ref();
    // A jump to an earlier commit, so that any generation is found in O(log n) reads.
    let (jump, jump_generation) = match tip {
        Some(tip) => log::jump_after(file, tip)?,
        None => (0, 0),
    };
    // Compaction keeps old numbers. Other commits get the next number, which is above the number of a lost
    // generation.
    let generation = match &kept {
        Some(kept) => kept.generation,
        None => located.next_generation()?,
    };
    // All fields except for the history and the seal.
    let mut commit = Commit {
        offset: located.end(file),
        seal: [0; 32],
        generation,
        ordinal: tip.map_or(0, |tip| tip.ordinal + 1),
        end: body.end,
        batch: body.digest,
        // A feature bit stays set in later commits, because the tree may still refer to older batches.
        features: body.features | tip.map_or(0, |tip| tip.features),
        read_only_features: 0,
        previous: tip.map_or(0, |tip| tip.offset),
        previous_seal: tip.map_or([0; 32], |tip| tip.seal),
        previous_generation: tip.map_or(0, |tip| tip.generation),
        jump,
        jump_generation,
        time: new.time,
        base_size: new.base_size,
        // Size and tiles are taken from the top node, with which `check_form` compares them.
        size: new.top.as_ref().map_or(0, |top| top.bytes),
        tiles: new.top.as_ref().map_or(0, |top| top.tiles),
        root: new.root,
        history: [0; 32],
        // The top node ends at or before the end of its batch.
        top: new.top.map(|top| NodeRef { limit: body.end, ..top }),
        note: new.note,
    };
    // A kept generation keeps its old history. The history of a new generation extends the history of the
    // tip.
    commit.history = match kept {
        Some(kept) => kept.history,
        None => history_of(&file.seals, &file.ident, tip.map(|tip| &tip.history), &commit),
    };
    // The seal covers the finished contents.
    let contents = commit.contents(&file.ident);
    // The full seal is kept in memory, because slots and later commits name this record by it.
    let mut record = Vec::new();
    let (kind, offset) = (RecordKind::Commit, commit.offset);
    commit.seal = frame(&file.seals, &file.ident, kind, offset, &contents, contents.len(), &mut record);
    Ok((commit, record))
}

/// Writes `slot`, the hint to the newest commit, to slot 0 or 1 of the file. It is durable after the next sync.
pub(super) fn write_slot(file: &ContainerFile, number: u8, slot: &Slot) -> std::io::Result<()> {
    let (offset, contents) = (file.slot_offset(number), slot.contents());
    // Only the record is written; the bytes after it in its block have no meaning and are never checked.
    let mut bytes = Vec::with_capacity(SLOT_SIZE as usize);
    frame(&file.seals, &file.ident, RecordKind::Slot, offset, &contents, contents.len(), &mut bytes);
    debug_assert_eq!(to_u64(bytes.len()), u64::from(SLOT_SIZE));
    file.storage.write_at(offset, &bytes)
}
