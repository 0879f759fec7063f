//! `entrepot ls`, `du`, `copy`, `delete`, `purge`, `gc`: what looks after the images that are here. With `--json` events are printed as they come.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::arguments::{Asked, Copy, Delete, Du, Gc, Ls, Names, Purge};
use super::errand;
use super::figures::{age, counted, size, table};
use crate::config::Settings;
use crate::registry::{Collected, Listed, Sweep};
use crate::upkeep::{self, Gathering, Outcome, Request, Room};

pub async fn ls(settings: Settings, arguments: Ls) -> Result<(), String> {
    let request = Request::Ls(arguments.pattern);
    if arguments.asked.json {
        return print(&settings, request).await;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut rows = vec![["IMAGE", "KIND", "SIZE", "AGE", "DIGEST"].map(str::to_owned).to_vec()];
    let row = |image: Listed| {
        let kind = match (image.hosted, image.pinned) {
            (true, _) => "hosted",
            (false, false) => "cached",
            (false, true) => "pinned",
        };
        let digest: String = image.digest.to_string().chars().take(19).collect();
        rows.push(vec![image.image, kind.into(), size(image.size), age(now.saturating_sub(Duration::from_millis(image.at))), digest]);
    };
    errand::run(&settings, request, row).await?;
    print!("{}", table(&rows));
    Ok(())
}

pub async fn du(settings: Settings, arguments: Du) -> Result<(), String> {
    if arguments.asked.json {
        return print(&settings, Request::Du).await;
    }
    let mut rows = vec![["REPOSITORY", "KIND", "OWN", "SHARED"].map(str::to_owned).to_vec()];
    let mut total = String::new();
    let row = |room: Room| match room {
        Room::Repository(share) => {
            let kind = if share.hosted { "hosted" } else { "cached" };
            rows.push(vec![share.repository, kind.into(), size(share.own), size(share.shared)]);
        }
        Room::Total(all) => {
            let sums = format!("hosted {}, cached {}", size(all.hosted), size(all.cached));
            let unused = size(all.collectable);
            total = format!("{} in {} ({sums}); no manifest uses {unused} of it", size(all.bytes), counted(all.blobs, "blob"));
        }
    };
    errand::run(&settings, Request::Du, row).await?;
    print!("{}\n{total}\n", table(&rows));
    Ok(())
}

pub async fn copy(settings: Settings, arguments: Copy) -> Result<(), String> {
    let request = Request::Copy(upkeep::Copy { from: arguments.from.clone(), to: arguments.to });
    outcomes(&settings, request, &arguments.asked, &format!("copied from {}", arguments.from)).await
}

pub async fn delete(settings: Settings, arguments: Delete) -> Result<(), String> {
    let request = Request::Delete(names(&arguments.names));
    outcomes(&settings, request, &arguments.names.asked, "deleted").await
}

pub async fn purge(settings: Settings, arguments: Purge) -> Result<(), String> {
    let request = Request::Purge(names(&arguments.names));
    outcomes(&settings, request, &arguments.names.asked, "purged").await
}

pub async fn gc(settings: Settings, arguments: Gc) -> Result<(), String> {
    let request = Request::Gc(Sweep { dry_run: arguments.dry_run, untagged: arguments.untagged });
    if arguments.asked.json {
        return print(&settings, request).await;
    }
    let show = |event: Gathering| {
        if let Gathering::Done(collected) = event {
            println!("{}", sentence(collected, arguments.dry_run));
        }
    };
    errand::run(&settings, request, show).await
}

fn sentence(collected: Collected, dry_run: bool) -> String {
    let Collected { manifests, blobs, bytes, waiting } = collected;
    let verb = if dry_run { "would be removed" } else { "removed" };
    let mut text = format!("{verb}: {}, {}", counted(blobs, "blob"), size(bytes));
    if manifests > 0 {
        text += &format!("; with {} that nothing led to", counted(manifests, "manifest"));
    }
    if waiting > 0 {
        text += &format!("\nkept: {} that no manifest uses, pushed within the last day or in use this moment", counted(waiting, "blob"));
    }
    text
}

fn names(arguments: &Names) -> upkeep::Names {
    upkeep::Names { names: arguments.names.clone(), all: arguments.all }
}

/// Prints what became of each name; fails at the end when one of them failed.
async fn outcomes(settings: &Settings, request: Request, asked: &Asked, done: &str) -> Result<(), String> {
    let mut failed = 0;
    let show = |event: Value| {
        let outcome = serde_json::from_value(event.clone());
        failed += usize::from(matches!(outcome, Ok(Outcome::Failed { .. })));
        match outcome {
            _ if asked.json => println!("{event}"),
            Ok(Outcome::Done { image }) => println!("{image}: {done}"),
            Ok(Outcome::Failed { image, why }) => eprintln!("{image}: {why}"),
            Err(_) => eprintln!("{event}"),
        }
    };
    errand::run(settings, request, show).await?;
    // Each has been named.
    if failed == 0 { Ok(()) } else { Err(String::new()) }
}

/// Prints every event as it is.
async fn print(settings: &Settings, request: Request) -> Result<(), String> {
    errand::run(settings, request, |event: Value| println!("{event}")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_told_in_a_sentence() {
        let collected = Collected { manifests: 0, blobs: 3, bytes: 1_500_000, waiting: 0 };
        assert_eq!(sentence(collected, false), "removed: 3 blobs, 1.5 MB");
        let text = sentence(Collected { manifests: 2, waiting: 1, ..collected }, true);
        assert!(text.starts_with("would be removed: 3 blobs, 1.5 MB; with 2 manifests") && text.contains("\nkept: 1 blob that"));
    }
}
