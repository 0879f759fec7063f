//! One request to one endpoint with whatever it asks to be shown: token or password, negotiated at most once.

use std::time::Instant;

use http::header::{CONTENT_ENCODING, HeaderMap};
use http::{Method, StatusCode};
use reqwest::Response;
use tokio::sync::SemaphorePermit;
use url::Url;

use super::Cause;
use super::challenge::{Challenge, challenge_in, token_url};
use super::client::{Kind, Upstream};
use super::credentials::{Proof, Shown};
use super::endpoints::Endpoint;
use super::realm;
use super::tokens::{Grant, no_token};
use super::verdict::{self, Said, Trouble};
use super::wire::{Arrived, Lane, Question, read_all, read_short, without_query};
use crate::config::Secret;
use crate::oci::RepositoryName;

const LONGEST_TOKEN_ANSWER: usize = 256 << 10;

/// What to ask one endpoint.
pub(super) struct Ask<'a> {
    pub(super) kind: Kind,
    pub(super) method: Method,
    pub(super) name: &'a RepositoryName,
    /// What follows the name: `manifests/latest`.
    pub(super) what: String,
    /// Without its question mark; empty for none.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// Without the endpoint's credentials, even where it has some.
    pub(super) anonymous: bool,
}

/// A 200 or 206, not coded. It keeps its place until dropped.
pub(super) struct Reply<'a> {
    pub(super) response: Response,
    _place: Option<SemaphorePermit<'a>>,
}

impl Upstream {
    /// # Errors
    /// Everything but 200 and 206, as what it means.
    pub(super) async fn request<'a>(&'a self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Reply<'a>, Trouble> {
        let key = (endpoint.number, ask.anonymous, ask.name.clone());
        let since = Instant::now();
        let mut grant = self.tokens.granted(&key).await;
        let mut negotiated = false;
        loop {
            let place = self.place(ask.kind).await;
            grant = grant.or_else(|| self.tokens.granted_by_now(&key));
            let mut url = endpoint.url(&format!("{}/{}", ask.name, ask.what));
            url.set_query(Some(ask.query.as_str()).filter(|query| !query.is_empty()));
            let question = Question {
                lane: ask.kind.lane(),
                method: ask.method.clone(),
                url,
                headers: ask.headers.clone(),
                authorization: grant.as_ref().map(|grant| &grant.header),
            };
            let arrived = self.wire.send(question).await?;
            endpoint.heed(ask.name, ask.kind, &arrived);
            if matches!(arrived.response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
                return uncoded(arrived.response).map(|response| Reply { response, _place: place });
            }
            let challenged = arrived.response.status() == StatusCode::UNAUTHORIZED && !arrived.strayed && !negotiated;
            let challenge = challenge_in(arrived.response.headers()).filter(|_| challenged);
            let refusal = refusal(ask, arrived, grant.as_ref()).await;
            let Some(challenge) = challenge else { return Err(refusal) };
            drop(place);
            let negotiation = self.negotiate(endpoint, ask, challenge, grant.as_ref());
            let next = self.tokens.negotiate(&key, grant.as_ref(), since, negotiation).await?;
            grant = Some(next);
            negotiated = true;
        }
    }

    /// A place among the few questions that run at once. Blob bodies have theirs elsewhere.
    pub(super) async fn place(&self, kind: Kind) -> Option<SemaphorePermit<'_>> {
        match kind.lane() {
            Lane::Api => Some(self.places.acquire().await.expect("the semaphore is never closed")),
            Lane::Blobs => None,
        }
    }

    /// Shows what the endpoint has for the repository. When that is refused, what it has by now is shown once.
    async fn negotiate(&self, endpoint: &Endpoint, ask: &Ask<'_>, challenge: Challenge, last: Option<&Grant>) -> Result<Grant, Trouble> {
        let login = if ask.anonymous { None } else { self.logins.of(endpoint, ask.name).await? };
        let outcome = self.show(endpoint, ask, &challenge, login.as_ref()).await;
        let refused = match &outcome {
            Err(Trouble::Failed(Cause::Credentials)) => true,
            outcome => outcome.as_ref().ok().is_some_and(|grant| Some(grant) == last),
        };
        let Some(login) = login.filter(|_| refused) else { return outcome };
        match self.logins.instead(endpoint, ask.name, &login.proof).await? {
            Some(other) => self.show(endpoint, ask, &challenge, Some(&other)).await,
            None => outcome,
        }
    }

    async fn show(&self, endpoint: &Endpoint, ask: &Ask<'_>, challenge: &Challenge, login: Option<&Shown>) -> Result<Grant, Trouble> {
        match (challenge, login) {
            (Challenge::Bearer { realm, service, scope }, _) => {
                let url = token_url(realm, service.as_deref(), scope.as_deref())?;
                if login.is_some() && !realm::may_see_credentials(&endpoint.settings.url, &url, &self.settings.trusted_realms) {
                    return Err(Cause::Realm(without_query(&url)).into());
                }
                let outcome = self.token(url, login.map(|login| &login.proof)).await;
                self.note(Kind::Token, outcome.as_ref().err());
                outcome
            }
            (Challenge::Basic, Some(login)) => match login.proof.basic() {
                Some(header) => Ok(Grant::password(header, login.until)),
                None => Err(Cause::Login("it wants a password, and there is an identity token; log in with a password".to_owned()).into()),
            },
            (Challenge::Basic, None) if ask.anonymous => Err(Trouble::Denied),
            (Challenge::Basic, None) => {
                let text = "Unauthorized (it wants a password, and none is configured)".to_owned();
                Err(Cause::Status { status: 401, text }.into())
            }
        }
    }

    async fn token(&self, url: Url, proof: Option<&Proof>) -> Result<Grant, Trouble> {
        let realm = without_query(&url);
        let away = |text: String| Cause::Token { realm: realm.clone(), text };
        let _place = self.place(Kind::Token).await;
        let asked = Instant::now();
        let authorization = proof.and_then(Proof::basic);
        let arrived = match proof {
            Some(Proof::IdentityToken(token)) => self.wire.post(refreshed(url, token)).await,
            _ => {
                let headers = HeaderMap::new();
                self.wire.send(Question { lane: Lane::Api, method: Method::GET, url, headers, authorization: authorization.as_ref() }).await
            }
        };
        let Arrived { response, strayed } = arrived.map_err(|cause| away(cause.to_string()))?;
        if strayed && proof.is_some() {
            return Err(away("redirects to another host, which may not see the credentials".to_owned()).into());
        }
        let status = response.status();
        if status == StatusCode::OK {
            let body = read_all(response, LONGEST_TOKEN_ANSWER).await.map_err(|cause| away(cause.to_string()))?;
            return body.and_then(|body| Grant::token(&body, asked)).ok_or_else(|| no_token(realm.clone()).into());
        }
        let headers = response.headers().clone();
        let body = read_short(response).await;
        let shown = if proof.is_some() { verdict::Shown::Password } else { verdict::Shown::Nothing };
        Err(verdict::of_token_service(&Said { method: &Method::GET, status, headers: &headers, body: &body, shown }, &realm))
    }
}

/// The address of a token service and the form by which it gives a token for an identity token.
fn refreshed(mut url: Url, token: &Secret) -> (Url, String) {
    let asked: Vec<(String, String)> = url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let told = |wanted: &str| asked.iter().filter(|(key, _)| key == wanted).map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ");
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("grant_type", "refresh_token"), ("client_id", "entrepot"), ("refresh_token", token.reveal())])
        .extend_pairs(["service", "scope"].map(|key| (key, told(key))))
        .finish();
    url.set_query(None);
    (url, form)
}

async fn refusal(ask: &Ask<'_>, arrived: Arrived, grant: Option<&Grant>) -> Trouble {
    let status = arrived.response.status();
    let headers = arrived.response.headers().clone();
    let shown = grant.filter(|_| !arrived.strayed).map_or(verdict::Shown::Nothing, |grant| grant.shown);
    let body = read_short(arrived.response).await;
    verdict::of_registry(&Said { method: &ask.method, status, headers: &headers, body: &body, shown })
}

/// Nobody asked for a coding: what comes coded anyway cannot be checked against a digest.
fn uncoded(response: Response) -> Result<Response, Trouble> {
    match response.headers().get(CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => {
            let text = format!("it is coded as {}", coding.to_str().unwrap_or("something unknown"));
            Err(Cause::Malformed { what: "plain answer", text }.into())
        }
        _ => Ok(response),
    }
}
