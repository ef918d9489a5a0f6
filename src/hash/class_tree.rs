//! Sets of resonance classes, and the tree over the 96 classes of a tile. The root of this tree is the
//! witness of the tile.

#![forbid(unsafe_code)]

use crate::base::buffer::try_collect;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{to_u64, to_usize};
use crate::hash::digest::{Digest, Digests};
use crate::hash::rfc6962::{self, NodeId, Selection, Visitor};
use crate::r96::CLASSES;
use std::ops::Range;

/// A set of the 96 resonance classes.
///
/// ```
/// use atlas_manifold::ClassSet;
///
/// let set = ClassSet::of(3).unwrap().union(ClassSet::of(95).unwrap());
/// assert!(set.contains(95) && !set.contains(4));
/// assert_eq!(set.iter().collect::<Vec<u8>>(), [3, 95]);
/// assert_eq!(ClassSet::of(96), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClassSet(u128);

impl ClassSet {
    /// The empty set.
    pub const EMPTY: ClassSet = ClassSet(0);
    /// All 96 classes.
    pub const ALL: ClassSet = ClassSet((1 << CLASSES) - 1);

    /// Returns the set of one class, or `None` for a class above 95.
    pub fn of(class: u8) -> Option<ClassSet> {
        (usize::from(class) < CLASSES).then(|| ClassSet(1 << class))
    }

    /// Returns true if `class` is in the set.
    pub fn contains(self, class: u8) -> bool {
        usize::from(class) < CLASSES && self.0 >> class & 1 == 1
    }

    /// Returns the number of classes in the set.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns true if the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of classes in the set that have a smaller number than `class`.
    pub(crate) fn rank(self, class: u8) -> usize {
        // The classes below `class` that the set has.
        Self::range(&(0..u64::from(class))).without(ClassSet(!self.0)).len()
    }

    /// Iterates over the classes, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=95).filter(move |&class| self.contains(class))
    }

    /// Returns the mask of the set: bit r mod 8 of byte r / 8 for class r.
    pub fn to_mask(self) -> [u8; 12] {
        // No set has a class above 95, so that the upper 4 bytes are 0.
        let mut mask = [0; 12];
        mask.copy_from_slice(&self.0.to_le_bytes()[..12]);
        mask
    }

    /// Returns the set of a mask. Every mask is a set.
    pub fn from_mask(mask: [u8; 12]) -> ClassSet {
        // 96 bits fill 12 bytes, so that every bit of a mask is a class.
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&mask);
        ClassSet(u128::from_le_bytes(bytes))
    }

    /// Returns the union: the classes that are in this set, in `other`, or in both.
    #[must_use]
    pub fn union(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 | other.0)
    }

    /// Returns the classes of this set that are not in `other`.
    #[must_use]
    pub fn without(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 & !other.0)
    }

    fn range(leaves: &Range<u64>) -> ClassSet {
        // `end` is below 96 here, so that the shift fits 128 bits.
        let below = |end: u64| if end >= 96 { Self::ALL.0 } else { (1 << end) - 1 };
        ClassSet(below(leaves.end) & !below(leaves.start))
    }
}

impl std::fmt::Debug for ClassSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Selection for ClassSet {
    fn touches(&self, leaves: &Range<u64>) -> bool {
        self.0 & Self::range(leaves).0 != 0
    }

    fn covers(&self, leaves: &Range<u64>) -> bool {
        Self::range(leaves).without(*self).is_empty()
    }
}

const LEAVES: u64 = CLASSES as u64;

/// Tree over the 96 resonance classes of an R96 tile. Its top is the tile's witness.
pub(crate) struct ClassTree {
    /// Levels of the tree, the leaves first, the single top last.
    levels: Vec<Vec<Digest>>,
}

impl ClassTree {
    /// Builds the tree from the digests T of the payloads of all classes.
    pub(crate) fn new(digests: &Digests, payloads: &[Digest; CLASSES]) -> Result<ClassTree> {
        let leaves = (0..=95).zip(payloads).map(|(class, payload)| digests.class_leaf(class, payload));
        let levels = rfc6962::levels(try_collect(leaves)?, |_, left, right| digests.class_node(left, right))?;
        Ok(ClassTree { levels })
    }

    /// Returns the witness of the tile: the top of the tree.
    pub(crate) fn witness(&self) -> Result<Digest> {
        let top = self.levels.last().and_then(|top| top.first());
        top.copied().ok_or_else(|| {
            AtlasError::internal("a defect of the library, please report it: a tree has no classes")
        })
    }

    /// Returns the proof of `classes` against the tile's witness: the sibling nodes on their paths, ascending.
    pub(crate) fn prove(&self, classes: ClassSet) -> Result<Vec<Digest>> {
        // The set alone determines the nodes, so that a proof has a single encoding.
        let places = rfc6962::siblings(&classes, LEAVES)?.into_iter();
        try_collect(places.map(|at| self.levels[to_usize(u64::from(at.level))][to_usize(at.index)]))
    }
}

/// Returns the number of nodes of the proof of `classes`, which depends on the set alone.
pub(crate) fn proof_len(classes: ClassSet) -> Result<usize> {
    Ok(rfc6962::siblings(&classes, LEAVES)?.len())
}

/// Computes the witness of a tile from the digests T of the payloads of some of its classes, ascending, and the
/// proof of these classes: the sibling nodes on their paths.
pub(crate) fn witness_from_classes(
    digests: &Digests,
    classes: ClassSet,
    payloads: &[Digest],
    proof: &[Digest],
) -> Result<Digest> {
    struct Verifier<'a> {
        digests: &'a Digests,
        payloads: std::slice::Iter<'a, Digest>,
        proof: std::slice::Iter<'a, Digest>,
    }
    impl Visitor for Verifier<'_> {
        type Node = Digest;
        fn sibling(&mut self, _: NodeId) -> Result<Digest> {
            self.proof.next().copied().ok_or_else(|| {
                AtlasError::internal(
                    "a defect of the library, please report it: the proof of a tile's classes has too few \
                     nodes",
                )
            })
        }
        fn covered(&mut self, node: NodeId) -> Result<Option<Digest>> {
            // A subtree of selected classes is walked down to its leaves, which have payloads.
            if node.level > 0 {
                return Ok(None);
            }
            // The walk meets the selected classes in ascending order, like their payloads.
            let (Some(payload), Ok(class)) = (self.payloads.next(), u8::try_from(node.index)) else {
                return Err(AtlasError::internal(
                    "a defect of the library, please report it: a class has no payload",
                ));
            };
            Ok(Some(self.digests.class_leaf(class, payload)))
        }
        fn combine(&mut self, left: Digest, right: Digest, _: bool) -> Result<Digest> {
            Ok(self.digests.class_node(&left, &right))
        }
    }
    // The caller counted both lists; a wrong count is a defect and no hostile input.
    debug_assert_eq!((to_u64(payloads.len()), proof.len()), (to_u64(classes.len()), proof_len(classes)?));
    let mut verifier = Verifier { digests, payloads: payloads.iter(), proof: proof.iter() };
    rfc6962::walk(&mut verifier, &classes, LEAVES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Vec<ClassSet> {
        let mut sets: Vec<ClassSet> = (0..96).map(|class| ClassSet::of(class).unwrap()).collect();
        let mut state = 5u128;
        for _ in 0..200 {
            state = state.wrapping_mul(0x2d99_787e_4f8b_4d6f_5851_f42d_4c95_7f2d).wrapping_add(1);
            sets.push(ClassSet(state >> 20 & ClassSet::ALL.0));
        }
        sets.extend([
            ClassSet::EMPTY,
            ClassSet::ALL,
            ClassSet(u128::from(u64::MAX)),
            ClassSet(u128::from(u32::MAX) << 64),
        ]);
        sets
    }

    #[test]
    fn any_set_of_classes_proves_the_witness() {
        let digests = Digests::new(Some(&[3; 32]));
        let payloads: [Digest; CLASSES] = std::array::from_fn(|class| [class as u8; 32]);
        let tree = ClassTree::new(&digests, &payloads).unwrap();
        for set in sets() {
            let proof = tree.prove(set).unwrap();
            let mine: Vec<Digest> = set.iter().map(|class| payloads[usize::from(class)]).collect();
            let witness = witness_from_classes(&digests, set, &mine, &proof).unwrap();
            assert_eq!(witness, tree.witness().unwrap(), "{set:?}");
            for index in 0..proof.len() {
                let mut wrong = proof.clone();
                wrong[index][7] ^= 1;
                assert_ne!(witness_from_classes(&digests, set, &mine, &wrong).unwrap(), witness);
            }
            for index in 0..mine.len() {
                let mut wrong = mine.clone();
                wrong[index][7] ^= 1;
                assert_ne!(witness_from_classes(&digests, set, &wrong, &proof).unwrap(), witness);
            }
        }
        // 96 = 64 + 32: a class proves itself with 7 nodes, or 6.
        assert_eq!(proof_len(ClassSet::of(0).unwrap()).unwrap(), 7);
        assert_eq!(proof_len(ClassSet::of(95).unwrap()).unwrap(), 6);
        assert_eq!(proof_len(ClassSet::ALL).unwrap(), 0);
    }

    #[test]
    fn masks_and_sets_are_the_same() {
        for set in sets() {
            assert_eq!(ClassSet::from_mask(set.to_mask()), set);
            assert_eq!(set.iter().count(), set.len());
            assert!(set.iter().all(|class| set.to_mask()[usize::from(class / 8)] >> (class % 8) & 1 == 1));
            assert_eq!(set.union(ClassSet::ALL.without(set)), ClassSet::ALL);
        }
        assert_eq!(ClassSet::of(96), None);
        assert!(!ClassSet::ALL.contains(96) && !ClassSet::ALL.contains(255));
    }
}
