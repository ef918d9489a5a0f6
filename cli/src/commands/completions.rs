//! `atlasm completions`: prints the completion script of a shell.

use crate::args::Cli;
use crate::context::Ctx;
use crate::status::{Failure, Res};
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

/// Prints completions for a shell.
///
/// Shells read completions from a folder when they start. An installed atlasm has its completions there
/// already.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm completions bash > ~/.local/share/bash-completion/completions/atlasm")]
pub(crate) struct Options {
    /// The shell that reads the completions
    #[arg(value_name = "SHELL")]
    shell: ShellName,
}

/// Shells whose completions are made and tested.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    refuse_json(ctx)?;
    let shell = match options.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "atlasm", &mut text);
    ctx.write(&text)
}

/// Fails if `--json` is given to a command whose output is plain text.
pub(crate) fn refuse_json(ctx: &Ctx) -> Res<()> {
    if ctx.json() {
        return Err(Failure::usage(
            "this command prints plain text, and does not support --json: leave it out",
        ));
    }
    Ok(())
}
