//! What commands ask about roles and change of them. What is changed holds for the next request, of who is logged in too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::auth::{Action, KeptAllow, KeptRole, Members, Policy, Role, Source, Who, explain, judged_name};
use crate::config::{ANONYMOUS, Allow};
use crate::oci::Repository;
use crate::registry::{Registry, Target};
use crate::telemetry::audit::{self, By};

/// What is to become of roles.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleOrder {
    Add {
        name: String,
        members: Vec<String>,
        allow: Vec<KeptAllow>,
    },
    Grant {
        name: String,
        users: Vec<String>,
    },
    Revoke {
        name: String,
        users: Vec<String>,
    },
    Remove {
        name: String,
        /// The last one may go too.
        open: bool,
    },
    List,
}

/// Whether a user may do something with a repository, whose name is as clients write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Can {
    /// `anonymous` is everybody.
    pub user: String,
    pub action: Action,
    pub repository: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleEvent {
    /// It is done.
    Done(String),
    /// What should be known about it, as a sentence.
    Remark(String),
    Rule(Rule),
    Judged(Judged),
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub name: String,
    /// Users and patterns over them; `None`: every user.
    pub members: Option<Vec<String>>,
    /// Whether it is the role of clients without a log-in too.
    pub everybody: bool,
    pub allow: Vec<KeptAllow>,
    pub source: Source,
    /// Where the configuration says it.
    pub place: Option<String>,
    /// Not where the configuration says something else of the role.
    pub in_force: bool,
}

/// One repository that a name stands for, and whether the user may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub action: Action,
    /// As patterns are held against it.
    pub repository: String,
    pub allowed: bool,
    /// By what: the role, what of it says so, and who said it.
    pub role: Option<String>,
    pub allow: Option<KeptAllow>,
    pub source: Option<Source>,
    /// Whether it is asked as things stand.
    pub asked: bool,
}

/// Changes roles, or tells them.
pub(super) async fn change(registry: Arc<Registry>, order: RoleOrder, teller: Teller) -> Result<(), String> {
    let policy = registry.access().clone();
    let changed = tokio::task::spawn_blocking(move || carry_out(&policy, order)).await;
    for event in changed.map_err(|broken| format!("this broke off: {broken}"))?? {
        teller.tell(event).await;
    }
    Ok(())
}

fn carry_out(policy: &Policy, order: RoleOrder) -> Result<Vec<RoleEvent>, String> {
    let (mut remarks, by) = (Vec::new(), By::LOCAL);
    let done = match order {
        RoleOrder::List => return Ok(list(policy).into_iter().map(RoleEvent::Rule).collect()),
        RoleOrder::Add { name, members, allow } => {
            let text = allow.iter().map(|one| format!("{} on {}", one.actions.join(","), one.repositories.join(", ")));
            let text = text.collect::<Vec<_>>().join("; ");
            let role = KeptRole { name: name.clone(), members: members.clone(), allow };
            remarks = policy.add_role(role, by.user).map_err(|error| error.to_string())?;
            audit::account("role-added", &name, "", &text, by);
            if !members.is_empty() {
                audit::account("role-granted", &name, "", &members.join(", "), by);
            }
            remarks.extend(absent(policy, &members));
            format!("{name} added")
        }
        RoleOrder::Grant { name, users } => {
            policy.grant(&name, &users, by.user).map_err(|error| error.to_string())?;
            audit::account("role-granted", &name, "", &users.join(", "), by);
            remarks.extend(absent(policy, &users));
            format!("{name} granted to {}", users.join(", "))
        }
        RoleOrder::Revoke { name, users } => {
            policy.revoke(&name, &users, by.user).map_err(|error| error.to_string())?;
            audit::account("role-revoked", &name, &users.join(", "), "", by);
            format!("{name} revoked from {}", users.join(", "))
        }
        RoleOrder::Remove { name, open } => {
            remarks = policy.remove_role(&name, open, by.user).map_err(|error| error.to_string())?;
            audit::account("role-removed", &name, "", "", by);
            format!("{name} removed")
        }
    };
    Ok(std::iter::once(RoleEvent::Done(done)).chain(remarks.into_iter().map(RoleEvent::Remark)).collect())
}

/// A member may be made after the role; a slip of the finger should be seen.
fn absent(policy: &Policy, members: &[String]) -> Option<String> {
    let plain: Vec<_> = members.iter().filter(|member| !member.contains(['*', '?', '[', '{'])).cloned().collect();
    let strangers = policy.strangers(&plain);
    (!strangers.is_empty()).then(|| format!("there is no user {} yet", strangers.join(", ")))
}

/// The roles that count, and those that commands said and the configuration says otherwise.
fn list(policy: &Policy) -> Vec<Rule> {
    let (rules, entries, configured) = (policy.rules(), policy.ledger().entries(), policy.configured());
    let mut listed: Vec<_> = rules.roles().map(rule).collect();
    for rule in &mut listed {
        rule.place = configured.roles.iter().find(|told| told.name == rule.name).and_then(|told| told.place.clone());
    }
    let counts = |name: &String| rules.roles().any(|role| *role.name == **name && role.source == Source::Command);
    listed.extend(entries.roles.values().map(|(kept, _)| kept).filter(|kept| !counts(&kept.name)).map(|kept| Rule {
        name: kept.name.clone(),
        members: (kept.name != ANONYMOUS).then(|| kept.members.clone()),
        everybody: kept.name == ANONYMOUS,
        allow: kept.allow.clone(),
        source: Source::Command,
        place: None,
        in_force: false,
    }));
    listed
}

fn rule(role: &Role) -> Rule {
    let members = match &role.members {
        Members::Named(patterns) => Some(patterns.texts().to_vec()),
        Members::Everybody | Members::SignedIn => None,
    };
    Rule {
        name: role.name.to_string(),
        members,
        everybody: role.members == Members::Everybody,
        allow: role.allow.iter().map(kept).collect(),
        source: role.source,
        place: None,
        in_force: true,
    }
}

fn kept(allow: &Allow) -> KeptAllow {
    let actions = allow.rights.words().map(str::to_owned).collect();
    KeptAllow { repositories: allow.repositories.texts().to_vec(), actions }
}

/// Tells whether the user may. A pull is told for each repository that the name may stand for, a push with what it needs besides.
pub(super) async fn can(registry: Arc<Registry>, question: Can, teller: Teller) -> Result<(), String> {
    let Can { user, action, repository } = question;
    let target = registry.target(&repository, None).map_err(|error| format!("{repository:?}: {}", error.message))?;
    let who = if user == ANONYMOUS { Who::Anonymous } else { Who::User(user.as_str().into()) };
    let changed = target.repository();
    let asked = match (action, &target) {
        (Action::Pull, _) => {
            let answering = registry.answering(&target).await.map_err(|error| error.message)?;
            let all = registry.candidates(&target).into_iter();
            all.map(|one| (Action::Pull, answering.contains(&one), one)).collect()
        }
        (Action::Push | Action::Shadow | Action::Delete, Target::Upstream(there)) => {
            return Err(format!("nobody may: {there} belongs to {}, and is only cached here", there.origin));
        }
        (Action::Push, Target::Group(name)) if registry.shadows(name).await.map_err(|error| error.message)? => {
            vec![(Action::Push, true, changed.clone()), (Action::Shadow, true, changed)]
        }
        _ => vec![(action, true, changed)],
    };
    for (action, asked, repository) in asked {
        teller.tell(RoleEvent::Judged(judged(registry.access(), &who, action, &repository, asked))).await;
    }
    if who.is_signed_in() {
        let (policy, names) = (registry.access().clone(), vec![user]);
        let remark = tokio::task::spawn_blocking(move || absent(&policy, &names)).await.ok().flatten();
        if let Some(remark) = remark {
            teller.tell(RoleEvent::Remark(remark)).await;
        }
    }
    Ok(())
}

fn judged(policy: &Policy, who: &Who, action: Action, repository: &Repository, asked: bool) -> Judged {
    let rules = policy.rules();
    let by = explain(&rules, who, action, repository);
    Judged {
        action,
        repository: judged_name(repository),
        allowed: by.is_some(),
        role: by.map(|(role, _)| role.name.to_string()),
        allow: by.map(|(_, allow)| kept(allow)),
        source: by.map(|(role, _)| role.source),
        asked,
    }
}
