//! Test data of the benchmark suite: the same on every machine and in every run.

use crate::base::buffer::Buffer;
use crate::base::error::Result;
use crate::base::split_mix::SplitMix64;

/// Maximum number of consecutive bytes of one kind of test data.
const SECTION: usize = 256 * 1024;

/// Returns `len` bytes: floating-point numbers, text, samples of 16 bits and noise in turn, so that some
/// data is compressible and some is not.
pub(super) fn generate(len: usize) -> Result<Buffer> {
    let mut buffer = Buffer::new(len)?;
    // The seed is fixed, so that the bytes are the same on every machine.
    let mut noise = SplitMix64(7);
    // Sections shrink with the domain, so that a small domain has all four kinds too.
    let section = (len / 4).clamp(1, SECTION);
    for (index, part) in buffer.chunks_mut(section).enumerate() {
        // The four kinds alternate by section.
        match index % 4 {
            0 => fill(part, |i: u32| {
                let (i, wave) = (f64::from(i), f64::from(i % 1_009));
                (1_000.0 + i / 8.0 + wave * wave / 3.0).to_le_bytes()
            }),
            1 => words(part, &mut noise),
            2 => fill(part, |i: u32| {
                let [low, high, ..] = (i.wrapping_mul(37) % 4_801 + i / 64 % 97).to_le_bytes();
                [low, high]
            }),
            _ => fill(part, |_| noise.next().to_le_bytes()),
        }
    }
    Ok(buffer)
}

fn fill<const N: usize>(part: &mut [u8], mut value: impl FnMut(u32) -> [u8; N]) {
    for (i, target) in (0..).zip(part.chunks_mut(N)) {
        // The last value may be cut.
        target.copy_from_slice(&value(i)[..target.len()]);
    }
}

fn words(part: &mut [u8], noise: &mut SplitMix64) {
    const WORDS: [&[u8]; 8] =
        [b"tile ", b"witness ", b"residue ", b"shard ", b"of ", b"the ", b"domain, ", b"root.\n"];
    let (mut rest, mut at) = (part, noise.next());
    while !rest.is_empty() {
        let [choice, ..] = at.to_le_bytes();
        let word = WORDS[usize::from(choice % 8)];
        // The last word may be cut.
        let (now, later) = rest.split_at_mut(word.len().min(rest.len()));
        now.copy_from_slice(&word[..now.len()]);
        (rest, at) = (later, noise.next());
    }
}
