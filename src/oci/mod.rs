//! The specification's nouns and grammar: names, references, digests, manifests, routes, ranges. Pure: no I/O, no async.
//!
//! Everything that comes from outside is parsed here once, into types that cannot hold anything else.

mod digest;
mod manifest;
mod name;
mod reference;
mod scope;

pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use manifest::{Child, InvalidManifest, MANIFEST_TYPES, MAX_MANIFEST, Manifest, Role};
pub use name::{InvalidName, MAX_NAME, Origin, Repository, RepositoryName};
pub use reference::{InvalidReference, Reference, Tag};
pub use scope::{Actions, Resource, Scope};
