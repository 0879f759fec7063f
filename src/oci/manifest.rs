//! Looking into manifests: what they are and what they reach. The bytes themselves are never rewritten.

use std::collections::BTreeMap;

use oci_spec::image::Descriptor;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Digest;

/// The largest manifest taken from anybody, in bytes.
pub const MAX_MANIFEST: usize = 4 << 20;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The manifest types that a registry is asked with and that every upstream is asked for.
pub const MANIFEST_TYPES: [&str; 6] =
    [IMAGE, INDEX, DOCKER_IMAGE, DOCKER_LIST, "application/vnd.oci.artifact.manifest.v1+json", "application/json"];

/// What a manifest says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub children: Vec<Child>,
    pub subject: Option<Digest>,
    /// `artifactType`, else the config's media type.
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

/// One thing that a manifest reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub digest: Digest,
    pub size: u64,
    pub media_type: String,
    pub role: Role,
    /// The manifest's platform as `os/architecture[/variant]`, where it says one.
    pub platform: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Config,
    Layer,
    /// A layer that need not be here: of a non-distributable type, or with addresses of its own.
    Foreign,
    Manifest,
}

/// Why a document is no manifest that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    #[error("the manifest is no valid JSON of its kind: {0}")]
    Json(String),
    #[error("the manifest is image and index in one, which clients read in two ways")]
    Ambiguous,
    #[error("the manifest says it is {inside}, but was sent as {outside}")]
    MediaType { inside: String, outside: String },
    #[error("{0:?} is no media type: it is TYPE/SUBTYPE, such as {image}", image = IMAGE)]
    NoMediaType(String),
    #[error("Docker's schema 1 manifests are not supported: push the image again with a Docker of this decade")]
    Schema1,
    #[error("the manifest refers to {0:?}, which is no sha256 or sha512 digest")]
    Digest(String),
    #[error("the manifest says that {digest} has {size} bytes, more than there can be")]
    Size { digest: Digest, size: u64 },
    #[error("the manifest has the key {0:?}, which some clients read as another: write keys as the specification does")]
    Key(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Entry>,
    layers: Option<Vec<Entry>>,
    blobs: Option<Vec<Entry>>,
    manifests: Option<Vec<Entry>>,
    subject: Option<Entry>,
    annotations: Option<BTreeMap<String, String>>,
    fs_layers: Option<IgnoredAny>,
}

/// A descriptor written as an object: serde alone would take a list of its values too, which no client does.
#[derive(Deserialize)]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
}

impl Manifest {
    /// Reads a manifest that somebody pushes: every doubt is an error.
    pub fn pushed(bytes: &[u8], content_type: &str) -> Result<Manifest, InvalidManifest> {
        let manifest = Manifest::read(bytes, content_type)?;
        if let Some(key) = Keys::of(bytes)?.misspelt() {
            return Err(InvalidManifest::Key(key.to_owned()));
        }
        let inside = &manifest.media_type;
        if !content_type.is_empty() && inside != content_type {
            return Err(InvalidManifest::MediaType { inside: inside.clone(), outside: content_type.to_owned() });
        }
        if !is_media_type(inside) {
            return Err(InvalidManifest::NoMediaType(inside.clone()));
        }
        // A reader that goes by the type must find what a reader that goes by the fields finds.
        let is_other = match inside.as_str() {
            IMAGE | DOCKER_IMAGE => manifest.manifests().next().is_some(),
            INDEX | DOCKER_LIST => manifest.blobs().next().is_some(),
            _ => false,
        };
        if is_other { Err(InvalidManifest::Ambiguous) } else { Ok(manifest) }
    }

    /// Reads a manifest whose digest is right already. A `mediaType` inside decides over a generic content type.
    pub fn read(bytes: &[u8], content_type: &str) -> Result<Manifest, InvalidManifest> {
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(InvalidManifest::Json("it is no object".to_owned()));
        }
        // What serde skips over it does not look at.
        std::str::from_utf8(bytes).map_err(|e| InvalidManifest::Json(e.to_string()))?;
        let keys = Keys::of(bytes)?;
        if (keys.have("config") || keys.have("layers")) && keys.have("manifests") {
            return Err(InvalidManifest::Ambiguous);
        }
        let document: Document = serde_json::from_slice(bytes).map_err(json)?;
        let image = document.config.is_some() || document.layers.is_some();
        if document.schema_version == Some(1)
            || document.fs_layers.is_some()
            || content_type.contains("manifest.v1+") && content_type.contains("docker")
        {
            return Err(InvalidManifest::Schema1);
        }
        let artifact_type = document
            .artifact_type
            .filter(|kind| !kind.is_empty())
            .or_else(|| document.config.as_ref().map(|c| c.descriptor.media_type().to_string()));
        let media_type = document.media_type.unwrap_or_else(|| match content_type {
            "" | "application/json" | "text/plain" | "application/octet-stream" => guess(image, document.manifests.is_some()).to_owned(),
            named => named.to_owned(),
        });
        let listed = |role: Role, list: Option<Vec<Entry>>| list.into_iter().flatten().map(move |d| child(role, &d));
        let children = document.config.iter().map(|d| child(Role::Config, d));
        let children = children.chain(listed(Role::Layer, document.layers)).chain(listed(Role::Layer, document.blobs));
        let children = children.chain(listed(Role::Manifest, document.manifests)).collect::<Result<_, _>>()?;
        let subject = document.subject.map(|d| child(Role::Manifest, &d)).transpose()?.map(|c| c.digest);
        let annotations = document.annotations.unwrap_or_default();
        Ok(Manifest { media_type, children, subject, artifact_type, annotations })
    }

    /// The children that are manifests themselves.
    pub fn manifests(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|c| c.role == Role::Manifest)
    }

    /// The children that are blobs.
    pub fn blobs(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|c| c.role != Role::Manifest)
    }
}

/// The keys of a document with whether they have a value. Half of all clients, those in Go, read `Layers` as `layers`.
struct Keys(BTreeMap<String, Option<IgnoredAny>>);

impl Keys {
    const MEANT: [&str; 6] = ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject"];

    fn of(bytes: &[u8]) -> Result<Keys, InvalidManifest> {
        serde_json::from_slice(bytes).map(Keys).map_err(json)
    }

    fn have(&self, known: &str) -> bool {
        self.0.iter().any(|(key, value)| value.is_some() && folded(key) == folded(known))
    }

    fn misspelt(&self) -> Option<&str> {
        let other = |key: &str| Keys::MEANT.iter().any(|known| key != *known && folded(key) == folded(known));
        self.0.keys().map(String::as_str).find(|key| other(key))
    }
}

/// Both ways, because `ſ` is an `s` to those who ignore case, and the Kelvin sign a `k`.
fn folded(key: &str) -> String {
    key.to_lowercase().to_uppercase()
}

fn json(error: serde_json::Error) -> InvalidManifest {
    InvalidManifest::Json(error.to_string())
}

fn guess(image: bool, index: bool) -> &'static str {
    match (image, index) {
        (_, true) => INDEX,
        (true, false) => IMAGE,
        (false, false) => "application/json",
    }
}

/// `TYPE/SUBTYPE`, both as RFC 6838 restricts names.
fn is_media_type(text: &str) -> bool {
    let name = |part: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        (1..=127).contains(&part.len()) && part.as_bytes()[0].is_ascii_alphanumeric() && part.bytes().all(good)
    };
    text.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

fn child(role: Role, Entry { descriptor }: &Entry) -> Result<Child, InvalidManifest> {
    let text = descriptor.digest().to_string();
    let digest = text.parse().map_err(|_| InvalidManifest::Digest(text))?;
    let size = descriptor.size();
    if i64::try_from(size).is_err() {
        return Err(InvalidManifest::Size { digest, size });
    }
    let media_type = descriptor.media_type().to_string();
    let elsewhere = descriptor.urls().as_ref().is_some_and(|urls| !urls.is_empty());
    let foreign = media_type.contains("nondistributable") || media_type.contains("rootfs.foreign") || elsewhere;
    let role = if role == Role::Layer && foreign { Role::Foreign } else { role };
    let platform = descriptor.platform().as_ref().map(|p| match p.variant() {
        Some(variant) => format!("{}/{}/{variant}", p.os(), p.architecture()),
        None => format!("{}/{}", p.os(), p.architecture()),
    });
    Ok(Child { digest, size, media_type, role, platform })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str, more: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":3{more}}}"#, Digest::of(b"abc"))
    }

    #[test]
    fn an_image_reaches_its_config_and_layers() {
        let (config, layer) =
            (descriptor("application/vnd.oci.image.config.v1+json", ""), descriptor("application/vnd.oci.image.layer.v1.tar", ""));
        let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "");
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{foreign}],"x-vendor":[1]}}"#);
        let manifest = Manifest::pushed(text.as_bytes(), IMAGE).unwrap();
        assert_eq!(manifest.children.iter().map(|c| c.role).collect::<Vec<_>>(), [Role::Config, Role::Layer, Role::Foreign]);
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.oci.image.config.v1+json"));
        assert_eq!(Manifest::read(text.as_bytes(), "application/json").unwrap().media_type, IMAGE);
    }

    #[test]
    fn an_index_reaches_manifests_with_their_platforms() {
        let one = descriptor(IMAGE, r#","platform":{"os":"linux","architecture":"arm","variant":"v7"}"#);
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{one}],"subject":{one}}}"#);
        let manifest = Manifest::pushed(text.as_bytes(), INDEX).unwrap();
        assert_eq!(manifest.manifests().next().unwrap().platform.as_deref(), Some("linux/arm/v7"));
        assert_eq!(manifest.subject, Some(Digest::of(b"abc")));
    }

    #[test]
    fn a_doubtful_document_is_refused() {
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar", "");
        let both = format!(r#"{{"schemaVersion":2,"layers":[{layer}],"manifests":[]}}"#);
        assert_eq!(Manifest::read(both.as_bytes(), IMAGE), Err(InvalidManifest::Ambiguous));
        for both in [
            format!(r#"{{"schemaVersion":2,"Layers":[{layer}],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{layer},"manifeſts":[]}}"#),
        ] {
            assert_eq!(Manifest::read(both.as_bytes(), IMAGE), Err(InvalidManifest::Ambiguous));
        }
        let capital = format!(r#"{{"schemaVersion":2,"layers":[{layer}],"Config":{layer}}}"#);
        assert_eq!(Manifest::pushed(capital.as_bytes(), IMAGE), Err(InvalidManifest::Key("Config".to_owned())));
        assert!(Manifest::read(capital.as_bytes(), IMAGE).is_ok());
        let digest = Digest::of(b"abc");
        for (size, fits) in [(1 << 62, true), (1 << 63, false)] {
            let huge = format!(r#"{{"schemaVersion":2,"layers":[{{"mediaType":"x/y","digest":"{digest}","size":{size}}}]}}"#);
            let read = Manifest::read(huge.as_bytes(), IMAGE).map(|manifest| manifest.children[0].size);
            assert_eq!(read, if fits { Ok(size) } else { Err(InvalidManifest::Size { digest, size }) });
        }
        let list = format!(r#"{{"schemaVersion":2,"config":["x/y","{digest}",3]}}"#);
        assert!(matches!(Manifest::read(list.as_bytes(), IMAGE), Err(InvalidManifest::Json(_))));
        let twice = format!(r#"{{"schemaVersion":2,"layers":[{layer}],"layers":[]}}"#);
        assert!(matches!(Manifest::pushed(twice.as_bytes(), IMAGE), Err(InvalidManifest::Json(_))));
        let other = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","layers":[{layer}]}}"#);
        assert!(matches!(Manifest::pushed(other.as_bytes(), IMAGE), Err(InvalidManifest::MediaType { .. })));
        assert_eq!(Manifest::read(br#"{"schemaVersion":1,"fsLayers":[]}"#, ""), Err(InvalidManifest::Schema1));
        for text in [&b"<html>"[..], b"", b"null", b"[2,null,null,null,null,null,null,null,null,null]", b"{} {}", b"{\"x\":\"\xe9\"}"] {
            assert!(matches!(Manifest::read(text, IMAGE), Err(InvalidManifest::Json(_))));
        }
        for (kind, field) in [(INDEX, "layers"), (DOCKER_LIST, "layers"), (IMAGE, "manifests"), (DOCKER_IMAGE, "manifests")] {
            let text = format!(r#"{{"schemaVersion":2,"{field}":[{layer}]}}"#);
            assert_eq!(Manifest::pushed(text.as_bytes(), kind), Err(InvalidManifest::Ambiguous), "{kind}");
        }
    }

    #[test]
    fn any_well_formed_type_is_taken_and_no_other() {
        for kind in ["application/vnd.cncf.notary.signature", "text/x-mine", "a/b"] {
            assert_eq!(Manifest::pushed(b"{}", kind).unwrap().media_type, kind);
        }
        for kind in ["manifest", "/", "a/", "/b", "a/b/c", "a/b c", "-a/b", r"a/\u00e9", r"a/b\r\nSet-Cookie: x"] {
            let text = format!(r#"{{"mediaType":"{kind}"}}"#);
            assert!(matches!(Manifest::pushed(text.as_bytes(), ""), Err(InvalidManifest::NoMediaType(_))), "{kind}");
        }
    }
}
