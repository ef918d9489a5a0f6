//! The search for damage inside a container: its records, and the bytes that it holds.

use crate::context::{Colour, Ctx, Report};
use crate::damage::Bad;
use crate::names;
use crate::objects::{self, Kind, Opened};
use crate::status::{Failure, Res, Status};
use crate::units::{count, hex, human};
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, ContainerMode, ContainerOptions, Damage, DamagePart, ErrorKind,
};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Damage found in a container. `data` is empty and `records` is 0 if there is none.
#[derive(Default)]
pub(crate) struct Found {
    /// Damaged ranges of the content, each with the number of its generation. A range that several generations
    /// share is listed with the oldest.
    data: Vec<(u64, Bad)>,
    /// Number of damaged records, plus the number of ranges between records that have other bytes than zeros. At least
    /// 1 if the container is damaged and `data` is empty.
    records: u64,
}

impl Found {
    /// Returns the number of damaged bytes of the content.
    fn bytes(&self) -> u64 {
        self.data.iter().map(|(_, bad)| bad.length).sum()
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.records == 0
    }

    /// Returns the damage as a short text, such as `4 KiB in 1 range and 2 records`.
    fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.data.is_empty() {
            parts.push(format!("{} in {}", human(self.bytes()), count(self.data.len() as u64, "range")));
        }
        if self.records > 0 {
            parts.push(count(self.records, "record"));
        }
        parts.join(" and ")
    }
}

/// Searches a container for damage, in its generations from number `from` on. 0 means all generations. The file
/// of which an outline was made is not read.
fn find(ctx: &Ctx, path: &Path, opened: &Opened, from: u64) -> Res<Found> {
    let mut found = Found::default();
    let mut take = |damage: &Damage| {
        match damage.part {
            DamagePart::Data => found.data.push((damage.generation, Bad::from(damage))),
            _ => found.records += 1,
        }
        true
    };
    let mut is_damaged = false;
    let size = opened.info.file_size.max(2 << 20);
    if opened.is_outline() {
        opened.container.set_base(None)?;
    }
    ctx.operate(path, size, |operation| {
        match opened.container.find_damage(from, &mut take, operation) {
            // Everything inside the container is intact; only the base was not read.
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(()),
            Err(error) if objects::is_damage(error.kind()) => {
                is_damaged = true;
                Ok(())
            }
            other => other,
        }
    })?;
    if is_damaged && found.is_empty() {
        found.records = 1;
    }
    Ok(found)
}

/// Fails if a container is damaged in its generations from number `from` on: a new file with the same damage
/// would look intact.
pub(crate) fn refuse_damaged(ctx: &Ctx, path: &Path, opened: &Opened, from: u64) -> Res<()> {
    let found = find(ctx, path, opened, from)?;
    if found.is_empty() {
        return Ok(());
    }
    let what = if from == 0 { "damaged".to_owned() } else { format!("damaged from generation {from} on") };
    let text = format!("{} is {what}: {}", names::shown(path), found.text());
    let hint = if opened.is_outline() {
        "nothing was changed; once you are sure of the file, remove the outline and seal the file anew"
            .to_owned()
    } else {
        format!("nothing was changed; atlasm verify {} lists the damage", names::quoted(path))
    };
    Err(Failure::new(Status::Differs, text).with_hint(hint))
}

/// Returns true if `path` is a container or a parity file, and no seal of it lies beside it. [`verify`] then verifies
/// a container by itself, and refuses an outline or a parity file.
pub(crate) fn is_named_itself(path: &Path) -> Res<bool> {
    let has_seal = [names::ATLAS, names::PARITY]
        .iter()
        .any(|suffix| fs::metadata(names::with_suffix(path, suffix)).is_ok());
    Ok(!has_seal && matches!(objects::kind_of(path)?, Kind::Container | Kind::Parity))
}

/// Verifies a container that has its bytes inside, and returns the report. Refuses an outline or a parity file:
/// the user must name the protected file instead.
pub(crate) fn verify(ctx: &Ctx, path: &Path) -> Res<Report> {
    let refused = |what: &str, suffix: &str, option: &str| {
        let file = names::without_suffix(path, suffix);
        let file = file.as_deref().map_or_else(|| "FILE".to_owned(), names::quoted);
        Failure::usage(format!("{} is {what}, and is verified with its file", names::shown(path)))
            .with_hint(format!("atlasm verify{option} {file}"))
    };
    if objects::kind_of(path)? == Kind::Parity {
        return Err(refused("a parity file", names::PARITY, " --parity-too"));
    }
    let opened = objects::open_container(ctx, path, ContainerMode::Read, None, ContainerOptions::default())?;
    if opened.is_outline() {
        return Err(refused("an outline", names::ATLAS, ""));
    }
    let newest = opened.container.generation(0)?;
    let found = find(ctx, path, &opened, 0)?;
    let is_whole = found.is_empty();
    let status = if is_whole { Status::Done } else { Status::Differs };
    let mut report = Report::new(status, if is_whole { "intact" } else { "damaged" });
    let list: Vec<Value> = found
        .data
        .iter()
        .map(|(generation, bad)| {
            let mut object = bad.json();
            object["generation"] = (*generation).into();
            object
        })
        .collect();
    report
        .put("size", newest.domain_size)
        .put("root", hex(&newest.root))
        .put("generations", opened.info.generation_count)
        .put("bad_bytes", found.bytes())
        .put("damage", list)
        .put("bad_records", found.records);
    let generations = count(opened.info.generation_count, "generation");
    if is_whole {
        let word = ctx.coloured(Colour::Good, "intact");
        report.line_of(path, format!("{word}, {} in {generations}", human(newest.domain_size)));
        return Ok(report);
    }
    report.line_of(path, format!("{}, {}", ctx.coloured(Colour::Bad, "damaged"), found.text()));
    for (generation, bad) in &found.data {
        report.line(format!("{}, in generation {generation}", bad.line()));
    }
    let advice = "a container cannot be repaired; atlasm cat X.atlas RANGE prints its intact bytes";
    report.put("advice", advice);
    report.line(format!("  {advice}"));
    Ok(report)
}

/// Returns a clearer failure for a read of `region` from a container: it names the first damaged range of the
/// region.
pub(crate) fn explain_read(
    ctx: &Ctx,
    path: &Path,
    opened: &Opened,
    projection: &AtlasProjection,
    region: AtlasBoundaryRegion,
    failure: Failure,
) -> Failure {
    if failure.status != Status::Differs {
        return failure.while_doing(names::shown(path));
    }
    // The search ends at the first range, because one range is enough.
    let mut first: Option<Bad> = None;
    let mut take = |damage: &Damage| {
        if damage.part == DamagePart::Data {
            first = Some(Bad::from(damage));
        }
        first.is_none()
    };
    drop(ctx.operate(path, region.length, |operation| {
        projection.find_damage(Some(std::slice::from_ref(&region)), &mut take, operation)
    }));
    let range = first.map_or(region.offset..region.end(), |bad| bad.offset..bad.end());
    match &opened.base {
        Some(base) => Failure::new(
            Status::Differs,
            format!(
                "the bytes {}..{} of {} differ from those that {} was made of",
                range.start,
                range.end,
                names::shown(base),
                names::shown(path)
            ),
        )
        .with_hint(format!(
            "atlasm verify {} lists all bytes that differ, and says whether they can be repaired",
            names::quoted(base)
        )),
        None => Failure::new(
            Status::Differs,
            format!("the bytes {}..{} in {} are damaged", range.start, range.end, names::shown(path)),
        )
        .with_hint(format!("atlasm verify {} lists all damaged bytes", names::quoted(path))),
    }
}
