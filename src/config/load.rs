//! Finds the sources, lays one over the other, and reads the result: everything that is wrong is told at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::environment;
use super::faults::{Fault, Faults, Place};
use super::grammar::parse_file;
use super::reader::{Context, Reader};
use super::sections;
use super::settings::Settings;
use super::tree::Table;

/// Where settings may come from, later ones over earlier ones: a file, the environment, the command line.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `--config`. Else `ENTREPOT_CONFIG`, else the first of `files` that is there, else no file.
    pub config: Option<PathBuf>,
    pub files: Vec<PathBuf>,
    pub environment: BTreeMap<String, String>,
    pub overrides: Overrides,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub listen: Vec<String>,
    pub data: Option<PathBuf>,
    pub tls: Option<String>,
    /// Names for a certificate.
    pub host: Vec<String>,
    pub anonymous: Option<Vec<String>>,
    pub offline: bool,
}

/// The settings, and what should be said about them at the start.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// The file that was read.
    pub from: Option<PathBuf>,
    pub warnings: Vec<String>,
}

impl Sources {
    /// The sources of this process. Variables that are not UTF-8 are nobody's.
    pub fn of_process(config: Option<PathBuf>, overrides: Overrides) -> Sources {
        let environment = std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        Sources {
            config,
            files: vec!["config.toml".into(), "/etc/entrepot/config.toml".into()],
            environment: environment.collect(),
            overrides,
        }
    }

    fn file(&self) -> Option<PathBuf> {
        let variable = self.environment.get("ENTREPOT_CONFIG").filter(|path| !path.is_empty());
        let named = self.config.clone().or_else(|| variable.map(PathBuf::from));
        // One in a folder that may not be entered is taken, so that reading it tells why it cannot be.
        let there = || self.files.iter().find(|path| path.try_exists().unwrap_or(true)).cloned();
        named.or_else(there)
    }
}

/// Reads every source.
///
/// # Errors
/// All that is wrong, by place.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    read(sources).0
}

/// As [`load`], with every key that was asked for.
pub(super) fn read(sources: &Sources) -> (Result<Loaded, Faults>, Vec<String>) {
    let from = sources.file();
    let (mut table, grammar) = from.as_ref().map(read_file).unwrap_or_default();
    let context = Context::new(&sources.environment);
    let laid = [environment::variables(&mut table, &sources.environment), environment::options(&mut table, &sources.overrides)];

    let mut settings = Settings::builtin();
    let root = Place::File(from.clone().unwrap_or_default(), None);
    sections::read(Reader::root(&context, root, table), &mut settings);
    if let Some(data) = &sources.overrides.data {
        settings.storage.data = data.clone();
    }

    let known = context.known.into_inner();
    let mut faults = context.faults.into_inner();
    // A line whose grammar is wrong was understood by guessing.
    faults.retain(|fault| !grammar.iter().any(|wrong| wrong.place == fault.place));
    faults.extend(grammar);
    faults.extend(laid.into_iter().flatten());
    faults.extend(environment::misnamed(&sources.environment, &known));
    faults.sort();
    faults.dedup();
    let loaded = match faults.is_empty() {
        true => Ok(Loaded { settings, from, warnings: context.warnings.into_inner() }),
        false => Err(Faults(faults)),
    };
    (loaded, known.into_iter().collect())
}

fn read_file(path: &PathBuf) -> (Table, Vec<Fault>) {
    match std::fs::read_to_string(path) {
        Ok(text) => parse_file(path, &text),
        Err(error) => {
            let fault = Fault { place: Place::File(path.clone(), None), message: format!("cannot be read: {error}") };
            (Table::new(), vec![fault])
        }
    }
}
