//! The command line: each command in a file of its own. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

pub mod arguments;
mod care;
pub mod config;
mod errand;
mod figures;
mod healthcheck;
mod history;
mod prefetch;
mod prune;
mod roles;
mod serve;
mod tags;
mod tls;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

use crate::config::{Loaded, Settings, Sources, load};

/// Reads the command line and runs the command to its end.
pub fn main() -> ExitCode {
    run(Arguments::parse().command)
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Serve(arguments) => with_loaded(&arguments.sources(), |loaded| {
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            serve::run(loaded.settings)
        }),
        Command::Prefetch(arguments) => with_settings(&arguments.server.sources(), |settings| prefetch::run(settings, arguments)),
        Command::Prune(arguments) => with_settings(&arguments.asked.sources(), |settings| prune::run(settings, arguments)),
        Command::History(arguments) => with_settings(&arguments.asked.sources(), |settings| history::run(settings, arguments)),
        Command::Ls(arguments) => with_settings(&arguments.asked.sources(), |settings| care::ls(settings, arguments)),
        Command::Du(arguments) => with_settings(&arguments.asked.sources(), |settings| care::du(settings, arguments)),
        Command::Copy(arguments) => with_settings(&arguments.asked.sources(), |settings| care::copy(settings, arguments)),
        Command::Delete(arguments) => with_settings(&arguments.names.asked.sources(), |settings| care::delete(settings, arguments)),
        Command::Purge(arguments) => with_settings(&arguments.names.asked.sources(), |settings| care::purge(settings, arguments)),
        Command::Refresh(arguments) => with_settings(&arguments.asked.sources(), |settings| tags::refresh(settings, arguments)),
        Command::Pin(arguments) => with_settings(&arguments.asked.sources(), |settings| tags::pin(settings, arguments)),
        Command::Unpin(arguments) => with_settings(&arguments.asked.sources(), |settings| tags::unpin(settings, arguments)),
        Command::Gc(arguments) => with_settings(&arguments.asked.sources(), |settings| care::gc(settings, arguments)),
        Command::Role(arguments) => with_settings(&arguments.command.asked().sources(), |settings| roles::role(settings, arguments)),
        Command::Can(arguments) => with_settings(&arguments.asked.sources(), |settings| roles::can(settings, arguments)),
        Command::Healthcheck(arguments) => with_settings(&arguments.server.sources(), healthcheck::run),
        Command::Tls(arguments) => match tls::run(arguments.command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("entrepot: {why}");
                ExitCode::FAILURE
            }
        },
        Command::Config(arguments) => {
            let ran = config::run(&arguments.command, &mut std::io::stdout(), &mut std::io::stderr());
            ran.map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

/// Reads the configuration; all that is wrong with it is said, and nothing is run.
fn with_settings<F>(sources: &Sources, run: impl FnOnce(Settings) -> F) -> ExitCode
where
    F: Future<Output = Result<(), String>>,
{
    with_loaded(sources, |loaded| run(loaded.settings))
}

fn with_loaded<F>(sources: &Sources, run: impl FnOnce(Loaded) -> F) -> ExitCode
where
    F: Future<Output = Result<(), String>>,
{
    let loaded = match load(sources) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("entrepot: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(loaded));
    // A blocking call that hangs must not keep a finished process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("entrepot: {why}");
            }
            ExitCode::FAILURE
        }
    }
}
