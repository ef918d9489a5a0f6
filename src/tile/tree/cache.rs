//! Cache of the children of nodes that lie in a container file, within a bound of memory.
//!
//! A node of the file holds its loaded children; the cache decides for how long. It examines nodes in the order in
//! which they were loaded: a node that was used since the last examination stays, any other drops its children.
//! Children in use live until they are released.

#![forbid(unsafe_code)]

use super::node::Node;
use crate::base::sync::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Cache that bounds the memory of the nodes and tiles that are loaded from a container file.
pub(crate) struct NodeCache {
    capacity: u64,
    taken: Arc<AtomicU64>,
    nodes: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    /// Nodes that have loaded children, the oldest first.
    order: VecDeque<Weak<Node>>,
    /// Index in `order` at which the search for dropped nodes continues.
    next: usize,
}

/// Number of bytes that count against a cache until this value is dropped.
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
    /// Returns a cache for at most `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> NodeCache {
        NodeCache { capacity, taken: Arc::default(), nodes: Mutex::default() }
    }

    /// Counts `bytes` of memory against the cache until the result is dropped.
    pub(crate) fn charge(&self, bytes: u64) -> Charge {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Charge { taken: Arc::clone(&self.taken), bytes }
    }

    /// Returns the number of bytes that count against the cache now.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Keeps the loaded children of `node`, and evicts children of nodes that were not used lately while the cache
    /// exceeds its capacity. Without memory for its list, drops the children of `node`.
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
            if order.try_reserve(1).is_err() {
                // The cache cannot find the node again, so that its children stay only while they are used.
                let children = node.evict();
                drop(nodes);
                drop(children);
                return;
            }
            order.push_back(Arc::downgrade(node));
            // Each node is examined at most twice, because the first examination may find that the node is in
            // use.
            let mut looks = 2 * order.len();
            // Evicted children are dropped below, and count as taken until then.
            let mut freed = 0;
            while self.taken().saturating_sub(freed) > self.capacity && looks > 0 {
                looks -= 1;
                // Without memory for the lists, the cache exceeds its capacity until the next call.
                if used.try_reserve(1).is_err() || evicted.try_reserve(1).is_err() {
                    break;
                }
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
