//! The specification's nouns and grammar: names, references, digests, manifests, routes, ranges. Pure: no I/O, no async.
//!
//! Everything that comes from outside is parsed here once, into types that cannot hold anything else.

mod digest;
mod image;
mod manifest;
mod name;
mod path_name;
mod range;
mod reference;
mod referrer;
mod route;
mod scope;

pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use image::{ImageName, InvalidImage};
pub use manifest::{Child, InvalidManifest, MANIFEST_TYPES, MAX_MANIFEST, Manifest, Role};
pub use name::{InvalidName, MAX_NAME, Origin, Repository, RepositoryName};
pub use path_name::PathName;
pub use range::{
    ByteRange, InvalidContentRange, Unsatisfiable, content_range, parse_content_range, parse_range, parse_upload_range, upload_range,
};
pub use reference::{InvalidReference, Reference, Tag};
pub use referrer::Referrer;
pub use route::{InvalidRoute, Route, UploadId};
pub use scope::{Actions, Resource, Scope};
