//! Digests, the trees over them, and the frame of serialised shards.
//!
//! ```text
//! key          keys that are wiped when they are dropped
//! digest       T of bytes and N of nodes
//! rfc6962      the shape of all trees, and walks over it
//! outboard     BLAKE3's own tree inside a tile      pages → witness
//! class_tree   the tree over the 96 classes of a tile        → witness
//! tile_tree    the tree over the tiles of a projection       → root
//! scattered    the same root, from pieces in any order
//! record       the frame of serialised shards: header, records, digest
//! ```

pub(crate) mod class_tree;
pub(crate) mod digest;
pub(crate) mod key;
pub(crate) mod outboard;
pub(crate) mod record;
pub(crate) mod rfc6962;
pub(crate) mod scattered;
pub(crate) mod tile_tree;
