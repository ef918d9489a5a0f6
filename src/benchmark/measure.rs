//! Measurement of the benchmark's cases: warm-up, iterations within a time limit, and statistics of their
//! times.

use crate::base::error::{AtlasError, Result};

/// A clock: returns nanoseconds since a fixed moment, never decreasing.
pub(super) type Clock<'c> = dyn Fn() -> u64 + 'c;

/// One iteration of a case. The timed work runs inside [`Stopwatch::time`], its preparation and undoing
/// outside.
pub(super) type Iteration<'d> = Box<dyn FnMut(&mut Stopwatch<'_>) -> Result<()> + 'd>;

/// Adds up the times of the measured parts of an iteration.
pub(super) struct Stopwatch<'c> {
    clock: &'c Clock<'c>,
    nanoseconds: u64,
}

impl Stopwatch<'_> {
    /// Runs `action`, adds its time, and returns its result. The caller drops the result outside of that time.
    pub(super) fn time<R>(&mut self, action: impl FnOnce() -> R) -> R {
        let start = (self.clock)();
        // The result is kept opaque, so that the work is not optimised away.
        let result = std::hint::black_box(action());
        self.nanoseconds += (self.clock)().saturating_sub(start);
        result
    }

    /// Runs `action` several times and adds the mean time of one run. For actions that are hardly longer
    /// than reading the clock.
    pub(super) fn time_one_of(&mut self, times: u32, mut action: impl FnMut() -> Result<()>) -> Result<()> {
        let start = (self.clock)();
        for _ in 0..times {
            std::hint::black_box(action())?;
        }
        // The mean of many runs, because a single run is hardly longer than reading the clock.
        let all = (self.clock)().saturating_sub(start);
        self.nanoseconds += all / u64::from(times.max(1));
        Ok(())
    }
}

/// Numbers of warm-up and of measured iterations of a case, and the time limit for both.
#[derive(Clone, Copy)]
pub(super) struct Repetitions {
    pub(super) warmup: u32,
    pub(super) iterations: u32,
    pub(super) max_nanoseconds: f64,
}

/// Measured times of a case and of its limit.
pub(super) struct Measured {
    /// Times of the case in nanoseconds.
    pub(super) times: Samples,
    /// Times in nanoseconds of the case's limit, measured alternately. Empty without a limit.
    pub(super) limits: Samples,
}

impl Measured {
    /// Returns the lower quartile of the limit's times divided by that of the case's times. If two threads share a
    /// core for a while, about half of the times are disturbed, sometimes a few more and sometimes a few
    /// less, so that a median may belong to either half.
    pub(super) fn of_limit(&mut self) -> f64 {
        self.limits.lower_quartile() / self.times.lower_quartile()
    }
}

/// Measures `case`, alternately with `limit` if the case has a limit, because a temporary slowdown of the
/// machine then affects both. `pause` runs after each iteration. If `pause` fails, so does the
/// measurement.
pub(super) fn measure(
    plan: Repetitions,
    clock: &Clock<'_>,
    mut limit: Option<Iteration<'_>>,
    mut case: Iteration<'_>,
    pause: &mut dyn FnMut() -> Result<()>,
) -> Result<Measured> {
    let start = clock();
    let spent = || float(clock().saturating_sub(start));
    // One iteration: the limit, the case, and the chance to cancel.
    let mut once = || -> Result<(Option<f64>, f64)> {
        let bound = limit.as_mut().map(|limit| timed(clock, limit)).transpose()?;
        let time = timed(clock, &mut case)?;
        pause()?;
        Ok((bound, time))
    };
    // Warm-up gets half of the time.
    for _ in 0..plan.warmup {
        if spent() >= plan.max_nanoseconds / 2.0 {
            break;
        }
        once()?;
    }
    // Run at least one measured iteration, and more until the time is over.
    let (mut times, mut limits) = (Samples::default(), Samples::default());
    while times.count < u64::from(plan.iterations) && (times.count == 0 || spent() < plan.max_nanoseconds) {
        let (bound, time) = once()?;
        times.add(time)?;
        if let Some(bound) = bound {
            limits.add(bound)?;
        }
    }
    Ok(Measured { times, limits })
}

fn timed(clock: &Clock<'_>, iteration: &mut Iteration<'_>) -> Result<f64> {
    let mut stopwatch = Stopwatch { clock, nanoseconds: 0 };
    iteration(&mut stopwatch)?;
    // The clock may not have moved, and a time of 0 would make rates infinite.
    Ok(float(stopwatch.nanoseconds.max(1)))
}

#[expect(clippy::cast_precision_loss, reason = "a measurement, and exact for 104 days of nanoseconds")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

/// Maximum number of measured values that [`Samples`] keeps for the median and the lower quartile.
const KEPT: usize = 1 << 16;

/// Smallest, largest, mean, deviation, median and lower quartile of any number of values, in bounded memory. Beyond
/// 65,536 values, median and lower quartile are computed from every second, fourth, eighth … value.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// Sum of the squared distances of all values from their mean.
    squares: f64,
    kept: Vec<f64>,
    /// Binary logarithm of the distance between kept values: every 2^skip-th value is kept.
    skip: u32,
}

impl Samples {
    pub(super) fn add(&mut self, value: f64) -> Result<()> {
        // The list is full: keep every second value from now on.
        if self.kept.len() == KEPT {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.skip += 1;
        }
        // Values are kept at equal distances, so that the list is a sample of the whole run.
        if self.count.is_multiple_of(1 << self.skip) {
            self.kept.try_reserve(1).map_err(|_| {
                AtlasError::out_of_memory("no memory to store another measured time of the benchmark")
            })?;
            self.kept.push(value);
        }
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
        // Welford's method, in which no sum grows so large that small differences are lost.
        let distance = value - self.mean;
        self.mean += distance / float(self.count);
        self.squares += distance * (value - self.mean);
        Ok(())
    }

    /// Returns the median. 0 if there are no values.
    pub(super) fn median(&mut self) -> f64 {
        let sorted = self.sorted();
        let half = sorted.len() / 2;
        // An even number of values has two in the middle.
        match (sorted.get(half), half.checked_sub(1).and_then(|before| sorted.get(before))) {
            (Some(value), Some(before)) if sorted.len().is_multiple_of(2) => f64::midpoint(*value, *before),
            (Some(value), _) => *value,
            (None, _) => 0.0,
        }
    }

    /// Returns the lower quartile. 0 if there are no values.
    pub(super) fn lower_quartile(&mut self) -> f64 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 4).copied().unwrap_or(0.0)
    }

    /// Returns the kept values in ascending order. They are sorted in place, so that no value may be added later: the
    /// order of arrival decides which values are dropped.
    fn sorted(&mut self) -> &[f64] {
        self.kept.sort_unstable_by(f64::total_cmp);
        &self.kept
    }

    /// Returns the standard deviation of the population from which the values are a sample. 0 for fewer than
    /// two values.
    pub(super) fn deviation(&self) -> f64 {
        // Rounding may leave a sum that is slightly negative.
        if self.count < 2 { 0.0 } else { (self.squares.max(0.0) / float(self.count - 1)).sqrt() }
    }
}
