//! Images made for tests: small, and each byte known.

use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::json;

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image that is nowhere yet.
#[derive(Clone, Debug)]
pub struct Built {
    pub manifest: Bytes,
    pub config: Bytes,
    pub layers: Vec<Bytes>,
}

impl Built {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Everything that the manifest refers to.
    pub fn blobs(&self) -> impl Iterator<Item = &Bytes> {
        self.layers.iter().chain([&self.config])
    }
}

/// Bytes without a pattern, the same for the same seed.
pub fn bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// An image with these layers.
pub fn build(comment: &str, layers: &[Bytes]) -> Built {
    let part = |kind: &str, bytes: &Bytes| json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    let config = Bytes::from(json!({"architecture": "amd64", "os": "linux", "comment": comment}).to_string());
    // Not as a library would write it: bytes must come back as they were sent.
    let manifest = format!(
        "{{ \"schemaVersion\": 2,\n  \"mediaType\": \"{IMAGE}\",\n  \"config\": {},\n  \"layers\": {} }}\n",
        part("application/vnd.oci.image.config.v1+json", &config),
        json!(layers.iter().map(|layer| part("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>()),
    );
    Built { manifest: manifest.into(), config, layers: layers.to_vec() }
}

/// An index of these manifests: platform (`linux/amd64`), manifest.
pub fn index_of(children: &[(&str, &Bytes)]) -> Bytes {
    let entry = |(platform, manifest): &(&str, &Bytes)| {
        let (os, architecture) = platform.split_once('/').unwrap();
        json!({
            "mediaType": IMAGE,
            "digest": Digest::of(manifest).to_string(),
            "size": manifest.len(),
            "platform": {"os": os, "architecture": architecture},
        })
    };
    let manifests: Vec<_> = children.iter().map(entry).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string().into()
}
