//! Sets of numbers as disjoint ranges, for example the bytes that are present; their gaps; and ranges divided into
//! steps.

#![forbid(unsafe_code)]

use super::buffer::try_grow;
use super::error::Result;
use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers, stored as disjoint ranges. Ranges that touch are merged.
#[derive(Default)]
pub(crate) struct Ranges {
    /// End of each range, by its start.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Iterates over the parts of `range` that are not in the set, ascending.
    pub(crate) fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = range.start;
        // A range that begins earlier may cover the beginning.
        if let Some((_, &end)) = self.ends.range(..=at).next_back() {
            at = at.max(end);
        }
        // A gap ends at the next range of the set, and the last gap at the end of `range`.
        let ranges = self.ends.range(at..).map(|(start, end)| (*start, *end));
        let ranges = ranges.take_while(move |(start, _)| *start < range.end);
        ranges.chain(std::iter::once((range.end, range.end))).filter_map(move |(start, end)| {
            // `at` is the first number that is not known to be in the set.
            let gap = at..start;
            at = end;
            (!gap.is_empty()).then_some(gap)
        })
    }

    /// Adds the numbers of `range`. Some of them may be in the set already.
    pub(crate) fn add(&mut self, range: Range<u64>) {
        let mut rest = range;
        // Only the gaps are new, and they overlap nothing. A list of them could need much memory.
        loop {
            let Some(gap) = self.gaps(rest.clone()).next() else { return };
            rest.start = gap.end;
            self.insert(gap);
        }
    }

    /// Returns the number of disjoint ranges of the set.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Iterates over the disjoint ranges of the set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ends.iter().map(|(start, end)| *start..*end)
    }

    /// Returns the range of the set that contains `at`, as long as possible. `None` if `at` is not in the set.
    pub(crate) fn around(&self, at: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.ends.range(..=at).next_back()?;
        // The last range that begins at or before `at` may end before it.
        (at < end).then_some(start..end)
    }

    /// Adds a range that has no number in common with the set.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        if start == end {
            return;
        }
        // Merge with the neighbours on both sides.
        if let Some((&before, &touching)) = self.ends.range(..=start).next_back()
            && touching >= start
        {
            start = before;
            end = end.max(touching);
        }
        if let Some(after) = self.ends.remove(&end) {
            end = after;
        }
        self.ends.insert(start, end);
    }
}

/// Ascending disjoint ranges, each divided into steps of one length and a shorter last step. The steps are
/// numbered from 0 across all ranges.
pub(crate) struct Steps {
    /// Each range, with the number of steps in the ranges before it.
    runs: Vec<(u64, Range<u64>)>,
    step: u64,
    len: u64,
}

impl Steps {
    /// Divides each of the ascending disjoint `ranges` by itself into steps of length `step`, of which the last may be
    /// shorter. `step` must not be 0. Fails with OUT_OF_MEMORY.
    pub(crate) fn new(ranges: impl IntoIterator<Item = Range<u64>>, step: u64) -> Result<Steps> {
        let (mut runs, mut len) = (Vec::new(), 0);
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            // The last step of a range may be shorter.
            let count = (range.end - range.start).div_ceil(step);
            try_grow(&mut runs, 1)?;
            runs.push((len, range));
            len += count;
        }
        Ok(Steps { runs, step, len })
    }

    /// Returns the number of steps of all ranges.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the range of step `n`, which must be less than the number of steps.
    pub(crate) fn nth(&self, n: u64) -> Range<u64> {
        // The run of step n is the last that begins at or before it.
        let run = self.runs.partition_point(|(before, _)| *before <= n).saturating_sub(1);
        let Some((before, range)) = self.runs.get(run) else { return 0..0 };
        let start = range.start + (n - before) * self.step;
        start..start.saturating_add(self.step).min(range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runs of `false` in a part of the model.
    fn gaps_of(model: &[bool], part: Range<usize>) -> Vec<Range<u64>> {
        let mut gaps: Vec<Range<u64>> = Vec::new();
        for at in part.filter(|at| !model[*at]) {
            let at = at as u64;
            match gaps.last_mut() {
                Some(gap) if gap.end == at => gap.end += 1,
                _ => gaps.push(at..at + 1),
            }
        }
        gaps
    }

    #[test]
    fn gaps_are_those_of_a_plain_model() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let (mut ranges, mut model) = (Ranges::default(), [false; 64]);
            for _ in 0..20 {
                let mut ends = [random(65), random(65)];
                ends.sort_unstable();
                let part = ends[0] as usize..ends[1] as usize;
                let mut gaps: Vec<_> = ranges.gaps(ends[0]..ends[1]).collect();
                assert_eq!(gaps, gaps_of(&model, part.clone()));
                // Some of them, in any order.
                if random(2) == 0 {
                    gaps.reverse();
                }
                gaps.truncate(1 + random(3) as usize);
                for gap in gaps {
                    model[gap.start as usize..gap.end as usize].fill(true);
                    ranges.insert(gap);
                }
                assert!(ranges.gaps(0..64).eq(gaps_of(&model, 0..64)));
                let list: Vec<_> = ranges.ends.iter().collect();
                assert!(list.windows(2).all(|pair| pair[0].1 < pair[1].0), "merged: {list:?}");
                let at = random(64);
                let around = ranges.around(at);
                assert_eq!(around.is_some(), model[at as usize], "{at}");
                if let Some(around) = around {
                    assert!(around.clone().all(|at| model[at as usize]), "{around:?}");
                    assert!(model.get(around.end as usize) != Some(&true));
                }
                let more = random(60)..random(4) + 60;
                model[more.start as usize..more.end as usize].fill(true);
                ranges.add(more);
                assert!(ranges.gaps(0..64).eq(gaps_of(&model, 0..64)));
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_line_are_numbers_too() {
        let mut ranges = Ranges::default();
        ranges.insert(5..5);
        assert!(ranges.gaps(0..u64::MAX).eq(std::iter::once(0..u64::MAX)));
        ranges.insert(u64::MAX - 1..u64::MAX);
        ranges.insert(0..1);
        assert!(ranges.gaps(0..u64::MAX).eq(std::iter::once(1..u64::MAX - 1)));
        ranges.insert(1..u64::MAX - 1);
        assert!(ranges.gaps(0..u64::MAX).next().is_none() && ranges.gaps(7..7).next().is_none());
        assert_eq!(ranges.ends.len(), 1);
    }

    #[test]
    fn steps_come_in_order_and_end_where_their_range_does() {
        let ranges = [3..5, 7..7, 9..10, 20..27];
        let steps = |step| {
            let steps = Steps::new(ranges.clone(), step).unwrap();
            (0..steps.len()).map(|n| steps.nth(n)).collect::<Vec<_>>()
        };
        assert!(steps(1).into_iter().flatten().eq(ranges.iter().cloned().flatten()));
        assert_eq!(steps(1).len(), 10);
        assert_eq!(steps(3), [3..5, 9..10, 20..23, 23..26, 26..27]);
        assert_eq!(steps(100), [3..5, 9..10, 20..27]);
        assert_eq!(Steps::new([], 1).unwrap().len(), 0);
    }
}
