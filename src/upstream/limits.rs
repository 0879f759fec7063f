//! What an answer tells of limits: Docker Hub's `100;w=21600`, each draft of the IETF's, plain numbers, and `Retry-After`.
//! What cannot be read tells nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, StatusCode};

use super::verdict::retry_after;

const LIMIT: &str = "ratelimit-limit";
const REMAINING: &str = "ratelimit-remaining";
const RESET: &str = "ratelimit-reset";
/// The later drafts have one header for what is left, and one for the limits.
const STATE: &str = "ratelimit";
const POLICY: &str = "ratelimit-policy";

/// A reset that many seconds away is a point in time, as GitLab tells it.
const UNIX_TIME: u64 = 1_000_000_000;
/// The longest window that is believed.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// What is left, as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limit: Option<u64>,
    pub(super) remaining: u64,
    /// How long a window lasts.
    pub(super) window: Option<Duration>,
    /// How long this one still lasts.
    pub(super) resets_in: Option<Duration>,
}

/// What an answer tells; `None` where it does not say how much is left. A refusal says that nothing is left until it is time
/// to come again.
pub(super) fn told(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Told> {
    let told = in_headers(headers, now);
    let refused = (status == StatusCode::TOO_MANY_REQUESTS).then(|| retry_after(headers, now)).flatten();
    let Some(time) = refused else { return told };
    let (limit, window) = told.map_or((None, None), |told| (told.limit, told.window));
    Some(Told { limit, remaining: 0, window, resets_in: Some(time.min(LONGEST)) })
}

fn in_headers(headers: &HeaderMap, now: SystemTime) -> Option<Told> {
    let told = in_three(headers).or_else(|| in_one(headers))?;
    let since = |at: Duration| at.saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let resets_in = told.resets_in.map(|time| if time.as_secs() > UNIX_TIME { since(time) } else { time });
    let believed = |time: &Duration| (Duration::ZERO..=LONGEST).contains(time);
    Some(Told { window: told.window.filter(|time| believed(time) && !time.is_zero()), resets_in: resets_in.filter(believed), ..told })
}

/// `RateLimit-Limit: 100, 100;w=60`, `RateLimit-Remaining: 50`, `RateLimit-Reset: 30`
fn in_three(headers: &HeaderMap) -> Option<Told> {
    let limits = members(headers, LIMIT);
    let remaining = members(headers, REMAINING);
    let limit = limits.first().and_then(Member::number);
    let window = limits.iter().chain(&remaining).find_map(|member| member.parameter("w"));
    let resets_in = members(headers, RESET).first().and_then(Member::number).map(Duration::from_secs);
    Some(Told { limit, remaining: remaining.first()?.number()?, window: window.map(Duration::from_secs), resets_in })
}

/// `RateLimit: "default";r=50;t=30` with `RateLimit-Policy: "default";q=100;w=60`, the scarcest of several; or
/// `RateLimit: limit=100, remaining=50, reset=30` with `RateLimit-Policy: 100;w=60`
fn in_one(headers: &HeaderMap) -> Option<Told> {
    let (state, policies) = (members(headers, STATE), members(headers, POLICY));
    if let Some(scarcest) = state.iter().filter(|member| member.parameter("r").is_some()).min_by_key(|member| member.parameter("r")) {
        let policy = policies.iter().find(|policy| policy.name() == scarcest.name());
        return Some(Told {
            limit: policy.and_then(|policy| policy.parameter("q")),
            remaining: scarcest.parameter("r")?,
            window: policy.and_then(|policy| policy.parameter("w")).map(Duration::from_secs),
            resets_in: scarcest.parameter("t").map(Duration::from_secs),
        });
    }
    let value = |key: &str| state.iter().find_map(|member| member.parameter(key));
    let limit = value("limit");
    let policy = policies.iter().find(|policy| policy.number() == limit);
    Some(Told {
        limit,
        remaining: value("remaining")?,
        window: policy.and_then(|policy| policy.parameter("w")).map(Duration::from_secs),
        resets_in: value("reset").map(Duration::from_secs),
    })
}

/// One member of a header's list: `100;w=60`, `"default";q=100`, `limit=100`.
struct Member<'a>(&'a str);

fn members<'a>(headers: &'a HeaderMap, name: &str) -> Vec<Member<'a>> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(Member).collect()
}

impl Member<'_> {
    fn name(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim()
    }

    fn number(&self) -> Option<u64> {
        number(self.name())
    }

    fn parameter(&self, key: &str) -> Option<u64> {
        let pairs = self.0.split(';').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| name.trim() == key).and_then(|(_, value)| number(value.trim()))
    }
}

/// As large as a number in a header may be: fifteen digits.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limit, what remains, and seconds: of a window, and until it ends.
    type Read = (Option<u64>, u64, Option<u64>, Option<u64>);

    fn read(lines: &[(&'static str, &'static str)]) -> Option<Read> {
        read_of(200, lines)
    }

    fn read_of(status: u16, lines: &[(&'static str, &'static str)]) -> Option<Read> {
        let headers = lines.iter().map(|(name, value)| (name.to_ascii_lowercase().parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        let told = told(status, &headers, UNIX_EPOCH + Duration::from_secs(1_800_000_000))?;
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        Some((told.limit, told.remaining, seconds(told.window), seconds(told.resets_in)))
    }

    #[test]
    fn every_form_of_the_headers_is_read() {
        let three = |limit, remaining, reset| [("RateLimit-Limit", limit), ("RateLimit-Remaining", remaining), ("RateLimit-Reset", reset)];
        for (limit, remaining, reset, want) in [
            ("100;w=21600", "76;w=21600", "", Some((Some(100), 76, Some(21600), None))),
            ("100; w = 21600", " 0 ; w = 21600 ", "", Some((Some(100), 0, Some(21600), None))),
            ("100", "50", "30", Some((Some(100), 50, None, Some(30)))),
            ("10, 10;w=1, 50;w=60", "9", "1", Some((Some(10), 9, Some(1), Some(1)))),
            ("100;comment=x;w=60", "9", "0", Some((Some(100), 9, Some(60), Some(0)))),
            ("500", "499", "1800000030", Some((Some(500), 499, None, Some(30)))),
            ("500", "499", "1700000000", Some((Some(500), 499, None, Some(0)))),
            ("", "7", "", Some((None, 7, None, None))),
            ("many", "7", "soon", Some((None, 7, None, None))),
            ("-1;w=-1", "7;w=x", "-3", Some((None, 7, None, None))),
            ("100;w=0", "7", "999999999", Some((Some(100), 7, None, None))),
            ("100", "-7", "30", None),
            ("100", "7.5", "30", None),
            ("100", "", "30", None),
            ("100", "18446744073709551616", "30", None),
            ("100", "1 000", "30", None),
        ] {
            assert_eq!(read(&three(limit, remaining, reset)), want, "{limit} / {remaining} / {reset}");
        }
        for (state, policy, want) in [
            ("limit=100, remaining=50, reset=30", "100;w=60", Some((Some(100), 50, Some(60), Some(30)))),
            ("limit=100,remaining=50,reset=30", "10;w=1, 100;w=60", Some((Some(100), 50, Some(60), Some(30)))),
            (r#""default";r=50;t=30"#, r#""default";q=100;w=60"#, Some((Some(100), 50, Some(60), Some(30)))),
            (r#""day";r=90;t=30, "burst";r=2;t=1"#, r#""day";q=100;w=86400,"burst";q=5;w=10"#, Some((Some(5), 2, Some(10), Some(1)))),
            (r#""default";r=50"#, "", Some((None, 50, None, None))),
            (r#""default";t=50"#, r#""default";q=100"#, None),
            ("remaining=x", "", None),
            ("50", "100;w=60", None),
            (";;==,,", "", None),
        ] {
            assert_eq!(read(&[("RateLimit", state), ("RateLimit-Policy", policy)]), want, "{state} / {policy}");
        }
        assert_eq!(read(&[]), None);
        let refused = [("RateLimit-Limit", "100;w=60"), ("RateLimit-Remaining", "7;w=60"), ("Retry-After", "30")];
        assert_eq!(read(&refused), Some((Some(100), 7, Some(60), None)), "it is for another time");
        assert_eq!(read_of(429, &refused), Some((Some(100), 0, Some(60), Some(30))));
        assert_eq!(read_of(429, &refused[..2]), Some((Some(100), 7, Some(60), None)));
        assert_eq!(read_of(429, &refused[2..]), Some((None, 0, None, Some(30))));
        assert_eq!(read_of(429, &[("Retry-After", "soon")]), None);
        assert_eq!(read(&[("RateLimit-Limit", "100;w=21600")]), None);
    }
}
