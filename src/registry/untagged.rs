//! Hosted manifests that nothing leads to: no tag, no manifest of the repository, no subject that is there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Registry};
use crate::oci::{Digest, Repository};

/// What keeps a manifest.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// A tag names it, or it came a short while ago.
    pub kept: bool,
    pub parents: Vec<Digest>,
    pub subject: Option<Digest>,
}

/// Those that go, in an order in which each has lost all that led to it when its turn comes.
pub(super) fn leaving(mut here: BTreeMap<Digest, Standing>) -> Vec<Digest> {
    let mut gone = Vec::new();
    loop {
        let leads = |digest: &Digest| here.contains_key(digest);
        let goes = |standing: &Standing| !standing.kept && !standing.parents.iter().chain(&standing.subject).any(leads);
        let now: BTreeSet<_> = here.iter().filter(|(_, standing)| goes(standing)).map(|(digest, _)| *digest).collect();
        if now.is_empty() {
            return gone;
        }
        here.retain(|digest, _| !now.contains(digest));
        gone.extend(now);
    }
}

impl Registry {
    /// The manifests of the repository that go when they came before `before`, Unix milliseconds.
    pub(super) async fn untagged(&self, hosted: &Repository, before: u64) -> Result<Vec<Digest>, Error> {
        let tagged: BTreeSet<_> = self.all_tags(hosted).await?.into_iter().map(|(_, row)| row.digest).collect();
        let mut here = BTreeMap::new();
        for (digest, row, since) in self.all_manifests(hosted).await? {
            let kept = tagged.contains(&digest) || since > before;
            let parents = if kept { Vec::new() } else { self.index.parents(hosted, &digest, usize::MAX).await? };
            here.insert(digest, Standing { kept, parents, subject: row.subject });
        }
        Ok(leaving(here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn gone(here: &[(&str, bool, &[&str], Option<&str>)]) -> Vec<String> {
        let standing = |kept: bool, parents: &[&str], subject: Option<&str>| {
            let parents = parents.iter().map(|parent| digest(parent)).collect();
            Standing { kept, parents, subject: subject.map(digest) }
        };
        let all = here.iter().map(|(name, kept, parents, subject)| (digest(name), standing(*kept, parents, *subject)));
        let name = |gone: Digest| here.iter().find(|(name, ..)| digest(name) == gone).unwrap().0.to_owned();
        leaving(all.collect()).into_iter().map(name).collect()
    }

    #[test]
    fn what_a_tag_leads_to_stays_with_its_referrers() {
        let tree: &[(&str, bool, &[&str], Option<&str>)] = &[
            ("index", true, &[], None),
            ("child", false, &["index"], None),
            ("signature", false, &[], Some("child")),
            ("signature of the signature", false, &[], Some("signature")),
        ];
        assert_eq!(gone(tree), [""; 0]);
    }

    #[test]
    fn what_nothing_leads_to_goes_from_the_top_down() {
        let tree: &[(&str, bool, &[&str], Option<&str>)] = &[
            ("layered", false, &["child"], None),
            ("index", false, &[], None),
            ("child", false, &["index"], None),
            ("shared", false, &["index", "tagged"], None),
            ("tagged", true, &[], None),
            ("signature", false, &[], Some("child")),
            ("lost", false, &["never here"], Some("never here")),
        ];
        let gone = gone(tree);
        assert_eq!(gone.len(), 5, "{gone:?}");
        let place = |name: &str| gone.iter().position(|gone| gone == name).unwrap();
        assert!(place("index") < place("child") && place("child") < place("layered") && place("child") < place("signature"));
        assert!(!gone.contains(&"shared".to_owned()));
    }
}
