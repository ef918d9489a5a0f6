//! `atlasm man`: prints the manual as roff.

use super::completions::refuse_json;
use crate::args::Cli;
use crate::context::Ctx;
use crate::output;
use crate::status::{Failure, MEANINGS, Res};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Prints the manual page of the program, or of one command.
///
/// 'atlasm man | man -l -' shows it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The command; without it, the page of the program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Writes all pages into a folder instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    all: Option<PathBuf>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    refuse_json(ctx)?;
    let program = program();
    if let Some(folder) = &options.all {
        return write_all(&program, folder);
    }
    let text = match &options.command {
        None => front(&program),
        Some(name) => {
            let found = program.get_subcommands().find(|command| command.get_name() == name.as_str());
            page(found.ok_or_else(|| {
                Failure::usage(format!("there is no command '{name}': atlasm --help lists the commands"))
            })?)
        }
    };
    ctx.write(&text.map_err(failed)?)
}

fn failed(error: io::Error) -> Failure {
    Failure::new(
        crate::status::Status::Defect,
        format!("a defect of this program, please report it: the manual cannot be made: {error}"),
    )
}

/// Returns the clap definition of the program, in which each command has the name of its manual page.
fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    let names: Vec<String> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        let page: &'static str = Box::leak(format!("atlasm-{name}").into_boxed_str());
        program = program.mut_subcommand(&name, |command| command.display_name(page));
    }
    program
}

/// Returns the manual page of the program, in roff.
fn front(program: &Command) -> io::Result<Vec<u8>> {
    let man =
        Man::new(program.clone().after_help("")).source(format!("atlasm {}", env!("CARGO_PKG_VERSION")));
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    section(
        &mut out,
        "WHAT IT COSTS",
        &[
            "An outline takes 0.2 % of the file and at least 16 KiB, a parity file the share that is named and at least \
         12 KiB: many small files are sealed at less cost in one archive, since a pair takes 28 KiB and up.",
            "Sealing reads the file once, and once more for the parity; verifying reads it once, and once more with the \
         parity file if it is damaged.",
        ],
    )?;
    section(
        &mut out,
        "CHANGES AND DAMAGE",
        &[
            "A byte that was changed on purpose cannot be told from a damaged one: verify reports it, and repair brings the \
         old one back. After a change, atlasm update brings the seals up to date.",
        ],
    )?;
    man.render_subcommands_section(&mut out)?;
    man.render_options_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in MEANINGS {
        roff.control("TP", ["6"]);
        roff.text([bold(status.code().to_string())]);
        roff.text([roman(meaning)]);
    }
    roff.text([roman("Of several files the heaviest status counts: 130, 70, 7, 5, 2, 6, 8, 4, 1, 3, 0.")]);
    roff.control("SH", ["EXAMPLES"]);
    for example in EXAMPLES {
        roff.control("PP", []);
        roff.text([roman(example.0)]);
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        for line in example.1 {
            roff.text([roman(*line)]);
        }
        roff.control("fi", []);
        roff.control("RE", []);
    }
    roff.to_writer(&mut out)?;
    section(
        &mut out,
        "ENVIRONMENT",
        &[
            "NO_COLOR: if it is set and not empty, no colours are used.",
            "TERM: if it is dumb or not set, no bar is shown.",
        ],
    )?;
    Ok(out)
}

/// Examples of the manual, which the tests run in this order.
pub(crate) const EXAMPLES: [(&str, &[&str]); 5] = [
    (
        "Seal a file, find damage, and repair it:",
        &["atlasm seal --parity 10% big.iso", "atlasm verify big.iso", "atlasm repair -n big.iso"],
    ),
    (
        "Roots of files, and are they still the same?",
        &["atlasm hash big.iso > ROOTS", "atlasm hash -c ROOTS"],
    ),
    (
        "A part that is verified alone:",
        &[
            "atlasm shard big.iso.atlas 0+4096 -o part.shard",
            "atlasm check --root $(atlasm hash --no-names big.iso) part.shard",
        ],
    ),
    (
        "A container, an edit, and the way back:",
        &[
            "atlasm pack --compress zstd big.iso -o x.atlas",
            "printf hello | atlasm insert x.atlas 0 -",
            "atlasm log x.atlas",
            "atlasm rollback x.atlas",
            "atlasm forget --keep-from 3 x.atlas",
            "atlasm unpack x.atlas -o again.iso",
        ],
    ),
    (
        "Each night a part of an archive, the oldest first:",
        &["atlasm verify -r --rate 500M --max-time 3h --resume STATE ."],
    ),
];

fn section(out: &mut Vec<u8>, title: &str, paragraphs: &[&str]) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for paragraph in paragraphs {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    roff.to_writer(out)
}

/// Returns the manual page of one command, in roff.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = format!("atlasm {}", command.get_name());
    let leaked: &'static str = Box::leak(name.into_boxed_str());
    let examples = command.get_after_help().map(ToString::to_string);
    let mut out = Vec::new();
    let man = Man::new(command.clone().bin_name(leaked).after_help("")).source("atlasm");
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if let Some(examples) = examples {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in examples.lines().skip(1) {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut out)?;
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("atlasm(1), which has the exit statuses")]);
    roff.to_writer(&mut out)?;
    Ok(out)
}

fn write_all(program: &Command, folder: &Path) -> Res<()> {
    fs::create_dir_all(folder).map_err(|error| Failure::io("creating the folder", folder, &error))?;
    let write = |name: String, text: io::Result<Vec<u8>>| {
        let path = folder.join(name);
        let staged = output::Staged::new(&path, true, &[])?;
        let written = staged.create()?.write_all(&text.map_err(failed)?);
        written.map_err(|error| Failure::io("writing", &path, &error))?;
        staged.finish()
    };
    write("atlasm.1".to_owned(), front(program))?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        write(format!("atlasm-{}.1", command.get_name()), page(command))?;
    }
    Ok(())
}
