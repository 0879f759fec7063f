//! The distribution specification, 1.1 and what its main branch adds: one test per MUST and SHOULD of a registry, named after its section.
//!
//! Each rule is asked of our own server, as hosted with both settings of `hosted.sparse`, behind a path prefix and as group.
//! `ENTREPOT_CONFORMANCE_URL=http://HOST:PORT` asks another registry instead, which needs to take pushes;
//! `ENTREPOT_CONFORMANCE_USER` and `…_PASSWORD` are an account there that may delete.

#[path = "support/app/mod.rs"]
mod app;
#[path = "conformance/discovery.rs"]
mod discovery;
#[path = "conformance/errors.rs"]
mod errors;
#[path = "conformance/management.rs"]
mod management;
#[path = "conformance/manifests.rs"]
mod manifests;
#[path = "conformance/places.rs"]
mod places;
#[path = "conformance/pull.rs"]
mod pull;
#[path = "conformance/uploads.rs"]
mod uploads;
