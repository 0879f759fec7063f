//! Tests of who may do what.

use super::*;
use crate::config::{self, Anonymous, Auth, Patterns};

const EVERY: [Action; 5] = [Action::Pull, Action::Push, Action::Delete, Action::Shadow, Action::Admin];

pub(crate) fn allow(repositories: &str, rights: Rights) -> Allow {
    Allow { repositories: Patterns::new(&[repositories]).unwrap(), rights }
}

pub(crate) fn role(name: &str, members: &[&str], allow: &[Allow]) -> config::Role {
    config::Role { name: name.to_owned(), place: None, members: Patterns::new(members).unwrap(), allow: allow.to_vec() }
}

const PULL: Rights = Rights { pull: true, push: false, delete: false, shadow: false, admin: false };
const PUSH: Rights = Rights { push: true, ..PULL };
const ALL: Rights = Rights { admin: true, ..PULL };
const CLOSED: Anonymous = Anonymous { pull: false, push: false, delete: false };

fn user(name: &str) -> Who {
    Who::User(name.into())
}

fn hosted(name: &str) -> Repository {
    Repository::hosted(&name.parse().unwrap())
}

fn cached(registry: &str, name: &str) -> Repository {
    Repository::upstream(registry, &name.parse().unwrap())
}

fn rules(anonymous: Anonymous, roles: &[config::Role]) -> Rules {
    Rules::new(&Auth { anonymous: Some(anonymous), roles: roles.to_vec(), ..Auth::default() }, [])
}

fn verdicts(rules: &Rules, who: &Who, repository: &Repository) -> [Verdict; 5] {
    EVERY.map(|action| judge(rules, who, action, repository))
}

#[test]
fn without_roles_every_cell_of_the_table_is_as_promised() {
    use Verdict::{Allowed, Denied, LogIn};
    let pull = Anonymous { pull: true, ..CLOSED };
    let lab = Anonymous { push: true, ..pull };
    let delete = Anonymous { delete: true, ..CLOSED };
    for (anonymous, expected) in [
        (CLOSED, [LogIn, LogIn, LogIn, LogIn, LogIn]),
        (pull, [Allowed, LogIn, LogIn, LogIn, LogIn]),
        (lab, [Allowed, Allowed, LogIn, Allowed, LogIn]),
        (delete, [LogIn, LogIn, Allowed, LogIn, LogIn]),
    ] {
        let (rules, repository) = (rules(anonymous, &[]), hosted("team/app"));
        assert_eq!(verdicts(&rules, &Who::Anonymous, &repository), expected, "{anonymous:?}");
        let deletes = if anonymous.delete { Allowed } else { Denied };
        assert_eq!(verdicts(&rules, &user("alice"), &repository), [Allowed, Allowed, deletes, Allowed, Denied]);
        assert_eq!(verdicts(&rules, &user(ADMIN), &repository), [Allowed; 5]);
    }
}

#[test]
fn with_a_role_a_user_without_one_has_what_anonymous_has() {
    use Verdict::{Allowed, Denied};
    let team = role("team", &["alice", "ci-*"], &[allow("team/**", PUSH), allow("docker.io/library/*", PULL)]);
    let rules = rules(CLOSED, &[team]);
    for name in ["alice", "ci-", "ci-build"] {
        assert_eq!(verdicts(&rules, &user(name), &hosted("team/app")), [Allowed, Allowed, Denied, Denied, Denied], "{name}");
        assert_eq!(verdicts(&rules, &user(name), &cached("docker.io", "nginx")), [Allowed, Denied, Denied, Denied, Denied]);
        for other in [hosted("nginx"), hosted("team"), cached("docker.io", "team/app"), cached("quay.io", "library/nginx")] {
            assert_eq!(verdicts(&rules, &user(name), &other), [Denied; 5], "{name} {other}");
        }
    }
    for name in ["bob", "alice2", "xci-1", "anonymous"] {
        assert_eq!(verdicts(&rules, &user(name), &hosted("team/app")), [Denied; 5], "{name}");
    }
    assert_eq!(verdicts(&rules, &user(ADMIN), &cached("quay.io", "a")), [Allowed; 5]);
    let open = self::rules(Anonymous { pull: true, ..CLOSED }, &[role("team", &["alice"], &[])]);
    assert_eq!(judge(&open, &user("bob"), Action::Pull, &hosted("a")), Allowed);
    assert_eq!(judge(&open, &user("bob"), Action::Push, &hosted("a")), Denied);
}

#[test]
fn hosted_names_are_matched_in_their_long_form() {
    let rules = rules(CLOSED, &[role("r", &["alice"], &[allow("library/*", PULL)])]);
    for name in ["nginx", "library/nginx"] {
        assert_eq!(judge(&rules, &user("alice"), Action::Pull, &hosted(name)), Verdict::Allowed, "{name}");
    }
}

#[test]
fn admin_of_some_repositories_may_all_there_and_not_look_after_the_registry() {
    let rules = rules(CLOSED, &[role("r", &["alice"], &[allow("team/**", ALL)]), role("all", &["root"], &[allow("**", ALL)])]);
    assert_eq!(verdicts(&rules, &user("alice"), &hosted("team/a")), [Verdict::Allowed; 5]);
    assert_eq!(verdicts(&rules, &user("alice"), &hosted("other/a")), [Verdict::Denied; 5]);
    for (who, expected) in [
        (Who::Anonymous, Verdict::LogIn),
        (user("alice"), Verdict::Denied),
        (user("root"), Verdict::Allowed),
        (user(ADMIN), Verdict::Allowed),
    ] {
        assert_eq!(judge_admin(&rules, &who), expected, "{who:?}");
    }
}

#[test]
fn anonymous_may_be_a_role_with_patterns() {
    let everybody = role(config::ANONYMOUS, &[], &[allow("public/**", PULL)]);
    let rules = Rules::new(&Auth { roles: vec![everybody], ..Auth::default() }, []);
    for who in [Who::Anonymous, user("alice")] {
        assert_eq!(judge(&rules, &who, Action::Pull, &hosted("public/a")), Verdict::Allowed);
    }
    assert_eq!(judge(&rules, &Who::Anonymous, Action::Pull, &hosted("team/a")), Verdict::LogIn);
    // It is no role that ends what users may do without roles.
    assert_eq!(judge(&rules, &user("alice"), Action::Push, &hosted("team/a")), Verdict::Allowed);
}

#[test]
fn a_limited_token_may_what_it_says_and_its_owner_may_and_what_is_open() {
    let rules = rules(Anonymous { pull: false, delete: true, ..CLOSED }, &[role("r", &["alice"], &[allow("team/**", PUSH)])]);
    let within = |allow: Allow| Who::Limited { user: "alice".into(), within: Arc::from([allow]) };
    let may = |who: &Who, action, name| judge(&rules, who, action, &hosted(name)) == Verdict::Allowed;
    let reads = within(allow("team/app", PULL));
    assert!(may(&reads, Action::Pull, "team/app") && !may(&reads, Action::Push, "team/app") && !may(&reads, Action::Pull, "team/b"));
    let too_much = within(allow("**", ALL));
    assert!(may(&too_much, Action::Push, "team/b") && !may(&too_much, Action::Pull, "other/b"));
    assert!(may(&reads, Action::Delete, "other/b"), "that is open to everybody");
    assert_eq!(judge_admin(&rules, &Who::Limited { user: ADMIN.into(), within: Arc::from([allow("**", PUSH)]) }), Verdict::Denied);
}

#[test]
fn the_configuration_holds_where_a_command_says_otherwise() {
    let added = [role("team", &["bob"], &[allow("team/**", PULL)]), role("ops", &["carol"], &[allow("**", PULL)])];
    let auth = Auth { anonymous: Some(CLOSED), roles: vec![role("team", &["alice"], &[allow("team/**", PULL)])], ..Auth::default() };
    let rules = Rules::new(&auth, &added);
    let reads = |name: &str| judge(&rules, &user(name), Action::Pull, &hosted("team/a")) == Verdict::Allowed;
    assert!(reads("alice") && !reads("bob") && reads("carol"));
    let everybody = [role(config::ANONYMOUS, &[], &[allow("**", ALL)])];
    assert_eq!(judge(&Rules::new(&auth, &everybody), &Who::Anonymous, Action::Pull, &hosted("a")), Verdict::LogIn);
    assert_eq!(judge(&Rules::new(&Auth::default(), &everybody), &Who::Anonymous, Action::Push, &hosted("a")), Verdict::Allowed);
}

#[test]
fn who_may_pull_nothing_without_a_log_in_may_not_list() {
    let open = rules(Anonymous { pull: true, ..CLOSED }, &[]);
    assert_eq!(judge_listing(&open, &Who::Anonymous), Verdict::Allowed);
    assert_eq!(judge_listing(&rules(CLOSED, &[]), &Who::Anonymous), Verdict::LogIn);
    assert_eq!(judge_listing(&rules(CLOSED, &[]), &user("alice")), Verdict::Allowed);
}

#[test]
fn one_repository_of_several_is_enough_to_ask() {
    let rules = rules(CLOSED, &[role("r", &["alice"], &[allow("docker.io/**", PULL)])]);
    let both = [hosted("nginx"), cached("docker.io", "nginx")];
    assert_eq!(judge_any(&rules, &user("alice"), Action::Pull, &both), Verdict::Allowed);
    assert_eq!(judge_any(&rules, &user("bob"), Action::Pull, &both), Verdict::Denied);
    assert_eq!(judge_any(&rules, &Who::Anonymous, Action::Pull, &both), Verdict::LogIn);
    assert_eq!(judge_any(&rules, &user("alice"), Action::Pull, []), Verdict::Denied);
}
