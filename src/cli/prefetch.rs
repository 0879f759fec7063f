//! `entrepot prefetch`: has images fetched, by the running server or by itself, and shows how far they are.

use std::collections::HashMap;
use std::io::{IsTerminal, Read};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::arguments::Prefetch;
use super::errand;
use super::figures::size;
use crate::config::Settings;
use crate::upkeep::{Event, Order, Request};

/// Fetches every image; fails at the end when one of them could not be had.
pub async fn run(settings: Settings, arguments: Prefetch) -> Result<(), String> {
    let order = Order { images: images(&arguments)?, platforms: platforms(&arguments), jobs: arguments.jobs.get() };
    let expected = order.images.len();
    let mut screen = Screen::default();
    errand::run(&settings, Request::Prefetch(order), |event| screen.show(event)).await?;
    match screen.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {expected} images could not be fetched")),
    }
}

/// The images of the command line or of the list: one on each line, `#` begins a comment.
fn images(arguments: &Prefetch) -> Result<Vec<String>, String> {
    let Some(file) = &arguments.file else { return Ok(arguments.images.clone()) };
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(file).map(|content| text = content),
    };
    read.map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// What was asked for, else this machine's own platform.
fn platforms(arguments: &Prefetch) -> Vec<String> {
    if !arguments.platform.is_empty() {
        return arguments.platform.clone();
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    vec![format!("linux/{architecture}")]
}

/// What is shown: a line for each image that is done, a bar for each that is not where a person looks on.
struct Screen {
    bars: Option<MultiProgress>,
    shown: HashMap<String, ProgressBar>,
    failed: usize,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen { bars: std::io::stderr().is_terminal().then(MultiProgress::new), shown: HashMap::new(), failed: 0 }
    }
}

impl Screen {
    fn show(&mut self, event: Event) {
        match event {
            Event::Progress { image, here, total } => {
                if let Some(bars) = &self.bars {
                    let bar = self.shown.entry(image.clone()).or_insert_with(|| bars.add(bar(image)));
                    bar.set_length(total);
                    bar.set_position(here);
                }
            }
            Event::Done { image, total } => self.finish(&image, &format!("{image}: {} here", size(total))),
            Event::Failed { image, why } => {
                self.failed += 1;
                self.finish(&image, &format!("{image}: failed: {why}"));
            }
        }
    }

    fn finish(&mut self, image: &str, line: &str) {
        if let Some(bar) = self.shown.remove(image) {
            bar.finish_and_clear();
        }
        match &self.bars {
            Some(bars) => bars.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }
}

fn bar(image: String) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:30!} {bar:30} {bytes:>10}/{total_bytes:10} {eta}");
    ProgressBar::new(0).with_style(style.expect("the template is right")).with_prefix(image)
}
