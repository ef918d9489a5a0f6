//! `atlasm log`: lists the generations of a container.

use crate::context::{Ctx, Report};
use crate::names;
use crate::objects;
use crate::status::{Failure, Res, Status};
use crate::units::{self, hex, human};
use atlas_manifold::{ContainerMode, ContainerOptions, GenerationInfo};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Lists the generations of containers, the newest first.
///
/// Each line has the number, the time, the size, the first digits of the root, and the note.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Containers whose generations are listed
    #[arg(value_name = "X.atlas", required = true)]
    files: Vec<PathBuf>,
    /// Prints whole roots, and sizes in bytes
    #[arg(long)]
    long: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each(&options.files, |path| {
        let opened =
            objects::open_container(ctx, path, ContainerMode::Read, None, ContainerOptions::default())?;
        let mut report = Report::new(Status::Done, "listed");
        let mut list = Vec::new();
        if options.files.len() > 1 {
            report.line_of(path, "");
        }
        let mut at = opened.info.newest;
        while at != 0 {
            let generation = opened.container.generation(at)?;
            let note = opened.container.note(at)?;
            let shown: String = String::from_utf8_lossy(&note)
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let root = hex(&generation.root);
            let root = if options.long { &root[..] } else { &root[..16] };
            let time = if generation.time == 0 { "-".to_owned() } else { units::date(generation.time) };
            let size = generation.domain_size;
            let size = if options.long { size.to_string() } else { human(size) };
            report.line(format!("{at:>6}  {time:<23}  {size:>9}  {root}  {shown}").trim_end());
            list.push(json!({
                "generation": at,
                "previous": generation.previous,
                "time_ns": generation.time,
                "size": generation.domain_size,
                "tiles": generation.tile_count,
                "residue": generation.residue.value(),
                "root": hex(&generation.root),
                "history": hex(&generation.history),
                "note": String::from_utf8_lossy(&note),
            }));
            at = generation.previous;
        }
        report.put("generations", list);
        Ok(report)
    })
}

/// Fails if the root of a generation is not the expected `root`.
pub(crate) fn check_expected_root(
    path: &Path,
    generation: &GenerationInfo,
    root: Option<&[u8; 32]>,
) -> Res<()> {
    match root {
        Some(root) if *root != generation.root => Err(Failure::new(
            Status::Differs,
            format!(
                "generation {} of {} has the root {} instead of the expected {}",
                generation.generation,
                names::shown(path),
                hex(&generation.root),
                hex(root)
            ),
        )),
        _ => Ok(()),
    }
}
