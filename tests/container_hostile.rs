//! Damaged, cut, foreign and forged files: no false byte where root, history or key is known, no panic, and memory that
//! does not follow a file's claims. One test at a time, since memory is counted for the process.

#![allow(missing_docs, clippy::cast_possible_truncation, clippy::unwrap_used)]

mod counting;
// Of another package, whose items are public.
#[allow(unreachable_pub)]
#[path = "../fuzz/src/forge.rs"]
mod forge;
#[allow(unreachable_pub)]
#[path = "../fuzz/src/hostile.rs"]
mod hostile;

use forge::{CHANGES, Sealing};
use hostile::{Seed, Trust};
use std::path::Path;

/// Bytes that looking at one file may take: a generation of 4 MiB as it is read, compared and edited, the tiles at
/// work, and the caches.
const BOUND: usize = 48 << 20;

/// A fixed generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A golden file without a base.
fn golden(name: &str, key: Option<[u8; 32]>) -> Seed {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/container");
    Seed::new(std::fs::read(folder.join(name).with_extension("atlas")).unwrap(), None, key)
}

/// Accidents of disks, cables and people.
fn damage(bytes: &mut Vec<u8>, foreign: &[u8], random: &mut Random) {
    let len = bytes.len();
    let block = |at: usize| at / 4_096 * 4_096;
    let (start, size) = (random.below(len), 1 + random.below(3 * 4_096));
    let end = (start + size).min(len);
    match random.below(9) {
        0 => bytes[start] ^= 1 << random.below(8),
        1 => bytes[start..end].fill(0),
        2 => bytes[start..end].fill(0xff),
        3 => {
            let garbage = random.bytes(end - start);
            bytes[start..end].copy_from_slice(&garbage);
        }
        4 => bytes.truncate(start),
        5 => bytes.extend(random.bytes(size)),
        // Bytes that came from another place of the file.
        6 => bytes.copy_within(
            block(start)..end.max(block(start)),
            block(random.below(len - (end - block(start)))),
        ),
        // Bytes that are missing.
        7 => drop(bytes.drain(block(start)..end)),
        // Blocks of another container.
        _ => {
            let from = block(random.below(foreign.len()));
            let part = &foreign[from..(from + 4_096 * (1 + random.below(4))).min(foreign.len())];
            let at = block(start).min(len.saturating_sub(part.len()));
            let end = (at + part.len()).min(len);
            bytes[at..end].copy_from_slice(&part[..end - at]);
        }
    }
}

/// Looks at this many changed files. Every other one was sealed anew.
fn look(files: u64) {
    // The memory that is counted is that of the whole process.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let key = std::array::from_fn(|at| at as u8);
    let mut seeds =
        vec![golden("keyed", Some(key)), golden("chains-keyed", Some(key)), hostile::outline(folder.path())];
    let plain =
        ["chain", "edits", "chains", "tower", "compacted", "r96", "notes-and-times", "strict", "slots-lost"];
    seeds.extend(plain.map(|name| golden(name, None)));
    if cfg!(feature = "compression") {
        seeds.extend(["encoded", "compacted-encoded"].map(|name| golden(name, None)));
    }
    let (mut read, mut most) = ([0_u64; 2], 0);
    for number in 0..files {
        let mut random = Random(number);
        let seed = &seeds[random.below(seeds.len())];
        let foreign = &seeds[random.below(seeds.len())];
        let mut forgery = seed.original.forge();
        let is_forged = !seed.is_keyed() && random.below(2) == 0;
        for _ in 0..1 + random.below(3) {
            if is_forged {
                let what = random.below(usize::from(CHANGES)) as u8;
                forgery.change(what, random.next() as u8, random.next() as u16, random.next() as u8);
            } else if !forgery.bytes.is_empty() {
                damage(&mut forgery.bytes, &foreign.original.bytes, &mut random);
            }
        }
        if is_forged {
            let sealing = [Sealing::Records, Sealing::Tree, Sealing::Tiles][random.below(3)];
            forgery.seal(sealing, random.below(2) == 0);
        }
        let trust = Trust::of(random.below(4) as u8);
        let (is_read, taken) = counting::most(|| seed.look(&forgery.bytes, trust));
        read[usize::from(is_forged)] += u64::from(is_read);
        most = most.max(taken);
        assert!(taken < BOUND, "file {number}: {taken} bytes");
    }
    // Files that are never read would prove nothing about false bytes.
    assert!(
        read.iter().all(|read| *read > files / 40),
        "{read:?} of {files} could be read, accidents and forged"
    );
    assert!(most > 64 << 10, "memory is not counted");
}

#[test]
fn damaged_and_forged_files_give_no_false_byte() {
    look(2_000);
}

#[test]
#[ignore = "100,000 files: the long run"]
fn a_hundred_thousand_damaged_and_forged_files_give_no_false_byte() {
    look(100_000);
}
