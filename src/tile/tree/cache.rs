//! The loaded children of stored nodes, within a bound.
//!
//! A stored node holds its loaded children; the cache decides for how long. It examines nodes in the order in
//! which they were loaded: a node that was used since the last examination stays, any other drops its children.
//! Children in use live until they are released.

#![forbid(unsafe_code)]

use super::node::Node;
use crate::base::sync::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Bound for the memory of loaded nodes of a file.
pub(crate) struct NodeCache {
    capacity: u64,
    taken: Arc<AtomicU64>,
    nodes: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    /// Nodes that have loaded children, the oldest first.
    order: VecDeque<Weak<Node>>,
    /// Index at which the search for dropped nodes continues.
    next: usize,
}

/// Memory that counts against a cache until this value is dropped.
pub(crate) struct Charge {
    taken: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Relaxed, because the number is only a count.
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl NodeCache {
    /// Returns a cache of `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> NodeCache {
        NodeCache { capacity, taken: Arc::default(), nodes: Mutex::default() }
    }

    /// Counts `bytes` of memory until the result is dropped.
    pub(crate) fn charge(&self, bytes: u64) -> Charge {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Charge { taken: Arc::clone(&self.taken), bytes }
    }

    /// Returns the number of bytes charged now.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Keeps the loaded children of `node`, and evicts the children of other nodes if there are too many.
    pub(super) fn keep(&self, node: &Arc<Node>) {
        let (mut evicted, mut used) = (Vec::new(), Vec::new());
        {
            let mut nodes = lock(&self.nodes);
            let Loaded { order, next } = &mut *nodes;
            // Two nodes are examined for each new node, so that dropped nodes do not add up.
            for _ in 0..2 {
                match order.get(*next) {
                    Some(node) if node.strong_count() == 0 => drop(order.swap_remove_back(*next)),
                    Some(_) => *next += 1,
                    None => *next = 0,
                }
            }
            order.push_back(Arc::downgrade(node));
            // Each node is examined at most twice, because the first examination may find that the node is in
            // use.
            let mut looks = 2 * order.len();
            // Evicted children are dropped below, and count as taken until then.
            let mut freed = 0;
            while self.taken().saturating_sub(freed) > self.capacity && looks > 0 {
                looks -= 1;
                let Some(oldest) = order.pop_front() else { break };
                let Some(node) = oldest.upgrade() else { continue };
                if node.was_used() {
                    // A node that was used since the last examination stays, and is examined again after all
                    // other nodes.
                    order.push_back(oldest);
                    used.push(node);
                } else if let Some(children) = node.evict() {
                    freed += children.charged();
                    evicted.push((node, children));
                }
            }
        }
        // Dropped with no lock held, because these may be the last references to many more nodes below.
        drop((evicted, used));
    }
}
