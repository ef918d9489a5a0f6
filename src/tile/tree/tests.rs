use super::*;
use crate::base::units::{ByteOffset, TILE_SIZE, TileIndex, to_usize};
use crate::source::Source;
use crate::tile::extent::{Extent, Trust};
use crate::tile::rehash::CheckedReader;

/// Tiles of the given lengths over one buffer, and the buffer.
fn tiles_over(lengths: &[usize]) -> (Vec<u8>, Vec<Arc<Tile>>) {
    let total: usize = lengths.iter().sum();
    let data: Vec<u8> = (0..total).map(|i| (i * 13 + i / 255) as u8).collect();
    let source = Source::from_vec(data.clone());
    let mut offset = 0;
    let tiles = lengths
        .iter()
        .map(|&len| {
            let bytes = &data[offset..offset + len];
            let extent = Extent::in_memory(source.clone(), offset as u64, bytes).unwrap();
            offset += len;
            Arc::new(Tile::whole_of(extent))
        })
        .collect();
    (data, tiles)
}

fn concat(left: &Tree, right: &Tree) -> Tree {
    Tree::concat(left, right).unwrap()
}

fn bytes_of(tree: &Tree) -> Vec<u8> {
    let mut out = vec![0; tree.bytes() as usize];
    for at in tree.iter() {
        let at = at.unwrap();
        at.tile.read(0, &mut out[at.offset.0 as usize..][..at.tile.len()]).unwrap();
    }
    out
}

/// All tiles are equally deep, the lengths add up, and the nodes are so full that the tree is not high.
fn check_shape(tree: &Tree) {
    fn check_node(node: &Arc<Node>) {
        let children = node.children().unwrap();
        let len = children.len();
        assert!((1..=32).contains(&len), "{len} children");
        for child in children.nodes() {
            assert_eq!(child.height() + 1, node.height());
            check_node(child);
        }
        let total: u64 = (0..len).map(|child| children.measure(child).0).sum();
        assert_eq!(total, node.bytes());
    }
    if let Some(root) = &tree.root {
        check_node(root);
        let least = tree.tiles().max(2).ilog2() / 4;
        assert!(u32::from(root.height()) <= least + 1, "{} tiles {} high", tree.tiles(), root.height());
    }
}

/// Checks the shape, and that the residues and counts of the nodes match the tiles.
fn check(tree: &Tree) {
    check_shape(tree);
    assert_eq!(tree.residue(), Residue::of(&bytes_of(tree)));
    assert_eq!(tree.tiles(), tree.iter().count() as u64);
}

#[test]
fn balanced_trees_of_many_sizes_hold_their_tiles_in_order() {
    for count in [0, 1, 2, 31, 32, 33, 64, 65, 1_000, 1_025, 3_000] {
        let lengths: Vec<usize> = (0..count).map(|i| 1 + i % 7).collect();
        let (data, tiles) = tiles_over(&lengths);
        let tree = Tree::from_tiles(tiles).unwrap();
        check(&tree);
        assert_eq!(bytes_of(&tree), data);
        for index in [0, count as u64 / 2, count as u64] {
            let at = tree.tile(TileIndex(index)).unwrap();
            assert_eq!(at.map(|at| at.index.0), (index < count as u64).then_some(index));
        }
    }
}

#[test]
fn a_byte_is_found_in_the_tile_that_holds_it() {
    let (data, tiles) = tiles_over(&[5; 200]);
    let tree = Tree::from_tiles(tiles).unwrap();
    for offset in 0..data.len() as u64 {
        let at = tree.tile_of_byte(ByteOffset(offset)).unwrap().unwrap();
        assert!(at.offset <= ByteOffset(offset) && offset < at.end().0);
        assert_eq!(at.index, TileIndex(offset / 5));
    }
    assert!(tree.tile_of_byte(ByteOffset(data.len() as u64)).unwrap().is_none());
}

#[test]
fn splits_and_concats_at_random_places_agree_with_a_vector() {
    // A fixed generator: the scripts are the same on every run.
    let mut state = 12_345u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below.max(1)
    };
    let lengths: Vec<usize> = (0..700).map(|i| 1 + (i * 37) % 40).collect();
    let (data, tiles) = tiles_over(&lengths);
    let original = Tree::from_tiles(tiles).unwrap();
    let (mut tree, mut model) = (original.clone(), data.clone());
    for round in 0..400 {
        let mut cuts = [random(tree.bytes() + 1), random(tree.bytes() + 1)];
        cuts.sort_unstable();
        let (left, rest) = tree.split(ByteOffset(cuts[0]), &mut CheckedReader::of_linear()).unwrap();
        let (middle, right) =
            rest.split(ByteOffset(cuts[1] - cuts[0]), &mut CheckedReader::of_linear()).unwrap();
        for part in [&left, &middle, &right] {
            check(part);
        }
        assert_eq!(bytes_of(&middle), model[cuts[0] as usize..cuts[1] as usize]);
        // Move the middle part to the front, or drop it, or double it.
        let (a, b, c) = (
            &model[..cuts[0] as usize],
            &model[cuts[0] as usize..cuts[1] as usize],
            &model[cuts[1] as usize..],
        );
        (tree, model) = match round % 8 {
            7 => (concat(&left, &right), [a, c].concat()),
            6 if model.len() < 40_000 => {
                let twice = concat(&middle, &middle);
                (concat(&concat(&left, &twice), &right), [a, b, b, c].concat())
            }
            _ => (concat(&middle, &concat(&left, &right)), [b, a, c].concat()),
        };
        check(&tree);
        assert_eq!(bytes_of(&tree), model);
    }
    assert_eq!(bytes_of(&original), data, "the old tree is untouched");
}

/// A source of 2^41 bytes, each of which follows from its place.
struct Synthetic;

impl crate::ReadAt for Synthetic {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        buffer.copy_from_slice(&synthetic(offset, buffer.len()));
        Ok(())
    }
}

fn synthetic(offset: u64, len: usize) -> Vec<u8> {
    (offset..).take(len).map(|at| (at % 251) as u8).collect()
}

/// A full tile of the synthetic bytes.
fn synthetic_tile(source: &Source, offset: u64) -> Tree {
    let bytes = synthetic(offset, TILE_SIZE);
    let residues = crate::tile::extent::GroupResidues::of(&bytes);
    let witness = Trust::Witnessed(crate::hash::digest::Digests::new(None).tile(&bytes));
    let extent = Extent::new(source.clone(), offset, TILE_SIZE, residues, witness).unwrap();
    Tree::from_tiles(vec![Arc::new(Tile::whole_of(extent))]).unwrap()
}

/// The bytes of a tree at `offset`, which lie in one tile.
fn read_at(tree: &Tree, offset: u64, len: usize) -> Vec<u8> {
    let at = tree.tile_of_byte(ByteOffset(offset)).unwrap().unwrap();
    let mut out = vec![0; len];
    at.tile.read(to_usize(ByteOffset(offset) - at.offset), &mut out).unwrap();
    out
}

#[test]
fn two_to_the_forty_bytes_are_cut_joined_and_found_to_the_byte() {
    const TILE: u64 = TILE_SIZE as u64;
    let (size, tiles) = (1u64 << 40, 1u64 << 20);
    let source = Source::from_reader(2 * size, Synthetic);
    // All tiles are copies of the first tile, except some that lie at their own offset in the source.
    let mut filler = synthetic_tile(&source, 0);
    let one = filler.residue();
    for _ in 0..20 {
        filler = concat(&filler, &filler);
    }
    let mut tree = filler.clone();
    let mut residue = Residue::ZERO;
    for _ in 0..tiles % 96 {
        residue = residue + one;
    }
    assert_eq!((tree.bytes(), tree.tiles(), tree.residue()), (size, tiles, residue));
    let places = [(1 << 32) - TILE, 1 << 32, size / 2 - TILE, size - TILE];
    for place in places {
        let (left, rest) = tree.split(ByteOffset(place), &mut CheckedReader::of_linear()).unwrap();
        let (gone, right) = rest.split(ByteOffset(TILE), &mut CheckedReader::of_linear()).unwrap();
        assert_eq!((left.bytes(), gone.bytes(), right.bytes()), (place, TILE, size - place - TILE));
        let tile = synthetic_tile(&source, place);
        residue = residue - one + tile.residue();
        tree = concat(&concat(&left, &tile), &right);
        check_shape(&tree);
        assert_eq!((tree.bytes(), tree.tiles(), tree.residue()), (size, tiles, residue));
    }
    for place in places {
        for offset in [place, place + 12_345, place + TILE - 1] {
            let at = tree.tile_of_byte(ByteOffset(offset)).unwrap().unwrap();
            assert_eq!((at.index.0, at.offset.0, at.end().0), (place / TILE, place, place + TILE));
            assert_eq!(tree.tile(at.index).unwrap().unwrap().offset, ByteOffset(place));
            assert_eq!(read_at(&tree, offset, 1), synthetic(offset, 1));
        }
        // A cut inside the tile makes one more tile, and the bytes stay in place.
        for cut in [place + 1, place + 16_384, place + 700_001] {
            let (left, right) = tree.split(ByteOffset(cut), &mut CheckedReader::of_linear()).unwrap();
            assert_eq!((left.bytes(), right.bytes()), (cut, size - cut));
            assert_eq!(left.tiles() + right.tiles(), tiles + 1);
            assert_eq!(left.residue() + right.residue(), residue);
            assert_eq!(read_at(&left, cut - 1, 1), synthetic(cut - 1, 1));
            assert_eq!(read_at(&right, 0, 9), synthetic(cut, 9));
            let joined = concat(&left, &right);
            check_shape(&joined);
            assert_eq!((joined.bytes(), joined.residue()), (size, residue));
            assert_eq!(read_at(&joined, cut, 9), synthetic(cut, 9));
        }
    }
    assert!(
        tree.tile_of_byte(ByteOffset(size)).unwrap().is_none()
            && tree.tile(TileIndex(tiles)).unwrap().is_none()
    );
    let twice = concat(&tree, &tree);
    assert_eq!(read_at(&twice, 2 * size - 5, 5), synthetic(size - 5, 5));
    assert_eq!(
        twice.tile_of_byte(ByteOffset(size + (1 << 32))).unwrap().unwrap().index,
        TileIndex(tiles + 4_096)
    );
}

#[test]
fn a_tile_that_is_replaced_is_the_only_one_that_changes() {
    let lengths: Vec<usize> = (0..2_100).map(|i| 1 + i % 7).collect();
    let (mut data, tiles) = tiles_over(&lengths);
    let mut tree = Tree::from_tiles(tiles).unwrap();
    for index in [0, 31, 32, 33, 1_023, 1_024, 1_600, 2_099] {
        let (start, len) = (lengths[..index].iter().sum::<usize>(), lengths[index]);
        let bytes = vec![200 + len as u8; len];
        let extent = Extent::in_memory(Source::from_vec(bytes.clone()), 0, &bytes).unwrap();
        tree.replace_tile(TileIndex(index as u64), Arc::new(Tile::whole_of(extent))).unwrap();
        data[start..start + len].copy_from_slice(&bytes);
        check(&tree);
        assert!(bytes_of(&tree) == data, "{index}");
    }
}

#[test]
fn a_part_of_a_tree_is_no_higher_than_its_tiles_need() {
    // Two nodes over 32 full leaves each.
    let (data, tiles) = tiles_over(&[3; 2_048]);
    let tree = Tree::from_tiles(tiles).unwrap();
    assert_eq!(tree.height(), 2);
    // Each cut leaves a single child on one side of it or on both.
    for (tile, left_height, right_height) in [(32, 0, 2), (64, 1, 2), (1_024, 1, 1), (2_016, 2, 0)] {
        let (left, right) = tree.split(ByteOffset(3 * tile), &mut CheckedReader::of_linear()).unwrap();
        assert_eq!((left.height(), right.height()), (left_height, right_height), "cut at tile {tile}");
        check(&left);
        check(&right);
        assert_eq!([bytes_of(&left), bytes_of(&right)].concat(), data);
    }
}
