//! `entrepot history`: what became of a tag: when, by whom, from which manifest to which.

use super::arguments::History;
use super::errand;
use super::figures::date;
use crate::config::Settings;
use crate::upkeep::{HistoryEvent, Request};

/// Prints a line for each move, oldest first, then for what is pinned or held back.
pub async fn run(settings: Settings, arguments: History) -> Result<(), String> {
    let hear = |event: HistoryEvent| match arguments.asked.json {
        true => println!("{}", serde_json::to_string(&event).expect("an event is plain data")),
        false => println!("{}", line(&event)),
    };
    errand::run(&settings, Request::History(arguments.image), hear).await
}

fn line(event: &HistoryEvent) -> String {
    match event {
        HistoryEvent::Moved { repository, at, by, from, to } => {
            let by = if by.is_empty() { "-" } else { by };
            let what = match (from, to) {
                (Some(from), Some(to)) => format!("{to}, before {from}"),
                (None, Some(to)) => format!("{to}, new"),
                (Some(from), None) => format!("removed, before {from}"),
                (None, None) => "removed".to_owned(),
            };
            format!("{}  {repository}  {by}  {what}", date(*at))
        }
        HistoryEvent::Pinned { repository, since, digest } => format!("{}  {repository}  pinned at {digest}", date(*since)),
        HistoryEvent::Held { repository, held } => {
            format!("{}  {repository}  held back until {}: {}", date(held.since), date(held.until), held.digest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::registry::HeldBack;

    #[test]
    fn a_line_says_when_who_what_and_what_was_before() {
        let at = 1_795_270_164_000;
        let [a, b] = [b"a", b"b"].map(|text| Digest::of(text));
        let step = |by: &str, from, to| {
            let repository = "team/app".to_owned();
            line(&HistoryEvent::Moved { repository, at, by: by.into(), from, to })
        };
        let when = "Sat, 21 Nov 2026 14:09:24 GMT  team/app";
        assert_eq!(step("alice", None, Some(a)), format!("{when}  alice  {a}, new"));
        assert_eq!(step("", Some(a), Some(b)), format!("{when}  -  {b}, before {a}"));
        assert_eq!(step("bob", Some(b), None), format!("{when}  bob  removed, before {b}"));
        let pinned = HistoryEvent::Pinned { repository: "team/app".into(), since: at, digest: a };
        assert_eq!(line(&pinned), format!("{when}  pinned at {a}"));
        let held = HeldBack { digest: b, since: at, until: at + 86_400_000 };
        let held = HistoryEvent::Held { repository: "team/app".into(), held };
        assert_eq!(line(&held), format!("{when}  held back until Sun, 22 Nov 2026 14:09:24 GMT: {b}"));
    }
}
