//! `atlasm check`: verifies shards against a root.

use super::info;
use crate::context::{Colour, Ctx, Report};
use crate::names;
use crate::objects::{self, Kind};
use crate::status::{Failure, Res, Status};
use crate::units::{hex, human};
use clap::Args;
use std::path::PathBuf;

/// Verifies that the bytes and the proofs of shards lead to the root.
///
/// Without --root a shard is only compared with the root that the shard itself names, which anyone can forge;
/// that root is printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm check part.shard --root $(atlasm hash --no-names big.iso)")]
pub(crate) struct Options {
    /// Shards, compressed or not
    #[arg(value_name = "SHARD", required = true)]
    files: Vec<PathBuf>,
    /// The root to which the shards must belong
    #[arg(long, value_name = "ROOT", value_parser = crate::args::parse_root)]
    root: Option<[u8; 32]>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    ctx.each(&options.files, |path| {
        let kind = objects::kind_of(path)?;
        if !matches!(kind, Kind::Shard | Kind::CompressedShard) {
            let text = format!("{} is a {}, and only shards can be checked", names::shown(path), kind.name());
            return Err(Failure::new(Status::Foreign, text));
        }
        let (shard, _) = info::read_shard(ctx, path, kind, options.root.as_ref())?;
        let info = shard.info();
        let is_proved = options.root.is_some();
        let mut report = Report::new(Status::Done, if is_proved { "verified" } else { "consistent" });
        info::put_shard(&mut report, &info);
        let region = info.region;
        let range = format!("{}..{} ({})", region.offset, region.end(), human(region.length));
        let text = if is_proved {
            format!("{}, {range}", ctx.coloured(Colour::Good, "verified"))
        } else {
            format!(
                "{}, {range}; its root, which was not compared: {}",
                ctx.coloured(Colour::Note, "consistent"),
                hex(&info.root)
            )
        };
        report.line_of(path, text);
        Ok(report)
    })
}
