//! Whatever bytes come, what is read from them holds what its reader promises.
//!
//! Each target is a plain function over bytes that says whether it took them, so that any fuzzer can call it. Here its known
//! nasty inputs always run, and proptest goes on from them.

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/inputs.rs"]
mod inputs;
#[path = "fuzz/targets.rs"]
mod targets;

use std::cell::Cell;

use proptest::test_runner::{Config, TestError, TestRunner};

use corpus::Corpus;

/// Small enough that all targets together take seconds.
const CASES: u32 = 20_000;

fn fuzz(target: fn(&[u8]) -> bool, corpus: Corpus) {
    for text in &corpus.taken {
        assert!(target(text.as_bytes()), "should be taken: {text:?}");
    }
    for text in &corpus.refused {
        assert!(!target(text.as_bytes()), "should be refused: {text:?}");
    }
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let run = |bytes: Vec<u8>| {
        let count = if target(&bytes) { &taken } else { &refused };
        count.set(count.get() + 1);
        Ok(())
    };
    match runner.run(&inputs::inputs(corpus), run) {
        Err(TestError::Fail(why, bytes)) => panic!("{why}\nthe input: {:?}", String::from_utf8_lossy(&bytes)),
        ended => ended.expect("every input is run"),
    }
    assert!(
        taken.get() > CASES / 100 && refused.get() > CASES / 100,
        "of {CASES} inputs only {taken:?} were taken and {refused:?} refused"
    );
}

#[test]
fn a_route_says_what_its_path_said_and_holds_only_names_of_the_grammar() {
    fuzz(targets::route, corpus::routes());
}

#[test]
fn a_name_is_one_exactly_when_the_specification_says_so() {
    fuzz(targets::name, corpus::names());
}

#[test]
fn an_image_is_printed_as_it_was_read_and_names_a_host_or_none() {
    fuzz(targets::image, corpus::images());
}

#[test]
fn a_reference_is_a_tag_or_a_digest_and_never_both() {
    fuzz(targets::reference, corpus::references());
}

#[test]
fn a_digest_has_one_spelling() {
    fuzz(targets::digest, corpus::digests());
}

#[test]
fn a_range_never_leaves_the_blob() {
    fuzz(targets::range, corpus::ranges());
}

#[test]
fn a_content_range_holds_bytes_and_fits_its_size() {
    fuzz(targets::content_range_header, corpus::content_ranges());
}

#[test]
fn a_manifest_is_read_in_one_way_and_reaches_only_digests() {
    fuzz(targets::manifest, corpus::manifests());
}
