//! Tests of containers.

mod changing;
mod crash;
mod device;
mod failing;
mod golden;
mod import;
mod merge;
mod places;
mod sparse;

use super::*;

/// The bytes of a projection, each checked.
fn bytes_of(projection: &AtlasProjection) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(projection.info().domain_size).unwrap()];
    projection.read(0, &mut bytes)?;
    Ok(bytes)
}
