//! One case: an upstream of its own at a server that many cases share, a fault at one place, and a client that asks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use entrepot::config::Upstream;
use entrepot::oci::Repository;
use reqwest::Method;
use tokio::time::error::Elapsed;

use super::app::*;
use super::log;
use super::table::Place;

/// A tenth of what a client is told to wait at most.
const IN_TIME: Duration = Duration::from_millis(1100);
/// For what is logged or asked after the answer.
const PATIENCE: Duration = Duration::from_secs(5);
const LAYER: usize = 200_000;

/// What is tried.
#[derive(Clone)]
pub struct Plan {
    pub name: String,
    pub place: Place,
    pub faults: Vec<Fault>,
    pub want: &'static str,
    /// Whether a second endpoint has all of it and does nothing wrong.
    pub backed: bool,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub complaints: Vec<String>,
    /// How long the client waited, where that was too long.
    pub late: Option<Duration>,
}

impl Outcome {
    fn check(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complaints.push(complaint());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Right,
    Stale,
    Cut,
    Wrong,
    Error(u16),
}

struct Want {
    ending: Ending,
    asked: usize,
    logged: usize,
}

impl Want {
    fn read(text: &str) -> Want {
        let (word, counts) = text.split_once(' ').expect("a word and a count");
        let (asked, logged) = counts.split_once('/').map_or((counts, None), |(asked, logged)| (asked, Some(logged)));
        let asked = asked.parse().unwrap();
        let (ending, told) = match word {
            "ok" => (Ending::Right, asked - 1),
            "stale" => (Ending::Stale, asked),
            "cut" => (Ending::Cut, asked),
            "wrong" => (Ending::Wrong, asked),
            "404" => (Ending::Error(404), 0),
            status => (Ending::Error(status.parse().unwrap()), asked),
        };
        Want { ending, asked, logged: logged.map_or(told, |logged| logged.parse().unwrap()) }
    }
}

/// A case that is set up.
pub struct Case {
    plan: Plan,
    want: Want,
    registry: String,
    name: String,
    image: Image,
    layer: bytes::Bytes,
    hub: FaultUpstream,
    second: Option<FaultUpstream>,
}

impl Case {
    pub async fn new(plan: &Plan) -> Case {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (registry, name) = (format!("case{number}.test"), format!("team/app{number}"));
        // Its own, lest the cases meet in the store.
        let layer = bytes(number as u64, LAYER);
        let hub = FaultUpstream::start().await;
        hub.behave(|b| (b.tokens, b.redirect) = (true, plan.place == Place::Cdn));
        hub.image(&name, "other", &[]);
        hub.image("team/warm", "latest", &[]);
        let image = hub.image(&name, "latest", std::slice::from_ref(&layer));
        let second = if plan.backed { Some(FaultUpstream::start().await) } else { None };
        second.iter().for_each(|second| drop(second.image(&name, "latest", std::slice::from_ref(&layer))));
        Case { plan: plan.clone(), want: Want::read(plan.want), registry, name, image, layer, hub, second }
    }

    pub fn settings(&self) -> Upstream {
        let mut settings = self.hub.upstream_settings(&self.registry);
        let second = self.second.iter().flat_map(|second| second.upstream_settings(&self.registry).endpoints);
        settings.endpoints.extend(second);
        settings.prefetch_layers = false;
        if self.plan.place == Place::Stale {
            settings.tag_ttl = Duration::from_millis(1);
        }
        settings
    }

    /// What the client asks for.
    fn path(&self, what: &str) -> String {
        format!("/v2/{}/{}/{what}", self.registry, self.name)
    }

    fn what(&self) -> String {
        match self.plan.place {
            Place::Head | Place::Tag | Place::Stale | Place::Token => "manifests/latest".to_owned(),
            Place::Digest => format!("manifests/{}", self.image.digest),
            Place::Blob | Place::Cdn => format!("blobs/{}", self.image.layers[0]),
        }
    }

    /// Where the fault strikes.
    fn struck(&self) -> String {
        match self.plan.place {
            Place::Token => "/token".to_owned(),
            Place::Cdn => format!("/cdn/v2/{}/{}", self.name, self.what()),
            _ => format!("/v2/{}/{}", self.name, self.what()),
        }
    }

    fn asked(hub: &FaultUpstream, path: &str) -> usize {
        hub.count("GET", path) + hub.count("HEAD", path)
    }

    /// The answer, if one began; an error when none came in a time that nothing takes.
    async fn ask(&self, app: &App) -> Result<Option<Answer>, Elapsed> {
        let method = if self.plan.place == Place::Head { Method::HEAD } else { Method::GET };
        tokio::time::timeout(2 * LONG, app.anonymous().attempt(method, &self.path(&self.what()))).await
    }

    fn right(&self) -> &bytes::Bytes {
        match self.plan.place {
            Place::Blob | Place::Cdn => &self.layer,
            _ => &self.image.manifest,
        }
    }

    /// How an answer ended, as far as one can see. Whatever is whole must be right.
    fn ending(&self, answer: Option<&Answer>) -> Result<Ending, String> {
        // A body that breaks off at once takes its headers with it.
        let Some(answer) = answer else { return Ok(Ending::Cut) };
        match answer.status {
            200 if self.plan.place == Place::Head => match answer.header("docker-content-digest") == self.image.digest.to_string() {
                true => Ok(Ending::Right),
                false => Err("another digest was told".to_owned()),
            },
            200 if !answer.whole => Ok(Ending::Cut),
            200 if answer.body != self.right() => Err("wrong bytes came whole".to_owned()),
            200 if answer.header("warning").starts_with("110") => Ok(Ending::Stale),
            200 => Ok(Ending::Right),
            status => Ok(Ending::Error(status)),
        }
    }

    /// Brings what must be there before the fault: connections, a token, and for some places the manifest.
    async fn prepare(&self, app: &App) {
        let path = match self.plan.place {
            Place::Token => format!("/v2/{}/team/warm/manifests/latest", self.registry),
            Place::Blob | Place::Cdn | Place::Stale => self.path("manifests/latest"),
            Place::Head | Place::Tag | Place::Digest => self.path("manifests/other"),
        };
        until("the upstream is warm", async || app.anonymous().get(&path).await.status == 200).await;
        self.hub.forget();
        if let Some(second) = &self.second {
            second.forget();
        }
    }

    pub async fn run(&self, app: &App) -> Outcome {
        self.prepare(app).await;
        let struck = self.struck();
        for fault in &self.plan.faults {
            self.hub.on(&struck, fault.clone());
        }
        let mut outcome = Outcome::default();
        let before = log::warnings(&self.registry).len();
        let began = Instant::now();
        let Ok(answer) = self.ask(app).await else {
            outcome.complaints.push("it hangs".to_owned());
            return outcome;
        };
        let took = began.elapsed();
        let body_may_last = matches!(self.want.ending, Ending::Cut | Ending::Wrong)
            || self.right().len() == LAYER && answer.as_ref().is_none_or(|answer| answer.status == 200);
        outcome.late = Some(took).filter(|took| *took > IN_TIME && !body_may_last);
        match self.ending(answer.as_ref()) {
            Err(lie) => outcome.complaints.push(lie),
            Ok(Ending::Error(504)) if self.want.ending != Ending::Error(504) => outcome.late = Some(took),
            Ok(ending) if self.second.is_some() => self.check_backed(app, ending, &mut outcome).await,
            Ok(ending) => self.check_alone(app, ending, answer, before, &mut outcome).await,
        }
        let pings = Case::asked(&self.hub, "/v2/");
        outcome.check(pings == 0, || format!("{pings} questions that ask for nothing"));
        outcome
    }

    async fn check_alone(&self, app: &App, ending: Ending, answer: Option<Answer>, before: usize, outcome: &mut Outcome) {
        let want = &self.want;
        // The bytes may be known to be wrong before the first of them has left.
        let same = ending == want.ending || want.ending == Ending::Wrong && matches!(ending, Ending::Cut | Ending::Error(502));
        // Who is not answered soon gets the old one while the question goes on, and a busy machine answers nobody soon.
        let same = same || self.plan.place == Place::Stale && (want.ending, ending) == (Ending::Right, Ending::Stale);
        outcome.check(same, || format!("{:?} was wanted, {ending:?} came", want.ending));
        if let Some(answer) = answer.filter(|_| matches!(ending, Ending::Error(_)) && self.plan.place != Place::Head) {
            let message = answer.message();
            outcome.check(message.contains(&self.registry), || format!("the error names no source: {message}"));
        }
        self.check_counts(want.logged, before, outcome).await;
        self.check_kept(app, ending, outcome).await;
    }

    async fn check_counts(&self, logged: usize, before: usize, outcome: &mut Outcome) {
        let asked = Case::asked(&self.hub, &self.struck());
        outcome.check(asked == self.want.asked, || format!("asked {asked} times, not {}", self.want.asked));
        let told = || log::failures(&self.registry).split_off(before);
        let end = Instant::now() + PATIENCE;
        while told().len() < logged && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (told, address) = (told(), self.hub.address().to_string());
        outcome.check(told.len() == logged, || format!("{} failures are logged, not {logged}: {told:?}", told.len()));
        let named = told.iter().all(|line| line["endpoint"] == address && !line["cause"].as_str().unwrap_or_default().is_empty());
        outcome.check(named, || format!("a line says too little: {told:?}"));
        let loud = log::warnings(&self.registry).split_off(before);
        outcome.check(loud.len() == logged, || format!("a failure is logged in other words too: {loud:?}"));
    }

    /// Asks again while nobody is there: what was right is here, and nothing else is.
    async fn check_kept(&self, app: &App, ending: Ending, outcome: &mut Outcome) {
        if let (Place::Blob | Place::Cdn, Ending::Right) = (self.plan.place, ending) {
            let repository = Repository::upstream(&self.registry, &self.name.parse().unwrap());
            until("the blob is linked", async || app.registry().index().linked(&repository, &self.image.layers[0]).await.unwrap()).await;
        }
        self.hub.heal().on("/", Fault::Reset).forget();
        let again = tokio::time::timeout(LONG, app.anonymous().get(&self.path(&self.what()))).await;
        let Ok(again) = again else { return outcome.complaints.push("it hangs while nobody is there".to_owned()) };
        match (self.plan.place, ending) {
            (Place::Stale, _) if ending != Ending::Error(404) => {
                outcome
                    .check(again.status == 200 && again.body == self.image.manifest, || format!("the stale tag is gone: {}", again.status));
            }
            (Place::Head, Ending::Right) if self.want.asked > 1 => {
                outcome.check(again.status == 200, || format!("what a HEAD had to fetch is gone: {}", again.status))
            }
            (Place::Head, Ending::Right) => outcome.check(again.status >= 500, || format!("a HEAD brought bytes: {}", again.status)),
            (_, Ending::Right) => {
                let asked = self.hub.requests();
                let here = again.status == 200 && again.whole && again.body == self.right() && asked == 0;
                outcome.check(here, || format!("it is not kept: {}, {asked} requests", again.status));
            }
            (Place::Blob | Place::Cdn, Ending::Error(404)) => {
                outcome.check(again.status >= 500, || format!("what was not there is there: {}", again.status));
            }
            (_, Ending::Error(404)) => outcome.check(again.status == 404, || format!("what was not there is there: {}", again.status)),
            _ => outcome.check(again.status >= 500 || again.status == 429, || format!("{} while nobody is there", again.status)),
        }
    }

    /// What one endpoint does wrong, the other makes good; wrong bytes that had left already, with the next request.
    async fn check_backed(&self, app: &App, ending: Ending, outcome: &mut Outcome) {
        let good = |ending| matches!(ending, Ending::Right | Ending::Stale);
        let first = self.want.ending != Ending::Wrong;
        outcome.check(good(ending) || !first, || format!("{ending:?} in spite of the second endpoint"));
        if !good(ending) {
            let again = self.ask(app).await.map(|answer| self.ending(answer.as_ref()));
            outcome.check(again == Ok(Ok(Ending::Right)), || format!("the next request is not better: {again:?}"));
        }
        let second = self.second.as_ref().expect("it is backed");
        let path = format!("/v2/{}/{}", self.name, self.what());
        let end = Instant::now() + PATIENCE;
        let failed = !matches!(self.want.ending, Ending::Right) || self.want.asked > 1 && self.want.logged > 0;
        while failed && Case::asked(second, &path) == 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = (Case::asked(&self.hub, &self.struck()), Case::asked(second, &path));
        outcome.check(asked.0 >= 1 && asked.0 <= self.want.asked, || format!("the first was asked {} times", asked.0));
        outcome.check(asked.1 == usize::from(failed), || format!("the second was asked {} times", asked.1));
    }
}
