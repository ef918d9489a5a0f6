//! Log of a container file: the chain of commit records, and the search for its newest commit, the *tip*. A *slot*
//! names a durable commit, as a hint (docs/container.md, "Open").
//!
//! ```text
//! confirmed := the commit that the best valid slot names, or none
//! tip       := confirmed; while a commit follows the tip: tip := that
//! search    := is there a commit after the tip that proves that a missing one was durable?
//! ```

use super::file::ContainerFile;
use super::planted::{Planted, planted};
use super::records::{Commit, RecordKind, Slot, body_start};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{to_u64, to_usize};
use crate::hash::digest::same;

/// Number of bytes that are searched for later commits: so many after the newest batch, and as many before the end of
/// the file.
const SEARCHED: u64 = 64 << 20;
/// Bytes per read in the search for later commits.
const SEARCH_STEP: u64 = 1 << 20;

/// Result of the search for the end of the log: the newest commit, both slots, and the number of a lost generation.
#[derive(Clone, Default)]
pub(super) struct Located {
    /// Commit of the newest generation. `None` if the container has no generation.
    pub(super) tip: Option<Commit>,
    pub(super) slots: [Option<Slot>; 2],
    /// True if a slot names the tip, which is therefore durable, or if there is no tip.
    pub(super) is_confirmed: bool,
    /// Number of the newest generation that was durable and that a recovery did not find. 0 means none.
    pub(super) lost: u64,
}

impl Located {
    /// Returns the offset at which the next batch begins: the end of the newest batch, or of the slots if the container
    /// has no batch.
    pub(super) fn end(&self, file: &ContainerFile) -> u64 {
        self.tip.as_ref().map_or(file.start(), |tip| tip.end)
    }

    /// Returns the number, 0 or 1, of the slot to overwrite: never the valid slot with the greater generation.
    pub(super) fn next_slot(&self) -> u8 {
        match &self.slots {
            // The first slot is overwritten only if the second is better.
            [Some(first), Some(second)] if first.generation < second.generation => 0,
            // The first slot is better or the only valid slot. Of two equal slots the first counts.
            [Some(_), _] => 1,
            _ => 0,
        }
    }

    /// Returns the number of the next generation, which is greater than the newest and any lost number.
    pub(super) fn next_generation(&self) -> Result<u64> {
        // The number of a lost generation is not used again, because readers may have seen it.
        let last = self.tip.as_ref().map_or(0, |tip| tip.generation).max(self.lost);
        last.checked_add(1).ok_or_else(|| {
            AtlasError::limit("no generation can follow number 2^64 - 1: commit to a new container")
        })
    }
}

/// Commit at which [`locate`] ends its search of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The newest commit. Fails with WITNESS if a durable commit is missing.
    Tip,
    /// The commit that the newest valid slot names. Later commits are ignored.
    Confirmed,
    /// The newest commit that the chain reaches without a gap, even if durable commits after it are missing.
    Recovered,
}

/// Finds the newest commit of a container file, or an earlier commit by the rule `until`.
pub(super) fn locate(file: &ContainerFile, until: Until) -> Result<Located> {
    let mut before = None;
    loop {
        // Most calls end after the first search.
        let (located, found) = look(file, until)?;
        let Some(found) = found.filter(|_| until == Until::Tip) else { return Ok(located) };
        // A writer may have committed during the search. The finding counts only if a second search has the
        // same result.
        let tip = located.tip.as_ref().map(|tip| tip.ordinal);
        if before == Some((tip, found.ordinal)) || planted(Planted::NoSecondLook) {
            let generation = found.previous_generation;
            return Err(AtlasError::witness(format!(
                "{}: generation {generation} was durable and is damaged: generation {} at byte {} follows \
                 it; open with recover to use the generations before it",
                file.path.display(),
                found.generation,
                found.offset
            ))
            .at_range(located.end(file), found.offset - located.end(file)));
        }
        // The finding is remembered, because it counts only if the next search has the same result.
        before = Some((tip, found.ordinal));
    }
}

/// Makes one search of [`locate`]. Returns the end of the log and, only for [`Until::Tip`], a later commit in the file,
/// if any, which proves that a durable commit between the two is missing.
fn look(file: &ContainerFile, until: Until) -> Result<(Located, Option<Commit>)> {
    let len = file.len()?;
    // A file without room for header and slots was truncated.
    if len < file.start() {
        let (path, start) = (file.path.display(), file.start());
        return Err(AtlasError::format(format!(
            "{path}: truncated: the container has {len} bytes, and its first batch of records begins at \
             byte {start}"
        ))
        .at_range(0, len));
    }
    // The slots are read before the commits, because every commit that they name was durable before.
    let slots = [file.slot(0)?, file.slot(1)?];
    // The length is read after the slots, because the commits that they name were written before them.
    let len = file.len()?;
    let mut located = Located { slots, is_confirmed: true, ..Located::default() };
    // The slot of the greatest generation first; the sort keeps the first of two equal slots ahead.
    let mut best: Vec<&Slot> = slots.iter().flatten().collect();
    best.sort_by_key(|slot| std::cmp::Reverse(slot.generation));
    for slot in best {
        // A slot is written after its commit was synced, so that the commit must be there.
        let commit = file.commit_at(slot.commit)?.filter(|commit| same(&commit.seal, &slot.seal));
        let Some(commit) = commit.filter(|commit| commit.end <= len) else {
            if until == Until::Recovered {
                // Recovery records the loss and tries the other slot.
                located.lost = located.lost.max(slot.generation);
                continue;
            }
            return Err(AtlasError::witness(format!(
                "{}: generation {} was durable and is damaged; open with recover to use an older generation",
                file.path.display(),
                slot.generation
            ))
            .at_range(slot.commit, u64::from(super::records::COMMIT_SIZE)));
        };
        // Both seals are right, but slot and commit disagree, which no library writes.
        if commit.generation != slot.generation {
            let (named, found) = (slot.generation, commit.generation);
            return Err(AtlasError::format(format!(
                "the container is malformed: a slot names generation {named}, and the commit record to \
                 which it points is that of generation {found}"
            ))
            .at_range(slot.commit, 8));
        }
        // The best slot confirms this commit; a second slot is older and adds nothing.
        located.tip = Some(commit);
        break;
    }
    // The bytes on the disk cannot be read directly, so that later commits are not trusted.
    if until == Until::Confirmed {
        return Ok((located, None));
    }
    // Commits whose slot was lost, or not written yet, follow one another without a gap.
    while let Some(next) = follows(file, located.tip.as_ref(), len)? {
        located.tip = Some(next);
        located.is_confirmed = false;
    }
    // A later commit proves that a missing commit before it was durable ("Open", 4).
    let found = search(file, &located, len)?;
    if until == Until::Recovered {
        // Commits after a lost commit are lost with it.
        let tip = located.tip.as_ref().map_or(0, |tip| tip.generation);
        let durable = found.map_or(0, |found| found.generation);
        located.lost = located.lost.max(durable);
        located.lost = if located.lost > tip { located.lost } else { 0 };
        return Ok((located, None));
    }
    // If a slot changed meanwhile, a writer is at work, and the search is repeated.
    if found.is_some() && !planted(Planted::NoSecondLook) && [file.slot(0)?, file.slot(1)?] != slots {
        return Ok((located, None));
    }
    Ok((located, found))
}

/// Reads the commit that follows `tip`, or the first commit of the file if there is no tip. `None` unless it names
/// `tip` as the previous commit, its batch ends within the `len` bytes of the file, and the batch's digest is right.
fn follows(file: &ContainerFile, tip: Option<&Commit>, len: u64) -> Result<Option<Commit>> {
    let offset = tip.map_or(file.start(), |tip| tip.end);
    if offset >= len {
        return Ok(None);
    }
    // Bytes after the tip that are no commit are the remains of an unfinished batch.
    let Some(next) = file.commit_at(offset)? else { return Ok(None) };
    // The links must name exactly this tip, because an older attempt may lie here as well.
    let ordinal = tip.map_or(0, |tip| tip.ordinal + 1);
    let previous = tip.map_or((0, [0; 32], 0), |tip| (tip.offset, tip.seal, tip.generation));
    if (next.previous, next.previous_seal, next.previous_generation) != previous
        || next.ordinal != ordinal
        || next.end > len
    {
        return Ok(None);
    }
    // The commit record may be durable without its body; the digest of the batch decides.
    let start = body_start(next.offset, next.end, next.record_size(), file.block());
    if planted(Planted::NoBatchDigest) {
        return Ok(Some(next));
    }
    Ok(file.batch_digest(start, next.end)?.is_some_and(|found| same(&found, &next.batch)).then_some(next))
}

/// Searches the bytes after the tip for a commit of this file that cannot follow the tip directly, by its ordinal. It
/// proves that a commit between the two was durable and is missing. `len` is the size of the file.
fn search(file: &ContainerFile, located: &Located, len: u64) -> Result<Option<Commit>> {
    let (block, end) = (file.block(), located.end(file));
    if planted(Planted::NoSearch) {
        return Ok(None);
    }
    // An unfinished successor has the ordinal of the tip + 1 and proves nothing; a commit with the ordinal +
    // 2 proves it.
    let least = located.tip.as_ref().map_or(1, |tip| tip.ordinal.saturating_add(2));
    // Only 64 MiB at each end are searched, so that opening a large file stays cheap.
    let near = end..len.min(end.saturating_add(SEARCHED));
    // The ranges do not overlap; commit records lie at multiples of B.
    let far = near.end.max(len.saturating_sub(SEARCHED)).next_multiple_of(block)..len;
    for part in [near, far] {
        let mut at = part.start;
        while at < part.end {
            // One read of 1 MiB covers many candidates.
            let step = SEARCH_STEP.min(part.end - at);
            let bytes = file.read_up_to(at, to_usize(step))?.unwrap_or_default();
            for (index, start) in bytes.chunks(to_usize(block)).enumerate() {
                // The magic rules out most blocks without a digest.
                if start.get(..4) != Some(&RecordKind::Commit.magic()) {
                    continue;
                }
                // A record that breaks a rule of the format does not count as a commit.
                let found = file.commit_at(at + to_u64(index) * block).ok().flatten();
                if let Some(found) = found.filter(|found| found.ordinal >= least) {
                    return Ok(Some(found));
                }
            }
            at += step;
        }
    }
    Ok(None)
}

/// Returns the previous commit, checked against the full seal in `commit`. `None` if `commit` is the oldest.
pub(super) fn before(file: &ContainerFile, commit: &Commit) -> Result<Option<Commit>> {
    // Ordinal 0 is the first commit of the file, also if compaction dropped earlier commits.
    if commit.ordinal == 0 {
        return Ok(None);
    }
    // The commit proves the previous commit by its full seal.
    let found = file.commit_at(commit.previous)?.filter(|found| same(&found.seal, &commit.previous_seal));
    let Some(found) = found else { return Err(damaged(file, commit.previous_generation, commit.previous)) };
    // The seals are right, so that a mismatch is reported as FORMAT and not as damage.
    let fits = found.generation == commit.previous_generation
        && found.end == commit.offset
        && found.ordinal + 1 == commit.ordinal;
    if !fits {
        return Err(AtlasError::format(format!(
            "the container is malformed: generation {} does not follow generation {}, which it names as \
             the previous one",
            commit.generation, commit.previous_generation
        ))
        .at_range(commit.offset, commit.record_size()));
    }
    Ok(Some(found))
}

/// Returns the earlier commit to which the jump of `commit` (a link over several commits) leads. Returns `commit`
/// itself if it is the first in the file.
pub(super) fn jump(file: &ContainerFile, commit: &Commit) -> Result<Commit> {
    if commit.ordinal == 0 {
        return Ok(commit.clone());
    }
    // A jump has no seal of its target and proves nothing; it only saves reads.
    let Some(found) = file.commit_at(commit.jump)? else {
        return Err(damaged(file, commit.jump_generation, commit.jump));
    };
    // The ordinal must fall, so that every walk along jumps ends.
    if found.generation != commit.jump_generation || found.ordinal >= commit.ordinal {
        return Err(AtlasError::format(format!(
            "the container is malformed: the jump of generation {} to an earlier commit does not lead to \
             generation {}",
            commit.generation, commit.jump_generation
        ))
        .at_range(commit.offset, commit.record_size()));
    }
    Ok(found)
}

/// Returns offset and generation of the jump to store in the commit after `previous`: an earlier commit, chosen so that
/// any commit is found in O(log n) reads.
pub(super) fn jump_after(file: &ContainerFile, previous: &Commit) -> Result<(u64, u64)> {
    // The rule of "Jump": two jumps of equal length are joined to a single longer jump.
    let first = jump(file, previous)?;
    let second = jump(file, &first)?;
    let target =
        if previous.ordinal - first.ordinal == first.ordinal - second.ordinal { &second } else { previous };
    Ok((target.offset, target.generation))
}

/// Returns the commit of `generation`, searched from the newest commit `tip` back; 0 means the newest. Fails with
/// OUT_OF_RANGE if the generation is not kept. The number of reads is logarithmic in the number of newer commits.
pub(super) fn find(file: &ContainerFile, tip: Option<&Commit>, generation: u64) -> Result<Commit> {
    let absent = || {
        let newest = tip.map_or(0, |tip| tip.generation);
        let text = if newest == 0 {
            "the container has no generation yet".to_owned()
        } else {
            format!("generation {generation} is not in the container; the newest is {newest}")
        };
        AtlasError::out_of_range(text)
    };
    // The walk begins at the newest commit, which is trusted.
    let mut at = tip.ok_or_else(absent)?.clone();
    while generation != 0 && at.generation > generation {
        at = if at.ordinal > 0 && at.jump_generation >= generation {
            // The jump does not pass the wanted generation.
            jump(file, &at)?
        } else {
            // The jump would pass it: a single step instead.
            before(file, &at)?.ok_or_else(absent)?
        };
    }
    if generation == 0 || at.generation == generation { Ok(at) } else { Err(absent()) }
}

/// Returns the commit of the oldest kept generation, the first in the file. Fails with WITNESS if it is damaged.
pub(super) fn oldest(file: &ContainerFile) -> Result<Commit> {
    file.commit_at(file.start())?.ok_or_else(|| damaged(file, 1, file.start()))
}

fn damaged(file: &ContainerFile, generation: u64, offset: u64) -> AtlasError {
    let path = file.path.display();
    AtlasError::witness(format!(
        "{path}: the commit record of generation {generation} at byte {offset} is damaged"
    ))
    .at_range(offset, u64::from(super::records::COMMIT_SIZE))
}
