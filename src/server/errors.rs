//! The one table from what went wrong in the registry to HTTP's status and the specification's code.

use http::StatusCode;

use crate::registry::Kind;

/// The HTTP status of a failure.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::ManifestUnknown | Kind::BlobUnknown | Kind::NameUnknown | Kind::UploadUnknown => StatusCode::NOT_FOUND,
        Kind::NameInvalid | Kind::DigestInvalid | Kind::ManifestInvalid | Kind::UploadInvalid => StatusCode::BAD_REQUEST,
        Kind::ManifestBlobUnknown => StatusCode::BAD_REQUEST,
        Kind::ManifestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooManyTags => StatusCode::URI_TOO_LONG,
        Kind::UploadRange => StatusCode::RANGE_NOT_SATISFIABLE,
        Kind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        Kind::LogIn => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::TagImmutable => StatusCode::CONFLICT,
        Kind::UpstreamFailed => StatusCode::BAD_GATEWAY,
        Kind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::UpstreamLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The specification's code of a failure; `UNKNOWN` where it has none.
pub fn code(kind: Kind) -> &'static str {
    match kind {
        Kind::ManifestUnknown => "MANIFEST_UNKNOWN",
        Kind::BlobUnknown => "BLOB_UNKNOWN",
        Kind::NameUnknown => "NAME_UNKNOWN",
        Kind::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
        Kind::NameInvalid => "NAME_INVALID",
        Kind::DigestInvalid => "DIGEST_INVALID",
        Kind::ManifestInvalid => "MANIFEST_INVALID",
        Kind::ManifestTooLarge | Kind::TooManyTags => "SIZE_INVALID",
        Kind::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
        Kind::UploadInvalid | Kind::UploadRange => "BLOB_UPLOAD_INVALID",
        Kind::Unsupported => "UNSUPPORTED",
        Kind::LogIn => "UNAUTHORIZED",
        Kind::Denied | Kind::TagImmutable => "DENIED",
        Kind::UpstreamLimited => "TOOMANYREQUESTS",
        Kind::UpstreamFailed | Kind::UpstreamTimeout | Kind::NoSpace | Kind::Unavailable | Kind::Internal => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that the distribution specification registers, and `UNKNOWN`, which Docker's registries use for the rest.
    const CODES: [&str; 15] = [
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
        "UNKNOWN",
    ];

    #[test]
    fn every_failure_is_an_error_with_a_known_code() {
        for kind in Kind::ALL {
            assert!(status(kind).is_client_error() || status(kind).is_server_error(), "{kind:?}");
            assert!(CODES.contains(&code(kind)), "{kind:?}");
        }
    }

    #[test]
    fn an_outage_is_never_answered_as_not_found() {
        for kind in Kind::ALL {
            let ours = matches!(code(kind), "UNKNOWN" | "TOOMANYREQUESTS");
            assert!(!(ours && status(kind) == StatusCode::NOT_FOUND), "{kind:?}");
        }
    }
}
