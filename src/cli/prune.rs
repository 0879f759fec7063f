//! `entrepot prune`: lets tags go that the rules of the configuration do not keep, or tells which would go.

use super::arguments::Prune;
use super::errand;
use super::figures::counted;
use crate::config::Settings;
use crate::upkeep::{PruneEvent, PruneOrder, Request};

/// Prints a line for each tag; fails at the end when a repository could not be looked at.
pub async fn run(settings: Settings, arguments: Prune) -> Result<(), String> {
    let order = PruneOrder { repositories: arguments.repositories, dry_run: arguments.dry_run };
    let (mut tags, mut failed) = (0_u64, 0);
    let hear = |event: PruneEvent| {
        if arguments.asked.json {
            println!("{}", serde_json::to_string(&event).expect("an event is plain data"));
        }
        match event {
            PruneEvent::Tag { repository, tag, why } => {
                tags += 1;
                say(arguments.asked.json, &format!("{repository}:{tag} {why}"));
            }
            PruneEvent::Failed { repository, why } => {
                failed += 1;
                say(arguments.asked.json, &format!("{repository}: failed: {why}"));
            }
        }
    };
    errand::run(&settings, Request::Prune(order), hear).await?;
    say(arguments.asked.json, &format!("{} {}", counted(tags, "tag"), if arguments.dry_run { "would go" } else { "removed" }));
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of the repositories could not be pruned")),
    }
}

fn say(json: bool, line: &str) {
    if !json {
        println!("{line}");
    }
}
