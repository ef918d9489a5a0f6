//! Shape of an RFC 6962 tree, shared by the tree over tiles and by BLAKE3's own tree over the pages of a
//! tile.
//!
//! Level 0 holds the n leaves; each level pairs its nodes from the left, and an odd last node moves up
//! unchanged. That is the tree of RFC 6962 (the left subtree has the largest power of two < n of the
//! leaves), and it is BLAKE3's tree if each leaf is a power of two of BLAKE3's chunks.
//!
//! A proof for some leaves, a range of them or a set, consists of the nodes that hold no selected leaf and
//! whose parent holds one, in ascending order of position. A proof for no leaves is the top alone. The
//! selection and n alone determine these nodes, which makes the encoding of a proof unique. [`walk`] visits exactly
//! these nodes. The prover looks them up, and the verifier takes them from the proof.

#![forbid(unsafe_code)]

use crate::base::buffer::{try_push, try_vec};
use crate::base::error::Result;
use std::ops::Range;

/// A node of a tree, by its level (0: the leaves) and its index within the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId {
    pub(crate) level: u32,
    pub(crate) index: u64,
}

impl NodeId {
    /// Returns the top of a tree of `n` leaves.
    fn top(n: u64) -> NodeId {
        // The height of the tree: the binary logarithm of n, rounded up.
        NodeId { level: n.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1), index: 0 }
    }

    /// Returns the indices of the leaves under this node, in a tree of `n` leaves.
    pub(crate) fn leaves(self, n: u64) -> Range<u64> {
        // The end may exceed 2^64 before it is clamped to n.
        let clamp = |leaf: u128| u64::try_from(leaf).unwrap_or(n).min(n);
        let start = u128::from(self.index) << self.level;
        clamp(start)..clamp(start + (1u128 << self.level))
    }
}

/// Set of leaves that a proof covers, by their indices.
pub(crate) trait Selection {
    /// Returns true if one of `leaves` is selected.
    fn touches(&self, leaves: &Range<u64>) -> bool;

    /// Returns true if all of `leaves`, which are not empty, are selected.
    fn covers(&self, leaves: &Range<u64>) -> bool;
}

impl Selection for Range<u64> {
    fn touches(&self, leaves: &Range<u64>) -> bool {
        leaves.start.max(self.start) < leaves.end.min(self.end)
    }

    fn covers(&self, leaves: &Range<u64>) -> bool {
        leaves.start >= self.start && leaves.end <= self.end
    }
}

/// Supplier of the nodes of a tree, which [`walk`] calls at the nodes that it meets, in ascending order of position.
pub(crate) trait Visitor {
    type Node;

    /// Returns the value of a node of the proof: it has no selected leaf, and its parent has one.
    fn sibling(&mut self, node: NodeId) -> Result<Self::Node>;

    /// Returns the value of a node whose leaves are all selected. With `None` the walk goes down to its children; a
    /// leaf must have a value.
    fn covered(&mut self, node: NodeId) -> Result<Option<Self::Node>>;

    /// Returns the value of the parent of two nodes. `top` is true if the parent is the top of the tree.
    fn combine(&mut self, left: Self::Node, right: Self::Node, top: bool) -> Result<Self::Node>;
}

/// Computes the top of a tree of `n` > 0 leaves. `visitor` supplies the selected leaves and the siblings on their
/// paths, and combines them.
pub(crate) fn walk<V: Visitor>(visitor: &mut V, selected: &impl Selection, n: u64) -> Result<V::Node> {
    descend(visitor, selected, n, NodeId::top(n), true)
}

fn descend<V: Visitor>(
    visitor: &mut V,
    selected: &impl Selection,
    n: u64,
    node: NodeId,
    top: bool,
) -> Result<V::Node> {
    let under = node.leaves(n);
    // No selected leaf is below the node: the node itself is part of the proof.
    if !selected.touches(&under) {
        return visitor.sibling(node);
    }
    // Everything selected below: the visitor may know the node at once.
    if selected.covers(&under)
        && let Some(node) = visitor.covered(node)?
    {
        return Ok(node);
    }
    if node.level == 0 {
        return Err(crate::AtlasError::internal(format!(
            "a defect of the library, please report it: selected leaf {} was not visited",
            node.index
        )));
    }
    // Partly selected: left before right, which is the order of a proof.
    let child = |right| NodeId { level: node.level - 1, index: node.index * 2 + right };
    let left = descend(visitor, selected, n, child(0), false)?;
    if child(1).leaves(n).is_empty() {
        // The odd last node of its level moved up. `top` has two children.
        return Ok(left);
    }
    let right = descend(visitor, selected, n, child(1), false)?;
    visitor.combine(left, right, top)
}

/// Returns the nodes of the proof of the selected leaves, in ascending order of position, in a tree of `n` > 0
/// leaves.
pub(crate) fn siblings(selected: &impl Selection, n: u64) -> Result<Vec<NodeId>> {
    struct Collect(Vec<NodeId>);
    impl Visitor for Collect {
        type Node = ();
        fn sibling(&mut self, node: NodeId) -> Result<()> {
            try_push(&mut self.0, node)
        }
        fn covered(&mut self, _: NodeId) -> Result<Option<()>> {
            Ok(Some(()))
        }
        fn combine(&mut self, (): (), (): (), _: bool) -> Result<()> {
            Ok(())
        }
    }
    // The visitor stops at covered nodes, so that only siblings are collected.
    let mut collect = Collect(Vec::new());
    walk(&mut collect, selected, n)?;
    Ok(collect.0)
}

/// Returns all levels of the tree over `leaves`: the leaves first, the single top last. `combine` computes a parent
/// from its children. No leaves give no levels.
pub(crate) fn levels<T: Copy>(
    leaves: Vec<T>,
    mut combine: impl FnMut(NodeId, &T, &T) -> T,
) -> Result<Vec<Vec<T>>> {
    let mut levels = try_vec(leaves.len().min(64))?;
    let mut nodes = leaves;
    let mut level = 0;
    while nodes.len() > 1 {
        level += 1;
        let mut parents = try_vec(nodes.len().div_ceil(2))?;
        for (index, pair) in (0..).zip(nodes.chunks(2)) {
            // An odd last node moves up unchanged.
            parents.push(match pair {
                [left, right] => combine(NodeId { level, index }, left, right),
                rest => rest[0],
            });
        }
        levels.push(std::mem::replace(&mut nodes, parents));
    }
    // The top itself is the last level.
    if !nodes.is_empty() {
        levels.push(nodes);
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, recursively, over strings.
    fn reference(leaves: &[String]) -> String {
        match leaves {
            [] => String::new(),
            [one] => one.clone(),
            many => {
                let k = many.len().next_power_of_two() / 2;
                format!("({}{})", reference(&many[..k]), reference(&many[k..]))
            }
        }
    }

    struct Strings {
        leaves: Vec<String>,
        range: Range<u64>,
        asked: Vec<NodeId>,
        whole: bool,
        tops: u32,
    }

    impl Strings {
        fn under(&self, node: NodeId) -> String {
            let under = node.leaves(self.leaves.len() as u64);
            reference(&self.leaves[under.start as usize..under.end as usize])
        }
    }

    impl Visitor for Strings {
        type Node = String;
        fn sibling(&mut self, node: NodeId) -> Result<String> {
            self.asked.push(node);
            Ok(self.under(node))
        }
        fn covered(&mut self, node: NodeId) -> Result<Option<String>> {
            let under = node.leaves(self.leaves.len() as u64);
            assert!(self.range.start <= under.start && under.end <= self.range.end);
            Ok((self.whole || node.level == 0).then(|| self.under(node)))
        }
        fn combine(&mut self, left: String, right: String, top: bool) -> Result<String> {
            self.tops += u32::from(top);
            Ok(format!("({left}{right})"))
        }
    }

    #[test]
    fn every_range_of_small_trees_folds_to_the_reference() {
        for n in 1..40u64 {
            let leaves: Vec<_> = (0..n).map(|i| format!("[{i}]")).collect();
            let want = reference(&leaves);
            for start in 0..n {
                for end in start..=n {
                    for whole in [false, true] {
                        let range = start..end;
                        let mut visitor = Strings {
                            leaves: leaves.clone(),
                            range: range.clone(),
                            asked: vec![],
                            whole,
                            tops: 0,
                        };
                        assert_eq!(walk(&mut visitor, &range, n).unwrap(), want, "{range:?} of {n}");
                        assert_eq!(visitor.asked, siblings(&range, n).unwrap());
                        let all = range == (0..n) && whole;
                        assert_eq!(visitor.tops, u32::from(n > 1 && !all && !range.is_empty()));
                        let positions: Vec<_> = visitor.asked.iter().map(|p| p.leaves(n).start).collect();
                        assert!(positions.is_sorted());
                    }
                }
            }
        }
    }

    #[test]
    fn levels_agree_with_the_reference() {
        for n in 1..70u64 {
            let sums: Vec<u64> = (0..n).map(|i| i + 1).collect();
            let levels = levels(sums.clone(), |node, l, r| {
                let under = node.leaves(n);
                assert_eq!(l + r, (under.start + 1..=under.end).sum::<u64>());
                l + r
            })
            .unwrap();
            for (level, nodes) in levels.iter().enumerate() {
                for (index, node) in nodes.iter().enumerate() {
                    let under = NodeId { level: level as u32, index: index as u64 }.leaves(n);
                    assert_eq!(*node, (under.start + 1..=under.end).sum::<u64>());
                }
            }
            assert_eq!(levels.last().unwrap().len(), 1);
            assert_eq!(NodeId::top(n), NodeId { level: levels.len() as u32 - 1, index: 0 });
        }
        assert!(levels(Vec::<u64>::new(), |_, l, _| *l).unwrap().is_empty());
    }

    #[test]
    fn a_tree_of_two_to_the_forty_tiles_has_short_proofs() {
        let n = 1u64 << 40;
        assert_eq!(siblings(&(0..1), n).unwrap().len(), 40);
        assert_eq!(siblings(&(n - 1..n), n).unwrap().len(), 40);
        assert!(siblings(&(12_345..54_321), n + 1).unwrap().contains(&NodeId { level: 40, index: 1 }));
        assert_eq!(NodeId { level: 41, index: 0 }.leaves(n + 1), 0..n + 1);
        assert_eq!(siblings(&(0..u64::MAX), u64::MAX).unwrap(), vec![]);
        assert_eq!(siblings(&(0..1), u64::MAX).unwrap().len(), 64);
        assert_eq!(NodeId { level: 64, index: 0 }.leaves(u64::MAX), 0..u64::MAX);
    }
}
