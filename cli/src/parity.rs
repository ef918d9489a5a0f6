//! Checks of a file with its parity file.

use crate::context::Ctx;
use crate::damage::{Bad, Findings, Outline};
use crate::names;
use crate::status::Res;
use atlas_manifold::{AtlasParity, Damage, DamageKind, DamagePart, ParityInfo, ParityReport, ParityVerdict};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the path of the parity file of `file`: `given`, or else FILE.atp or the parity file beside
/// `outline`, if they exist.
pub(crate) fn find(file: &Path, outline: Option<&Path>, given: Option<PathBuf>) -> Option<PathBuf> {
    if given.is_some() {
        return given;
    }
    let beside_outline = outline
        .and_then(|outline| names::without_suffix(outline, names::ATLAS))
        .map(|stem| names::with_suffix(&stem, names::PARITY));
    [Some(names::with_suffix(file, names::PARITY)), beside_outline]
        .into_iter()
        .flatten()
        .find(|path| fs::metadata(path).is_ok())
}

/// Result of a check of a file with its parity file.
pub(crate) struct Checked {
    pub(crate) path: PathBuf,
    pub(crate) report: ParityReport,
    pub(crate) info: ParityInfo,
    /// Bad ranges of the file, ascending. Neighbouring units of one kind are merged to one range.
    pub(crate) bad: Vec<Bad>,
    /// Bad units of the file, ascending. A unit is the smallest range that a parity file verifies and rebuilds.
    units: Vec<Bad>,
    /// True if at least one bad unit can be rebuilt.
    pub(crate) has_repairable: bool,
    /// True if the parity file was made of other bytes than the outline.
    pub(crate) is_stale: bool,
}

impl Checked {
    /// Returns true if the parity file can rebuild all bad units of the file.
    pub(crate) fn can_repair(&self) -> bool {
        !self.is_stale && matches!(self.report.data, ParityVerdict::Intact | ParityVerdict::Repairable)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.report.parity == ParityVerdict::Intact
    }

    /// Sets `is_stale` to true if the parity file and the outline were made of different bytes, else to false.
    /// `findings` is the damage of the file by the outline, and `self` that by the parity file.
    ///
    /// The bytes are different if their numbers differ, or if a range that differs by one of the two seals is intact
    /// by the other seal. A difference in a range that is bad by both seals is not found here; the root of the
    /// repaired file shows it.
    pub(crate) fn compare(&mut self, outline: &Outline, findings: &Findings) {
        let differs = |bad: &&Bad| bad.kind == DamageKind::Differs;
        // Both lists are ascending, so that a binary search finds overlaps.
        let is_free = |list: &[Bad], range: &Bad| {
            let next = list.partition_point(|bad| bad.end() <= range.offset);
            list.get(next).is_none_or(|bad| bad.offset >= range.end())
        };
        self.is_stale = self.info.protected_size != outline.size
            || self.units.iter().filter(differs).any(|unit| is_free(&findings.bad, unit))
            || findings.bad.iter().filter(differs).any(|range| is_free(&self.units, range));
    }

    pub(crate) fn json(&self) -> Value {
        let mut object = json!({
            "repairable": self.can_repair(),
            "intact": self.is_whole(),
            "bad_units": self.report.bad_units,
            "bad_parity_units": self.report.bad_parity_units,
            "bad_blocks": self.report.bad_blocks,
            "damaged_rows": self.report.damaged_rows,
            "lost_rows": self.report.lost_rows,
        });
        if self.is_stale {
            object["other_bytes"] = true.into();
        }
        if let Some(map) = object.as_object_mut() {
            names::put(map, "path", &self.path);
        }
        object
    }
}

/// Opens the parity file `path`. Fails if it was made of a file with another root than `root`.
pub(crate) fn open(ctx: &Ctx, path: &Path, root: Option<&[u8; 32]>) -> Res<AtlasParity> {
    let options = ctx.verify_options(root);
    let opened = ctx.operate(path, 0, |operation| AtlasParity::open(path, &options, operation));
    opened.map_err(|failure| failure.while_doing(names::shown(path)))
}

/// Checks `file` with the parity file `path`, and returns the bad bytes and if they can be rebuilt.
pub(crate) fn check(ctx: &Ctx, file: &Path, path: &Path, root: Option<&[u8; 32]>) -> Res<Checked> {
    let parity = open(ctx, path, root)?;
    let source = ctx.source(file)?;
    let mut report = ParityReport::default();
    let mut units = Vec::new();
    let mut has_repairable = false;
    let mut take = |damage: &Damage| {
        if damage.part == DamagePart::Data {
            units.push(Bad::from(damage));
            has_repairable |= damage.repairable;
        }
        true
    };
    let outcome = ctx.operate(file, source.size().max(2 << 20), |operation| {
        match parity.check(&source, Some(&mut take), &mut report, operation) {
            Err(_) if report.data != ParityVerdict::NotKnown => Ok(()),
            other => other,
        }
    });
    outcome.map_err(|failure| failure.while_doing(names::shown(path)))?;
    Ok(Checked {
        path: path.to_owned(),
        report,
        info: parity.info(),
        bad: merged(&units),
        units,
        has_repairable,
        is_stale: false,
    })
}

/// Merges neighbouring ranges of one kind to one range.
pub(crate) fn merged(bad: &[Bad]) -> Vec<Bad> {
    let mut out: Vec<Bad> = Vec::new();
    for one in bad.iter().copied() {
        match out.last_mut() {
            Some(last) if (last.kind, last.end(), last.os_error) == (one.kind, one.offset, one.os_error) => {
                last.length += one.length;
            }
            _ => out.push(one),
        }
    }
    out
}
