//! What the log says of upstreams.

use serde_json::Value;

pub use super::captured::{capture, lines};

/// The failures of this upstream that were logged as such: the fields of each.
pub fn failures(registry: &str) -> Vec<Value> {
    let lines = lines(&format!("\"upstream\":\"{registry}\"")).into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.map(|line| line["fields"].clone()).filter(|fields| fields["message"] == "an upstream failed").collect()
}

/// Warnings and errors that name this upstream in any way.
pub fn warnings(registry: &str) -> Vec<String> {
    let loud = |line: &String| line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"");
    lines(registry).into_iter().filter(loud).collect()
}
