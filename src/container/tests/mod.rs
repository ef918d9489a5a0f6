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

/// Writes a line for the reader of a test's output.
fn tell(line: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).unwrap();
}

/// The bytes of a projection, each checked.
fn bytes_of(projection: &AtlasProjection) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(projection.info().domain_size).unwrap()];
    projection.read(0, &mut bytes)?;
    Ok(bytes)
}
