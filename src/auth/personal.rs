//! The form of personal and robot tokens: `ent_`, an id, `_` and a secret, plain letters and digits. Whoever finds one can tell what it is;
//! the secret is known to its owner alone, for only a hash of the whole is kept.

use aws_lc_rs::{constant_time, digest, rand};

use crate::config::Secret;

/// Letters and digits that nobody mixes up; 32 of them, so that each takes five random bits.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const MARK: &str = "ent_";
/// Fifty random bits: no two are alike.
const ID: usize = 10;
/// Two hundred random bits.
const SECRET: usize = 40;

/// A token that was made just now, for its owner alone.
#[derive(Debug)]
pub struct PersonalToken {
    pub id: String,
    pub token: Secret,
}

impl PersonalToken {
    /// Makes one up.
    pub fn make() -> PersonalToken {
        let id = letters(ID);
        let token = Secret::new(format!("{MARK}{id}_{}", letters(SECRET)));
        PersonalToken { id, token }
    }

    /// What is kept of it: SHA-256, in hexadecimal digits.
    pub fn hash(&self) -> String {
        hash(&self.token)
    }
}

/// The id of what has the form of such a token, or is one's id already.
pub fn token_id(text: &str) -> Option<&str> {
    let plain = |part: &str, length| part.len() == length && part.bytes().all(|letter| ALPHABET.contains(&letter));
    match text.strip_prefix(MARK) {
        Some(rest) => rest.split_once('_').filter(|(id, secret)| plain(id, ID) && plain(secret, SECRET)).map(|(id, _)| id),
        None => Some(text).filter(|id| plain(id, ID)),
    }
}

/// The id in what was shown as a password or a token; `None` where it is no personal token.
pub(super) fn shown(text: &Secret) -> Option<&str> {
    text.reveal().starts_with(MARK).then(|| token_id(text.reveal())).flatten()
}

/// How a log-in by the token of this id is told from one by a password.
pub(super) fn stamp(id: &str) -> String {
    format!("{MARK}{id}")
}

/// The id in such a stamp.
pub(super) fn stamped(stamp: &str) -> Option<&str> {
    stamp.strip_prefix(MARK)
}

/// Whether the token has this hash; how long it takes tells nothing.
pub(super) fn is(token: &Secret, kept: &str) -> bool {
    constant_time::verify_slices_are_equal(hash(token).as_bytes(), kept.as_bytes()).is_ok()
}

/// So many random letters.
pub(super) fn letters(count: usize) -> String {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

fn hash(token: &Secret) -> String {
    let digest = digest::digest(&digest::SHA256, token.reveal().as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_plain_and_never_the_same() {
        let (one, other) = (PersonalToken::make(), PersonalToken::make());
        assert!(one.id != other.id && one.token != other.token);
        let text = one.token.reveal();
        assert_eq!((text.len(), token_id(text), token_id(&one.id)), (55, Some(one.id.as_str()), Some(one.id.as_str())));
        assert_eq!((shown(&one.token), shown(&Secret::new(one.id.as_str()))), (Some(one.id.as_str()), None));
        assert!(text.bytes().all(|letter| ALPHABET.contains(&letter) || letter == b'_'));
        assert_eq!(stamped(&stamp(&one.id)), Some(one.id.as_str()));
    }

    #[test]
    fn only_the_whole_token_has_its_hash() {
        let made = PersonalToken::make();
        let text = made.token.reveal();
        assert!(is(&made.token, &made.hash()));
        for other in [&text[..54], "", "ent_", &format!("{text} "), &text.to_uppercase()] {
            assert!(!is(&Secret::new(other), &made.hash()), "{other}");
            assert_eq!(shown(&Secret::new(other)), None, "{other}");
        }
        assert!(!is(&made.token, "") && !is(&made.token, &made.hash()[..63]));
    }
}
