//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod forget;
pub(crate) mod hash;
pub(crate) mod info;
pub(crate) mod insert;
pub(crate) mod join;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod pack;
pub(crate) mod relocate;
pub(crate) mod repair;
pub(crate) mod replace;
pub(crate) mod rollback;
pub(crate) mod seal;
pub(crate) mod shard;
pub(crate) mod split;
pub(crate) mod unpack;
pub(crate) mod update;
pub(crate) mod verify;
