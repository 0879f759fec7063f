//! `entrepot config`: checks, shows and prints the configuration. No secret is ever printed.

use std::io::{self, Write};

use super::arguments::ConfigCommand;
use crate::config::{ANNOTATED, Sources, load};

const DONE: u8 = 0;
const WRONG_CONFIGURATION: u8 = 2;

/// Runs the command and returns its exit code. Answers go to `out`; faults and warnings, one per line, to `complaints`.
///
/// # Errors
/// What is said could not be written.
pub fn run(command: &ConfigCommand, out: &mut dyn Write, complaints: &mut dyn Write) -> io::Result<u8> {
    match command {
        ConfigCommand::Check(file) => loaded(&file.sources(), complaints, |_| writeln!(out, "ok")),
        ConfigCommand::Show(file) => loaded(&file.sources(), complaints, |toml| write!(out, "{toml}")),
        ConfigCommand::Default => write!(out, "{ANNOTATED}").map(|()| DONE),
    }
}

fn loaded(sources: &Sources, complaints: &mut dyn Write, tell: impl FnOnce(&str) -> io::Result<()>) -> io::Result<u8> {
    match load(sources) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(complaints, "warning: {warning}")?;
            }
            tell(&loaded.settings.to_toml())?;
            Ok(DONE)
        }
        Err(faults) => {
            writeln!(complaints, "{faults}")?;
            Ok(WRONG_CONFIGURATION)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::ConfigFile;

    fn told(command: &ConfigCommand) -> (u8, String, String) {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let code = run(command, &mut out, &mut complaints).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(complaints).unwrap())
    }

    #[test]
    fn check_says_ok_or_all_faults_and_show_hides_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let file = ConfigFile { config: Some(path.clone()) };
        std::fs::write(&path, "[auth]\nadmin_password = \"hunter2\"\nanonymous = [\"push\"]\n").unwrap();
        let (code, out, complaints) = told(&ConfigCommand::Check(file.clone()));
        assert_eq!((code, out.as_str()), (0, "ok\n"));
        assert!(complaints.starts_with("warning: "), "{complaints}");
        let (code, out, _) = told(&ConfigCommand::Show(file.clone()));
        assert!(code == 0 && out.contains("admin_password = \"…\"") && !out.contains("hunter2"), "{out}");

        std::fs::write(&path, "[auth]\nadmin = 1\n[log]\nlevel = 2\n").unwrap();
        let (code, out, complaints) = told(&ConfigCommand::Check(file));
        assert_eq!((code, out.as_str(), complaints.lines().count()), (2, "", 2));
    }

    #[test]
    fn default_prints_the_annotated_file() {
        assert_eq!(told(&ConfigCommand::Default), (0, ANNOTATED.to_owned(), String::new()));
    }
}
