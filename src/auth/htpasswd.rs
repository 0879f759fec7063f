//! The format of `htpasswd -B`: a user, a colon, a bcrypt hash, on each line. A bad line takes no other line with it.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use bcrypt::HashParts;

/// What `htpasswd -C` allows; a check at the highest takes seconds already.
const COSTS: std::ops::RangeInclusive<u32> = 4..=17;

/// A line's user and hash.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: Arc<str>,
    pub hash: Arc<str>,
    pub cost: u32,
    /// Changes whenever the hash does, and tells nothing about it.
    pub stamp: Arc<str>,
}

/// The users of a file, by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: HashMap<Arc<str>, Entry>,
    /// 0 without users.
    pub highest_cost: u32,
    /// Numbers of the lines that were skipped, from 1.
    pub bad_lines: Vec<usize>,
}

impl Table {
    /// Reads a whole file. Of two lines for one user the first counts, as elsewhere.
    pub fn parse(content: &[u8]) -> Table {
        let mut table = Table::default();
        for (number, line) in (1..).zip(content.split(|b| *b == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match entry(line) {
                Some(entry) if !table.entries.contains_key(&entry.name) => {
                    table.highest_cost = table.highest_cost.max(entry.cost);
                    table.entries.insert(entry.name.clone(), entry);
                }
                _ => table.bad_lines.push(number),
            }
        }
        table
    }

    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    let (name, hash) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let known = ["$2y$", "$2b$", "$2a$"].iter().any(|version| hash.starts_with(version));
    let parts = HashParts::from_str(hash).ok()?;
    let good = known && COSTS.contains(&parts.get_cost()) && !name.is_empty() && name.len() <= 255 && !name.contains(char::is_control);
    good.then(|| Entry { name: name.into(), hash: hash.into(), cost: parts.get_cost(), stamp: stamp(hash) })
}

fn stamp(hash: &str) -> Arc<str> {
    let digest = digest::digest(&digest::SHA256, hash.as_bytes());
    let mut words = digest.as_ref().chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("a chunk of eight")));
    format!("{:016x}", words.next().expect("a SHA-256 has 32 bytes")).into()
}

/// A well-formed hash that no password has, at the given cost: what an unknown user is checked against.
pub(super) fn dummy(cost: u32) -> Arc<str> {
    format!("$2y${cost:02}${}", ".".repeat(53)).into()
}

/// Hashes that make a check at one cost as long as one at the highest: each step of the cost doubles the work.
pub(super) fn padding(cost: u32, highest: u32) -> impl Iterator<Item = Arc<str>> {
    (cost..highest).map(dummy)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Of Apache's documentation: the password is "myPassword".
    const APACHE: &str = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC";

    #[test]
    fn what_htpasswd_writes_is_read() {
        let text = format!("# users\n\nalice:{APACHE}\r\nbob:{}\ncarol:{}", APACHE.replace("2y", "2b"), APACHE.replace("2y", "2a"));
        let table = Table::parse(text.as_bytes());
        for name in ["alice", "bob", "carol"] {
            assert!(bcrypt::verify("myPassword", &table.get(name).unwrap().hash).unwrap(), "{name}");
        }
        assert!(table.bad_lines.is_empty());
        assert_eq!(table.highest_cost, 5);
        assert_ne!(table.get("alice").unwrap().stamp, table.get("bob").unwrap().stamp);
    }

    #[test]
    fn a_bad_line_is_skipped_and_numbered() {
        let long = APACHE.replace("$05$", "$31$");
        let mut bad = vec!["alice".to_owned(), "alice:".to_owned(), "alice:secret".to_owned(), format!(":{APACHE}")];
        bad.extend([
            format!("x:{long}"),
            format!("x:{}", APACHE.replace("2y", "2x")),
            "x:$apr1$abc$def".to_owned(),
            format!("x:{}é", &APACHE[..58]),
        ]);
        let mut content = bad.join("\n").into_bytes();
        content.extend_from_slice(b"\n\xff:");
        content.extend_from_slice(format!("{APACHE}\nalice:{APACHE}\nalice:{APACHE}\n").as_bytes());
        let table = Table::parse(&content);
        assert_eq!(table.bad_lines, (1..=9).chain([11]).collect::<Vec<_>>());
        assert!(table.get("alice").is_some() && table.get("x").is_none());
    }

    #[test]
    fn nobody_has_the_dummy_and_checking_it_is_real_work() {
        for password in ["", "secret"] {
            assert!(!bcrypt::verify(password, &dummy(4)).unwrap());
        }
        assert_eq!(HashParts::from_str(&dummy(10)).unwrap().get_cost(), 10);
    }

    #[test]
    fn a_padded_check_is_as_much_work_as_the_costliest() {
        let work = |hash: Arc<str>| 1_u64 << HashParts::from_str(&hash).unwrap().get_cost();
        for (cost, highest) in [(5, 10), (4, 5), (10, 10)] {
            let all: u64 = padding(cost, highest).chain([dummy(cost)]).map(work).sum();
            assert_eq!(all, 1 << highest);
        }
    }

    proptest! {
        /// SEC-46: a broken line made the hash function panic.
        #[test]
        fn rustsec_2026_0199_no_file_breaks_the_parser(content in proptest::collection::vec(any::<u8>(), 0..400)) {
            Table::parse(&content);
        }

        /// SEC-46: a broken line made the hash function panic.
        #[test]
        fn rustsec_2026_0199_no_bad_hash_breaks_the_parser(hash in "\\$2[aybx]\\$[0-9é]{2}\\$[./A-Za-z0-9é$]{40,60}") {
            Table::parse(format!("alice:{hash}").as_bytes());
        }
    }
}
