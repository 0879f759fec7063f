//! `entrepot role …` and `entrepot can`: who may do what. With `--json` events are printed as they come.

use super::arguments::{Can, Membership, Role, RoleCommand};
use super::errand;
use super::figures::table;
use crate::auth::{KeptAllow, Source};
use crate::config::{ANONYMOUS, Settings};
use crate::upkeep::{self, Judged, Request, RoleEvent, RoleOrder, Rule};

pub async fn role(settings: Settings, arguments: Role) -> Result<(), String> {
    let json = arguments.command.asked().json;
    let order = match arguments.command {
        RoleCommand::Add { name, allow, member, .. } => RoleOrder::Add { name, members: member, allow },
        RoleCommand::Grant(Membership { name, users, .. }) => RoleOrder::Grant { name, users },
        RoleCommand::Revoke(Membership { name, users, .. }) => RoleOrder::Revoke { name, users },
        RoleCommand::Remove { name, open, .. } => RoleOrder::Remove { name, open },
        RoleCommand::List { .. } => RoleOrder::List,
    };
    let mut rows = vec![["ROLE", "MEMBERS", "ALLOWS", "SAID BY"].map(str::to_owned).to_vec()];
    let hear = |event: RoleEvent| match event {
        _ if json => print(&event),
        RoleEvent::Done(done) => println!("{done}"),
        RoleEvent::Remark(remark) => eprintln!("{remark}"),
        RoleEvent::Rule(rule) => rows.push(row(&rule)),
        RoleEvent::Judged(judged) => println!("{}", sentence(&judged)),
    };
    errand::run(&settings, Request::Role(order), hear).await?;
    if rows.len() > 1 {
        print!("{}", table(&rows));
    }
    Ok(())
}

pub async fn can(settings: Settings, arguments: Can) -> Result<(), String> {
    let Can { user, action, repository, asked } = arguments;
    let question = upkeep::Can { user, action: action.into(), repository };
    let mut told = Vec::new();
    let hear = |event: RoleEvent| match (event, asked.json) {
        (RoleEvent::Judged(judged), json) => {
            if json {
                print(&RoleEvent::Judged(judged.clone()));
            } else {
                println!("{}", sentence(&judged));
            }
            told.push(judged);
        }
        (event, true) => print(&event),
        (RoleEvent::Remark(text) | RoleEvent::Done(text), false) => eprintln!("{text}"),
        (RoleEvent::Rule(_), false) => {}
    };
    errand::run(&settings, Request::Can(question), hear).await?;
    // Each has been told.
    if is_allowed(&told) { Ok(()) } else { Err(String::new()) }
}

/// A pull is decided by the repository whose turn is first, by the first one at all where none is there yet; all else by everything
/// that it needs.
fn is_allowed(told: &[Judged]) -> bool {
    match told.iter().any(|judged| judged.action == crate::auth::Action::Pull) {
        true => told.iter().find(|judged| judged.asked).or(told.first()).is_some_and(|judged| judged.allowed),
        false => told.iter().all(|judged| judged.allowed),
    }
}

fn print(event: &RoleEvent) {
    println!("{}", serde_json::to_string(event).expect("an event is plain data"));
}

fn sentence(judged: &Judged) -> String {
    let action = serde_json::to_value(judged.action).expect("an action is plain data");
    let subject = format!("{} {}", action.as_str().unwrap_or_default(), judged.repository);
    let verdict = match (&judged.role, &judged.allow, judged.source) {
        (Some(role), Some(allow), Some(source)) => format!("allowed by the role {role} ({}), {}", allows(allow), by(source)),
        _ => "not allowed".to_owned(),
    };
    let now = if judged.asked { "" } else { " (not asked as things stand)" };
    format!("{subject}: {verdict}{now}")
}

fn row(rule: &Rule) -> Vec<String> {
    let members = match &rule.members {
        None if rule.everybody => "everybody".to_owned(),
        None => "every user".to_owned(),
        Some(members) if members.is_empty() => "nobody".to_owned(),
        Some(members) => members.join(", "),
    };
    let said = match (rule.in_force, rule.place.as_deref()) {
        (false, _) => "command; not in force: the configuration says otherwise".to_owned(),
        (true, Some(place)) => format!("configuration, {place}"),
        (true, None) if rule.source == Source::File => format!("configuration, auth.{ANONYMOUS}"),
        (true, None) => by(rule.source).to_owned(),
    };
    let allow = rule.allow.iter().map(allows).collect::<Vec<_>>().join("; ");
    vec![rule.name.clone(), members, allow, said]
}

fn allows(allow: &KeptAllow) -> String {
    format!("{} on {}", allow.actions.join(","), allow.repositories.join(", "))
}

fn by(source: Source) -> &'static str {
    match source {
        Source::BuiltIn => "built in",
        Source::File => "configuration",
        Source::Command => "command",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Action;

    fn judged(action: Action, allowed: bool, asked: bool) -> Judged {
        let allow = KeptAllow { repositories: vec!["team/**".into()], actions: vec!["pull".into(), "push".into()] };
        Judged {
            action,
            repository: "team/app".into(),
            allowed,
            role: allowed.then(|| "dev".to_owned()),
            allow: allowed.then_some(allow),
            source: allowed.then_some(Source::Command),
            asked,
        }
    }

    #[test]
    fn a_verdict_names_its_rule() {
        let told = sentence(&judged(Action::Push, true, true));
        assert_eq!(told, "push team/app: allowed by the role dev (pull,push on team/**), command");
        assert_eq!(sentence(&judged(Action::Pull, false, false)), "pull team/app: not allowed (not asked as things stand)");
    }

    #[test]
    fn a_pull_is_decided_by_whose_turn_it_is_and_a_push_by_all_it_needs() {
        let pull = |allowed, asked| judged(Action::Pull, allowed, asked);
        assert!(is_allowed(&[pull(false, false), pull(true, true), pull(false, true)]));
        assert!(!is_allowed(&[pull(false, true), pull(true, true)]));
        assert!(is_allowed(&[pull(true, false), pull(false, false)]));
        assert!(!is_allowed(&[judged(Action::Push, true, true), judged(Action::Shadow, false, true)]));
        assert!(is_allowed(&[judged(Action::Push, true, true), judged(Action::Shadow, true, true)]));
    }
}
