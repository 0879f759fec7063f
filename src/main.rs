//! The program: everything it does stands behind its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    entrepot::cli::main()
}
