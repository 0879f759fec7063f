//! Who may do what, told a second time and in plain words: what the access matrix is held against.
//!
//! A route that has no row here does not compile: [`acts`] and [`page`] name them all.

use entrepot::oci::Route;
use entrepot::server::Page;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Principal {
    Anonymous,
    WrongPassword,
    Reader,
    Writer,
    OtherTenant,
    Admin,
    /// A user who is gone, with a token that has not expired.
    Revoked,
}

pub const PRINCIPALS: [Principal; 7] = [
    Principal::Anonymous,
    Principal::WrongPassword,
    Principal::Reader,
    Principal::Writer,
    Principal::OtherTenant,
    Principal::Admin,
    Principal::Revoked,
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Hosted,
    /// Cached from docker.io.
    Public,
    /// Cached from quay.io with credentials.
    Private,
    /// Never looked up elsewhere, and nothing was pushed.
    Reserved,
}

/// A repository, under one of its names.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub kind: Kind,
    pub name: &'static str,
    pub query: &'static str,
    pub at_root: bool,
}

impl Place {
    /// Whether the name begins with no other registry's.
    pub fn is_ours(self) -> bool {
        !self.name.contains(".io/")
    }
}

pub const PLACES: [Place; 8] = [
    Place { kind: Kind::Hosted, name: "team/app", query: "", at_root: true },
    Place { kind: Kind::Hosted, name: "team/app", query: "ns=docker.io", at_root: false },
    Place { kind: Kind::Public, name: "org/open", query: "", at_root: true },
    Place { kind: Kind::Public, name: "docker.io/org/open", query: "", at_root: false },
    Place { kind: Kind::Private, name: "vault/app", query: "", at_root: true },
    Place { kind: Kind::Private, name: "quay.io/vault/app", query: "", at_root: false },
    Place { kind: Kind::Reserved, name: "corp/app", query: "", at_root: true },
    Place { kind: Kind::Reserved, name: "docker.io/corp/app", query: "", at_root: false },
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    Pull,
    /// What a permitted one is answered: nothing is changed, for what is sent is nothing.
    Push(u16),
    Delete,
    /// No repository's business: lists what may be read.
    List,
    LogIn,
    Nothing,
}

/// What each method of a route does.
pub fn acts(route: &Route) -> Vec<(&'static str, Act)> {
    let pull = [("GET", Act::Pull), ("HEAD", Act::Pull)];
    let both = |act| vec![("GET", act), ("HEAD", act)];
    match route {
        Route::Base => both(Act::LogIn),
        Route::Catalog => both(Act::List),
        Route::Search => both(Act::List),
        Route::Ping => both(Act::Nothing),
        Route::Tags { .. } | Route::Referrers { .. } => pull.to_vec(),
        Route::Manifest { .. } => [&pull[..], &[("PUT", Act::Push(400)), ("DELETE", Act::Delete)]].concat(),
        Route::Blob { .. } => [&pull[..], &[("DELETE", Act::Delete)]].concat(),
        Route::Uploads { .. } => vec![("POST", Act::Push(400))],
        Route::Upload { .. } => {
            let absent = Act::Push(404);
            vec![("GET", absent), ("HEAD", absent), ("PATCH", absent), ("PUT", Act::Push(400)), ("DELETE", absent)]
        }
    }
}

/// What a page answers; the methods that it takes.
pub fn page(page: Page, who: Principal) -> (&'static [&'static str], u16) {
    let reads = &["GET", "HEAD"][..];
    match page {
        Page::Landing | Page::Healthz | Page::Readyz | Page::Connect | Page::Ca => (reads, 200),
        // Switched off here.
        Page::Metrics => (reads, 404),
        Page::Token => (&["GET", "HEAD", "POST"], if matches!(who, Principal::WrongPassword | Principal::Revoked) { 401 } else { 200 }),
        Page::Upstreams => match who {
            Principal::Admin => (reads, 200),
            Principal::Reader | Principal::Writer | Principal::OtherTenant => (reads, 403),
            Principal::Anonymous | Principal::WrongPassword | Principal::Revoked => (reads, 401),
        },
    }
}

/// Who may do what, without a word of roles.
fn may(who: Principal, act: Act, place: Place) -> bool {
    let pulls = act == Act::Pull;
    match (who, place.kind) {
        (Principal::Revoked, _) => false,
        (Principal::Admin, _) => true,
        (_, Kind::Public) => pulls,
        (Principal::Reader, _) => pulls,
        (Principal::Writer, Kind::Hosted | Kind::Reserved) => place.is_ours(),
        _ => false,
    }
}

fn is_user(who: Principal) -> bool {
    matches!(who, Principal::Reader | Principal::Writer | Principal::OtherTenant | Principal::Admin)
}

pub fn expected(who: Principal, route: &Route, method: &str, act: Act, place: Place) -> u16 {
    let refused = if is_user(who) { 403 } else { 401 };
    if who == Principal::Revoked && act != Act::Nothing {
        return 401;
    }
    match act {
        Act::Nothing | Act::List => 200,
        Act::LogIn => {
            if is_user(who) {
                200
            } else {
                401
            }
        }
        Act::Push(done) => match may(who, act, place) {
            false => refused,
            // Another registry's name cannot be pushed to.
            true if !place.is_ours() => 403,
            true => done,
        },
        Act::Delete => match may(who, act, place) {
            false => refused,
            true if !place.is_ours() => 405,
            true => 404,
        },
        Act::Pull => pulled(who, route, method, place),
    }
}

fn pulled(who: Principal, route: &Route, method: &str, place: Place) -> u16 {
    let head = method == "HEAD";
    // A wrong password is as good as none for a GET that anybody may make, and for nothing else.
    if head && (who == Principal::WrongPassword || (who == Principal::Anonymous && place.at_root)) {
        return 401;
    }
    // Nothing is there, and whoever may read docker.io is told so.
    let absent = place.kind == Kind::Reserved;
    if !absent && !may(who, Act::Pull, place) {
        return if is_user(who) { 403 } else { 401 };
    }
    let blob = matches!(route, Route::Blob { .. });
    // Who may push is told what was pushed.
    let pushes = head && blob && place.at_root && may(who, Act::Push(0), place);
    match route {
        Route::Referrers { .. } => 200,
        _ if absent || (pushes && place.kind != Kind::Hosted) => 404,
        _ => 200,
    }
}
