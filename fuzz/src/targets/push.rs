//! Bytes that are pushed in cuts of any length give the projection of the whole, whatever the stream keeps.

use atlas_manifold::{
    AtlasProjection, Operation, ProjectionOptions, ProjectionType, Source, StreamingConfig, StreamingContext,
};
use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// The longest domain.
const MOST: usize = (2 << 20) + 9_000;

static DATA: LazyLock<Vec<u8>> = LazyLock::new(|| (0..MOST).map(|i| (i * 31 + i / 4_093) as u8).collect());

/// Length of the piece that one byte of the input names: a few bytes, around a group, around a tile.
fn length(byte: u8) -> usize {
    match byte {
        0..=99 => usize::from(byte),
        100..=149 => 16_384 - 25 + usize::from(byte - 100),
        150..=199 => (1 << 20) - 25 + usize::from(byte - 150),
        _ => usize::from(byte - 199) * 4_096,
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let [how, cuts @ ..] = input else { return };
    // R96 takes most of the time, so that it is the rarer one.
    let kind = if how & 0x21 == 0x21 { ProjectionType::R96Fourier } else { ProjectionType::Linear };
    let mut options = ProjectionOptions::new();
    if how & 2 != 0 {
        options = options.with_key(&[9; 32]);
    }
    if how & 4 != 0 && kind == ProjectionType::R96Fourier {
        options = options.with_data_classes(64);
    }
    let (operation, config) = (&mut Operation::sequential(), StreamingConfig::new(1 << 20, 1).unwrap());
    let spool = FOLDER.path().join("spool");
    let mut stream = match how >> 3 & 3 {
        0 => StreamingContext::open_hash(kind, &options, config, operation),
        1 => StreamingContext::open_push(Some(&spool), kind, &options, config, operation),
        _ => StreamingContext::open_push(None, kind, &options, config, operation),
    }
    .unwrap();
    let mut sent = 0;
    for &cut in cuts.iter().take(40) {
        let end = (sent + length(cut)).min(MOST);
        stream.push(&DATA[sent..end], operation).unwrap();
        sent = end;
    }
    let pushed = stream.finish(operation).unwrap();
    let source = Source::copy(&DATA[..sent]).unwrap();
    let whole = AtlasProjection::create(kind, &source, &options, operation).unwrap();
    assert_eq!(pushed.info().domain_size, sent as u64);
    assert_eq!(pushed.root(operation).unwrap(), whole.root(operation).unwrap());
    if how >> 3 & 3 != 0 {
        let mut bytes = vec![0; sent];
        pushed.read(0, &mut bytes).unwrap();
        assert!(bytes == DATA[..sent], "the stream kept other bytes");
    }
}
