//! The text of the one challenge that clients get. Nothing in it can end a quoted string or the header.

use crate::oci::Scope;

/// The name of this service in challenges and tokens.
pub const SERVICE: &str = "entrepot";

/// What was wrong with the token that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    InsufficientScope,
    InvalidToken,
}

/// The value of a `WWW-Authenticate` header. `base` is how clients reach this server, without a slash at its end.
pub fn challenge(base: &str, scopes: &[Scope], fault: Option<Fault>) -> String {
    let mut text = format!("Bearer realm={},service={}", quoted(&format!("{base}/token")), quoted(SERVICE));
    if !scopes.is_empty() {
        let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        text.push_str(&format!(",scope={}", quoted(&scopes.join(" "))));
    }
    match fault {
        Some(Fault::InsufficientScope) => text.push_str(",error=\"insufficient_scope\""),
        Some(Fault::InvalidToken) => text.push_str(",error=\"invalid_token\""),
        None => {}
    }
    text
}

/// A quoted string of RFC 9110; what may not stand in a header is left out.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ') {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Actions;

    #[test]
    fn the_challenge_is_what_clients_read() {
        assert_eq!(challenge("http://h:5000", &[], None), r#"Bearer realm="http://h:5000/token",service="entrepot""#);
        let scope = [Scope::repository("team/app", Actions::PULL_PUSH)];
        assert_eq!(
            challenge("http://h", &scope, Some(Fault::InsufficientScope)),
            r#"Bearer realm="http://h/token",service="entrepot",scope="repository:team/app:pull,push",error="insufficient_scope""#
        );
        let two = [Scope::repository("a", Actions::PULL), Scope::catalog()];
        assert_eq!(
            challenge("http://h", &two, Some(Fault::InvalidToken)),
            r#"Bearer realm="http://h/token",service="entrepot",scope="repository:a:pull registry:catalog:*",error="invalid_token""#
        );
    }

    #[test]
    fn nothing_in_it_breaks_out_of_its_quotes() {
        let text = challenge("http://h\",x=\"\r\nSet-Cookie: a\\é", &[], None);
        assert_eq!(text, r#"Bearer realm="http://h\",x=\"Set-Cookie: a\\/token",service="entrepot""#);
    }
}
