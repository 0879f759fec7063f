//! Who asks, and whether he may: the one place where a request's credentials meet the rules.

use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::answers::Refusal;
use super::listen::CertificateUser;
use super::requests::Asker;
use super::{Server, client};
use crate::auth::{Action, Claims, Credentials, Fault, NotVerified, Verdict, Who, judge, judge_any};
use crate::oci::{Actions, PathName, Scope};
use crate::registry::{Error, Kind, Reader, Sight, Target};

/// Whoever sent a request, after his credentials were checked.
pub struct Caller {
    pub who: Who,
    /// Set when a token came.
    pub claims: Option<Arc<Claims>>,
    /// Whether the request itself had any credentials: the certificate of its connection is none.
    pub presented: bool,
}

/// What is to be done, and where.
pub struct Wish<'a> {
    pub action: Action,
    pub target: &'a Target,
    /// The name as the client writes it.
    pub written: &'a PathName,
    /// Whether the name came with an `ns`.
    pub namespaced: bool,
}

impl Caller {
    /// Whether his token, where one came, was made for pulls of the name, as it is judged or as it is written behind an `ns`.
    pub fn may_pull(&self, judged: &str, written: Option<&str>) -> bool {
        let grants = |claims: &Arc<Claims>| [Some(judged), written].into_iter().flatten().any(|name| claims.grants(name, Action::Pull));
        self.claims.as_ref().is_none_or(grants)
    }

    /// Whether he shows with a HEAD at the root that he wants to pull. Who pushes sees the hosted store alone.
    pub fn heads_for_a_pull(&self, written: &str) -> bool {
        self.presented && !self.claims.as_ref().is_some_and(|claims| claims.asked_push(written))
    }
}

impl Wish<'_> {
    /// The scope that a challenge asks for.
    fn scope(&self) -> Scope {
        let actions = match self.action {
            Action::Pull => Actions::PULL,
            Action::Delete => Actions::PULL_DELETE,
            Action::Push | Action::Shadow | Action::Admin => Actions::PULL_PUSH,
        };
        Scope::repository(self.target.judged(), actions)
    }

    /// The registry's failure as an answer to this wish: where a log-in would help, its challenge names the scope.
    pub fn refused(&self, error: Error) -> Refusal {
        match error.kind {
            Kind::LogIn => Refusal::challenge(error.message, &[self.scope()], None),
            _ => Refusal::Registry(error),
        }
    }

    /// Whether the name has no prefix and no `ns`: the address that pulls and pushes alike.
    pub fn at_root(&self) -> bool {
        matches!(self.target, Target::Group(_)) && !self.namespaced
    }
}

impl Server {
    /// Checks the credentials. Where `lenient`, wrong or foreign ones are as good as none, and no failed log-in.
    pub async fn caller(&self, parts: &Parts, lenient: bool, scopes: &[Scope]) -> Result<Caller, Refusal> {
        let caller = self.identify(parts, lenient, scopes).await?;
        Asker::is(parts, &caller.who);
        Ok(caller)
    }

    async fn identify(&self, parts: &Parts, lenient: bool, scopes: &[Scope]) -> Result<Caller, Refusal> {
        let nobody = |presented| Caller { who: Who::Anonymous, claims: None, presented };
        match credentials(parts) {
            Credentials::None => Ok(nobody(false)),
            // Nothing was shown for this request: he too gets a token, which tells a push from a pull.
            Credentials::Certificate(name) => Ok(Caller { who: Who::User(name), claims: None, presented: false }),
            Credentials::Bearer(token) => match self.tokens.verify(token.reveal()) {
                Ok(claims) => Ok(Caller { who: claims.who.clone(), claims: Some(claims), presented: true }),
                Err(_) => {
                    Err(Refusal::challenge("the token is not valid here or has expired; log in again", scopes, Some(Fault::InvalidToken)))
                }
            },
            Credentials::Basic { user, password } if lenient => {
                let known = self.users.recognise(&user, &password).await;
                Ok(known.map_or(nobody(true), |who| Caller { who, claims: None, presented: true }))
            }
            Credentials::Basic { user, password } => match self.users.verify(&user, &password, client(parts).ip()).await {
                Ok(who) => Ok(Caller { who, claims: None, presented: true }),
                Err(why) => {
                    if why == NotVerified::Wrong {
                        self.log_in_refused(parts, &user);
                    }
                    Err(Refusal::not_verified(why, scopes))
                }
            },
            Credentials::Unknown if lenient => Ok(nobody(true)),
            Credentials::Unknown => {
                Err(Refusal::challenge("this Authorization header cannot be read; log in with docker login", scopes, None))
            }
        }
    }

    /// Whoever sent the request, where that is known without hashing and without waiting.
    pub fn recall(&self, parts: &Parts) -> Option<Caller> {
        let caller = match credentials(parts) {
            Credentials::None => Caller { who: Who::Anonymous, claims: None, presented: false },
            Credentials::Certificate(name) => Caller { who: Who::User(name), claims: None, presented: false },
            Credentials::Bearer(token) => {
                let claims = self.tokens.verify(token.reveal()).ok()?;
                Caller { who: claims.who.clone(), claims: Some(claims), presented: true }
            }
            Credentials::Basic { user, password } => Caller { who: self.users.recall(&user, &password)?, claims: None, presented: true },
            Credentials::Unknown => return None,
        };
        Asker::is(parts, &caller.who);
        Some(caller)
    }

    /// Checks credentials and judges the wish; what comes back may do it.
    pub async fn admit(&self, parts: &Parts, wish: &Wish<'_>) -> Result<Caller, Refusal> {
        let scopes = [wish.scope()];
        let open = self.verdict(&Who::Anonymous, wish.action, wish.target) == Verdict::Allowed;
        let root_head = parts.method == Method::HEAD && wish.at_root();
        let caller = self.caller(parts, parts.method == Method::GET && open, &scopes).await?;
        if root_head && !caller.presented {
            let text = format!(
                "HEAD of {} needs a token here (an anonymous one will do), so that pushes can be told from pulls",
                wish.target.judged()
            );
            return Err(Refusal::challenge(text, &scopes, None));
        }
        self.judge(&caller, wish)?;
        Ok(caller)
    }

    /// What the rules say. A pull at the root may be answered by any member of the group: who may read one of them may ask, and the
    /// registry judges again when it knows which.
    pub fn verdict(&self, who: &Who, action: Action, target: &Target) -> Verdict {
        let rules = self.policy.rules();
        match action {
            Action::Pull => judge_any(&rules, who, action, &self.registry.candidates(target)),
            Action::Push | Action::Delete | Action::Shadow | Action::Admin => judge(&rules, who, action, &target.repository()),
        }
    }

    /// Whether the caller may, by his token and by the rules.
    pub fn judge(&self, caller: &Caller, wish: &Wish<'_>) -> Result<(), Refusal> {
        let (judged, scopes) = (wish.target.judged(), [wish.scope()]);
        let verb = match wish.action {
            Action::Pull => "pulling",
            Action::Push | Action::Shadow => "pushing",
            Action::Delete => "deleting from",
            Action::Admin => "administering",
        };
        match self.verdict(&caller.who, wish.action, wish.target) {
            Verdict::LogIn => {
                Err(Refusal::challenge(format!("{verb} {judged} needs a log-in: docker login HOST, then try again"), &scopes, None))
            }
            Verdict::Denied => Err(Refusal::denied(format!("this account may not do that: {verb} {judged}"))),
            Verdict::Allowed => match &caller.claims {
                Some(claims) if !granted(claims, wish) => {
                    let text = format!("the token was not made for {verb} {judged}; ask for another one");
                    Err(Refusal::challenge(text, &scopes, Some(Fault::InsufficientScope)))
                }
                _ => Ok(()),
            },
        }
    }

    /// How much of the group a reader sees: a pusher's questions are answered from the hosted store alone.
    pub fn reader(&self, parts: &Parts, caller: &Caller, wish: &Wish<'_>, is_blob: bool) -> Reader {
        let asked_push = caller.claims.as_ref().is_some_and(|claims| claims.asked_push(wish.written.as_str()));
        let may_push = || self.verdict(&caller.who, Action::Push, wish.target) == Verdict::Allowed;
        let pushes = asked_push || (is_blob && caller.claims.is_none() && caller.who.is_signed_in() && may_push());
        let sight = if parts.method == Method::HEAD && wish.at_root() && pushes { Sight::Hosted } else { Sight::Everything };
        Reader::new(caller.who.clone(), sight)
    }
}

/// What a request says of who sent it. What it says itself goes over the connection's certificate.
pub fn credentials(parts: &Parts) -> Credentials {
    let header = parts.headers.get(http::header::AUTHORIZATION).map(|value| value.to_str().unwrap_or("?"));
    match (Credentials::parse(header), parts.extensions.get::<CertificateUser>()) {
        (Credentials::None, Some(CertificateUser(name))) => Credentials::Certificate(name.clone()),
        (given, _) => given,
    }
}

fn granted(claims: &Claims, wish: &Wish<'_>) -> bool {
    let action = if wish.action == Action::Shadow { Action::Push } else { wish.action };
    claims.grants(&wish.target.judged(), action) || (wish.namespaced && claims.grants(wish.written.as_str(), action))
}
