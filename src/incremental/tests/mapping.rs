//! Mapped files that change while an edit is hashed.

use super::*;
use crate::source::tests::mapped;
use crate::tile::rehash::witness;

/// Overwrites a file in place, so that a mapping of it sees the change.
fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(path).expect("the file");
    std::io::Write::write_all(&mut file, bytes).expect("written");
}

/// Another process writes to a mapped file after its bytes were checked and before they are used.
#[test]
fn bytes_of_a_mapping_are_used_as_they_were_checked() {
    for kind in [ProjectionType::Linear, ProjectionType::R96Fourier] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mapped.bin");
        let data: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        let source = mapped(&path);
        let options = ProjectionOptions::new();
        let operation = &mut Operation::new();
        let projection = AtlasProjection::create(kind, &source, &options, operation).unwrap();
        let state = projection.state();
        let tile = state.tree.all().swap_remove(0).tile;
        let extent = tile.pieces()[0].extent();
        let mut reader = CheckedReader::new(&state.context);
        let mut out = vec![0; 100];
        reader.copy(extent, 50_000, &mut out).unwrap();
        let mut changed = data.clone();
        changed[50_010] ^= 1;
        overwrite(&path, &changed);
        assert_eq!(source.slice(0, data.len()), Some(&changed[..]));
        reader.copy(extent, 50_000, &mut out).unwrap();
        assert_eq!(out, data[50_000..50_100]);
        // A later reader checks the bytes again.
        let error = CheckedReader::new(&state.context).copy(extent, 50_000, &mut out).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Witness);
    }
}

/// The transform read the mapping before the mapped bytes changed to the bytes of the edit.
#[test]
fn a_mapping_that_takes_on_an_edit_meanwhile_does_not_hide_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mapped.bin");
    let mut data: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, &data).unwrap();
    let options = ProjectionOptions::new();
    let operation = &mut Operation::new();
    let kind = ProjectionType::R96Fourier;
    let projection = AtlasProjection::create(kind, &mapped(&path), &options, operation).unwrap();
    data[50_000..50_100].fill(7);
    let edit = crate::ProjectionDelta::update(50_000, 50_100, vec![7; 100]);
    projection.apply_incremental_update(edit).unwrap();
    let state = projection.state();
    let tile = state.tree.all().swap_remove(0).tile;
    let mut reader = CheckedReader::new(&state.context);
    reader.hold(tile.pieces()[0].extent()).unwrap();
    overwrite(&path, &data);
    let witness = witness(&state.context, &tile, &mut reader).unwrap();
    let scheme = &state.context.scheme;
    assert_eq!(witness, scheme.witness(&data, &mut Workspace::default(), Executor::Inline).unwrap());
}
