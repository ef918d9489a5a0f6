//! Open hostile bytes as a parity file, check, repair, restore and update by it: errors, or files that hold what
//! they say.
//!
//! The bytes are edits to a true pair of files. An attacker without a key can seal blocks, and so they are sealed
//! again for every other input. TMPDIR in memory, such as /dev/shm, makes it faster.

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasParity, Operation, ParityOptions, ParityReport, ParityVerdict, RepairMode,
    RepairOptions, Source, VerifyOptions,
};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

const BLOCK: usize = 4_096;
const MAGIC: [u8; 8] = [0x89, b'A', b'T', b'L', b'A', b'S', 0x0a, 0x1a];
/// Memory of each call: a file that claims more is refused.
const MEMORY: u64 = 32 << 20;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

static PAIRS: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let data: Vec<u8> = (0..700_000_u32).map(|i| (i * 31 + i / 4_093) as u8).collect();
    let options = ParityOptions::new().with_id([1; 16]);
    let shapes = [
        (0, options.clone()),
        (5_000, options.clone()),
        (12_000, options.clone().with_parity_columns(3)),
        (60_000, options.clone().with_rows(3).with_stored_root()),
        (700_000, options.with_rows(7)),
    ];
    let make = |(size, options): (usize, ParityOptions)| {
        let path = FOLDER.path().join("seed.atp");
        let source = Source::copy(&data[..size]).unwrap();
        AtlasParity::create(&source, &path, &options, &mut Operation::sequential()).unwrap();
        let atp = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (data[..size].to_vec(), atp)
    };
    shapes.into_iter().map(make).collect()
});

/// Seals each block that begins with the magic.
fn seal(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK).filter(|block| block.starts_with(&MAGIC)) {
        for (sealed, end) in [(112, 128), (BLOCK - 16, BLOCK)] {
            let digest = blake3::derive_key("atlas_manifold 1 parity", &block[..sealed]);
            block[sealed..end].copy_from_slice(&digest[..16]);
        }
    }
}

fn edit(bytes: &mut Vec<u8>, place: usize, what: u8, value: u8) {
    if bytes.is_empty() {
        bytes.push(value);
        return;
    }
    let at = place % bytes.len();
    match what % 6 {
        0 => bytes[at] ^= value,
        1 => bytes[at] = value,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(..at.min(9_000))),
        4 => bytes[at..].iter_mut().take(usize::from(value) * 64).for_each(|byte| *byte = 0),
        // The fields of a head.
        _ => bytes[at % 128] = value,
    }
}

fn path(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

fn operation() -> Operation<'static> {
    Operation::sequential().with_memory_limit(MEMORY)
}

fn use_all(data: &[u8], atp: &[u8]) {
    fs::write(path("atp"), atp).unwrap();
    fs::write(path("data"), data).unwrap();
    let Ok(parity) = AtlasParity::open(path("atp"), &VerifyOptions::new(), &mut operation()) else { return };
    let info = parity.info();
    assert!(info.protected_size <= 63_232 * atp.len() as u64, "a claim: {info:?}");
    let source = Source::open_file(path("data")).unwrap();
    let (mut report, mut told) = (ParityReport::default(), 0_u64);
    let mut count = |_: &atlas_manifold::Damage| {
        told += 1;
        true
    };
    let checked = parity.check(&source, Some(&mut count), &mut report, &mut operation());
    let bad = report.bad_units + report.unknown_units + report.bad_parity_units + report.bad_blocks;
    if report.data != ParityVerdict::NotKnown {
        assert_eq!(told, bad);
        let verdicts = [report.data, report.parity];
        assert_eq!(checked.is_ok(), verdicts.iter().all(|verdict| *verdict == ParityVerdict::Intact));
    }
    // The claim may be a file of terabytes, which would be a hole on the disk.
    if info.protected_size > 64 << 20 {
        return;
    }
    let new = RepairOptions::new(RepairMode::NewFile(path("new")));
    if parity.repair(path("data"), &new, None, &mut report, &mut operation()).is_ok() {
        let repaired = Source::open_file(path("new")).unwrap();
        let _ = parity.check(&repaired, None, &mut report, &mut operation());
        assert!(
            [ParityVerdict::Intact, ParityVerdict::NotKnown].contains(&report.data)
                || report.unknown_units > 0
        );
        assert!(repaired.size() >= info.protected_size);
    }
    if info.parity_size <= 64 << 20 {
        if parity.restore(&source, path("restored"), &mut operation()).is_ok() {
            let restored =
                AtlasParity::open(path("restored"), &VerifyOptions::new(), &mut operation()).unwrap();
            assert_eq!(restored.info(), info);
            let _ = restored.check(&source, None, &mut report, &mut operation());
            assert!([ParityVerdict::Intact, ParityVerdict::NotKnown].contains(&report.parity), "{report:?}");
        }
        let region = AtlasBoundaryRegion::new(0, source.size().min(5_000));
        let _ = parity.update(&source, &[region], path("updated"), &ParityOptions::new(), &mut operation());
    }
    for name in ["new", "restored", "updated"] {
        let _ = fs::remove_file(path(name));
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let [which, sealed, edits @ ..] = input else { return };
    let (mut data, mut atp) = PAIRS[usize::from(*which) % PAIRS.len()].clone();
    for edit_bytes in edits.chunks_exact(5).take(20) {
        let place =
            usize::from(edit_bytes[0]) << 16 | usize::from(edit_bytes[1]) << 8 | usize::from(edit_bytes[2]);
        let bytes = if edit_bytes[3] & 0x80 == 0 { &mut atp } else { &mut data };
        edit(bytes, place, edit_bytes[3] & 0x7f, edit_bytes[4]);
    }
    if sealed & 1 == 1 {
        seal(&mut atp);
    }
    use_all(&data, &atp);
}
