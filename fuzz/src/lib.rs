//! Common parts of the fuzz targets: shards and containers that are forged well enough to be examined.

pub mod forge;
pub mod hostile;
pub mod targets;

use atlas_manifold::digest256;
use std::ops::Range;

/// Bytes of the digest at the end of an encoding.
pub const DIGEST: usize = 32;
/// Bytes of the header, which ends with the size of the encoding.
pub const HEADER: usize = 24;
/// Place of the region in a shard: in the section after those of the root and the domain.
const REGION: Range<usize> = {
    let start = HEADER + (16 + 32) + (16 + 24) + 16;
    start..start + 16
};

/// Size and digest that fit.
pub fn sign(mut body: Vec<u8>) -> Vec<u8> {
    if body.len() >= HEADER {
        let size = (body.len() + DIGEST) as u64;
        body[HEADER - 8..HEADER].copy_from_slice(&size.to_le_bytes());
    }
    let digest = digest256(&body);
    body.extend(digest);
    body
}

/// An edit that needs to know nothing of the format; false: `what` is none.
pub fn edit(body: &mut Vec<u8>, at: usize, what: u8, value: u8) -> bool {
    match what {
        0 => body[at] ^= value,
        1 => body[at] = value,
        2 => body.truncate(at.max(HEADER)),
        3 => body.insert(at, value),
        4 => drop(body.remove(at)),
        _ => return false,
    }
    true
}

/// Asserts that bytes accepted by a verifier come from the original. Another region over the same pages is
/// another shard, and a true one.
pub fn check_true(bytes: &[u8], original: &[u8]) {
    let end = bytes.len() - DIGEST;
    assert_eq!(bytes.len(), original.len());
    assert!(bytes[..REGION.start] == original[..REGION.start]);
    assert!(bytes[REGION.end..end] == original[REGION.end..end], "other bytes came out");
}
