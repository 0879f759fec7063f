//! Tokens: made here, believed only when made here. Our own keys, one algorithm, one issuer; whatever else a token says about how it
//! is to be checked makes it invalid, and so does a log-in that does not hold any more: a user who is gone, another password, a personal
//! token that was revoked.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, Header, Validation};
use moka::sync::Cache;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::challenge::SERVICE;
use super::claims::{Access, Claims, RefreshWire, Wire};
use super::file::FileError;
use super::judge::Who;
use super::keys::Keys;
use super::users::{Known, Users};
use crate::oci::Scope;

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How long a refresh token is good for.
pub const REFRESH_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token, in bytes: it has to fit into a header beside others.
pub const MAX_TOKEN: usize = 8 * 1024;
/// Bytes of verified tokens that are remembered.
const REMEMBERED: u64 = 16 * 1024 * 1024;
/// For whom refresh tokens are, so that none is taken for the other kind.
const REFRESHING: &str = "entrepot-refresh";

/// The token is none of ours, is past its time, or the log-in behind it does not hold any more.
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
    keys: Keys,
    access: Validation,
    refresh: Validation,
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
    /// Reads the keys of the data folder, or makes the first. Blocks for small files.
    ///
    /// # Errors
    /// The keys cannot be read or written, or are none.
    pub fn open(data: &Path, users: Arc<Users>) -> Result<Tokens, FileError> {
        let keys = Keys::open(data, REFRESH_LIFETIME + LEEWAY, seconds(SystemTime::now()))?;
        let verified = Cache::builder()
            .max_capacity(REMEMBERED)
            .weigher(|_, claims: &Arc<Claims>| claims.weight())
            .time_to_live(LIFETIME + LEEWAY)
            .build();
        Ok(Tokens { users, keys, access: validation(SERVICE), refresh: validation(REFRESHING), verified })
    }

    /// Makes a token for a user whose log-in was checked, or for nobody in particular.
    pub(super) fn issue(&self, holder: Option<&Known>, granted: &[Scope], asked: &[Scope]) -> Result<Issued, TooLong> {
        let at = SystemTime::now();
        let now = seconds(at);
        let asked: Vec<String> = asked.iter().map(Scope::to_string).collect();
        let token = self.sign(&Wire {
            iss: SERVICE.to_owned(),
            aud: SERVICE.to_owned(),
            exp: now + LIFETIME.as_secs(),
            nbf: now,
            iat: now,
            sub: holder.map(|known| known.name.to_string()),
            stamp: holder.map(|known| known.stamp.to_string()),
            access: granted.iter().map(Access::of).collect(),
            asked: asked.join(" "),
        });
        if token.len() <= MAX_TOKEN { Ok(Issued { token, at }) } else { Err(TooLong) }
    }

    /// Makes a refresh token: what a client may keep instead of the password, until that changes.
    pub(super) fn issue_refresh(&self, holder: &Known) -> String {
        let now = seconds(SystemTime::now());
        self.sign(&RefreshWire {
            iss: SERVICE.to_owned(),
            aud: REFRESHING.to_owned(),
            exp: now + REFRESH_LIFETIME.as_secs(),
            nbf: now,
            iat: now,
            sub: holder.name.to_string(),
            stamp: holder.stamp.to_string(),
        })
    }

    fn sign(&self, wire: &impl Serialize) -> String {
        let key = self.keys.newest(seconds(SystemTime::now()));
        let header = Header { kid: Some(key.name.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, wire, &key.signing).expect("the key was read as one for this algorithm")
    }

    /// What a token says, if it is ours and holds now.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, InvalidToken> {
        if token.len() > MAX_TOKEN {
            return Err(InvalidToken);
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some(claims) = self.verified.get(&key) {
            return self.still_holds(&claims).then_some(claims).ok_or(InvalidToken);
        }
        let wire: Wire = self.decode(token, &self.access)?;
        let who = match (&wire.sub, &wire.stamp) {
            (None, None) => Who::Anonymous,
            (Some(name), Some(stamp)) => self.users.standing(name, stamp).ok_or(InvalidToken)?.who(),
            _ => return Err(InvalidToken),
        };
        let claims = Arc::new(Claims::of(wire, who));
        self.verified.insert(key, claims.clone());
        Ok(claims)
    }

    /// Whose refresh token this is, if it is ours and his log-in holds.
    pub(super) fn verify_refresh(&self, token: &str) -> Result<Known, InvalidToken> {
        if token.len() > MAX_TOKEN {
            return Err(InvalidToken);
        }
        let wire: RefreshWire = self.decode(token, &self.refresh)?;
        self.users.standing(&wire.sub, &wire.stamp).ok_or(InvalidToken)
    }

    fn decode<W: DeserializeOwned>(&self, token: &str, validation: &Validation) -> Result<W, InvalidToken> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken)?;
        let key = header.kid.as_deref().and_then(|name| self.keys.named(name)).ok_or(InvalidToken)?;
        let ours = Header { kid: Some(key.name.clone()), ..Header::new(Algorithm::ES256) };
        if header != ours {
            return Err(InvalidToken);
        }
        jsonwebtoken::decode::<W>(token, &key.checking, validation).map(|data| data.claims).map_err(|_| InvalidToken)
    }

    /// What may have changed since the token was checked.
    fn still_holds(&self, claims: &Claims) -> bool {
        let in_time = seconds(SystemTime::now()) <= claims.expires.saturating_add(LEEWAY.as_secs());
        in_time
            && match &claims.stamp {
                None => claims.who == Who::Anonymous,
                Some(stamp) => self.users.standing(claims.who.name(), stamp).is_some(),
            }
    }
}

fn validation(audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_issuer(&[SERVICE]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
    validation
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
