//! One state of a projection: its tile tree, and the digests over it once they are requested.
//!
//! A handle keeps the digests that were computed last ([`HandleCache`]). The digests of the next state
//! start from them: the two trees are walked together, and only their difference is hashed.

#![forbid(unsafe_code)]

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::sync::lock;
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, hex, same};
use crate::hash::tile_tree::{self, Leaf, Merkle, RootHeader, Sibling};
use crate::tile::context::Context;
use crate::tile::rehash;
use crate::tile::tree::{Reclaimer, TileAt, Tree, TreeDiff};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

/// Last computed digests of a projection handle, and its queue of dropped trees. Shared by the states of the
/// handle; a snapshot gets its own.
#[derive(Default)]
pub(crate) struct HandleCache {
    pub(crate) reclaimer: Reclaimer,
    /// The digests that were computed last, from which those of the next state are computed.
    latest: Mutex<Option<Latest>>,
    /// True if the states came from a container file: their digests are then in the nodes of their trees, if the
    /// root follows from the top nodes.
    is_stored: bool,
}

impl HandleCache {
    /// Returns the caches of a handle whose states come from a container file.
    pub(crate) fn of_stored() -> HandleCache {
        HandleCache { is_stored: true, ..HandleCache::default() }
    }
}

#[derive(Clone)]
struct Latest {
    tree: Tree,
    merkle: Arc<Merkle>,
    /// Number of calls in a row that found the projection with another tree than this.
    idle: u32,
}

/// Number of calls on other states after which the cached digests are dropped, and the next root is computed from
/// scratch. Until then the state that was hashed last stays in memory.
const IDLE_CALLS: u32 = 256;

impl HandleCache {
    /// Does the housekeeping of every call: expires the cached digests, and frees dropped states for about `budget`
    /// nanoseconds. `present` is the projection's tree. The caller must hold no lock.
    pub(crate) fn tidy(&self, present: &Tree, budget: u64) {
        // A call on the state that has these digests starts the count again.
        self.forget_latest(|latest| {
            latest.idle = if latest.tree.is(present) { 0 } else { latest.idle + 1 };
            latest.idle > IDLE_CALLS
        });
        self.reclaimer.free(budget);
    }

    /// Frees at once all memory of the handle that is not part of the tree `present`.
    pub(crate) fn clear(&self, present: &Tree) {
        self.forget_latest(|latest| !latest.tree.is(present));
        // Everything is freed at once, because the caller asks for the memory.
        self.reclaimer.free(u64::MAX);
    }

    fn forget_latest(&self, forget: impl FnOnce(&mut Latest) -> bool) {
        // The tree goes to the queue, because dropping it at once could take long.
        let latest = lock(&self.latest).take_if(forget);
        self.reclaimer.put(latest.map(|latest| latest.tree));
    }
}

/// One state of a projection: tiles and their digests, computed on demand for an edited state. Immutable.
pub(crate) struct State {
    pub(crate) context: Arc<Context>,
    pub(crate) cache: Arc<HandleCache>,
    pub(crate) tree: Tree,
    merkle: OnceLock<Arc<Merkle>>,
    /// The root, once it is known. It may be known before the other digests.
    root: OnceLock<Digest>,
    /// The root that a container states, if it is still to be compared with the computed root.
    claim: Option<Digest>,
}

/// The digests between the tiles of a state and its root.
pub(crate) enum Levels<'s> {
    /// Digests of all levels of the tree under the root, in arrays.
    Flat(&'s Merkle),
    /// Digests in the nodes of the state's tile tree, and the root.
    Nodes(&'s State, Digest),
}

impl Levels<'_> {
    pub(crate) fn root(&self) -> &Digest {
        match self {
            Levels::Flat(merkle) => merkle.root(),
            Levels::Nodes(_, root) => root,
        }
    }

    /// Returns the proof of the tiles `range`: the sibling nodes, ascending. An empty range is proved by the top
    /// alone.
    pub(crate) fn prove(&self, range: &Range<u64>) -> Result<Vec<Sibling>> {
        match self {
            Levels::Flat(merkle) => merkle.prove(range),
            Levels::Nodes(state, _) => state.tree.prove(state.context.scheme.digests(), range),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Later calls free the tree, a little at a time.
        self.cache.reclaimer.put([std::mem::take(&mut self.tree)]);
    }
}

impl State {
    /// Returns the first state of a projection, with all its digests. Every tile must have its witness.
    pub(crate) fn new(context: Arc<Context>, tree: Tree) -> Result<State> {
        let state = State::restore(context, Arc::default(), tree, None);
        // The tiles were just hashed, so that only the nodes above them are missing.
        let merkle = state.keep_latest(state.new_merkle()?);
        state.root.get_or_init(|| *merkle.root());
        state.merkle.get_or_init(|| merkle);
        Ok(state)
    }

    /// Returns a state of a tree whose digests are not computed yet, with its root if it is known. The digests are
    /// computed on demand.
    pub(crate) fn restore(
        context: Arc<Context>,
        cache: Arc<HandleCache>,
        tree: Tree,
        root: Option<Digest>,
    ) -> State {
        let root = root.map_or_else(OnceLock::new, OnceLock::from);
        State { context, cache, tree, merkle: OnceLock::new(), root, claim: None }
    }

    /// Returns a state from a container file that states the root `root`. The root is accepted if the digest of the
    /// tree's top node leads to it, and otherwise compared when the root is first needed.
    pub(crate) fn stored(context: Arc<Context>, tree: Tree, root: Digest) -> State {
        // The nodes of an irregular tree do not lead to the root.
        let regular = tree.is_regular();
        let cache = Arc::new(HandleCache::of_stored());
        let mut state = State::restore(context, cache, tree, regular.then_some(root));
        state.claim = (!regular).then_some(root);
        state
    }

    /// Returns a state of `tree` for the same handle, with its root if it is known.
    pub(crate) fn successor(&self, tree: Tree, root: Option<Digest>) -> State {
        State::restore(Arc::clone(&self.context), Arc::clone(&self.cache), tree, root)
    }

    /// Returns a copy of the state for another handle, with caches of its own.
    pub(super) fn snapshot(&self) -> State {
        // The new handle starts with the cached digests, and its own clean-up queue.
        let latest = lock(&self.cache.latest).clone();
        let is_stored = self.cache.is_stored;
        let cache = Arc::new(HandleCache { latest: Mutex::new(latest), is_stored, ..HandleCache::default() });
        let mut state =
            State::restore(Arc::clone(&self.context), cache, self.tree.clone(), self.known_root());
        // The new handle compares the file's claim when it computes the digests. If it takes them over
        // from this handle (below), they were compared already.
        state.claim = self.claim;
        if let Some(merkle) = self.merkle.get() {
            state.merkle.get_or_init(|| Arc::clone(merkle));
            // Another thread may have computed both since the root was read.
            state.root.get_or_init(|| *merkle.root());
        }
        state
    }

    /// Returns the root if it is known already. Computes nothing.
    pub(crate) fn known_root(&self) -> Option<Digest> {
        self.root.get().copied()
    }

    /// Returns the digests of all levels of the tree under the root. The first call after an edit hashes the edited
    /// tiles, reports no progress of its own, and fails with WITNESS if their source changed.
    pub(crate) fn merkle(&self, operation: &mut Operation<'_>) -> Result<&Merkle> {
        self.merkle_beside(operation, 0)
    }

    /// Returns the digests like [`merkle`](Self::merkle). `beside` bytes already count against the memory limit.
    pub(crate) fn merkle_beside(&self, operation: &mut Operation<'_>, beside: u64) -> Result<&Merkle> {
        Ok(self.merkle_reporting(operation, beside, false)?.0)
    }

    /// Returns the digests between tiles and root, in arrays or in the nodes of the tree, and the memory of arrays that
    /// were made for them and stay. `beside` bytes already count against the memory limit.
    pub(crate) fn levels(&self, operation: &mut Operation<'_>, beside: u64) -> Result<(Levels<'_>, u64)> {
        // No flat arrays are made for a tree from a file: its nodes have the digests.
        if self.leads_to_root() {
            return Ok((Levels::Nodes(self, self.hash_nodes(operation, beside, false)?), 0));
        }
        let (merkle, made) = self.merkle_reporting(operation, beside, false)?;
        Ok((Levels::Flat(merkle), made))
    }

    /// Returns the memory of the digests that [`prove`](Self::prove) makes and keeps.
    pub(crate) fn made_by_proof(&self) -> u64 {
        let makes = self.claim.is_some() && self.merkle.get().is_none();
        if makes { self.tree.tiles().saturating_mul(tile_tree::FOOTPRINT) } else { 0 }
    }

    /// Returns the root. Hashes the edited tiles first, with progress once per tile. `beside` bytes already count
    /// against the memory limit.
    pub(crate) fn hash(&self, operation: &mut Operation<'_>, beside: u64) -> Result<Digest> {
        // A pool from before a fork is refused, whether or not anything is left to do.
        operation.executor.check()?;
        if let Some(root) = self.root.get() {
            // Nothing is left to do. The progress still gets its last report.
            operation.tracker(0, 0).finish()?;
            return Ok(*root);
        }
        if self.leads_to_root() {
            return self.hash_nodes(operation, beside, true);
        }
        Ok(*self.merkle_reporting(operation, beside, true)?.0.root())
    }

    /// Returns the root. Rehashing reports no progress of its own, so that the caller can report its later
    /// work; it only allows cancellation.
    pub(crate) fn root_before(&self, operation: &mut Operation<'_>) -> Result<Digest> {
        operation.executor.check()?;
        match self.root.get() {
            Some(root) => Ok(*root),
            None => Ok(*self.levels(operation, 0)?.0.root()),
        }
    }

    /// Fails with WITNESS if the root that a container file states is not that of its tiles. Compares nothing if
    /// the root follows from the digest of the tree's top node.
    pub(crate) fn prove(&self, operation: &mut Operation<'_>) -> Result<()> {
        // The claim is compared as soon as the digests are computed.
        if self.claim.is_some() {
            self.merkle(operation)?;
        }
        Ok(())
    }

    /// Returns true if the tree came from a container file and the root follows from the digest of its top node.
    fn leads_to_root(&self) -> bool {
        self.cache.is_stored && self.merkle.get().is_none() && self.tree.is_regular()
    }

    /// Computes the root from the digests in the nodes of the tree. Only edited tiles and nodes are hashed.
    /// `report` is true for progress once per tile.
    fn hash_nodes(&self, operation: &mut Operation<'_>, beside: u64, report: bool) -> Result<Digest> {
        operation.executor.check()?;
        if let Some(root) = self.root.get() {
            return Ok(*root);
        }
        // Stored tiles have their witnesses, so that only edited tiles are hashed.
        rehash::unhashed(&self.context, &self.tree, operation, beside, report)?;
        let digests = self.context.scheme.digests();
        let root = self.root_header().root(digests, &self.tree.top(digests)?);
        Ok(*self.root.get_or_init(|| root))
    }

    /// Returns the digests, and the memory of arrays that were made for them and stay.
    fn merkle_reporting(
        &self,
        operation: &mut Operation<'_>,
        beside: u64,
        report: bool,
    ) -> Result<(&Merkle, u64)> {
        if let Some(merkle) = self.merkle.get() {
            return Ok((merkle, 0));
        }
        operation.executor.check()?;
        let (merkle, made) = self.compute_merkle(operation, beside, report)?;
        // A claim of a file is compared before the digests are published.
        if self.claim.is_some_and(|claim| !same(&claim, merkle.root())) {
            return Err(AtlasError::witness(format!(
                "the tiles have the root {}, and the container states {}: it is damaged, and find_damage \
                 lists where",
                hex(merkle.root()),
                hex(&self.claim.unwrap_or_default())
            )));
        }
        // Threads that compute the digests at the same time find the same digests.
        let merkle = self.merkle.get_or_init(|| merkle);
        self.root.get_or_init(|| *merkle.root());
        Ok((merkle, made))
    }

    fn compute_merkle(
        &self,
        operation: &mut Operation<'_>,
        beside: u64,
        report: bool,
    ) -> Result<(Arc<Merkle>, u64)> {
        // With cached digests only the difference of the two trees is hashed.
        let count = self.tree.tiles();
        let latest = lock(&self.cache.latest).clone();
        // Lists of tiles and of their leaves, and of the nodes above them.
        let listed = |tiles: u64| {
            let leaves = size_of::<(u64, Leaf)>() + 4 * size_of::<usize>();
            rehash::listed(tiles).saturating_add(tiles.saturating_mul(to_u64(leaves)))
        };
        let reserve = |tiles| operation.reserve(beside.saturating_add(listed(tiles)));
        // The walk skips the parts that both trees share.
        let difference = match &latest {
            Some(latest) => Some(self.tree.difference(&latest.tree, reserve)?),
            None => None,
        };
        let unhashed;
        let tiles = match &difference {
            Some(difference) => difference.tiles(),
            None => {
                unhashed = self.tree.unhashed(reserve)?;
                &unhashed
            }
        };
        // The digests are changed in place if no other state has them: then only the handle and this call
        // hold them.
        let in_place = latest.as_ref().is_some_and(|latest| Arc::strong_count(&latest.merkle) <= 2);
        let digests = count.saturating_mul(tile_tree::FOOTPRINT);
        let mut made = if in_place { 0 } else { digests };
        let mut taken = listed(to_u64(tiles.len()));
        // A change of the tile count also needs memory for the moved part of the arrays, which grow to twice their size.
        if let Some(TreeDiff::Spliced { before, .. }) = &difference {
            made += digests;
            taken += (count - before) * 8 + digests;
        }
        taken += made;
        // The witnesses of edited tiles first; they are the long part of the work.
        rehash::witnesses(&self.context, tiles, operation, beside + taken, report)?;
        let merkle = match (latest, difference) {
            (Some(latest), Some(difference)) => self.next_merkle(latest, &difference)?,
            _ => self.new_merkle()?,
        };
        Ok((self.keep_latest(merkle), made))
    }

    /// Returns the digests of this state, made from the cached digests by hashing the leaves of the tiles in
    /// `difference` and the nodes above them. `copy` is a clone of the cache entry whose tree the difference was
    /// computed from.
    fn next_merkle(&self, copy: Latest, difference: &TreeDiff) -> Result<Merkle> {
        // The entry is taken out during the work, so that no thread waits for it.
        let taken = lock(&self.cache.latest).take_if(|now| now.tree.is(&copy.tree));
        // The copy is dropped, so that the entry may be the only holder of its digests.
        self.cache.reclaimer.put([copy.tree]);
        drop(copy.merkle);
        // Another thread replaced the cache entry: start from scratch.
        let Some(Latest { tree, merkle, .. }) = taken else { return self.new_merkle() };
        self.cache.reclaimer.put([tree]);
        // If other states hold the digests, this state changes a copy.
        let mut merkle = Arc::try_unwrap(merkle).or_else(|shared| shared.try_clone())?;
        let mut leaves = try_vec(difference.tiles().len())?;
        for at in difference.tiles() {
            leaves.push((at.index.0, leaf(at)?));
        }
        let digests = self.context.scheme.digests();
        // An edit in place keeps the shape, an insertion or deletion moves the tiles after it.
        match difference {
            TreeDiff::Replaced(_) => merkle.replace(digests, &leaves)?,
            TreeDiff::Spliced { before, removed, .. } => {
                merkle.splice(digests, (to_usize(*before), to_usize(*removed)), &leaves)?;
            }
        }
        Ok(merkle)
    }

    fn keep_latest(&self, merkle: Merkle) -> Arc<Merkle> {
        let merkle = Arc::new(merkle);
        let latest = Latest { tree: self.tree.clone(), merkle: Arc::clone(&merkle), idle: 0 };
        // The entry may belong to another state of the handle; the last computed digests stay.
        let before = lock(&self.cache.latest).replace(latest);
        self.cache.reclaimer.put(before.map(|latest| latest.tree));
        merkle
    }

    fn new_merkle(&self) -> Result<Merkle> {
        // One by one, because a list of all leaves would be memory outside of every limit.
        let mut failed = None;
        let leaf = |at: Result<TileAt>| at.and_then(|at| leaf(&at));
        // An error of loading ends the leaves early, and is returned in place of the digests.
        let leaves = self.tree.iter().map_while(|at| leaf(at).map_err(|error| failed = Some(error)).ok());
        let scheme = &self.context.scheme;
        let merkle = Merkle::new(scheme.digests(), scheme.root_kind(), self.tree.tiles(), leaves)?;
        failed.map_or(Ok(merkle), Err)
    }

    /// Returns the contents of this state's root besides the tree: type, K, domain size and tile count.
    pub(crate) fn root_header(&self) -> RootHeader {
        self.context.scheme.root_kind().header(self.tree.bytes(), self.tree.tiles())
    }
}

/// Returns the length, the residue and the witness of a tile, to which the root commits.
pub(crate) fn leaf(at: &TileAt) -> Result<Leaf> {
    let witness = *at.tile.witness().ok_or_else(|| {
        AtlasError::internal("a defect of the library, please report it: a tile has no witness")
    })?;
    // A tile has at most 1 MiB.
    let len = u32::try_from(at.tile.len()).unwrap_or(u32::MAX);
    Ok(Leaf { len, residue: at.tile.residue(), witness })
}
