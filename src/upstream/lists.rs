//! Lists of tags and of referrers, with all their pages. What comes is bounded, however an upstream goes on: a page in bytes, a
//! list in pages and entries. Of a link to the next page only the query is taken, so it leads nowhere else.

use http::Method;
use http::header::{ACCEPT, HeaderMap, HeaderValue, LINK};
use serde::Deserialize;

use super::client::{Asking, Kind, Upstream};
use super::endpoints::Endpoint;
use super::request::Ask;
use super::verdict::Trouble;
use super::wire::read_all;
use super::{Budget, Cause, Refusal};
use crate::oci::{Digest, Reference, Referrer, RepositoryName, Tag};

const LONGEST_PAGE: usize = 4 << 20;
const MOST_PAGES: usize = 2000;
const MOST_ENTRIES: usize = 250_000;

/// What to list of a repository.
struct List<'a> {
    name: &'a RepositoryName,
    what: String,
    /// Of the first page.
    query: &'static str,
    anonymous: bool,
    /// Whether a registry of before this list says so with other statuses than 404.
    young: bool,
}

#[derive(Deserialize)]
struct TagList {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Upstream {
    /// Every tag of the repository, in lexical order. The budget is for all pages; each has no more than that of a question.
    ///
    /// # Errors
    /// As [`Refusal`] says; a list without an end is a failure.
    pub async fn tags(&self, name: &RepositoryName, budget: Budget) -> Result<Vec<Tag>, Refusal> {
        let list = List::of_tags(name, false);
        let mut tags = self.ask(&list.asking(), budget, |endpoint| self.pages(endpoint, &list, tags_in)).await?;
        tags.sort_unstable();
        tags.dedup();
        Ok(tags)
    }

    /// Whether someone without credentials may list the repository's tags.
    ///
    /// # Errors
    /// [`Refusal::Failed`]: the question could not be answered. [`Refusal::Absent`]: there is no such repository for someone
    /// without credentials.
    pub async fn anonymous_may_list(&self, name: &RepositoryName, budget: Budget) -> Result<bool, Refusal> {
        let list = List { query: "n=1", ..List::of_tags(name, true) };
        match self.ask(&list.asking(), budget, |endpoint| self.page(endpoint, &list, list.query, tags_in)).await {
            Ok(_) => Ok(true),
            Err(Refusal::Denied { .. }) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// The manifests that name `subject` as their subject; from the tag that lists them, where there is no list of referrers.
    ///
    /// # Errors
    /// As [`Refusal`] says. Neither list nor tag means that there are none.
    pub async fn referrers(&self, name: &RepositoryName, subject: &Digest, budget: Budget) -> Result<Vec<Referrer>, Refusal> {
        let list = List { name, what: format!("referrers/{subject}"), query: "", anonymous: false, young: true };
        match self.ask(&list.asking(), budget, |endpoint| self.pages(endpoint, &list, Referrer::list)).await {
            Err(Refusal::Absent { .. }) => {}
            answer => return answer,
        }
        match self.manifest(name, &Reference::Tag(subject.referrers_tag()), budget).await {
            Ok(index) => Ok(Referrer::list(&index.bytes).unwrap_or_default()),
            Err(Refusal::Absent { .. }) => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn pages<T>(&self, endpoint: &Endpoint, list: &List<'_>, read: fn(&[u8]) -> Option<Vec<T>>) -> Result<Vec<T>, Trouble> {
        let (mut all, mut query) = (Vec::new(), list.query.to_owned());
        for _ in 0..MOST_PAGES {
            let page = tokio::time::timeout(self.deadlines.budget, self.page(endpoint, list, &query, read)).await;
            let (entries, next) = page.map_err(|_| Cause::Timeout(self.deadlines.budget))??;
            all.extend(entries);
            match next {
                _ if all.len() > MOST_ENTRIES => return Err(malformed("it has too many entries").into()),
                None => return Ok(all),
                Some(next) if next == query => return Err(malformed("its next page is the same page").into()),
                Some(next) => query = next,
            }
        }
        Err(malformed("it has too many pages").into())
    }

    /// One page, and the query of the next one.
    async fn page<T>(
        &self,
        endpoint: &Endpoint,
        list: &List<'_>,
        query: &str,
        read: fn(&[u8]) -> Option<Vec<T>>,
    ) -> Result<(Vec<T>, Option<String>), Trouble> {
        let accept = HeaderValue::from_static(if list.young { Referrer::INDEX } else { "application/json" });
        let ask = Ask {
            kind: if list.anonymous { Kind::Visibility } else { Kind::List },
            method: Method::GET,
            name: list.name,
            what: list.what.clone(),
            query: query.to_owned(),
            headers: HeaderMap::from_iter([(ACCEPT, accept)]),
            anonymous: list.anonymous,
        };
        let reply = match self.request(endpoint, &ask).await {
            Err(Trouble::Failed(Cause::Status { status: 400 | 405 | 501, .. })) if list.young => return Err(Trouble::Absent),
            reply => reply?,
        };
        let next = next_query(reply.response.headers());
        let bytes = read_all(reply.response, LONGEST_PAGE).await?.ok_or_else(|| malformed("a page is larger than 4 MiB"))?;
        let entries = read(&bytes).ok_or_else(|| malformed("it is something else"))?;
        Ok((entries, next))
    }
}

impl<'a> List<'a> {
    fn asking(&self) -> Asking<'a> {
        let kind = if self.anonymous { Kind::Visibility } else { Kind::List };
        Asking::new(kind, self.name, self.what.as_str())
    }

    fn of_tags(name: &RepositoryName, anonymous: bool) -> List<'_> {
        List { name, what: "tags/list".to_owned(), query: "n=1000", anonymous, young: false }
    }
}

fn malformed(text: &str) -> Cause {
    Cause::Malformed { what: "list", text: text.to_owned() }
}

fn tags_in(page: &[u8]) -> Option<Vec<Tag>> {
    let list: TagList = serde_json::from_slice(page).ok()?;
    Some(list.tags.unwrap_or_default().iter().filter_map(|tag| tag.parse().ok()).collect())
}

/// The query of the address that `Link` calls the next one.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let mut links = links.flat_map(|text| text.split('<').skip(1)).filter_map(|link| link.split_once('>'));
    let is_next = |parameters: &str| {
        let mut words = parameters.split([';', ',']).map(|word| word.replace([' ', '"'], "").to_ascii_lowercase());
        words.any(|word| word == "rel=next")
    };
    let (address, _) = links.find(|(_, parameters)| is_next(parameters))?;
    let query = address.split_once('?')?.1;
    Some(query.split('#').next().unwrap_or(query).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_link_only_the_query_of_the_next_page_is_taken() {
        for (link, want) in [
            (r#"</v2/a/tags/list?n=2&last=x>; rel="next""#, Some("n=2&last=x")),
            (r#"<https://evil.example/steal?last=x#y>;rel=next"#, Some("last=x")),
            (r#"</a?b=1>; rel="prev", </a?b=3,4>; rel="next"; title="t""#, Some("b=3,4")),
            (r#"</a?b=1>; rel="prev""#, None),
            (r#"</a>; rel="next""#, None),
            ("nonsense", None),
            ("<", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            assert_eq!(next_query(&headers).as_deref(), want, "{link}");
        }
    }

    #[test]
    fn what_can_be_no_tag_is_no_tag() {
        let read = |page: &str| tags_in(page.as_bytes()).map(|tags| tags.iter().map(Tag::to_string).collect::<Vec<_>>());
        assert_eq!(read(r#"{"name":"a","tags":["v1","../x","","v2"]}"#).unwrap(), ["v1", "v2"]);
        assert_eq!(read(r#"{"name":"a","tags":null}"#).unwrap(), [""; 0]);
        assert_eq!(read("<html>"), None);
    }
}
