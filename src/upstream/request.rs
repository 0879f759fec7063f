//! One request to one endpoint with whatever it asks to be shown: token or password, negotiated at most once.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::Response;
use tokio::sync::SemaphorePermit;
use url::Url;

use super::Cause;
use super::challenge::{Challenge, challenge_in, token_url};
use super::client::{Kind, Upstream};
use super::endpoints::Endpoint;
use super::realm;
use super::tokens::{Grant, no_token};
use super::verdict::{self, Said, Shown, Trouble};
use super::wire::{Arrived, Lane, Question, read_all, read_short, without_query};
use crate::config::Credentials;
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
            endpoint.heed(ask.kind, &arrived);
            if matches!(arrived.response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
                return uncoded(arrived.response).map(|response| Reply { response, _place: place });
            }
            let challenged = arrived.response.status() == StatusCode::UNAUTHORIZED && !arrived.strayed && !negotiated;
            let challenge = challenge_in(arrived.response.headers()).filter(|_| challenged);
            let refusal = refusal(ask, arrived, grant.as_ref()).await;
            let Some(challenge) = challenge else { return Err(refusal) };
            drop(place);
            let negotiation = self.negotiate(endpoint, ask, challenge);
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

    async fn negotiate(&self, endpoint: &Endpoint, ask: &Ask<'_>, challenge: Challenge) -> Result<Grant, Trouble> {
        let credentials = endpoint.settings.credentials.as_ref().filter(|_| !ask.anonymous);
        match (challenge, credentials) {
            (Challenge::Bearer { realm, service, scope }, credentials) => {
                let url = token_url(&realm, service.as_deref(), scope.as_deref())?;
                if credentials.is_some() && !realm::may_see_credentials(&endpoint.settings.url, &url, &self.settings.trusted_realms) {
                    return Err(Cause::Realm(without_query(&url)).into());
                }
                let outcome = self.token(url, credentials).await;
                self.note(Kind::Token, outcome.as_ref().err());
                outcome
            }
            (Challenge::Basic, Some(credentials)) => Ok(Grant::password(basic(credentials))),
            (Challenge::Basic, None) if ask.anonymous => Err(Trouble::Denied),
            (Challenge::Basic, None) => {
                let text = "Unauthorized (it wants a password, and none is configured)".to_owned();
                Err(Cause::Status { status: 401, text }.into())
            }
        }
    }

    async fn token(&self, url: Url, credentials: Option<&Credentials>) -> Result<Grant, Trouble> {
        let realm = without_query(&url);
        let away = |text: String| Cause::Token { realm: realm.clone(), text };
        let _place = self.place(Kind::Token).await;
        let asked = Instant::now();
        let authorization = credentials.map(basic);
        let question =
            Question { lane: Lane::Api, method: Method::GET, url, headers: HeaderMap::new(), authorization: authorization.as_ref() };
        let Arrived { response, strayed } = self.wire.send(question).await.map_err(|cause| away(cause.to_string()))?;
        if strayed && credentials.is_some() {
            return Err(away("redirects to another host, which may not see the credentials".to_owned()).into());
        }
        let status = response.status();
        if status == StatusCode::OK {
            let body = read_all(response, LONGEST_TOKEN_ANSWER).await.map_err(|cause| away(cause.to_string()))?;
            return body.and_then(|body| Grant::token(&body, asked)).ok_or_else(|| no_token(realm.clone()).into());
        }
        let headers = response.headers().clone();
        let body = read_short(response).await;
        let shown = if credentials.is_some() { Shown::Password } else { Shown::Nothing };
        Err(verdict::of_token_service(&Said { method: &Method::GET, status, headers: &headers, body: &body, shown }, &realm))
    }
}

async fn refusal(ask: &Ask<'_>, arrived: Arrived, grant: Option<&Grant>) -> Trouble {
    let status = arrived.response.status();
    let headers = arrived.response.headers().clone();
    let shown = grant.filter(|_| !arrived.strayed).map_or(Shown::Nothing, |grant| grant.shown);
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

fn basic(credentials: &Credentials) -> HeaderValue {
    let pair = STANDARD.encode(format!("{}:{}", credentials.username, credentials.password.reveal()));
    let mut header = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is always a header value");
    header.set_sensitive(true);
    header
}
