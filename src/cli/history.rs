//! `entrepot history`: what became of a tag: when, by whom, from which manifest to which.

use std::time::{Duration, SystemTime};

use super::arguments::History;
use super::errand;
use crate::config::Settings;
use crate::upkeep::{MoveEvent, Request};

/// Prints a line for each move, oldest first.
pub async fn run(settings: Settings, arguments: History) -> Result<(), String> {
    let hear = |step: MoveEvent| match arguments.asked.json {
        true => println!("{}", serde_json::to_string(&step).expect("an event is plain data")),
        false => println!("{}", line(&step)),
    };
    errand::run(&settings, Request::History(arguments.image), hear).await
}

fn line(step: &MoveEvent) -> String {
    let at = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_millis(step.at));
    let by = if step.by.is_empty() { "-" } else { &step.by };
    let what = match (&step.from, &step.to) {
        (Some(from), Some(to)) => format!("{to}, before {from}"),
        (None, Some(to)) => format!("{to}, new"),
        (Some(from), None) => format!("removed, before {from}"),
        (None, None) => "removed".to_owned(),
    };
    format!("{at}  {}  {by}  {what}", step.repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_what_and_what_was_before() {
        let step = |by: &str, from: Option<&str>, to: Option<&str>| {
            let texts = (from.map(str::to_owned), to.map(str::to_owned));
            line(&MoveEvent { repository: "team/app".into(), at: 1_795_270_164_000, by: by.into(), from: texts.0, to: texts.1 })
        };
        let when = "Sat, 21 Nov 2026 14:09:24 GMT  team/app";
        assert_eq!(step("alice", None, Some("sha256:a")), format!("{when}  alice  sha256:a, new"));
        assert_eq!(step("", Some("sha256:a"), Some("sha256:b")), format!("{when}  -  sha256:b, before sha256:a"));
        assert_eq!(step("bob", Some("sha256:b"), None), format!("{when}  bob  removed, before sha256:b"));
    }
}
