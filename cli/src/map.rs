//! A picture of a file in characters that shows its good and bad parts.

use crate::context::{Colour, Ctx};
use crate::damage::Bad;
use crate::units::human;
use atlas_manifold::TILE_SIZE;

/// Number of cells per line of the picture.
const COLUMNS: u64 = 64;
/// Maximum number of lines of the picture.
const LINES: u64 = 8;

/// State of the ranges that the picture marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Bad,
    Repaired,
}

/// Returns the lines of a picture of a file of `size` bytes, in which each cell stands for a part of the same
/// size. A cell is marked if one of `ranges` lies in its part.
pub(crate) fn draw(ctx: &Ctx, size: u64, ranges: &[Bad], fate: Fate) -> Vec<String> {
    if size == 0 {
        return Vec::new();
    }
    // A cell stands for 2^n tiles, or, in a small file, for 2^n parts of 16 KiB.
    let mut cell = if size <= COLUMNS * 16_384 { 16_384 } else { TILE_SIZE as u64 };
    while size.div_ceil(cell) > COLUMNS * LINES {
        cell *= 2;
    }
    let cells = size.div_ceil(cell);
    let (sign, colour, word) = match fate {
        Fate::Bad => ("█", Colour::Bad, "bad"),
        Fate::Repaired => ("▓", Colour::Note, "repaired"),
    };
    let mut lines = Vec::new();
    let mut at = 0;
    let mut next = 0;
    while at < cells {
        let mut line = "  ".to_owned();
        for index in at..cells.min(at + COLUMNS) {
            let (start, end) = (index * cell, (index * cell).saturating_add(cell));
            while ranges.get(next).is_some_and(|bad| bad.end() <= start) {
                next += 1;
            }
            let is_marked = ranges.get(next).is_some_and(|bad| bad.offset < end);
            line += &if is_marked { ctx.coloured(colour, sign) } else { ctx.coloured(Colour::Good, "░") };
        }
        lines.push(line);
        at += COLUMNS;
    }
    lines.push(format!(
        "  {} good  {} {word}  each {}",
        ctx.coloured(Colour::Good, "░"),
        ctx.coloured(colour, sign),
        human(cell)
    ));
    lines
}
