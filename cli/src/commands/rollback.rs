//! `atlasm rollback`: makes an old generation of a container the newest again.

use super::{edit, seal};
use crate::context::Ctx;
use crate::names;
use crate::status::{Failure, Res};
use atlas_manifold::CommitOptions;
use clap::Args;
use std::path::PathBuf;

/// Makes the bytes of an old generation the newest generation of a container.
///
/// The generations in between stay in the log, so that a rollback can itself be rolled back. An outline is
/// refused, because a rollback cannot change the bytes of its file.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The container
    #[arg(value_name = "X.atlas")]
    container: PathBuf,
    /// The generation, as 'atlasm log' lists it; without it, the generation before the newest
    #[arg(value_name = "G")]
    generation: Option<u64>,
    /// Prints the root that the new generation would have, and changes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each([&options.container], |path| {
        let opened = edit::open(ctx, path, None)?;
        edit::refuse_outline(path, &opened)?;
        let newest = opened.container.generation(0)?;
        let wanted = options.generation.unwrap_or(newest.previous);
        if wanted == 0 {
            return Err(Failure::usage(format!(
                "{} has no generation before the newest one",
                names::shown(path)
            )));
        }
        let old = opened.container.generation(wanted).map_err(|error| {
            Failure::from(error)
                .with_hint(format!("atlasm log {} lists the generations", names::quoted(path)))
        })?;
        if options.dry_run {
            return Ok(edit::changed(path, true, 0, old.domain_size, &old.root));
        }
        let note = format!("rollback to {wanted}").into_bytes();
        let commit = CommitOptions { expected: newest.generation, time: seal::now(), note };
        let generation = ctx.operate(path, 0, |operation| {
            let snapshot = opened.container.snapshot(wanted, false, operation)?;
            opened.container.commit(&snapshot, &commit, operation)
        })?;
        Ok(edit::changed(path, false, generation, old.domain_size, &old.root))
    })
}
