//! What the servers of this process log, as it is captured for all tests at once.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

/// One line each, as JSON.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<String>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static CAPTURED: OnceLock<Captured> = OnceLock::new();

/// From here on the log is captured.
pub fn capture() {
    CAPTURED.get_or_init(|| {
        let captured = Captured::default();
        let writer = captured.clone();
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(move || writer.clone()).init();
        captured
    });
}

/// The lines in which `text` is.
pub fn lines(text: &str) -> Vec<String> {
    let lines = CAPTURED.get().expect("it is captured").0.lock().unwrap();
    lines.iter().filter(|line| line.contains(text)).cloned().collect()
}
