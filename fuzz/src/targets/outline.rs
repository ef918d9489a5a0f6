//! A file that changes behind its outline: every changed byte is found, and a repair brings back the bytes.

use atlas_manifold::{
    AtlasProjection, CommitOptions, Container, ContainerCreateOptions, ContainerMode, ContainerOptions,
    Operation, ProjectionOptions, ProjectionType, Source, VerifyOptions,
};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

const SIZE: usize = (1 << 20) + 70_000;

static DATA: LazyLock<Vec<u8>> = LazyLock::new(|| (0..SIZE).map(|i| (i * 31 + i / 4_093) as u8).collect());

struct World {
    folder: tempfile::TempDir,
    outlines: [PathBuf; 2],
    copy: PathBuf,
}

/// Outlines with chaining values and without, and the copy that repairs.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    fs::write(&copy, &*DATA).unwrap();
    let source = Source::open_file(&copy).unwrap();
    let outlines = [false, true].map(|keep_chains| {
        let path = folder.path().join(format!("outline-{keep_chains}"));
        let operation = &mut Operation::sequential();
        let create = ContainerCreateOptions {
            keep_chains,
            handle: ContainerOptions { base: Some(source.clone()), ..ContainerOptions::default() },
            ..ContainerCreateOptions::default()
        };
        let options = ProjectionOptions::new();
        let container =
            Container::create(&path, ProjectionType::Linear, &options, &create, operation).unwrap();
        container.import(&source, &CommitOptions::default(), operation).unwrap();
        path
    });
    World { folder, outlines, copy }
});

fn open(outline: &PathBuf, base: &PathBuf) -> AtlasProjection {
    let operation = &mut Operation::sequential();
    let base = Source::open_file(base).unwrap();
    let options = ContainerOptions { base: Some(base), ..ContainerOptions::default() };
    let container =
        Container::open(outline, ContainerMode::Read, &VerifyOptions::new(), &options, operation).unwrap();
    container.snapshot(0, true, operation).unwrap()
}

/// Offsets in the domain that have another byte in a file. Of the bytes that a cut file lacks each 500th, and the last.
fn changed(bytes: &[u8]) -> Vec<usize> {
    let mut changed = Vec::new();
    for (number, (now, before)) in bytes.chunks(4_096).zip(DATA.chunks(4_096)).enumerate() {
        if now != before {
            let differ = now.iter().zip(before).enumerate().filter(|(_, (now, before))| now != before);
            changed.extend(differ.map(|(at, _)| number * 4_096 + at));
        }
    }
    changed.extend((bytes.len()..SIZE).step_by(500));
    changed.extend((bytes.len() < SIZE).then_some(SIZE - 1));
    changed
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let [how, changes @ ..] = input else { return };
    let mut bytes = DATA.clone();
    for &[low, middle, high, value] in changes.as_chunks::<4>().0.iter().take(20) {
        let at = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        match value {
            0..=250 => {
                let len = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= value;
                }
            }
            251..=253 => bytes.truncate(at % (bytes.len() + 1)),
            _ => bytes.extend_from_slice(&[value; 3]),
        }
    }
    let damaged = WORLD.folder.path().join("damaged");
    fs::write(&damaged, &bytes).unwrap();
    let outline = &WORLD.outlines[usize::from(how & 1)];
    let operation = &mut Operation::sequential();
    // Each byte that differs lies in a range that is reported.
    let mut ranges = Vec::new();
    let found = open(outline, &damaged).find_damage(
        None,
        &mut |damage| {
            ranges.push(damage.offset..damage.offset + damage.length);
            true
        },
        operation,
    );
    let changed = changed(&bytes);
    assert_eq!(found.is_err(), !changed.is_empty(), "{found:?}");
    for at in changed {
        assert!(ranges.iter().any(|range| range.contains(&(at as u64))), "byte {at} is not reported");
    }
    if how & 2 != 0 {
        let repaired = open(outline, &WORLD.copy).repair_file(&damaged, None, &mut |_| true, operation);
        repaired.expect("a repair from a good copy");
        let after = fs::read(&damaged).unwrap();
        assert!(after[..SIZE] == DATA[..], "the repair left false bytes");
        assert_eq!(after.len(), bytes.len().max(SIZE), "bytes after the domain stay");
    }
}
