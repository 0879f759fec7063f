//! Docker's old search protocol, asked of a registry that has it. It is a courtesy: no credentials are shown, no token is
//! negotiated, and what goes wrong tells nothing of how the endpoint fares otherwise.

use http::header::{ACCEPT, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::client::{Kind, Upstream};
use super::verdict::Trouble;
use super::wire::{Question, read_all, read_short};
use super::{Budget, Cause};

const LONGEST_ANSWER: usize = 1 << 20;

/// Docker Hub keeps its search beside its registry.
const HUB: (&str, &str) = ("registry-1.docker.io", "https://index.docker.io/v1/search");

/// A repository that a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hit {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub is_official: bool,
    #[serde(default)]
    pub is_automated: bool,
    #[serde(default)]
    pub star_count: u64,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Hit>,
}

impl Upstream {
    /// The first `most` repositories that the upstream finds; none where it has no search.
    ///
    /// # Errors
    /// What went wrong at the last endpoint, where none answered.
    pub async fn search(&self, term: &str, most: usize, budget: Budget) -> Result<Vec<Hit>, Cause> {
        let mut failed = None;
        for endpoint in self.endpoints() {
            let url = search_url(&endpoint.settings.url, term, most);
            let asked = tokio::time::timeout_at(budget.until.into(), self.search_at(url)).await;
            let answer = asked.unwrap_or(Err(Cause::Timeout(self.deadlines.budget)));
            let trouble = answer.as_ref().err().cloned().map(Trouble::Failed);
            self.note(Kind::Search, trouble.as_ref());
            match answer {
                Ok(hits) => return Ok(hits),
                Err(cause) => failed = Some(cause),
            }
        }
        failed.map_or(Ok(Vec::new()), Err)
    }

    async fn search_at(&self, url: Url) -> Result<Vec<Hit>, Cause> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let _place = self.place(Kind::Search).await;
        let question = Question { lane: Kind::Search.lane(), method: Method::GET, url, headers, authorization: None };
        let response = self.wire.send(question).await?.response;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status => {
                read_short(response).await;
                return Err(Cause::Status { status: status.as_u16(), text: status.canonical_reason().unwrap_or_default().to_owned() });
            }
        }
        let malformed = |text: &str| Cause::Malformed { what: "search result", text: text.to_owned() };
        let bytes = read_all(response, LONGEST_ANSWER).await?.ok_or_else(|| malformed("it is larger than 1 MiB"))?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| malformed("it is something else"))?;
        Ok(answer.results)
    }
}

/// Where the search of a registry at `endpoint` is asked.
fn search_url(endpoint: &Url, term: &str, most: usize) -> Url {
    let mut url = endpoint.clone();
    match endpoint.host_str() == Some(HUB.0) {
        true => url = HUB.1.parse().expect("a constant address"),
        false => url.set_path(&format!("{}/v1/search", endpoint.path().trim_end_matches('/'))),
    }
    url.query_pairs_mut().clear().append_pair("q", term).append_pair("n", &most.to_string());
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_is_asked_where_its_search_is_and_others_at_their_own_address() {
        for (endpoint, want) in [
            ("https://registry-1.docker.io", "https://index.docker.io/v1/search?q=a+b&n=9"),
            ("http://mirror:5000/", "http://mirror:5000/v1/search?q=a+b&n=9"),
            ("http://mirror/path?x=1", "http://mirror/path/v1/search?q=a+b&n=9"),
        ] {
            assert_eq!(search_url(&endpoint.parse().unwrap(), "a b", 9).as_str(), want);
        }
    }
}
