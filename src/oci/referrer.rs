//! Referrers: the manifests that name another one as their subject, as the specification lists them, and the tag that does so
//! where a registry has no list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Tag};

/// One entry of a list of referrers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    pub media_type: String,
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
    /// The manifest's `artifactType`, else its config's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    manifests: Vec<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: &'a [Referrer],
}

impl Referrer {
    /// The media type of a list.
    pub const INDEX: &'static str = "application/vnd.oci.image.index.v1+json";

    /// The list as an image index.
    pub fn index(manifests: &[Referrer]) -> Vec<u8> {
        let index = Index { schema_version: 2, media_type: Referrer::INDEX, manifests };
        serde_json::to_vec(&index).expect("texts and numbers have a JSON form")
    }

    /// The entries of an image index, without those that cannot be read; `None` when it is no index.
    pub fn list(index: &[u8]) -> Option<Vec<Referrer>> {
        let listed: Listed = serde_json::from_slice(index).ok()?;
        Some(listed.manifests.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
    }

    /// About how many bytes it takes, in JSON and in memory.
    pub fn weight(&self) -> usize {
        let annotations: usize = self.annotations.iter().map(|(key, value)| key.len() + value.len() + 64).sum();
        256 + self.media_type.len() + self.artifact_type.as_deref().map_or(0, str::len) + annotations
    }
}

impl Digest {
    /// The tag under which clients list a manifest's referrers where there is no list of them: `sha256-<hex>`, the hash cut at
    /// 64 characters.
    pub fn referrers_tag(&self) -> Tag {
        let hex = self.hex();
        format!("{}-{}", self.algorithm().as_str(), &hex[..64]).parse().expect("letters, digits and one hyphen are a tag")
    }
}

impl Tag {
    /// The digest whose referrers the tag lists: the inverse of [`Digest::referrers_tag`], where nothing was cut.
    pub fn lists_referrers_of(&self) -> Option<Digest> {
        let digest = self.as_str().replacen('-', ":", 1).parse::<Digest>().ok()?;
        (digest.referrers_tag() == *self).then_some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_digest_is_as_the_specification_writes_it() {
        let subject = Digest::of(b"subject");
        assert_eq!(subject.referrers_tag().as_str(), format!("sha256-{}", subject.hex()));
        assert_eq!(subject.referrers_tag().lists_referrers_of(), Some(subject));
        let long: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        assert_eq!(long.referrers_tag().as_str(), format!("sha512-{}", "ab".repeat(32)));
        for text in [format!("sha512-{}", "ab".repeat(32)), format!("sha256-{}.sig", subject.hex()), "sha256-1".into(), "v1".into()] {
            assert_eq!(text.parse::<Tag>().unwrap().lists_referrers_of(), None, "{text}");
        }
    }

    #[test]
    fn a_list_is_read_and_written_and_what_is_no_entry_is_left_out() {
        let digest = Digest::of(b"x");
        let good = format!(r#"{{"mediaType":"m","digest":"{digest}","size":3,"artifactType":"a","annotations":{{"k":"v"}}}}"#);
        let list = format!(r#"{{"schemaVersion":2,"manifests":[{good},{{"digest":"sha256:no"}},3]}}"#);
        let read = Referrer::list(list.as_bytes()).unwrap();
        let index = String::from_utf8(Referrer::index(&read)).unwrap();
        assert_eq!(index, format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{good}]}}"#, Referrer::INDEX));
        assert_eq!(Referrer::list(b"[]"), None);
        assert_eq!(Referrer::list(br#"{"layers":[]}"#), None);
    }
}
