//! Definition of the command line: the global options, the commands and their help.

use crate::commands;
use crate::names;
use crate::progress::ProgressMode;
use crate::status::MEANINGS;
use crate::units::{self, parse_size};
use clap::{Arg, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Finds damage in large files, and mends it.
#[derive(Debug, Parser)]
#[command(
    name = "atlasm",
    version,
    max_term_width = 100,
    disable_help_subcommand = false,
    subcommand_value_name = "COMMAND",
    override_usage = "atlasm COMMAND [OPTIONS] [FILE]...",
    after_help = after_help(),
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Method of reading files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum IoMode {
    /// Through a mapping if no process can shorten the file, else by positioned reads
    #[default]
    Auto,
    /// By positioned reads
    Read,
    /// Through a mapping: if another program shortens the file meanwhile, atlasm is killed
    Mmap,
}

/// Options that mean the same everywhere.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Number of threads; 0 or none means one per core
    #[arg(short = 'j', long = "jobs", value_name = "N", global = true, help_heading = EVERYWHERE, value_parser = parse_threads)]
    threads: Option<u32>,
    /// Maximum memory of the work, such as 512M or 1G
    #[arg(long, value_name = "SIZE", global = true, help_heading = EVERYWHERE, value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// Method of reading files
    #[arg(long, value_name = "HOW", global = true, help_heading = EVERYWHERE, default_value = "auto", hide_default_value = true)]
    pub(crate) io: IoMode,
    /// Key of keyed digests: a file of 32 bytes, or of 64 hexadecimal digits
    #[arg(long, value_name = "FILE", global = true, help_heading = EVERYWHERE)]
    pub(crate) key_file: Option<PathBuf>,
    /// Results as JSON, one object per line for each file
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Display of progress on standard error
    #[arg(long, value_name = "HOW", global = true, help_heading = EVERYWHERE, default_value = "auto", hide_default_value = true)]
    pub(crate) progress: ProgressMode,
    /// Prints no progress and no warnings
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// More details on standard error
    #[arg(short, long, global = true, help_heading = EVERYWHERE, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

impl Global {
    /// Returns the number of threads that `-j` requests. `None` means one per core.
    pub(crate) fn threads(&self) -> Option<u32> {
        self.threads.filter(|threads| *threads > 0)
    }
}

const EVERYWHERE: &str = "Options everywhere";

/// Maximum number of threads that the library accepts.
const MAX_THREADS: u32 = 1_024;

fn parse_threads(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(threads) if threads <= MAX_THREADS => Ok(threads),
        _ => Err(format!("'{text}' is not a number of threads, which is 0 to {MAX_THREADS}")),
    }
}

/// Options of a command that writes a file: its name, and `--force`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Name of the output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replaces an existing output
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Parses a root of 64 hexadecimal digits.
pub(crate) fn parse_root(text: &str) -> Result<[u8; 32], String> {
    units::parse_digest(text)
}

macro_rules! commands {
    ($($name:ident($module:ident, $text:literal, $about:literal),)*) => {
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            // The long help of a command is the comment of its `Options`.
            $(#[command(about = $about)] $name(commands::$module::Options),)*
        }

        impl Command {
            /// Returns the name of the command, as on the command line and in JSON output.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Command::$name(_) => $text,)*
                }
            }

            pub(crate) fn run(&self, ctx: &crate::context::Ctx) -> crate::status::Res<()> {
                match self {
                    $(Command::$name(options) => commands::$module::run(ctx, options),)*
                }
            }
        }
    };
}

commands! {
    Seal(seal, "seal", "Seal files: write FILE.atlas, from which damage is found, and FILE.atp, which mends it"),
    Verify(verify, "verify", "Verify files against their seals: say which bytes are bad, and whether they can be repaired"),
    Repair(repair, "repair", "Repair files from their parity, or from a copy"),
    Diff(diff, "diff", "List the ranges in which two files, outlines or containers differ"),
    Update(update, "update", "Bring seals up to date after a file was changed on purpose"),
    Merge(merge, "merge", "Join outlines of ranges that others made"),
    Hash(hash, "hash", "Print or check one root per file"),
    Info(info, "info", "Say what files are"),
    Pack(pack, "pack", "Store a file and its history in a container"),
    Unpack(unpack, "unpack", "Write the bytes of a container to a file"),
    Cat(cat, "cat", "Write verified bytes of a container or shard, or bytes of a file, to standard output"),
    Shard(shard, "shard", "Cut parts of a file that are verified alone"),
    Check(check, "check", "Verify shards"),
    Split(split, "split", "Split a file into 96 classes, of which any K rebuild it"),
    Join(join, "join", "Rebuild a file from shards"),
    Log(log, "log", "List the generations of a container"),
    Insert(insert, "insert", "Insert bytes into a container"),
    Delete(delete, "delete", "Delete bytes from a container"),
    Replace(replace, "replace", "Replace bytes of a container"),
    Move(relocate, "move", "Move bytes within a container"),
    Rollback(rollback, "rollback", "Make an old generation of a container the newest one"),
    Forget(forget, "forget", "Drop old generations of a container"),
    Compact(compact, "compact", "Rewrite a container without the bytes that no generation needs"),
    Bench(bench, "bench", "Measure this machine"),
    Man(man, "man", "Print the manual"),
    Completions(completions, "completions", "Print completions for a shell"),
}

fn after_help() -> String {
    let mut text = "Seal a file, and mend it later:
  atlasm seal --parity 10% big.iso     writes big.iso.atlas (what it was) and big.iso.atp (how to mend it)
  atlasm verify big.iso                says what is damaged, and whether it can be repaired
  atlasm repair big.iso                repairs it; the damaged file is kept as big.iso.damaged

'atlasm COMMAND --help' explains a command.

Exit status:
"
    .to_owned();
    for (status, meaning) in MEANINGS {
        text.push_str(&format!("  {:>3}  {meaning}\n", status.code()));
    }
    text
}

/// Names of the positional arguments whose value may begin with `-`, and then counts from the end of the file.
const FROM_END: [&str; 2] = ["RANGE", "OFFSET"];

/// Puts a space before each positional RANGE or OFFSET such as `-64KiB..`, so that it is not taken for an
/// option.
///
/// `allow_hyphen_values` does that for the options `--range` and `--ranges`. For a positional argument it
/// would also take options such as `-j4` and `-oOUT` as values.
pub(crate) fn ranges_from_end(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    // Most command lines have no such argument, and need no list of the options.
    if !arguments.iter().any(|argument| is_from_end(argument)) {
        return arguments;
    }
    let program = Cli::command();
    let mut command = &program;
    let (mut position, mut is_value) = (0, false);
    for argument in arguments.iter_mut().skip(1) {
        if std::mem::take(&mut is_value) {
            continue;
        }
        if *argument == "--" {
            break;
        }
        let text = argument.to_string_lossy().into_owned();
        if is_from_end(argument) {
            // At any other position the argument stays unchanged, and clap refuses it as an unknown option.
            if takes_range(command, position) {
                *argument = format!(" {text}").into();
            }
            position += 1;
        } else if text.len() > 1 && text.starts_with('-') {
            is_value = takes_next(&program, command, &text);
        } else if std::ptr::eq(command, &program) {
            match program.find_subcommand(&text) {
                Some(found) => command = found,
                None => break,
            }
        } else {
            position += 1;
        }
    }
    arguments
}

/// Returns true if an argument begins with a minus sign and a digit. No option begins like that.
fn is_from_end(argument: &OsStr) -> bool {
    matches!(argument.as_encoded_bytes(), [b'-', digit, ..] if digit.is_ascii_digit())
}

/// Returns true if positional argument number `position` of a command, or its last argument if there are fewer,
/// is a RANGE or an OFFSET.
fn takes_range(command: &clap::Command, position: usize) -> bool {
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    let argument = positionals.get(position).or(positionals.last());
    let names = argument.and_then(|argument| argument.get_value_names()).unwrap_or_default();
    names.iter().any(|name| FROM_END.contains(&name.as_str()))
}

/// Returns true if the argument after the option `text` is the value of the option. If `text` has several short
/// options, such as `-fo`, the first that takes a value decides: letters after it are its value.
fn takes_next(program: &clap::Command, command: &clap::Command, text: &str) -> bool {
    let takes = |is_named: &dyn Fn(&Arg) -> bool| {
        let mut known = program.get_arguments().chain(command.get_arguments());
        known.any(|argument| is_named(argument) && argument.get_action().takes_values())
    };
    if let Some(long) = text.strip_prefix("--") {
        return takes(&|argument| argument.get_long() == Some(long));
    }
    let mut letters = text[1..].chars();
    while let Some(letter) = letters.next() {
        if takes(&|argument| argument.get_short() == Some(letter)) {
            // The characters after the letter are the value.
            return letters.as_str().is_empty();
        }
    }
    false
}

/// Returns true if the name ends like that of an outline (`.atlas`) or of a parity file (`.atp`).
pub(crate) fn is_seal(path: &std::path::Path) -> bool {
    [names::ATLAS, names::PARITY].iter().any(|suffix| names::without_suffix(path, suffix).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
