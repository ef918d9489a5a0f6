//! Places of bytes in a container: which bytes a commit refers to, which places a record may name, and limits that
//! are checked before any work.

use super::device::Random;
use super::import::created;
use super::*;
use crate::ErrorKind;
use crate::base::units::TILE_SIZE;
use crate::container::records::Commit;
use crate::container::store::GenerationStore;
use crate::incremental::ProjectionDelta;
use crate::tile::Tile;
use crate::tile::extent::Extent;
use crate::tile::piece::Piece;
use crate::tile::stored::{Span, SpanKind};
use crate::tile::tree::Node;

fn commit(container: &Container, projection: &AtlasProjection) -> Result<u64> {
    container.commit(projection, &CommitOptions::default(), &mut Operation::sequential())
}

#[test]
fn a_part_of_an_edit_that_was_stored_is_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "parts", false);
    let edited = container.snapshot(0, false, &mut Operation::sequential()).unwrap();
    // The stored part of the edit begins in its middle.
    let bytes = Random(1).bytes(400_000);
    edited.apply_incremental_update(ProjectionDelta::insert(0, bytes.clone())).unwrap();
    edited.apply_incremental_update(ProjectionDelta::delete(0, 100_000)).unwrap();
    assert_eq!(commit(&container, &edited).unwrap(), 1);
    let before = container.info().unwrap().file_size;
    // Two parts of the stored part remain, with new bytes between them.
    edited.apply_incremental_update(ProjectionDelta::delete(150_000, 170_000)).unwrap();
    edited.apply_incremental_update(ProjectionDelta::insert(150_000, vec![7; 5_000])).unwrap();
    assert_eq!(commit(&container, &edited).unwrap(), 2);
    let grown = container.info().unwrap().file_size - before;
    assert!(grown < 50_000, "{grown} bytes for 5,000 new bytes");
    let snapshot = container.snapshot(2, true, &mut Operation::sequential()).unwrap();
    assert!(
        bytes_of(&snapshot).unwrap() == [&bytes[100_000..250_000], &[7; 5_000], &bytes[270_000..]].concat()
    );
    let snapshot = container.snapshot(1, true, &mut Operation::sequential()).unwrap();
    assert!(bytes_of(&snapshot).unwrap() == bytes[100_000..]);
    container.find_damage(0, &mut |_| true, &mut Operation::sequential()).unwrap();
}

#[test]
fn an_error_names_the_container_if_a_tile_lies_in_several_places() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "named.atlas", false);
    let bytes = Random(2).bytes(100_000);
    let options = CommitOptions::default();
    container.import(&Source::from_vec(bytes.clone()), &options, &mut Operation::sequential()).unwrap();
    let edited = container.snapshot(0, false, &mut Operation::sequential()).unwrap();
    edited.apply_incremental_update(ProjectionDelta::insert(50_000, vec![7; 5_000])).unwrap();
    commit(&container, &edited).unwrap();
    drop((edited, container));
    // A byte of the first import, which the second generation refers to.
    let path = dir.path().join("named.atlas");
    let mut file = std::fs::read(&path).unwrap();
    let place = file.windows(64).position(|window| *window == bytes[1_000..1_064]).unwrap();
    file[place] ^= 1;
    std::fs::write(&path, file).unwrap();
    let (verify, options) = (crate::VerifyOptions::new(), ContainerOptions::default());
    let operation = &mut Operation::sequential();
    let container = Container::open(&path, ContainerMode::Read, &verify, &options, operation).unwrap();
    let snapshot = container.snapshot(2, true, operation).unwrap();
    let error = bytes_of(&snapshot).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Witness, "{error}");
    assert!(error.to_string().contains("named.atlas"), "{error}");
}

#[test]
fn a_record_names_no_bytes_outside_of_the_file_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "spans", false);
    let source = Source::from_vec(Random(3).bytes(20_000));
    container.import(&source, &CommitOptions::default(), &mut Operation::sequential()).unwrap();
    let log = container.log();
    let tip = log.located.tip.as_ref().unwrap();
    let store = GenerationStore::new(&log.file, tip, None, &container.context, &container.cache).unwrap();
    // The leaf names the bytes of the tile, which lie before it.
    let (start, record) = (log.file.start(), tip.top.unwrap().offset);
    assert!(start + 20_000 <= record);
    let check = |kind, place, len| {
        let span = Span { kind, place, start: 0, len };
        store.check_span(&span, record).map_err(|error| error.kind())
    };
    let refused = Err(ErrorKind::Format);
    for (place, len) in [(start, 1), (start + 1, 9), (record - 9, 9)] {
        assert_eq!(check(SpanKind::Raw, place, len), Ok(()), "{place}");
    }
    for (place, len) in [(0, 1), (start - 1, 9), (record - 8, 9), (record, 1), (u64::MAX, 1)] {
        assert_eq!(check(SpanKind::Raw, place, len), refused, "{place}");
    }
    // An encoded span has the length of its decoded bytes, which may be more than the file has.
    for place in [start, start + 8, record - 8] {
        assert_eq!(check(SpanKind::Encoded, place, 1_000_000), Ok(()), "{place}");
    }
    for place in [0, start - 8, start + 4, record, record + 8, u64::MAX - 7] {
        assert_eq!(check(SpanKind::Encoded, place, 1), refused, "{place}");
    }
    assert_eq!((check(SpanKind::Zeros, 0, 5), check(SpanKind::Zeros, 8, 5)), (Ok(()), refused));
    // This generation has no base.
    assert_eq!(check(SpanKind::Base, 0, 1), refused);
}

#[test]
fn an_ordinal_counts_no_more_commits_than_fit_before() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "ordinals", false);
    for byte in 0..3 {
        let source = Source::from_vec(vec![byte; 20_000]);
        container.import(&source, &CommitOptions::default(), &mut Operation::sequential()).unwrap();
    }
    let log = container.log();
    let tip = log.located.tip.as_ref().unwrap();
    assert_eq!(tip.ordinal, 2);
    let most = (tip.offset - log.file.start()) / log.file.block();
    let parse = |ordinal| {
        let forged = Commit { ordinal, ..tip.clone() };
        let record = [vec![0; 32], forged.contents(&log.file.ident)].concat();
        Commit::parse(&log.file.ident, tip.offset, tip.seal, &record)
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    assert_eq!([1, 2, most].map(parse), [Ok(()); 3]);
    // The successor of the greatest number does not exist: adding 1 to it was an overflow.
    assert_eq!([0, most + 1, u64::MAX - 1, u64::MAX].map(parse), [Err(ErrorKind::Format); 4]);
}

#[test]
fn a_domain_above_the_limits_is_refused_before_it_is_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let container = created(dir.path(), "limits", false);
    let domain = |len: usize, levels: u32, nodes: usize| {
        let bytes = vec![0; len];
        let extent = Extent::in_memory(Source::from_vec(bytes.clone()), 0, &bytes).unwrap();
        let tile = Arc::new(Tile::of_pieces(vec![Piece::whole(extent)]).unwrap());
        // Every node has the same child 32 times.
        let mut node = Node::of_tiles(vec![tile; 32]);
        for _ in 1..levels {
            node = Node::of_nodes(vec![node; 32]);
        }
        let tree = Tree::of_node(Node::of_nodes(vec![node; nodes]));
        let size = (tree.bytes(), tree.tiles());
        // With a root, the commit would begin with the first tile.
        let root = Some(Digest::default());
        let state = State::restore(Arc::clone(&container.context), Arc::default(), tree, root);
        (AtlasProjection::from_state(state), size)
    };
    // 2^63 bytes in 2^43 tiles, and 2^45 bytes in as many tiles.
    let (large, size) = domain(TILE_SIZE, 8, 8);
    assert_eq!(size, (1 << 63, 1 << 43));
    let (many, size) = domain(1, 8, 32);
    assert_eq!(size, (1 << 45, 1 << 45));
    for projection in [large, many] {
        let mut calls = 0;
        let mut cancel = |_: &crate::Progress| {
            calls += 1;
            false
        };
        let operation = &mut Operation::sequential().with_progress(&mut cancel);
        let error = container.commit(&projection, &CommitOptions::default(), operation).unwrap_err();
        assert_eq!((error.kind(), calls), (ErrorKind::Limit, 0), "{error}");
        assert!(error.to_string().contains("at most 2^63 - 1 bytes in 2^44 tiles"), "{error}");
        assert_eq!(container.info().unwrap().newest, 0);
    }
}
