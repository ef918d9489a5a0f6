//! `atlasm`: finds damage in large files, and mends it.

mod args;
mod commands;
mod context;
mod damage;
mod donor;
mod fetch;
mod map;
mod names;
mod objects;
mod output;
mod packed;
mod parity;
mod progress;
mod signals;
mod spool;
mod status;
mod units;
mod walk;

use args::Cli;
use clap::Parser;
use context::Ctx;
use status::{Failure, Status};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

fn main() -> ExitCode {
    signals::install();
    // Prints one line instead of a backtrace, which is of no use to a user.
    std::panic::set_hook(Box::new(|info| {
        drop(writeln!(std::io::stderr(), "atlasm: a defect of this program, please report it: {info}"));
    }));
    let status = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Status::Defect);
    ExitCode::from(status.code())
}

fn run() -> Status {
    let arguments = args::ranges_from_end(std::env::args_os());
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &arguments),
    };
    let command = cli.command;
    let name = command.name();
    let json = cli.global.json;
    let ctx = match Ctx::new(name, cli.global) {
        Ok(ctx) => ctx,
        Err(failure) => return end(name, json, &failure),
    };
    match command.run(&ctx) {
        Ok(()) => ctx.status(),
        Err(failure) => end(name, json, &failure).and(ctx.status()),
    }
}

/// Prints a failure that belongs to no single file, on standard error and, with `--json`, as an object. Returns
/// its status.
fn end(command: &str, json: bool, failure: &Failure) -> Status {
    context::complain(failure);
    if json {
        print(&serde_json::Value::from(context::failed_object(command, failure)));
    }
    failure.status
}

fn print(object: &serde_json::Value) {
    // An error is ignored, because nothing can be done if the output is closed.
    drop(output::Out::new().write(format!("{object}\n").as_bytes()));
}

/// Prints the help or the version if it was requested, else the error in the command line. Returns the exit
/// status.
fn refuse(error: &clap::Error, arguments: &[std::ffi::OsString]) -> Status {
    use clap::error::ErrorKind;
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_help {
        let text = error.render().to_string();
        return match output::Out::new().write(text.as_bytes()) {
            Ok(()) => Status::Done,
            Err(failure) => failure.status,
        };
    }
    let text = error.render().to_string();
    drop(std::io::stderr().write_all(text.as_bytes()));
    if arguments.iter().any(|argument| argument == "--json") {
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let message = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let failure = Failure::usage(message);
        let known = <Cli as clap::CommandFactory>::command();
        let named = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
        let command =
            named.into_iter().find(|name| known.find_subcommand(name).is_some()).unwrap_or("atlasm");
        print(&serde_json::Value::from(context::failed_object(command, &failure)));
    }
    Status::Usage
}
