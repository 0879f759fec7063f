//! How inputs are made from a corpus: known ones with a few edits, words put together, and bytes of any kind.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::corpus::Corpus;

/// Bytes to feed a target with.
pub fn inputs(corpus: Corpus) -> BoxedStrategy<Vec<u8>> {
    let known: Vec<String> = corpus.taken.into_iter().chain(corpus.refused).collect();
    let word = select(corpus.words).prop_map(String::into_bytes).boxed();
    let piece = prop_oneof![3 => word.clone(), 2 => vec(any::<u8>(), 0..3), 1 => select(known.clone()).prop_map(String::into_bytes)];
    let edits = vec((any::<Index>(), 0..6usize, piece), 0..4);
    prop_oneof![
        5 => (select(known), edits).prop_map(|(text, edits)| edited(text.into_bytes(), edits)),
        3 => vec(word, 0..12).prop_map(|words| words.concat()),
        1 => vec(any::<u8>(), 0..300),
    ]
    .boxed()
}

/// Each edit takes some bytes out and puts a piece in their place.
fn edited(mut bytes: Vec<u8>, edits: Vec<(Index, usize, Vec<u8>)>) -> Vec<u8> {
    for (place, length, piece) in edits {
        let start = place.index(bytes.len() + 1);
        let end = bytes.len().min(start + length);
        bytes.splice(start..end, piece);
    }
    bytes
}
