//! What a client says about itself in its `Authorization` header. Parsing never fails: what cannot be read is `Unknown`.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::config::Secret;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What came with a request. Nothing in it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    None,
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
    /// None came, but the connection's certificate names a user. This alone was checked: by the edge, in the handshake.
    Certificate(Arc<str>),
    /// Another scheme, or one of these two that cannot be read.
    Unknown,
}

impl Credentials {
    /// Reads the value of an `Authorization` header; `None` where there is no such header.
    pub fn parse(header: Option<&str>) -> Credentials {
        let Some(value) = header.map(str::trim) else { return Credentials::None };
        let Some((scheme, rest)) = value.split_once(' ') else { return Credentials::Unknown };
        let rest = rest.trim();
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => basic(rest).unwrap_or(Credentials::Unknown),
            "bearer" if !rest.is_empty() => Credentials::Bearer(Secret::new(rest)),
            _ => Credentials::Unknown,
        }
    }
}

fn basic(encoded: &str) -> Option<Credentials> {
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    match text.split_once(':')? {
        // Clients without an account send the form all the same.
        ("", "") => Some(Credentials::None),
        (user, password) => Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_clients_send_are_read() {
        let alice = Credentials::Basic { user: "alice".to_owned(), password: Secret::new("a:b") };
        for header in ["Basic YWxpY2U6YTpi", "basic  YWxpY2U6YTpi ", "BASIC YWxpY2U6YTpi"] {
            assert_eq!(Credentials::parse(Some(header)), alice, "{header}");
        }
        let short = Credentials::Basic { user: "a".to_owned(), password: Secret::new("") };
        assert_eq!(Credentials::parse(Some("Basic YTo=")), short);
        assert_eq!(Credentials::parse(Some("Basic YTo")), short);
        assert_eq!(Credentials::parse(Some("bearer a.b.c")), Credentials::Bearer(Secret::new("a.b.c")));
        assert_eq!(Credentials::parse(None), Credentials::None);
        assert_eq!(Credentials::parse(Some("Basic Og==")), Credentials::None);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for header in
            ["", "Basic", "Basic ", "Basic ???", "Basic YWxpY2U=", "Basic /w==", "Bearer", "Bearer  ", "Digest a=b", "YWxpY2U6YQ=="]
        {
            assert_eq!(Credentials::parse(Some(header)), Credentials::Unknown, "{header}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let printed = format!("{:?}", [Credentials::parse(Some("Basic YWxpY2U6YTpi")), Credentials::parse(Some("Bearer s.e.c"))]);
        assert!(!printed.contains("a:b") && !printed.contains("s.e.c"), "{printed}");
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_parser(header in "(Basic |Bearer |basic\t)?.*") {
            Credentials::parse(Some(&header));
        }
    }
}
