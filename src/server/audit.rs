//! What requests change, told as audit events: once each, where it is certain that it was done or refused.

use http::Method;
use http::request::Parts;

use super::access::Caller;
use super::answers::Refusal;
use super::requests::Asker;
use super::{Server, client};
use crate::oci::{Reference, RepositoryName, Route};
use crate::registry::{Kind, Moved, Published};
use crate::telemetry::audit::{self, By, Push};

/// A user, as the source of a request.
pub fn by<'a>(parts: &Parts, user: &'a str) -> By<'a> {
    By { user, client: Some(client(parts).ip()) }
}

/// A manifest was pushed under the reference, and under the tags that came besides.
pub fn pushed(parts: &Parts, caller: &Caller, hosted: &RepositoryName, reference: &Reference, published: &Published, shadows: bool) {
    let by = by(parts, caller.who.name());
    let push = Push { repository: hosted, reference, digest: published.digest, from: None, shadows, besides: false };
    match reference {
        Reference::Tag(_) => published.moved.iter().for_each(|moved| audit::pushed(by, Push { from: moved.from, ..push })),
        Reference::Digest(_) => {
            audit::pushed(by, push);
            let tags = published.moved.iter();
            tags.for_each(|moved| audit::pushed(by, Push { reference: &moved.tag, from: moved.from, besides: true, ..push }));
        }
    }
}

/// A tag was removed, or a manifest with its tags.
pub fn deleted(parts: &Parts, caller: &Caller, hosted: &RepositoryName, reference: &Reference, gone: &[Moved]) {
    let by = by(parts, caller.who.name());
    if let Reference::Digest(digest) = reference {
        audit::deleted(by, hosted, reference, Some(*digest));
    }
    gone.iter().for_each(|moved| audit::deleted(by, hosted, &moved.tag, moved.from));
}

/// A write that was refused for who asked for it, or for what must stay as it is. A missing log-in is no refusal: clients ask first.
pub fn refused(parts: &Parts, route: &Route, refusal: &Refusal) {
    let event = match parts.method {
        Method::DELETE => "delete",
        Method::PUT | Method::POST | Method::PATCH => "push",
        _ => return,
    };
    let why = match refusal {
        Refusal::Denied(message) => message,
        Refusal::Registry(error) if matches!(error.kind, Kind::Denied | Kind::TagImmutable | Kind::Unsupported) => &error.message,
        _ => return,
    };
    let by = by(parts, Asker::name(parts));
    match route {
        Route::Manifest { name, reference } => audit::write_refused(event, by, name, reference, why),
        Route::Blob { name, digest } => audit::write_refused(event, by, name, digest, why),
        Route::Uploads { name } | Route::Upload { name, .. } => audit::write_refused(event, by, name, &"", why),
        Route::Base | Route::Catalog | Route::Ping | Route::Search | Route::Tags { .. } | Route::Referrers { .. } => {}
    }
}

impl Server {
    /// A log-in with a wrong password. A name that nobody has is not told: it may be a password, typed into the wrong field.
    pub fn log_in_refused(&self, parts: &Parts, user: &str) {
        audit::log_in_refused(by(parts, if self.users.knows(user) { user } else { "" }));
    }
}
