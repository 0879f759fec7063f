//! Lists: tags, referrers, the catalog and searches, of what is here and of what upstreams have.

#[path = "support/app/mod.rs"]
mod app;

#[path = "lists/catalog.rs"]
mod catalog;
#[path = "lists/referrers.rs"]
mod referrers;
#[path = "lists/search.rs"]
mod search;
#[path = "lists/tags.rs"]
mod tags;
