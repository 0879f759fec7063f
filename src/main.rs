//! The program: reads the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use entrepot::cli::{self, arguments::Arguments};

fn main() -> ExitCode {
    cli::run(Arguments::parse().command)
}
