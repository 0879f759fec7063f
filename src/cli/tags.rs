//! `entrepot refresh`, `pin`, `unpin`: what looks after cached tags. With `--json` events are printed as they come.

use super::arguments::{Asked, Pin, Refresh, Unpin};
use super::errand;
use super::figures::date;
use crate::config::Settings;
use crate::upkeep::{Request, TagEvent};

pub async fn refresh(settings: Settings, arguments: Refresh) -> Result<(), String> {
    run(&settings, Request::Refresh(arguments.images), &arguments.asked, "refreshed").await
}

pub async fn pin(settings: Settings, arguments: Pin) -> Result<(), String> {
    run(&settings, Request::Pin(arguments.images), &arguments.asked, "pinned").await
}

pub async fn unpin(settings: Settings, arguments: Unpin) -> Result<(), String> {
    run(&settings, Request::Unpin(arguments.images), &arguments.asked, "unpinned").await
}

/// Tells what became of each; fails at the end when one of them failed.
async fn run(settings: &Settings, request: Request, asked: &Asked, done: &str) -> Result<(), String> {
    let mut failed = 0;
    let hear = |event: TagEvent| {
        failed += usize::from(matches!(event, TagEvent::Failed { .. }));
        match (asked.json, &event) {
            (true, _) => println!("{}", serde_json::to_string(&event).expect("an event is plain data")),
            (false, TagEvent::Failed { image, why }) => eprintln!("{image}: {why}"),
            (false, _) => println!("{}", line(&event)),
        }
    };
    errand::run(settings, request, hear).await?;
    match failed {
        0 => Ok(()),
        1 => Err(format!("one image could not be {done}")),
        _ => Err(format!("{failed} images could not be {done}")),
    }
}

fn line(event: &TagEvent) -> String {
    match event {
        TagEvent::Refreshed { image, from, to, held, .. } => {
            let moved = if from == to { format!("{to}, as before") } else { format!("{to}, before {from}") };
            match held {
                Some(held) => format!("{image}: {moved}; held back until {}: {}", date(held.until), held.digest),
                None => format!("{image}: {moved}"),
            }
        }
        TagEvent::Pinned { image, from: Some(from), to, .. } if from != to => format!("{image}: pinned at {to}, before {from}"),
        TagEvent::Pinned { image, to, .. } => format!("{image}: pinned at {to}"),
        TagEvent::Unpinned { image, repository, digest } => {
            format!("{image}: {repository} is asked for it again; until it answers it is {digest}")
        }
        TagEvent::Failed { image, why } => format!("{image}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::registry::HeldBack;

    #[test]
    fn a_line_tells_the_old_and_the_new_digest_and_what_is_held_back() {
        let [a, b] = [b"a", b"b"].map(|text| Digest::of(text));
        let refreshed = |from, to, held| {
            let (image, repository) = ("nginx:1".to_owned(), "docker.io/library/nginx".to_owned());
            line(&TagEvent::Refreshed { image, repository, from, to, held })
        };
        assert_eq!(refreshed(a, a, None), format!("nginx:1: {a}, as before"));
        assert_eq!(refreshed(a, b, None), format!("nginx:1: {b}, before {a}"));
        let held = HeldBack { digest: b, since: 0, until: 1_795_270_164_000 };
        let told = format!("nginx:1: {a}, as before; held back until Sat, 21 Nov 2026 14:09:24 GMT: {b}");
        assert_eq!(refreshed(a, a, Some(held)), told);
        let pinned = |from| line(&TagEvent::Pinned { image: "nginx:1".into(), repository: "docker.io/library/nginx".into(), from, to: b });
        assert_eq!(pinned(Some(a)), format!("nginx:1: pinned at {b}, before {a}"));
        assert_eq!([pinned(Some(b)), pinned(None)], [format!("nginx:1: pinned at {b}"), format!("nginx:1: pinned at {b}")]);
    }
}
