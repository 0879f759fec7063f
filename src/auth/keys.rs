//! The keys that sign tokens: made here, a new one each month, in one file that only its owner may read.
//!
//! A key is found by its name alone, and stays as long as anything that it signed may be shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};

use super::file::{self, FileError};

const REMEDY: &str = "delete it and start again; clients ask for new tokens by themselves, and docker login is needed once more";
/// How long a key signs.
const TURN: u64 = 30 * 24 * 3600;
/// How long to wait with a new key after the last could not be written, in seconds.
const AGAIN: u64 = 600;

/// All keys that count.
pub(super) struct Keys {
    path: PathBuf,
    /// Seconds that what was signed may live.
    longest: u64,
    ring: ArcSwap<Vec<Arc<Key>>>,
    /// When a new one may be tried again, in Unix seconds.
    turning: Mutex<u64>,
}

/// One key, in all the forms that it is needed in.
pub(super) struct Key {
    pub name: String,
    pub signing: EncodingKey,
    pub checking: DecodingKey,
    kept: Kept,
}

/// A key in its file.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// Unix seconds.
    made: u64,
    /// PKCS #8, in Base64.
    key: String,
}

impl Keys {
    /// Reads the keys of the data folder, or makes the first. What they sign lives for `longest` at most. Blocks for a small file.
    ///
    /// # Errors
    /// The file cannot be read or written, or has something else in it.
    pub fn open(data: &Path, longest: Duration, now: u64) -> Result<Keys, FileError> {
        let path = data.join("token-keys");
        let broken = || FileError::Broken { path: path.clone(), remedy: REMEDY };
        let kept: Vec<Kept> = match file::read(&path, REMEDY)? {
            Some(content) => serde_json::from_slice(&content).map_err(|_| broken())?,
            None => Vec::new(),
        };
        let ring = kept.into_iter().map(|kept| Key::read(kept).map(Arc::new)).collect::<Option<Vec<_>>>().ok_or_else(broken)?;
        let keys = Keys { path: path.clone(), longest: longest.as_secs(), ring: ArcSwap::from_pointee(ring), turning: Mutex::new(0) };
        if keys.due(now) {
            keys.turn(now)?;
        }
        Ok(keys)
    }

    /// The key that signs now. Once a month it is a new one, and waits for its file; while that cannot be written, the old one goes on.
    pub fn newest(&self, now: u64) -> Arc<Key> {
        if self.due(now)
            && let Ok(mut again) = self.turning.try_lock()
            && *again <= now
            && self.due(now)
            && let Err(error) = self.turn(now)
        {
            *again = now + AGAIN;
            tracing::warn!(%error, "no new key for tokens could be kept; the last one goes on signing");
        }
        self.ring.load().last().expect("opening made a key").clone()
    }

    /// The key of that name.
    pub fn named(&self, name: &str) -> Option<Arc<Key>> {
        self.ring.load().iter().find(|key| key.name == name).cloned()
    }

    fn due(&self, now: u64) -> bool {
        self.ring.load().last().is_none_or(|key| key.kept.made.saturating_add(TURN) <= now)
    }

    /// Adds a new key and leaves out those whose last tokens have ended.
    fn turn(&self, now: u64) -> Result<(), FileError> {
        let ring = self.ring.load_full();
        let ends = |index: usize| ring.get(index + 1).map(|next| next.kept.made.saturating_add(self.longest));
        let counts = |index: &usize| ends(*index).is_none_or(|end| now <= end);
        let mut next: Vec<_> = (0..ring.len()).filter(counts).map(|index| ring[index].clone()).collect();
        next.push(Arc::new(Key::make(now)));
        let kept: Vec<_> = next.iter().map(|key| &key.kept).collect();
        file::write(&self.path, &serde_json::to_vec(&kept).expect("keys are plain data"))?;
        self.ring.store(Arc::new(next));
        Ok(())
    }
}

impl Key {
    fn make(now: u64) -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the system gives random bytes");
        let document = pair.to_pkcs8v1().expect("a new key has a form");
        Key::read(Kept { made: now, key: BASE64.encode(document.as_ref()) }).expect("a new key can be read")
    }

    fn read(kept: Kept) -> Option<Key> {
        let private = BASE64.decode(&kept.key).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private).ok()?;
        let public = pair.public_key().as_ref();
        let digest = digest::digest(&digest::SHA256, public);
        let name = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Key { name, signing: EncodingKey::from_ec_der(&private), checking: DecodingKey::from_ec_der(public), kept })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
    const START: u64 = 1_795_000_000;

    #[test]
    fn a_key_signs_for_a_month_and_checks_as_long_as_what_it_signed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), LIFE, START).unwrap();
        let first = keys.newest(START + TURN - 1).name.clone();
        let second = keys.newest(START + TURN).name.clone();
        assert!(first != second && keys.named(&first).is_some());
        let names = |keys: &Keys| keys.ring.load().iter().map(|key| key.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&Keys::open(folder.path(), LIFE, START + TURN).unwrap()), names(&keys));
        for month in 2..5 {
            keys.newest(START + month * TURN);
            assert!(keys.named(&first).is_some(), "month {month}: what it signed last is good until month 4");
        }
        keys.newest(START + 5 * TURN);
        assert!(keys.named(&first).is_none() && keys.named(&second).is_some());
        let path = folder.path().join("token-keys");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_start_after_a_long_rest_turns_and_keeps_what_was_signed_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path(), LIFE, START).unwrap().newest(START).name.clone();
        let keys = Keys::open(folder.path(), LIFE, START + 12 * TURN).unwrap();
        assert!(keys.newest(START + 12 * TURN).name != first && keys.named(&first).is_some());
    }

    #[test]
    fn the_last_key_goes_on_while_a_new_one_cannot_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path(), LIFE, START).unwrap();
        let first = keys.newest(START).name.clone();
        // Nothing can be written beside it.
        fs::create_dir_all(folder.path().join("token-keys.new/in the way")).unwrap();
        assert_eq!(keys.newest(START + TURN).name, first);
        fs::remove_dir_all(folder.path().join("token-keys.new")).unwrap();
        assert_eq!(keys.newest(START + TURN + AGAIN - 1).name, first);
        assert_ne!(keys.newest(START + TURN + AGAIN).name, first);
    }

    #[test]
    fn a_broken_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for broken in ["", "no keys", "[{\"made\":1,\"key\":\"AAAA\"}]", "[{\"made\":1,\"key\":\"?\"}]", "{}"] {
            fs::write(folder.path().join("token-keys"), broken).unwrap();
            let message = Keys::open(folder.path(), LIFE, START).err().unwrap().to_string();
            assert!(message.contains("token-keys") && message.contains("delete it and start again"), "{message}");
        }
    }
}
