//! Repairs from a parity file, and repairs of parity files.

use super::{Known, Options, intact, warn_of_links};
use crate::commands::{seal, update};
use crate::context::{Colour, Ctx, Report};
use crate::damage::Bad;
use crate::map::{self, Fate};
use crate::names;
use crate::objects;
use crate::output::{self, Staged};
use crate::parity::{self, Checked};
use crate::status::{FULL, Failure, Res, Status};
use crate::units::{count, human};
use atlas_manifold::{ParityReport, ParityVerdict, RepairMode, RepairOptions, TILE_SIZE};
use std::fs::File;
use std::path::Path;

/// Repairs `file` from the parity file `path`. `known` is the damage by its outline, if it has one, whose root the repaired
/// file must have.
pub(super) fn repair(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    path: &Path,
    known: Option<&Known>,
) -> Res<Report> {
    let root = options.root.or(known.map(|known| known.outline.root));
    let root = root.as_ref();
    let findings = known.map(|known| &known.findings).filter(|findings| !findings.bad.is_empty());
    warn_of_links(ctx, options, file);
    // Check for all errors that need no work first.
    let kept = names::with_suffix(file, names::DAMAGED);
    let target = options.output.as_deref().unwrap_or(file);
    if !options.dry_run {
        match &options.output {
            Some(output) => output::check_target(output, options.force, &[file])?,
            None if options.discard => output::check_target(file, true, &[])?,
            None => output::check_target(&kept, options.force, &[file])?,
        }
    }
    if options.dry_run {
        let checked = check(ctx, file, path, known)?;
        return Ok(dry(ctx, file, &checked));
    }
    if let Some(known) = known
        && parity::open(ctx, path, None)?.info().protected_size != known.outline.size
    {
        return of_other_bytes(ctx, file, path, known);
    }
    // A parity file that was made of other bytes would treat the bytes of an intact file as damage.
    if let Some(known) = known
        && known.findings.bad.is_empty()
        && check(ctx, file, path, Some(known))?.is_stale
    {
        return of_other_bytes(ctx, file, path, known);
    }
    // A partial repair is made only if some rows can be rebuilt and other rows cannot. Otherwise the root
    // proves the whole file.
    let is_partial = options.partial && {
        let checked = check(ctx, file, path, known)?;
        // After a partial repair no root can show that other bytes were rebuilt, so that a stale parity file
        // is refused.
        if let Some(known) = known.filter(|_| checked.is_stale) {
            return of_other_bytes(ctx, file, path, known);
        }
        let is_lost = checked.report.data == ParityVerdict::Incomplete;
        if is_lost && !checked.has_repairable {
            return Err(nothing_to_rebuild(file, &checked));
        }
        is_lost
    };
    let parity = parity::open(ctx, path, if is_partial { None } else { root })?;
    // Temporary names under which the library writes, so that nothing is replaced before everything is done.
    let new = Staged::new(target, true, &[])?;
    let aside = Staged::new(&kept, true, &[])?;
    let (mode, ends_as) = match &options.output {
        Some(_) => (RepairMode::NewFile(new.path().to_owned()), None),
        None if options.discard => (RepairMode::Keep(aside.path().to_owned()), None),
        None if options.force => (RepairMode::Keep(aside.path().to_owned()), Some(&kept)),
        None => (RepairMode::Keep(kept.clone()), Some(&kept)),
    };
    let repairs = RepairOptions::new(mode);
    let repairs = if is_partial { repairs.with_partial() } else { repairs };
    let mut report = ParityReport::default();
    let (mut bad, mut lost) = (Vec::new(), Vec::new());
    let mut owner = |damage: &atlas_manifold::Damage| {
        if damage.repairable { &mut bad } else { &mut lost }.push(Bad::from(damage));
        true
    };
    let found_size = objects::size_of(file)?;
    let outcome = ctx.operate(file, found_size.max(2 * TILE_SIZE as u64), |operation| {
        parity.repair(file, &repairs, Some(&mut owner), &mut report, operation)
    });
    // A partial repair ends as incomplete, although everything was written that could be repaired.
    let outcome = match outcome {
        Err(failure) if is_partial && failure.status == Status::Incomplete && !ctx.is_stopped() => Ok(()),
        other => other,
    };
    // The library linked the damaged file to the temporary name, which it keeps if the call failed later.
    if ends_as.is_some() && options.force && output::exists(aside.path())? {
        aside.rename_or_leave()?;
        output::sync_folder(&kept)?;
    }
    if let Err(failure) = outcome {
        // Nothing was written. A parity file that was made of other bytes treats good bytes as damage.
        if let Some(known) = known
            && matches!(failure.status, Status::Incomplete | Status::Differs)
            && !is_partial
            && (failure.status == Status::Differs || check(ctx, file, path, Some(known))?.is_stale)
        {
            return of_other_bytes(ctx, file, path, known);
        }
        return Err(explain(file, path, failure));
    }

    let is_whole = report.data != ParityVerdict::Incomplete;
    if report.data == ParityVerdict::Intact && options.output.is_none() {
        if findings.is_none() && report.parity != ParityVerdict::Intact {
            return restore(ctx, file, path, root);
        }
        if let (Some(_), Some(known)) = (findings, known) {
            return of_other_bytes(ctx, file, path, known);
        }
        return Ok(intact(ctx, file));
    }
    // The library keeps the bytes after the protected bytes.
    let protected = parity.info().protected_size;
    let repaired_as = if options.output.is_some() { new.path() } else { file };
    if objects::size_of(repaired_as)? > protected {
        let opened = File::options().write(true).open(repaired_as);
        let opened = opened.map_err(|error| Failure::io("opening", repaired_as, &error))?;
        opened
            .set_len(protected)
            .map_err(|error| Failure::io("cutting off the end of", repaired_as, &error))?;
        seal::sync(&opened, repaired_as)?;
    }
    if options.output.is_some() {
        new.finish()?;
    }
    let repaired: u64 = bad.iter().map(|bad| bad.length).sum();
    let (bad, lost) = (parity::merged(&bad), parity::merged(&lost));
    let (status, result) =
        if is_whole { (Status::Done, "repaired") } else { (Status::Incomplete, "incomplete") };
    let mut out = Report::new(status, result);
    let ranges = findings.map_or_else(|| bad.clone(), |findings| findings.bad.clone());
    let drawn = if is_whole { &ranges } else { &bad };
    out.put("repaired_bytes", repaired)
        .put("repaired_units", report.repaired_units)
        .put("lost_rows", report.lost_rows)
        .put("damage", ranges.iter().map(Bad::json).collect::<Vec<_>>())
        .put_path("parity", path);
    let word = if is_whole {
        ctx.coloured(Colour::Good, "repaired")
    } else {
        ctx.coloured(Colour::Note, "repaired in part")
    };
    out.line_of(file, format!("{word} from {}, {} rebuilt", names::shown(path), human(repaired)));
    if options.map {
        map::draw(ctx, protected, drawn, Fate::Repaired).iter().for_each(|line| out.line(line));
    }
    if let Some(output) = &options.output {
        out.put_path("output", output);
        out.line(format!("  the repaired file is {}", names::shown(output)));
    } else if let Some(kept) = ends_as {
        out.put_path("kept", kept);
        out.line(format!("  the damaged file is kept as {}", names::shown(kept)));
    }
    if !is_whole {
        out.put("rebuilt", bad.iter().map(Bad::json).collect::<Vec<_>>());
        out.put("left", lost.iter().map(Bad::json).collect::<Vec<_>>());
        bad.iter().for_each(|bad| out.line(bad.line_as("rebuilt")));
        lost.iter().for_each(|bad| out.line(bad.line_as("damaged still")));
        if found_size < protected {
            out.line("  the file has its full length again, with zeros where bytes are missing still");
        }
        out.line(format!("  a copy can repair the rest: atlasm repair --from COPY {}", names::quoted(file)));
    } else if report.parity != ParityVerdict::Intact && options.output.is_none() {
        restore(ctx, file, path, root)?;
        out.line(format!("  {} was damaged too, and is written anew", names::shown(path)));
    }
    Ok(out)
}

/// Checks `file` with the parity file `path`. If `known` is given, also checks if the parity file and the
/// outline were made of the same bytes.
fn check(ctx: &Ctx, file: &Path, path: &Path, known: Option<&Known>) -> Res<Checked> {
    let mut checked = parity::check(ctx, file, path, None)?;
    if let Some(known) = known {
        checked.compare(&known.outline, &known.findings);
    }
    Ok(checked)
}

/// Ends a repair whose parity file was made of other bytes than the outline. If the file is intact, a new
/// parity file is written; otherwise the repair fails.
fn of_other_bytes(ctx: &Ctx, file: &Path, path: &Path, known: &Known) -> Res<Report> {
    let name = names::quoted(file);
    // A file that its outline does not prove gets no new parity file.
    if known.findings.bad.is_empty() && known.findings.bad_records == 0 {
        let old = parity::open(ctx, path, None)?.info();
        update::parity_anew(ctx, file, path, &old)?.finish()?;
        return Ok(parity_repaired(ctx, file, path));
    }
    let text = format!(
        "{} was made of other bytes than {}, so that it cannot repair the file",
        names::shown(path),
        names::shown(&known.outline.path)
    );
    Err(Failure::new(Status::Differs, text).with_hint(format!(
        "nothing was written; a copy can repair it, atlasm repair --from COPY {name}, or, if the change was \
         meant, atlasm update {name} makes both seals anew"
    )))
}

/// Repairs the damaged parity file `path` from the intact `file`.
fn restore(ctx: &Ctx, file: &Path, path: &Path, root: Option<&[u8; 32]>) -> Res<Report> {
    let parity = parity::open(ctx, path, root)?;
    let source = ctx.source(file)?;
    let size = source.size().max(2 * TILE_SIZE as u64);
    ctx.operate(file, size, |operation| parity.restore(&source, path, operation))
        .map_err(|failure| failure.while_doing(names::shown(path)))?;
    Ok(parity_repaired(ctx, file, path))
}

fn parity_repaired(ctx: &Ctx, file: &Path, path: &Path) -> Report {
    let mut report = Report::new(Status::Done, "parity-repaired");
    report.put("repaired_bytes", 0).put_path("parity", path);
    report.line_of(
        path,
        format!("{}, written anew from {}", ctx.coloured(Colour::Good, "repaired"), names::shown(file)),
    );
    report
}

/// Returns the failure for a repair with `--partial` that could rebuild nothing.
fn nothing_to_rebuild(file: &Path, checked: &Checked) -> Failure {
    let bytes: u64 = checked.bad.iter().map(|bad| bad.length).sum();
    let text = format!(
        "{} can rebuild nothing of the {} that {} has lost",
        names::shown(&checked.path),
        human(bytes),
        names::shown(file)
    );
    let hint = format!(
        "nothing was written; a copy can repair it: atlasm repair --from COPY {}",
        names::quoted(file)
    );
    Failure::new(Status::Incomplete, text).with_hint(hint)
}

fn explain(file: &Path, parity: &Path, failure: Failure) -> Failure {
    let name = names::quoted(file);
    match failure.status {
        Status::Incomplete => failure.while_doing(names::shown(parity)).with_hint(format!(
            "nothing was written; atlasm repair --from COPY {name} takes the rest from a copy, --partial \
             repairs what can be"
        )),
        Status::Differs => failure.while_doing(names::shown(parity)).with_hint("nothing was written"),
        Status::Io if failure.hint.as_deref() == Some(FULL) => failure.with_hint(format!(
            "nothing was written: the file system has no room for the repaired file beside the damaged one; \
             -o OUT writes it elsewhere, and --from COPY repairs {name} in place"
        )),
        _ => failure,
    }
}

/// Returns the report of a dry run, with the actions of a repair from parity.
fn dry(ctx: &Ctx, file: &Path, checked: &Checked) -> Report {
    let bytes: u64 = checked.bad.iter().map(|bad| bad.length).sum();
    let (status, result) = match checked.report.data {
        _ if checked.is_stale => (Status::Differs, "incomplete"),
        ParityVerdict::Intact => (Status::Done, "intact"),
        ParityVerdict::Repairable => (Status::Repairable, "repairable"),
        _ => (Status::Incomplete, "incomplete"),
    };
    let mut report = Report::new(status, result);
    report
        .put("dry_run", true)
        .put("bad_bytes", bytes)
        .put("damage", checked.bad.iter().map(Bad::json).collect::<Vec<_>>())
        .put("parity_check", checked.json());
    let parity = names::shown(&checked.path);
    let text = match status {
        Status::Done => "intact, nothing to repair".to_owned(),
        Status::Differs => {
            format!("{}: {parity} was made of other bytes", ctx.coloured(Colour::Bad, "cannot be repaired"))
        }
        Status::Repairable => {
            format!(
                "{}: {parity} can rebuild {}",
                ctx.coloured(Colour::Note, "would be repaired"),
                human(bytes)
            )
        }
        _ => format!(
            "{}: {} of {parity} have lost too much",
            ctx.coloured(Colour::Bad, "cannot be repaired"),
            count(checked.report.lost_rows, "row")
        ),
    };
    report.line_of(file, text);
    for bad in &checked.bad {
        report.line(bad.line());
    }
    report
}
