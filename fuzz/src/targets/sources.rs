//! Ranges and concatenations of sources, nested: the bytes, the root and the shards of the whole.

use atlas_manifold::{AtlasProjection, Operation, ProjectionOptions, ProjectionType, Source};
use std::sync::LazyLock;

static DATA: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..40_000_usize).map(|i| (i * 31 + i / 4_093) as u8).collect());

/// Bytes of the largest whole.
const MOST: usize = 300_000;

/// Parts of a whole, at most.
const PARTS: usize = 2_000;

/// Runs one input.
pub fn run(input: &[u8]) {
    // A stack of sources, with the bytes that each must have and the number of its parts at most.
    let mut stack: Vec<(Source, Vec<u8>, usize)> = vec![(Source::copy(&DATA).unwrap(), DATA.clone(), 1)];
    for &[what, a, b] in input.as_chunks::<3>().0.iter().take(30) {
        let (source, bytes, parts) = stack.last().expect("at least one source");
        let made = match what % 3 {
            0 => {
                let (from, to) = (usize::from(a) * bytes.len() / 255, usize::from(b) * bytes.len() / 255);
                let (from, to) = (from.min(to), from.max(to));
                let range = source.range(from as u64, (to - from) as u64).expect("a range of the source");
                (range, bytes[from..to].to_vec(), *parts)
            }
            1 => {
                // The last ones, in their order.
                let count = 1 + usize::from(a) % stack.len();
                let parts = &stack[stack.len() - count..];
                let count = parts.iter().map(|part| part.2).sum();
                if parts.iter().map(|part| part.1.len()).sum::<usize>() > MOST || count > PARTS {
                    continue;
                }
                let bytes = parts.iter().map(|part| &part.1[..]).collect::<Vec<_>>().concat();
                let parts = parts.iter().map(|part| &part.0);
                (Source::concat(parts).expect("parts of a whole"), bytes, count)
            }
            _ => {
                let outside = source.range(bytes.len() as u64, 1 + u64::from(a));
                assert!(outside.is_err(), "a range outside of its source");
                continue;
            }
        };
        assert_eq!(made.0.size(), made.1.len() as u64);
        stack.push(made);
    }
    let (source, bytes, _) = stack.last().expect("at least one source");
    let (operation, options) = (&mut Operation::sequential(), ProjectionOptions::new());
    let parts = AtlasProjection::create(ProjectionType::Linear, source, &options, operation).unwrap();
    let whole = Source::copy(bytes).unwrap();
    let whole = AtlasProjection::create(ProjectionType::Linear, &whole, &options, operation).unwrap();
    assert_eq!(parts.root(operation).unwrap(), whole.root(operation).unwrap());
    let mut read = vec![0; bytes.len()];
    parts.read(0, &mut read).unwrap();
    assert!(read == *bytes, "other bytes");
}
