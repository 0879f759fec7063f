//! What commands may change of roles. What the configuration says and what is built in stays; every refusal says what to do instead.

use super::ledger::{Change, Entries, KeptRole, NotChanged};
use super::policy::Policy;
use super::rules::said;
use crate::config::{ADMIN, ANONYMOUS, Patterns, USERS, role_name};

/// What holds as long as there is no role but that of everybody.
const EVERY_USER: &str = "every user may pull, push and shadow everything";

impl Policy {
    /// Adds a role; returns what should be said about it. Blocks for a small write.
    ///
    /// # Errors
    /// There is one of that name, or something of it cannot be.
    pub fn add_role(&self, role: KeptRole, by: &str) -> Result<Vec<String>, NotChanged> {
        let mut remarks = Vec::new();
        self.ledger().write(by, |entries| {
            role_name(&role.name)?;
            self.may_change(&role.name)?;
            if entries.roles.contains_key(&role.name) {
                let name = &role.name;
                return Err(format!("there is a role {name} already: change who is in it with role grant and role revoke, or remove it first"));
            }
            for allow in &role.allow {
                Patterns::of_repositories(&allow.repositories)?;
            }
            if role.allow.is_empty() {
                return Err(format!("the role {} would allow nothing: say what, like --allow pull,push='team/**'", role.name));
            }
            if role.name == ANONYMOUS && !role.members.is_empty() {
                return Err(format!("everybody is in the role {ANONYMOUS}, logged in or not: leave its members out"));
            }
            named(&role.members)?;
            if role.name != ANONYMOUS && !self.has_roles(entries) {
                remarks.push(format!(
                    "this is the first role: until now {EVERY_USER}; from now on a user without a role may do what everybody may, and no more"
                ));
            }
            Ok(Change::Role(role.clone()))
        })?;
        Ok(remarks)
    }

    /// Puts users, or patterns over them, into a role; who is in it stays in it. Blocks for a small write.
    ///
    /// # Errors
    /// There is no such role, or it has other members than commands say.
    pub fn grant(&self, role: &str, users: &[String], by: &str) -> Result<(), NotChanged> {
        let changed = self.ledger().write(by, |entries| {
            let mut kept = self.changeable(entries, role)?;
            named(users)?;
            for user in users {
                if !kept.members.contains(user) {
                    kept.members.push(user.clone());
                }
            }
            Ok(Change::Role(kept))
        });
        changed.map(|_| ())
    }

    /// Takes users out of a role. Blocks for a small write.
    ///
    /// # Errors
    /// There is no such role, or one of them is not in it by this very name.
    pub fn revoke(&self, role: &str, users: &[String], by: &str) -> Result<(), NotChanged> {
        let changed = self.ledger().write(by, |entries| {
            let mut kept = self.changeable(entries, role)?;
            for user in users {
                if !kept.members.contains(user) {
                    let by_pattern = kept.members.iter().find(|member| Patterns::new(&[member]).is_ok_and(|pattern| pattern.matches(user)));
                    return Err(match by_pattern {
                        Some(pattern) => format!("{user} is in {role} by the pattern {pattern}: revoke that, then grant those who stay"),
                        None => format!("{user} is not in {role}; role list tells who is"),
                    });
                }
                kept.members.retain(|member| member != user);
            }
            Ok(Change::Role(kept))
        });
        changed.map(|_| ())
    }

    /// Removes a role; returns what should be said about it. The last one goes only where `open` says that this is meant.
    /// Blocks for a small write.
    ///
    /// # Errors
    /// There is no such role, or it is the last one.
    pub fn remove_role(&self, role: &str, open: bool, by: &str) -> Result<Vec<String>, NotChanged> {
        let mut remarks = Vec::new();
        self.ledger().write(by, |entries| {
            self.may_change(role)?;
            let mut left = entries.clone();
            left.roles.remove(role).ok_or_else(|| unknown(role))?;
            if self.has_roles(entries) && !self.has_roles(&left) {
                if !open {
                    return Err(format!("{role} is the last role: without any {EVERY_USER}. If that is meant, say --open"));
                }
                remarks.push(format!("there is no role any more: from now on {EVERY_USER}"));
            }
            Ok(Change::RoleRemoved { name: role.to_owned() })
        })?;
        Ok(remarks)
    }

    /// The role as commands made it, where they may change who is in it.
    pub(super) fn changeable(&self, entries: &Entries, role: &str) -> Result<KeptRole, String> {
        self.may_change(role)?;
        let (kept, _) = entries.roles.get(role).ok_or_else(|| unknown(role))?;
        match role {
            ANONYMOUS => Err(format!("everybody is in the role {ANONYMOUS}, logged in or not")),
            _ => Ok(kept.clone()),
        }
    }

    /// Commands change only what neither the configuration nor the program says.
    fn may_change(&self, role: &str) -> Result<(), String> {
        if [ADMIN, USERS].contains(&role) {
            return Err(format!("the role {role} is built in and stays what it is"));
        }
        if !said(self.configured(), role) {
            return Ok(());
        }
        let told = self.configured().roles.iter().find(|told| told.name == role);
        Err(match told.and_then(|told| told.place.as_deref()) {
            Some(place) => format!("the configuration says what the role {role} is, at {place}: change it there"),
            None => format!("the configuration says what the role {role} is (auth.{ANONYMOUS}): change it there"),
        })
    }

    /// Whether any role but that of everybody counts.
    fn has_roles(&self, entries: &Entries) -> bool {
        let told = self.configured().roles.iter().map(|role| &role.name);
        told.chain(entries.roles.keys()).any(|name| name != ANONYMOUS)
    }
}

fn named(users: &[String]) -> Result<(), String> {
    match users.iter().any(String::is_empty) {
        true => Err("a member's name is empty".into()),
        false => Patterns::new(users).map(|_| ()),
    }
}

fn unknown(role: &str) -> String {
    format!("there is no role {role}; role list tells which there are, role add makes one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ledger::KeptAllow;
    use crate::config::{self, Auth};

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn role(name: &str, repositories: &str, members: &[&str]) -> KeptRole {
        let allow = vec![KeptAllow { repositories: texts(&[repositories]), actions: texts(&["pull", "push"]) }];
        KeptRole { name: name.into(), members: texts(members), allow }
    }

    fn policy(auth: &Auth) -> (Policy, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Policy::open(folder.path(), auth).unwrap(), folder)
    }

    fn members(policy: &Policy, role: &str) -> Vec<String> {
        policy.ledger().entries().roles[role].0.members.clone()
    }

    fn why<T: std::fmt::Debug>(changed: Result<T, NotChanged>) -> String {
        changed.expect_err("it is refused").to_string()
    }

    #[test]
    fn who_is_in_a_role_changes_by_name() {
        let (policy, _folder) = policy(&Auth::default());
        policy.add_role(role("team", "team/**", &["ci-*"]), "root").unwrap();
        policy.grant("team", &texts(&["alice", "bob"]), "root").unwrap();
        policy.grant("team", &texts(&["alice"]), "root").unwrap();
        assert_eq!(members(&policy, "team"), ["ci-*", "alice", "bob"]);
        policy.revoke("team", &texts(&["alice"]), "root").unwrap();
        assert_eq!(members(&policy, "team"), ["ci-*", "bob"]);
        assert!(why(policy.revoke("team", &texts(&["bob", "carol"]), "root")).contains("carol is not in team"));
        assert!(why(policy.revoke("team", &texts(&["ci-7"]), "root")).contains("by the pattern ci-*"));
        assert_eq!(members(&policy, "team"), ["ci-*", "bob"], "of a list that is refused nothing is done");
        assert!(why(policy.grant("none", &texts(&["alice"]), "root")).contains("no role none"));
    }

    #[test]
    fn the_first_and_the_last_role_say_what_they_change_for_every_user() {
        let (policy, _folder) = policy(&Auth::default());
        assert!(policy.add_role(role(ANONYMOUS, "**", &[]), "root").unwrap().is_empty(), "it is everybody's");
        assert!(policy.add_role(role("a", "a/**", &[]), "root").unwrap()[0].contains("this is the first role"));
        assert!(policy.add_role(role("b", "b/**", &[]), "root").unwrap().is_empty());
        assert!(policy.remove_role("a", false, "root").unwrap().is_empty());
        assert!(
            why(policy.remove_role("b", false, "root"))
                .contains("every user may pull, push and shadow everything. If that is meant, say --open")
        );
        assert!(policy.ledger().entries().roles.contains_key("b"));
        assert!(policy.remove_role("b", true, "root").unwrap()[0].contains("there is no role any more"));
        assert!(policy.remove_role(ANONYMOUS, false, "root").unwrap().is_empty());
    }

    #[test]
    fn what_the_configuration_says_and_what_is_built_in_stays() {
        let told = config::Role { place: Some("config.toml:7".into()), ..with_role_of(&role("ops", "**", &[])) };
        let auth = Auth { roles: vec![told], anonymous: Some(Default::default()), ..Auth::default() };
        let (policy, _folder) = policy(&auth);
        let ops = "the configuration says what the role ops is, at config.toml:7: change it there";
        assert_eq!(why(policy.add_role(role("ops", "**", &[]), "root")), ops);
        assert_eq!(why(policy.grant("ops", &texts(&["alice"]), "root")), ops);
        assert_eq!(why(policy.remove_role("ops", true, "root")), ops);
        assert!(why(policy.add_role(role(ANONYMOUS, "**", &[]), "root")).contains("(auth.anonymous)"));
        for name in [ADMIN, USERS] {
            assert!(why(policy.add_role(role(name, "**", &[]), "root")).contains("built in"));
            assert!(why(policy.grant(name, &texts(&["alice"]), "root")).contains("built in"));
        }
        assert!(policy.add_role(role("dev", "dev/**", &[]), "root").unwrap().is_empty(), "the configuration has a role");
        assert!(policy.remove_role("dev", false, "root").unwrap().is_empty());
    }

    #[test]
    fn a_role_that_cannot_be_is_not_made() {
        let (policy, _folder) = policy(&Auth::default());
        let bare = |allow| KeptRole { name: "x".into(), members: Vec::new(), allow };
        for (wrong, expected) in [
            (role("", "**", &[]), "no name for a role"),
            (role("a b", "**", &[]), "no name for a role"),
            (role(&"x".repeat(65), "**", &[]), "at most 64"),
            (role("x", "nginx", &[]), "write \"library/nginx\""),
            (role("x", "a[/b", &[]), "is no pattern"),
            (role("x", "**", &["a["]), "is no pattern"),
            (role("x", "**", &[""]), "empty"),
            (role(ANONYMOUS, "**", &["alice"]), "leave its members out"),
            (bare(Vec::new()), "would allow nothing"),
            (bare(vec![KeptAllow { repositories: texts(&["**"]), actions: Vec::new() }]), "nothing would be allowed"),
            (bare(vec![KeptAllow { repositories: texts(&["**"]), actions: texts(&["read"]) }]), "\"read\" is not known"),
        ] {
            let why = why(policy.add_role(wrong, "root"));
            assert!(why.contains(expected), "{why}");
        }
        policy.add_role(role("x", "**", &[]), "root").unwrap();
        assert!(why(policy.add_role(role("x", "**", &[]), "root")).contains("already"));
    }

    fn with_role_of(kept: &KeptRole) -> config::Role {
        let allow = kept.allow.iter().map(|allow| allow.read().unwrap()).collect();
        config::Role { name: kept.name.clone(), place: None, members: Patterns::default(), allow }
    }
}
