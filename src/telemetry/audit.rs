//! Who changed what, and who logged in: an event of target `audit` for each, in the log, and as a line of JSON in a file of its own
//! where there is one. It holds names, digests and addresses, never a password, a token or what somebody typed as a name by mistake.

mod file;

use std::fmt::Display;
use std::net::IpAddr;

use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::oci::{Digest, ImageName};

pub(super) use file::lost;
pub use file::{Guard, to_file};

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// Empty: nobody in particular.
    pub user: &'a str,
    /// Where the request came from; `None` for what came in no request.
    pub client: Option<IpAddr>,
}

impl By<'static> {
    /// Whoever may use the control socket, or the data folder itself.
    pub const LOCAL: By<'static> = By { user: "local", client: None };
    /// The server, of itself.
    pub const SERVER: By<'static> = By { user: "entrepot", client: None };
}

/// One event, as it is written. What does not concern it is empty.
#[derive(Default, Serialize)]
struct Line {
    /// RFC 3339, UTC.
    time: String,
    event: &'static str,
    /// `done`, or `refused`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    repository: String,
    /// A tag or a digest; empty for all of the repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    reference: String,
    /// Of the manifest or the blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// What it was before; empty: it was not there.
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
    /// What it is now; empty: it is gone.
    #[serde(skip_serializing_if = "String::is_empty")]
    to: String,
    /// Whether it hides an upstream's image from every client.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shadows: bool,
    /// The user, role or token that was changed.
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

impl Line {
    fn done(event: &'static str, by: By<'_>) -> Line {
        let mut time = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        Line { time, event, outcome: "done", user: by.user.to_owned(), client: by.client, ..Line::default() }
    }

    fn refused(event: &'static str, by: By<'_>, why: &str) -> Line {
        Line { outcome: "refused", why: why.to_owned(), ..Line::done(event, by) }
    }

    /// Names an image as a command does; what is none stands there as it was written.
    fn of_image(self, image: &str) -> Line {
        match image.parse::<ImageName>() {
            Ok(name) => Line { repository: name.path_name(), reference: name.reference.to_string(), ..self },
            Err(_) => Line { repository: image.to_owned(), ..self },
        }
    }

    fn tell(self) {
        let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        tracing::info!(
            target: "audit",
            event = self.event,
            outcome = self.outcome,
            user = some(&self.user),
            client = self.client.map(tracing::field::display),
            repository = some(&self.repository),
            reference = some(&self.reference),
            digest = self.digest.map(tracing::field::display),
            from = some(&self.from),
            to = some(&self.to),
            shadows = self.shadows.then_some(true),
            account = some(&self.account),
            why = some(&self.why),
        );
        file::write(&self);
    }
}

/// Somebody showed a right password or token in order to log in.
pub fn logged_in(by: By<'_>) {
    Line::done("log-in", by).tell();
}

/// Somebody showed a wrong one. Of names that no account has none is told: people type passwords there.
pub fn log_in_refused(by: By<'_>) {
    Line::refused("log-in", by, "the user name or the password is wrong").tell();
}

/// A manifest that was pushed under one reference.
#[derive(Clone, Copy)]
pub struct Push<'a> {
    pub repository: &'a dyn Display,
    pub reference: &'a dyn Display,
    pub digest: Digest,
    /// What the tag named when the push was judged.
    pub from: Option<Digest>,
    pub shadows: bool,
    /// Whether a push by digest named the tag besides.
    pub besides: bool,
}

/// A manifest was pushed, or a tag was set with it.
pub fn pushed(by: By<'_>, push: Push<'_>) {
    let event = if push.besides { "tag" } else { "push" };
    let (from, to, shadows) = (text(push.from), push.digest.to_string(), push.shadows);
    let (repository, reference, digest) = (push.repository.to_string(), push.reference.to_string(), Some(push.digest));
    Line { repository, reference, digest, from, to, shadows, ..Line::done(event, by) }.tell();
}

/// A tag or a manifest was removed from a hosted repository; `from` is what the tag named.
pub fn deleted(by: By<'_>, repository: &dyn Display, reference: &dyn Display, from: Option<Digest>) {
    let (repository, reference) = (repository.to_string(), reference.to_string());
    Line { repository, reference, digest: from, from: text(from), ..Line::done("delete", by) }.tell();
}

/// A tag was let go because its rule does not keep it; `why` ends a sentence that begins with it.
pub fn pruned(by: By<'_>, repository: &dyn Display, tag: &dyn Display, from: Digest, why: &str) {
    let (repository, reference, why) = (repository.to_string(), tag.to_string(), why.to_owned());
    Line { repository, reference, digest: Some(from), from: from.to_string(), why, ..Line::done("prune", by) }.tell();
}

/// A blob was taken from a hosted repository.
pub fn deleted_blob(by: By<'_>, repository: &dyn Display, digest: Digest) {
    Line { repository: repository.to_string(), digest: Some(digest), ..Line::done("delete-blob", by) }.tell();
}

/// A write (`push`, `delete`) was refused to somebody who is known, or to anybody.
pub fn write_refused(event: &'static str, by: By<'_>, repository: &dyn Display, reference: &dyn Display, why: &str) {
    let (repository, reference) = (repository.to_string(), reference.to_string());
    Line { repository, reference, ..Line::refused(event, by, why) }.tell();
}

/// What a command changed: an image, or a repository with all that it has.
#[derive(Clone, Copy, Debug)]
pub enum Named<'a> {
    Image(&'a str),
    Repository(&'a str),
}

/// A command (`delete`, `purge`, `copy`, `pin`, `unpin`) did its work, or says why not. `from` and `to` are what the tag named before and
/// after; of a copy, where it came from is in `why`.
pub fn commanded(event: &'static str, named: Named<'_>, from: Option<Digest>, to: Option<Digest>, outcome: Result<&str, &str>) {
    let line = match outcome {
        Ok(why) => Line { why: why.to_owned(), ..Line::done(event, By::LOCAL) },
        Err(why) => Line::refused(event, By::LOCAL, why),
    };
    let line = Line { digest: to.or(from), from: text(from), to: text(to), ..line };
    match named {
        Named::Image(image) => line.of_image(image),
        Named::Repository(name) => Line { repository: name.to_owned(), ..line },
    }
    .tell();
}

/// A command removed what nobody needs.
pub fn collected(manifests: u64, blobs: u64, bytes: u64) {
    Line { why: format!("{manifests} manifests and {blobs} blobs of {bytes} bytes"), ..Line::done("gc", By::LOCAL) }.tell();
}

/// A user, a role or a token was changed. The event is one word for it, as `user-added`; `from` and `to` are what it may before and after,
/// as far as that is one line, and no secret.
pub fn account(event: &'static str, account: &str, from: &str, to: &str, by: By<'_>) {
    Line { account: account.to_owned(), from: from.to_owned(), to: to.to_owned(), ..Line::done(event, by) }.tell();
}

fn text(digest: Option<Digest>) -> String {
    digest.map(|digest| digest.to_string()).unwrap_or_default()
}
