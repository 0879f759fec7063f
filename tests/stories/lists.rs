//! Lists: tags, referrers, the catalog and searches, of what is here and of what upstreams have.

mod catalog;
mod referrers;
mod search;
mod tags;
