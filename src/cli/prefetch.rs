//! `entrepot prefetch`: has images fetched, by the running server or by itself, and shows how far they are.

use std::collections::HashMap;
use std::io::{IsTerminal, Read};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::arguments::Prefetch;
use crate::app;
use crate::config::Settings;
use crate::registry::flight::Tuning;
use crate::upkeep::{self, Event, Order, control};
use crate::upstream::Deadlines;

/// Fetches every image; fails at the end when one of them could not be had.
pub async fn run(settings: Settings, arguments: Prefetch) -> Result<(), String> {
    let order = Order { images: images(&arguments)?, platforms: platforms(&arguments), jobs: arguments.jobs.get() };
    let expected = order.images.len();
    let asked = control::ask(&settings.storage.data, &control::Request::Prefetch(order.clone())).await;
    let running =
        asked.map_err(|e| format!("the running server cannot be asked at {}: {e}", control::path(&settings.storage.data).display()))?;
    let (events, own) = match running {
        Some(events) => (events, None),
        None => {
            let opened = app::open(&settings, Deadlines::default(), Tuning::default()).await.map_err(|e| e.to_string())?;
            let (told, events) = mpsc::channel(256);
            tokio::spawn(upkeep::prefetch(opened.registry.clone(), order, told));
            (events, Some(opened))
        }
    };
    let (done, failed) = show(events).await;
    if let Some(opened) = own {
        opened.close().await;
    }
    match (failed, expected - done - failed) {
        (0, 0) => Ok(()),
        (failed, 0) => Err(format!("{failed} of {expected} images could not be fetched")),
        (_, lost) => Err(format!("the server ended before {lost} of {expected} images were fetched; run the command again")),
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

/// Shows events until there are no more; how many images were done and how many failed.
async fn show(mut events: mpsc::Receiver<Event>) -> (usize, usize) {
    let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
    let mut shown: HashMap<String, ProgressBar> = HashMap::new();
    let (mut done, mut failed) = (0, 0);
    while let Some(event) = events.recv().await {
        match event {
            Event::Progress { image, here, total } => {
                if let Some(bars) = &bars {
                    let bar = shown.entry(image.clone()).or_insert_with(|| bars.add(bar(image)));
                    bar.set_length(total);
                    bar.set_position(here);
                }
            }
            Event::Done { image, total } => {
                done += 1;
                finish(&mut shown, &image);
                say(&bars, &format!("{image}: {} here", megabytes(total)));
            }
            Event::Failed { image, why } => {
                failed += 1;
                finish(&mut shown, &image);
                say(&bars, &format!("{image}: failed: {why}"));
            }
        }
    }
    (done, failed)
}

fn bar(image: String) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:30!} {bar:30} {bytes:>10}/{total_bytes:10} {eta}");
    ProgressBar::new(0).with_style(style.expect("the template is right")).with_prefix(image)
}

fn finish(shown: &mut HashMap<String, ProgressBar>, image: &str) {
    if let Some(bar) = shown.remove(image) {
        bar.finish_and_clear();
    }
}

fn say(bars: &Option<MultiProgress>, line: &str) {
    match bars {
        Some(bars) => bars.suspend(|| println!("{line}")),
        None => println!("{line}"),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
