//! Log lines: text or JSON to stderr through a bounded queue, which drops and counts rather than hold anybody up.
//! A line of a request never has its query: a signed address is a password.

use std::io::Write;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tracing::Dispatch;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Some megabytes at most.
const QUEUED_LINES: usize = 8192;
const OFF: u16 = u16::MAX;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
static LOWEST_STATUS: AtomicU16 = AtomicU16::new(OFF);

/// How to log.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// A level, or directives by part of the program. What is none of these is passed over.
    pub filter: &'a str,
    pub json: bool,
    /// Requests that were answered with this status or a higher one have a line each; `None`: none has.
    pub requests_from: Option<u16>,
}

/// Writes out what is queued when it is dropped, within a second.
#[must_use = "without it the last lines are lost"]
pub struct Guard {
    _worker: WorkerGuard,
}

/// Sets logging up for the process. Called again, only which requests are logged changes.
pub fn init(options: Options<'_>) -> Guard {
    let (queue, worker) = queue(std::io::stderr(), QUEUED_LINES);
    let dropped = queue.error_counter();
    if tracing::dispatcher::set_global_default(dispatch(options, queue)).is_ok() {
        DROPPED.set(dropped).expect("logging is set up once");
    }
    log_requests_from(options.requests_from);
    Guard { _worker: worker }
}

/// Which requests have a line: see [`Options::requests_from`].
pub fn log_requests_from(status: Option<u16>) {
    LOWEST_STATUS.store(status.unwrap_or(OFF), Ordering::Relaxed);
}

/// Lines dropped since the start.
pub(super) fn dropped() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

fn queue(writer: impl Write + Send + 'static, lines: usize) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(lines).thread_name("log").finish(writer)
}

fn dispatch(options: Options<'_>, queue: NonBlocking) -> Dispatch {
    // Lines of requests have a switch of their own: `level = "warn"` keeps them. So it does audit events, unless `audit=off` is said.
    let filter = EnvFilter::builder().parse_lossy(format!("audit=info,{},request=info", options.filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue);
    match options.json {
        true => Dispatch::new(builder.json().flatten_event(true).finish()),
        false => Dispatch::new(builder.finish()),
    }
}

/// What is told of one request when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    pub method: &'a str,
    /// With or without a query: it is cut off.
    pub path: &'a str,
    /// The registry that the client named by `ns`.
    pub namespace: Option<&'a str>,
    pub status: u16,
    /// Of the answer's body, as far as it was sent.
    pub bytes: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    pub client: IpAddr,
    pub user: Option<&'a str>,
    pub agent: Option<&'a str>,
}

/// Whether a request with that status has a line, for those who would have to gather it.
pub fn wants_request(status: u16) -> bool {
    status >= LOWEST_STATUS.load(Ordering::Relaxed)
}

/// One line for one request, as an event of target `request`, where the settings ask for it.
pub fn request_line(line: RequestLine<'_>) {
    if !wants_request(line.status) {
        return;
    }
    let path = line.path.split_once('?').map_or(line.path, |(path, _)| path);
    tracing::info!(
        target: "request",
        method = line.method,
        path,
        ns = line.namespace,
        status = line.status,
        bytes = line.bytes,
        duration_ms = line.duration.as_micros() as f64 / 1000.0,
        client = %line.client,
        user = line.user,
        agent = line.agent,
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    /// Takes lines once its gate is open.
    #[derive(Clone, Default)]
    struct Paper {
        held: Arc<Mutex<Held>>,
        opened: Arc<Condvar>,
    }

    #[derive(Default)]
    struct Held {
        open: bool,
        text: Vec<u8>,
    }

    impl Paper {
        fn open(&self) {
            self.held.lock().unwrap().open = true;
            self.opened.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.held.lock().unwrap().text.clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut held = self.opened.wait_while(self.held.lock().unwrap(), |held| !held.open).unwrap();
            held.text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(options: Options<'_>, tell: impl FnOnce()) -> String {
        let paper = Paper::default();
        paper.open();
        let (queue, worker) = queue(paper.clone(), 100);
        tracing::dispatcher::with_default(&dispatch(options, queue), tell);
        drop(worker);
        paper.text()
    }

    fn line(status: u16) -> RequestLine<'static> {
        RequestLine {
            method: "GET",
            path: "/v2/library/nginx/blobs/x?X-Amz-Signature=hunter2",
            namespace: Some("docker.io"),
            status,
            bytes: 1234,
            duration: Duration::from_micros(1500),
            client: [192, 0, 2, 1].into(),
            user: None,
            agent: Some("evil\n\x1b[31m agent"),
        }
    }

    #[test]
    fn a_request_has_one_line_without_its_query_where_its_status_is_asked_for() {
        let options = |filter, json| Options { filter, json, requests_from: None };
        let told = |from: Option<u16>, options| {
            log_requests_from(from);
            logged(options, || [200, 399, 400, 500].into_iter().for_each(|status| request_line(line(status))))
        };
        assert_eq!(told(None, options("info", false)), "");
        assert_eq!(told(Some(400), options("info", false)).lines().count(), 2);
        let text = told(Some(0), options("error", false));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(!text.contains("hunter2") && !text.contains('\x1b'), "{text}");
        assert!(text.contains("request: ") && text.contains("path=\"/v2/library/nginx/blobs/x\" ns=\"docker.io\" status=200"), "{text}");
        let json = told(Some(500), options("info", true));
        let event: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(event["target"], "request");
        assert_eq!((&event["status"], &event["bytes"], &event["duration_ms"]), (&500.into(), &1234.into(), &1.5.into()));
        assert_eq!(event["client"], "192.0.2.1");
        assert_eq!(event.get("user"), None);
        log_requests_from(None);
    }

    #[test]
    fn the_level_holds_for_all_other_lines() {
        let options = Options { filter: "warn,entrepot::telemetry=debug", json: false, requests_from: None };
        let text = logged(options, || {
            tracing::debug!("one");
            tracing::info!(target: "other", "two");
            tracing::warn!(target: "other", "three");
        });
        assert!(text.contains("one") && text.contains("three") && !text.contains("two"), "{text}");
    }

    #[test]
    fn a_terminal_that_stands_still_holds_nobody_up_and_what_is_dropped_is_counted() {
        let paper = Paper::default();
        let (queue, worker) = queue(paper.clone(), 10);
        let counter = queue.error_counter();
        let options = Options { filter: "info", json: false, requests_from: None };
        tracing::dispatcher::with_default(&dispatch(options, queue), || (0..100).for_each(|number| tracing::info!(number)));
        let dropped = counter.dropped_lines();
        assert!((85..=90).contains(&dropped), "{dropped}");
        paper.open();
        drop(worker);
        assert_eq!(paper.text().lines().count(), 100 - dropped);
    }
}
