//! Reads `[hosted]` and its rules. A rule is complete when it was read: what it does not say is as in `[hosted]`.

use super::pattern::Patterns;
use super::reader::Reader;
use super::settings::*;
use super::values::*;

pub(super) fn read(table: &mut Reader<'_>, into: &mut Hosted) {
    changes(table, &mut into.tags);
    table.read("sparse", &mut into.sparse, choice(&[("refuse", false), ("allow", true)]));
    table.read("reserved", &mut into.reserved, patterns);
    for mut table in table.tables("rule") {
        let mut rule = HostedRule { repositories: Patterns::default(), tags: into.tags.clone() };
        if table.read("repositories", &mut rule.repositories, repositories).is_none() {
            let message = "every rule needs the repositories that it is for, like repositories = [\"team/**\"]";
            table.fault("repositories", table.place.clone(), message);
        }
        changes(&mut table, &mut rule.tags);
        keeping(&mut table, &mut rule.tags);
        table.finish();
        into.rules.push(rule);
    }
}

fn changes(table: &mut Reader<'_>, into: &mut TagPolicy) {
    let redeploy = choice(&[("allow", Redeploy::Allow), ("deny", Redeploy::Deny), ("read-only", Redeploy::ReadOnly)]);
    table.read("redeploy", &mut into.redeploy, redeploy);
    table.read("immutable_tags", &mut into.immutable_tags, patterns);
}

fn keeping(table: &mut Reader<'_>, into: &mut TagPolicy) {
    let some = |node| count(node).map(Some);
    let last = table.read("keep_last", &mut into.keep_last, some).map(|place| ("keep_last", place));
    let days = table.read("keep_days", &mut into.keep_days, some).map(|place| ("keep_days", place));
    // Somebody who counts on it would find his disk full.
    if into.redeploy != Redeploy::Allow
        && let Some((key, place)) = last.or(days)
    {
        let message = "no tag would ever go, as redeploy forbids it here; say redeploy = \"allow\" in this rule, or remove this";
        table.fault(key, place, message);
    }
}
