//! The targets: each reads bytes as the server reads them, checks everything that was promised of what came out against
//! a second, plain telling of the rules, and says whether anything came out.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use entrepot::oci::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `METHOD PATH`.
pub fn route(bytes: &[u8]) -> bool {
    let Some((method, path)) = text(bytes).split_once(' ') else { return false };
    match Route::parse(method, path) {
        Ok(route) => {
            let printed = route.to_string();
            assert_eq!(printed.trim_end_matches('/'), decoded(path).trim_end_matches('/'));
            assert_eq!(Route::parse(method, &printed).as_ref(), Ok(&route));
            assert!(route.methods().contains(&method));
            let parts: Vec<_> = printed.trim_end_matches('/').split('/').skip(1).collect();
            assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{printed}");
            assert!(printed.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-:".contains(&b)), "{printed}");
            assert!(["%2f", "%5c", "%00", "%25"].iter().all(|hidden| !path.to_ascii_lowercase().contains(hidden)));
            if let Some(name) = route.name() {
                path_name(name);
            }
            true
        }
        Err(InvalidRoute::Method { allow }) => {
            assert!(!allow.contains(&method));
            false
        }
        Err(error) => {
            assert!(!error.code().is_empty() && error.to_string().contains(' '));
            false
        }
    }
}

pub fn name(bytes: &[u8]) -> bool {
    let text = text(bytes);
    let name = text.parse::<RepositoryName>();
    assert_eq!(name.is_ok(), is_name(text), "{text:?}");
    let Ok(name) = name else { return false };
    printed_as_read(&name, text);
    kept_as_json(&name);
    for form in [name.long(), name.short()] {
        printed_as_read(&form, form.as_str());
        assert_eq!((form.long(), form.short()), (name.long(), name.short()));
        assert_eq!(Repository::hosted(&form), Repository::hosted(&name));
        assert_eq!(Repository::upstream("docker.io", &form), Repository::upstream("docker.io", &name));
    }
    if let Some((first, rest)) = name.split_first() {
        assert_eq!(format!("{first}/{rest}"), text);
    }
    path_name(&text.parse().expect("every repository name can stand in a path"));
    true
}

/// An image as people write it.
pub fn image(bytes: &[u8]) -> bool {
    let Ok(image) = text(bytes).parse::<ImageName>() else { return false };
    printed_as_read(&image, &image.to_string());
    assert!(is_name(image.name.as_str()));
    assert!(image.registry.as_deref().is_none_or(is_host), "{image}");
    let path = image.path_name();
    assert_eq!(path.parse::<PathName>().is_ok(), path.len() <= MAX_NAME, "{path}");
    true
}

pub fn reference(bytes: &[u8]) -> bool {
    let text = text(bytes);
    let (reference, tag) = (text.parse::<Reference>(), text.parse::<Tag>());
    assert_eq!(tag.is_ok(), is_tag(text), "{text:?}");
    assert_eq!(reference.is_ok(), is_tag(text) || is_digest(text), "{text:?}");
    assert!(!(is_tag(text) && is_digest(text)));
    let Ok(reference) = reference else { return false };
    printed_as_read(&reference, text);
    if let Ok(tag) = tag {
        kept_as_json(&tag);
        assert_eq!(reference, Reference::Tag(tag));
    }
    true
}

pub fn digest(bytes: &[u8]) -> bool {
    let text = text(bytes);
    let digest = text.parse::<Digest>();
    assert_eq!(digest.is_ok(), is_digest(text), "{text:?}");
    let Ok(digest) = digest else { return false };
    printed_as_read(&digest, text);
    kept_as_json(&digest);
    assert_eq!(format!("{}:{}", digest.algorithm().as_str(), digest.hex()), text);
    assert_eq!(digest.as_bytes().len(), digest.algorithm().size());
    true
}

/// `HEADER of SIZE`.
pub fn range(bytes: &[u8]) -> bool {
    let Some((header, size)) = text(bytes).rsplit_once(" of ") else { return false };
    let Ok(size) = size.parse::<u64>() else { return false };
    let Some(range) = ByteRange::parse(header) else {
        assert_eq!(parse_range(header, size), Ok(None));
        return false;
    };
    assert_eq!(ByteRange::parse(&range.to_string()), Some(range));
    let wide = u128::from(size);
    let (first, end) = match range {
        ByteRange::From(first) => (first.into(), wide),
        ByteRange::Between(first, last) => (first.into(), (u128::from(last) + 1).min(wide)),
        ByteRange::Last(count) => (wide - u128::from(count).min(wide), wide),
    };
    match parse_range(header, size) {
        Ok(Some(bytes)) => {
            assert!(bytes.start < bytes.end && bytes.end <= size, "{bytes:?} of {size}");
            assert_eq!((u128::from(bytes.start), u128::from(bytes.end)), (first, end));
            assert_eq!(parse_content_range(&content_range(&bytes, size)), Some((bytes, Some(size))));
            true
        }
        Ok(None) => {
            assert!(size == 0 && matches!(range, ByteRange::Last(1..)), "{range} of {size} is no range");
            false
        }
        Err(refused) => {
            assert_eq!(refused, Unsatisfiable { size });
            assert!(first >= end, "{range} of {size} is refused");
            false
        }
    }
}

/// A `Content-Range`, of an upload or of an upstream's answer.
pub fn content_range_header(bytes: &[u8]) -> bool {
    let header = text(bytes);
    let upload = parse_upload_range(header);
    if let Some((bytes, size)) = parse_content_range(header) {
        assert!(size.is_none_or(|size| bytes.end <= size), "{header:?}");
        assert_eq!(upload.as_ref(), Ok(&bytes), "an answer's form is an upload's too: {header:?}");
    }
    let Ok(bytes) = upload else { return false };
    assert!(bytes.start < bytes.end, "{header:?}");
    let last = bytes.end - 1;
    assert_eq!(parse_upload_range(&format!("{}-{last}", bytes.start)).as_ref(), Ok(&bytes));
    assert_eq!(parse_content_range(&content_range(&bytes, bytes.end)), Some((bytes.clone(), Some(bytes.end))));
    assert_eq!(parse_content_range(&content_range(&bytes, last)), None);
    assert!(header.contains(&last.to_string()) && header.contains(&bytes.start.to_string()), "{header:?} is not {bytes:?}");
    true
}

/// `CONTENT-TYPE`, a line's end, the document.
pub fn manifest(bytes: &[u8]) -> bool {
    let Some(line) = bytes.iter().position(|b| *b == b'\n') else { return false };
    let (content_type, bytes) = (text(&bytes[..line]), &bytes[line + 1..]);
    let (read, pushed) = (Manifest::read(bytes, content_type), Manifest::pushed(bytes, content_type));
    if let Ok(manifest) = &read {
        read_in_one_way(manifest, bytes);
    }
    let Ok(pushed) = pushed else { return false };
    assert!(content_type.is_empty() || pushed.media_type == content_type);
    let [is_image, is_index] = [[0, 2], [1, 3]].map(|kinds| kinds.iter().any(|kind| MANIFEST_TYPES[*kind] == pushed.media_type));
    assert!(!(is_image && pushed.manifests().count() > 0), "an image by its type, an index by its fields");
    assert!(!(is_index && pushed.blobs().count() > 0), "an index by its type, an image by its fields");
    assert_eq!(read.as_ref(), Ok(&pushed), "what can be pushed is read the same");
    true
}

/// What was read against the document as any library reads it, with and without regard to case.
fn read_in_one_way(manifest: &Manifest, bytes: &[u8]) {
    // A number beyond every range or half a character, where nobody looks, is no fault to others.
    let Ok(document) = std::str::from_utf8(bytes).map(serde_json::from_str::<Value>).expect("what was read is text") else { return };
    let object = document.as_object().expect("a manifest is an object");
    let has = |known: &str| object.iter().any(|(key, value)| key.eq_ignore_ascii_case(known) && !value.is_null());
    assert!(!((has("layers") || has("config")) && has("manifests")), "image and index in one");
    assert!(!document["fsLayers"].is_array() && document["schemaVersion"] != 1, "schema 1");
    if let Some(media_type) = document["mediaType"].as_str() {
        assert_eq!(manifest.media_type, media_type);
    }
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let config = Some(document["config"].clone()).filter(|config| !config.is_null());
    let all = config.into_iter().chain(list("layers")).chain(list("blobs")).chain(list("manifests"));
    let said: Vec<_> = all.map(|child| (child["digest"].as_str().unwrap().to_owned(), child["size"].as_u64().unwrap())).collect();
    let found: Vec<_> = manifest.children.iter().map(|child| (child.digest.to_string(), child.size)).collect();
    assert_eq!(found, said);
    assert_eq!(manifest.subject.map(|digest| digest.to_string()).as_deref(), document["subject"]["digest"].as_str());
    assert!(manifest.children.iter().all(|child| is_digest(&child.digest.to_string()) && i64::try_from(child.size).is_ok()));
    assert_eq!(manifest.manifests().count(), list("manifests").len());
    assert_eq!(manifest.manifests().count() + manifest.blobs().count(), manifest.children.len());
}

fn path_name(name: &PathName) {
    printed_as_read(name, name.as_str());
    assert!(name.as_str().len() <= MAX_NAME);
    assert_eq!(name.whole().is_some(), is_name(name.as_str()));
    let split = name.split();
    assert!(split.is_some() || name.whole().is_some());
    if let Some((host, rest)) = split {
        assert!(is_host(host) && is_name(rest.as_str()), "{name}");
        assert_eq!(format!("{host}/{rest}"), name.as_str());
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn printed_as_read<T: FromStr + Display + Debug + PartialEq>(value: &T, text: &str) {
    assert_eq!(value.to_string(), text);
    assert_eq!(text.parse::<T>().ok().as_ref(), Some(value));
}

fn kept_as_json<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
}

/// Each `%` with two digits is a byte.
fn decoded(path: &str) -> String {
    let mut pieces = path.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| format!("{text}{}{}", u8::from_str_radix(&piece[..2], 16).unwrap() as char, &piece[2..]))
}

fn is_name(text: &str) -> bool {
    let separator = |between: &str| matches!(between, "." | "_" | "__") || !between.is_empty() && between.bytes().all(|b| b == b'-');
    let part = |part: &str| {
        let mut between: Vec<_> = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).collect();
        let ends = between.len() > 1 && between.remove(0).is_empty() && between.pop() == Some("");
        ends && between.iter().all(|between| between.is_empty() || separator(between))
    };
    text.len() <= 255 && text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let letters = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (1..=128).contains(&text.len()) && letters && !text.starts_with(['.', '-'])
}

fn is_digest(text: &str) -> bool {
    let is = |name: &str, length: usize| {
        let hash = text.strip_prefix(name).unwrap_or_default();
        hash.len() == length && hash.chars().all(|c| "0123456789abcdef".contains(c))
    };
    is("sha256:", 64) || is("sha512:", 128)
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "80"));
    let label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && label.trim_matches('-') == label;
    host.split('.').all(label) && port.chars().all(|c| c.is_ascii_digit()) && (1..65536).contains(&port.parse().unwrap_or(0))
}
