//! Proofs of tiles against the root. The root commits to an RFC 6962 tree over the tiles, whose nodes are
//! computed from the nodes of the tile tree.

use super::Tree;
use super::node::{Children, ChildrenRef};
use crate::base::error::{AtlasError, Result};
use crate::hash::digest::Digests;
use crate::hash::rfc6962;
use crate::hash::tile_tree::{Sibling, fold};
use std::ops::Range;

impl Tree {
    /// Returns the proof of the tiles `range` against the root: the sibling nodes, ascending. The tree must be
    /// regular ([`Tree::is_regular`]) and all its tiles have witnesses. Walks the path to each sibling.
    pub(crate) fn prove(&self, digests: &Digests, range: &Range<u64>) -> Result<Vec<Sibling>> {
        let n = self.tiles();
        if n == 0 {
            return Ok(Vec::new());
        }
        let places = rfc6962::siblings(range, n)?;
        places.into_iter().map(|node| self.subtree(digests, &node.leaves(n))).collect()
    }

    /// Computes the node of the RFC 6962 tree that covers exactly the tiles `leaves`. Fails with INTERNAL if there
    /// is none.
    fn subtree(&self, digests: &Digests, leaves: &Range<u64>) -> Result<Sibling> {
        let Some(root) = &self.root else { return Err(not_a_node(leaves)) };
        // If all tiles are covered, the top node has the digest.
        if *leaves == (0..root.tiles()) {
            return Ok(Sibling { bytes: root.bytes(), digest: root.top(digests)? });
        }
        let (mut children, mut before): (ChildrenRef<'_>, u64) = (root.children()?, 0);
        loop {
            // Find the children that the node covers, or the child that contains the node.
            let (mut first, mut start) = (0, before);
            while first < children.len() && start + children.measure(first).1 <= leaves.start {
                start += children.measure(first).1;
                first += 1;
            }
            // Children are added until they cover the range.
            let (mut last, mut end) = (first, start);
            while last < children.len() && end < leaves.end {
                end += children.measure(last).1;
                last += 1;
            }
            // The tree is regular, so that whole children fold to the node of RFC 6962 over them.
            if start == leaves.start && end == leaves.end {
                let mut items = children.items(digests)?;
                items.truncate(last);
                items.drain(..first);
                let (bytes, digest) = fold(digests, items);
                return Ok(Sibling { bytes, digest });
            }
            // Otherwise the range must lie within a single child.
            if last - first != 1 || !matches!(&*children, Children::Nodes(_)) {
                return Err(not_a_node(leaves));
            }
            (children, before) = (children.below(first)?, start);
        }
    }
}

#[cold]
fn not_a_node(leaves: &Range<u64>) -> AtlasError {
    AtlasError::internal(format!(
        "a defect of the library, please report it: no node of the tree covers tiles {leaves:?}"
    ))
}
