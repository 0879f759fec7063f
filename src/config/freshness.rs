//! `[[upstream.freshness]]`: what holds for some tags of an upstream instead of `tag_ttl` and `cooldown`. A rule is complete
//! when it was read: what it does not say is as beside it.

use std::time::Duration;

use super::faults::Fault;
use super::pattern::Patterns;
use super::reader::Reader;
use super::settings::Upstream;
use super::tree::{Node, Value};
use super::values::*;
use crate::oci::{RepositoryName, Tag};

/// How an upstream's tag is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagTimes {
    /// How long without asking; zero: not at all.
    pub ttl: Duration,
    /// How long a changed tag's new digest must be known before it is served.
    pub cooldown: Duration,
}

/// What holds for some tags of an upstream.
#[derive(Clone, Debug)]
pub struct FreshnessRule {
    /// Of names as the upstream has them; one that begins with library/ also without that.
    pub repositories: Patterns,
    pub tags: Patterns,
    pub times: TagTimes,
}

impl Upstream {
    /// What holds for a tag: the first rule that matches, else what holds for all.
    pub fn tag_times(&self, repository: &RepositoryName, tag: &Tag) -> TagTimes {
        let named = |rule: &&FreshnessRule| {
            let names = [repository.clone(), repository.short()];
            rule.tags.matches(tag.as_str()) && names.iter().any(|name| rule.repositories.matches(name.as_str()))
        };
        let all = TagTimes { ttl: self.tag_ttl, cooldown: self.cooldown };
        self.freshness.iter().find(named).map_or(all, |rule| rule.times)
    }
}

/// Reads the rules; the upstream's own times were read before.
pub(super) fn read(table: &mut Reader<'_>, into: &mut Upstream) {
    for mut table in table.tables("freshness") {
        let everything = Patterns::new(&["**"]).expect("two stars are a pattern");
        let times = TagTimes { ttl: into.tag_ttl, cooldown: into.cooldown };
        let mut rule = FreshnessRule { repositories: everything.clone(), tags: everything, times };
        let which = [table.read("repositories", &mut rule.repositories, one_or_more), table.read("tags", &mut rule.tags, one_or_more)];
        let what = [table.read("ttl", &mut rule.times.ttl, duration), table.read("cooldown", &mut rule.times.cooldown, duration)];
        if which.iter().all(Option::is_none) {
            let message = "every rule needs the tags that it is for, like tags = \"v*\", or the repositories; for all of them set tag_ttl and cooldown";
            table.fault("tags", table.place.clone(), message);
        } else if what.iter().all(Option::is_none) {
            table.fault("ttl", table.place.clone(), "every rule needs something to say: ttl = \"7d\", or cooldown = \"3d\", or both");
        }
        table.finish();
        into.freshness.push(rule);
    }
}

/// A pattern, or a list of them.
fn one_or_more(node: Node) -> Read<Patterns> {
    let place = node.place.clone();
    let read = match &node.value {
        Value::Text(_) => text_as(|text| Patterns::new(&[text]))(node)?,
        _ => patterns(node)?,
    };
    match read.texts().is_empty() {
        true => Err(vec![Fault { place, message: "the list is empty; it needs at least one".into() }]),
        false => Ok(read),
    }
}
