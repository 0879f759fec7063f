//! The one place that says who may do what. Pure: the same question always has the same answer.

use std::sync::Arc;

use crate::config;
use crate::oci::Repository;

/// The account that may do everything.
pub const ADMIN: &str = "admin";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Anonymous,
    /// A user whose password or token was checked.
    User(Arc<str>),
}

impl Who {
    /// The user's name; empty for nobody in particular.
    pub fn name(&self) -> &str {
        match self {
            Who::Anonymous => "",
            Who::User(name) => name,
        }
    }
}

/// What can be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Pull,
    Push,
    Delete,
    /// To push what hides an upstream's image from every client of the mirror.
    Shadow,
    /// To look after the registry itself.
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// Nobody in particular may not; a user might.
    LogIn,
    /// This account may not.
    Denied,
}

/// What was configured about access. (Roles will stand here.)
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub anonymous: config::Anonymous,
}

/// Whether `who` may do `action` with `repository`.
pub fn judge(rules: &Rules, who: &Who, action: Action, _repository: &Repository) -> Verdict {
    match who {
        Who::Anonymous if anonymous_may(rules.anonymous, action) => Verdict::Allowed,
        Who::Anonymous => Verdict::LogIn,
        Who::User(name) if &**name == ADMIN || user_may(action) || anonymous_may(rules.anonymous, action) => Verdict::Allowed,
        Who::User(_) => Verdict::Denied,
    }
}

/// Whether `who` may list repositories at all; which of them are shown is asked of [`judge`] for each.
pub fn judge_listing(rules: &Rules, who: &Who) -> Verdict {
    match who {
        Who::Anonymous if !rules.anonymous.pull => Verdict::LogIn,
        _ => Verdict::Allowed,
    }
}

/// Whether `who` may look after the registry itself.
pub fn judge_admin(who: &Who) -> Verdict {
    match who {
        Who::Anonymous => Verdict::LogIn,
        Who::User(name) if &**name == ADMIN => Verdict::Allowed,
        Who::User(_) => Verdict::Denied,
    }
}

/// Without roles every user may pull, push and shadow.
fn user_may(action: Action) -> bool {
    match action {
        Action::Pull | Action::Push | Action::Shadow => true,
        Action::Delete | Action::Admin => false,
    }
}

fn anonymous_may(anonymous: config::Anonymous, action: Action) -> bool {
    match action {
        Action::Pull => anonymous.pull,
        Action::Push | Action::Shadow => anonymous.push,
        Action::Delete => anonymous.delete,
        Action::Admin => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [Action; 5] = [Action::Pull, Action::Push, Action::Delete, Action::Shadow, Action::Admin];

    fn verdicts(anonymous: config::Anonymous, who: Who) -> [Verdict; 5] {
        let repository = Repository::hosted(&"team/app".parse().unwrap());
        EVERY.map(|action| judge(&Rules { anonymous }, &who, action, &repository))
    }

    #[test]
    fn every_cell_of_the_table_is_as_promised() {
        use Verdict::{Allowed, Denied, LogIn};
        let none = config::Anonymous::default();
        let pull = config::Anonymous { pull: true, ..none };
        let lab = config::Anonymous { push: true, ..pull };
        let delete = config::Anonymous { delete: true, ..none };
        for (anonymous, expected) in [
            (none, [LogIn, LogIn, LogIn, LogIn, LogIn]),
            (pull, [Allowed, LogIn, LogIn, LogIn, LogIn]),
            (lab, [Allowed, Allowed, LogIn, Allowed, LogIn]),
            (delete, [LogIn, LogIn, Allowed, LogIn, LogIn]),
        ] {
            assert_eq!(verdicts(anonymous, Who::Anonymous), expected, "{anonymous:?}");
            let deletes = if anonymous.delete { Allowed } else { Denied };
            assert_eq!(verdicts(anonymous, Who::User("alice".into())), [Allowed, Allowed, deletes, Allowed, Denied]);
            assert_eq!(verdicts(anonymous, Who::User(ADMIN.into())), [Allowed; 5]);
        }
    }

    #[test]
    fn only_the_admin_looks_after_the_registry() {
        assert_eq!(judge_admin(&Who::Anonymous), Verdict::LogIn);
        assert_eq!(judge_admin(&Who::User("alice".into())), Verdict::Denied);
        assert_eq!(judge_admin(&Who::User(ADMIN.into())), Verdict::Allowed);
    }

    #[test]
    fn who_may_not_pull_may_not_list() {
        let open = Rules { anonymous: config::Anonymous { pull: true, ..Default::default() } };
        assert_eq!(judge_listing(&open, &Who::Anonymous), Verdict::Allowed);
        assert_eq!(judge_listing(&Rules::default(), &Who::Anonymous), Verdict::LogIn);
        assert_eq!(judge_listing(&Rules::default(), &Who::User("alice".into())), Verdict::Allowed);
    }
}
