//! Tokens: made here, believed only when made here. One key, one algorithm, one issuer; whatever else a token says about how it
//! is to be checked makes it invalid, and so does a user who is gone or has another password since.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;

use super::challenge::SERVICE;
use super::claims::{Access, Claims, Wire};
use super::file::{self, FileError};
use super::judge::Who;
use super::users::{CERTIFIED, Known, Users};
use crate::oci::Scope;

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token, in bytes: it has to fit into a header beside others.
pub const MAX_TOKEN: usize = 8 * 1024;
/// Bytes of verified tokens that are remembered.
const REMEMBERED: u64 = 16 * 1024 * 1024;

const REMEDY: &str = "delete it and start again; clients log in anew by themselves";

/// The token is none of ours, is past its time, or its user is gone or has another password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is invalid or has expired")]
pub struct InvalidToken;

/// More was asked for than fits into a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many scopes at once")]
pub struct TooLong;

/// Makes tokens and checks them.
pub struct Tokens {
    users: Arc<Users>,
    signing: EncodingKey,
    checking: DecodingKey,
    key_name: String,
    validation: Validation,
    /// By the token's hash.
    verified: Cache<[u8; 32], Arc<Claims>>,
}

/// A new token and when it was made.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub token: String,
    pub at: SystemTime,
}

impl Tokens {
    /// Reads the key of the data folder, or makes it. Blocks for small files.
    ///
    /// # Errors
    /// The key cannot be read or written, or is none.
    pub fn open(data: &Path, users: Arc<Users>) -> Result<Tokens, FileError> {
        let path = data.join("token-key");
        let private = match file::read(&path, REMEDY)? {
            Some(key) => key,
            None => make_key(&path)?,
        };
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private).map_err(|_| FileError::Broken { path, remedy: REMEDY })?;
        let public = pair.public_key().as_ref();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[SERVICE]);
        validation.set_audience(&[SERVICE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
        Ok(Tokens {
            users,
            signing: EncodingKey::from_ec_der(&private),
            checking: DecodingKey::from_ec_der(public),
            key_name: key_name(public),
            validation,
            verified: Cache::builder()
                .max_capacity(REMEMBERED)
                .weigher(|_, claims: &Arc<Claims>| claims.weight())
                .time_to_live(LIFETIME + LEEWAY)
                .build(),
        })
    }

    /// Makes a token for a user whose password was checked, or for nobody in particular.
    pub(super) fn issue(&self, holder: Option<&Known>, granted: &[Scope], asked: &[Scope]) -> Result<Issued, TooLong> {
        let at = SystemTime::now();
        let now = seconds(at);
        let asked: Vec<String> = asked.iter().map(Scope::to_string).collect();
        self.sign(&Wire {
            iss: SERVICE.to_owned(),
            aud: SERVICE.to_owned(),
            exp: now + LIFETIME.as_secs(),
            nbf: now,
            iat: now,
            sub: holder.map(|known| known.name.to_string()),
            stamp: holder.map(|known| known.stamp.to_string()),
            access: granted.iter().map(Access::of).collect(),
            asked: asked.join(" "),
        })
        .map(|token| Issued { token, at })
    }

    fn sign(&self, wire: &Wire) -> Result<String, TooLong> {
        let header = Header { kid: Some(self.key_name.clone()), ..Header::new(Algorithm::ES256) };
        let token = jsonwebtoken::encode(&header, wire, &self.signing).expect("the key was read as one for this algorithm");
        if token.len() <= MAX_TOKEN { Ok(token) } else { Err(TooLong) }
    }

    /// What a token says, if it is ours and holds now.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, InvalidToken> {
        if token.len() > MAX_TOKEN {
            return Err(InvalidToken);
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let claims = match self.verified.get(&key) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.decode(token)?);
                self.verified.insert(key, claims.clone());
                claims
            }
        };
        self.still_holds(&claims).then_some(claims).ok_or(InvalidToken)
    }

    fn decode(&self, token: &str) -> Result<Claims, InvalidToken> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken)?;
        let ours = Header { kid: Some(self.key_name.clone()), ..Header::new(Algorithm::ES256) };
        if header != ours {
            return Err(InvalidToken);
        }
        let data = jsonwebtoken::decode::<Wire>(token, &self.checking, &self.validation).map_err(|_| InvalidToken)?;
        Ok(data.claims.into())
    }

    /// What may have changed since the token was checked.
    fn still_holds(&self, claims: &Claims) -> bool {
        let in_time = seconds(SystemTime::now()) <= claims.expires.saturating_add(LEEWAY.as_secs());
        in_time
            && match &claims.who {
                Who::Anonymous => true,
                who => claims
                    .stamp
                    .as_deref()
                    .is_some_and(|stamp| stamp == CERTIFIED || self.users.stamp(who.name()).as_deref() == Some(stamp)),
            }
    }
}

fn make_key(path: &Path) -> Result<Vec<u8>, FileError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the system gives random bytes");
    let document = pair.to_pkcs8v1().expect("a new key has a form");
    file::write(path, document.as_ref())?;
    Ok(document.as_ref().to_vec())
}

fn key_name(public: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, public);
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
