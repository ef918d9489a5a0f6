//! Open hostile bytes as a container, read every generation, look for damage, edit, commit and compact: errors, or
//! the bytes of the original where root, history or key is known.
//!
//! The bytes are changes of golden files. A plain change stops at the first seal, so that most are sealed anew, up to
//! a tree whose witnesses, tops and root fit. TMPDIR in memory, such as /dev/shm, makes the inputs that write faster.

use super::super::forge::Sealing;
use super::super::hostile::{self, Seed, Trust};
use atlas_manifold::{
    CommitOptions, Container, ContainerMode, ContainerOptions, Operation, Source, VerifyOptions,
};
use std::fs;
use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

macro_rules! golden {
    ($($name:literal)*) => {
        [$(&include_bytes!(concat!("../../../tests/vectors/container/", $name, ".atlas"))[..]),*]
    };
}

/// Key of `keyed` and `chains-keyed`.
const KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut at = 0;
    while at < 32 {
        key[at] = at as u8;
        at += 1;
    }
    key
};

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let plain = golden!(
        "chain" "edits" "chains" "encoded" "tower" "compacted" "compacted-encoded" "r96" "notes-and-times" "strict"
        "empty-domain" "empty-container" "slots-lost" "written-whole" "b4"
    );
    let mut seeds: Vec<Seed> = plain.iter().map(|bytes| Seed::new(bytes.to_vec(), None, None)).collect();
    seeds.extend(
        golden!("keyed" "chains-keyed").iter().map(|bytes| Seed::new(bytes.to_vec(), None, Some(KEY))),
    );
    seeds.push(hostile::outline(FOLDER.path()));
    seeds
});

/// Opens a file for writing, imports, commits and compacts. Committed bytes must be there afterwards.
fn write(seed: &Seed, bytes: &[u8], trust: Trust) {
    let path = FOLDER.path().join("written");
    fs::write(&path, bytes).unwrap();
    let operation = &mut Operation::sequential();
    let (verify, options) = (seed.verify(trust), seed.options(trust));
    if let Ok(container) = Container::open(&path, ContainerMode::Write, &verify, &options, operation) {
        let data: Vec<u8> = (0..20_000_u32).map(|i| (i / 7) as u8).collect();
        let made = container.import(&Source::from_vec(data.clone()), &CommitOptions::default(), operation);
        if let Ok(edited) = container.snapshot(0, false, operation) {
            let delta = atlas_manifold::ProjectionDelta::insert(0, vec![0; 96]);
            if edited.apply_incremental_update(delta).is_ok() {
                let _ = container.commit(&edited, &CommitOptions::default(), operation);
            }
        }
        let _ = container.compact(made.as_ref().map_or(1, |generation| *generation), operation);
        drop(container);
        let verify = VerifyOptions::new();
        let verify = if seed.is_keyed() { verify.with_key(&KEY) } else { verify };
        let options = ContainerOptions { expected_history: None, ..options };
        if let Ok(generation) = made {
            let again = Container::open(&path, ContainerMode::Read, &verify, &options, operation);
            let again = again.expect("what was committed opens");
            let info = again.generation(generation).expect("what was committed is there");
            assert_eq!(info.domain_size, data.len() as u64);
            let snapshot = again.snapshot(generation, true, operation).unwrap();
            let mut read = vec![0; data.len()];
            if snapshot.read(0, &mut read).is_ok() {
                assert!(read == data, "other bytes than those that were imported");
            }
        }
    }
    for left in fs::read_dir(FOLDER.path()).unwrap() {
        fs::remove_file(left.unwrap().path()).unwrap();
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let [which, how, changes @ ..] = input else { return };
    let seed = &SEEDS[usize::from(*which) % SEEDS.len()];
    let mut forgery = seed.original.forge();
    for &[what, record, low, high, value] in changes.as_chunks::<5>().0.iter().take(8) {
        forgery.change(what, record, u16::from_le_bytes([low, high]), value);
    }
    let sealing = [Sealing::None, Sealing::Records, Sealing::Tree, Sealing::Tiles][usize::from(how & 3)];
    // Nobody without the key can seal.
    if !seed.is_keyed() {
        forgery.seal(sealing, how & 0x80 != 0);
    }
    let trust = Trust::of(how >> 2);
    seed.look(&forgery.bytes, trust);
    if how & 0x70 == 0x70 {
        write(seed, &forgery.bytes, trust);
    }
}
