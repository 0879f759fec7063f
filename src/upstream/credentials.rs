//! What an endpoint is shown for a repository, whoever keeps it: the configuration, Docker's file, or a program.
//!
//! A program is run when a log-in is wanted and none is known, once for all who want it, and again only when the log-in
//! ended or was refused: never for each request. What it printed is in no message.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::Cause;
use super::docker_config::{Found, find};
use super::endpoints::Endpoint;
use crate::config::{Keeper, Secret};
use crate::oci::RepositoryName;

/// How long a log-in is believed whose program does not say.
const LIFE: Duration = Duration::from_secs(3600);
const LONGEST_ANSWER: u64 = 256 << 10;
/// What Docker's helpers call the user whose secret is an identity token.
const TOKEN: &str = "<token>";

/// What proves who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Password {
        username: String,
        password: Secret,
    },
    /// A refresh token of OAuth2, which the token service takes and the registry does not.
    IdentityToken(Secret),
}

impl Proof {
    /// The header that shows it, where one can.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Proof::Password { username, password } = self else { return None };
        let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
        let mut header = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is always a header value");
        header.set_sensitive(true);
        Some(header)
    }
}

/// A proof and until when it is good, where that is known.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) proof: Proof,
    pub(super) until: Option<Instant>,
}

/// What is run, and what it is given: the registry's host, as Docker's credential helpers get it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    pub(super) server: String,
    /// That it knows none is no failure.
    pub(super) may_have_none: bool,
}

/// The log-ins of all endpoints, as far as programs gave them.
pub(super) struct Logins {
    /// How long a program may take, and rests after it failed or what it gave was refused.
    limit: Duration,
    slots: Mutex<HashMap<Program, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// What came of one program.
#[derive(Default)]
struct Slot {
    given: Option<(Result<Option<Shown>, String>, Instant)>,
    /// Until when a refusal does not run it again.
    rests: Option<Instant>,
}

impl Logins {
    pub(super) fn new(limit: Duration) -> Logins {
        Logins { limit, slots: Mutex::default() }
    }

    /// What `endpoint` is shown for the repository, where there is anything.
    pub(super) async fn of(&self, endpoint: &Endpoint, name: &RepositoryName) -> Result<Option<Shown>, Cause> {
        self.find(endpoint, name, None).await
    }

    /// What to show instead of what was refused, where there is something else by now.
    pub(super) async fn instead(&self, endpoint: &Endpoint, name: &RepositoryName, refused: &Proof) -> Result<Option<Shown>, Cause> {
        let found = self.find(endpoint, name, Some(refused)).await?;
        Ok(found.filter(|shown| shown.proof != *refused))
    }

    async fn find(&self, endpoint: &Endpoint, name: &RepositoryName, refused: Option<&Proof>) -> Result<Option<Shown>, Cause> {
        let login = endpoint.settings.credentials.as_ref().and_then(|credentials| credentials.login(name.as_str()));
        let lasting = |proof| Ok(Some(Shown { proof, until: None }));
        match login.map(|login| &login.keeper) {
            None => Ok(None),
            Some(Keeper::Password { username, password }) => {
                lasting(Proof::Password { username: username.clone(), password: password.clone() })
            }
            Some(Keeper::DockerConfig(path)) => match found(path, endpoint, name).await? {
                Found::Proof(proof) => lasting(proof),
                Found::Helper(program) => self.ask(program, refused).await,
                Found::Nothing => Ok(None),
            },
            Some(Keeper::Command(command)) => {
                let program = Program { command: command.clone(), server: endpoint.address(), may_have_none: false };
                self.ask(program, refused).await
            }
        }
    }

    /// What the program gave, or gives now. It goes on when whoever asked has left.
    async fn ask(&self, program: Program, refused: Option<&Proof>) -> Result<Option<Shown>, Cause> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(program.clone()).or_default().clone();
        let (limit, refused) = (self.limit, refused.cloned());
        let task = tokio::spawn(async move { slot.lock().await.answer(&program, limit, refused.as_ref()).await });
        let answer = task.await.unwrap_or_else(|_| Err("asking for them broke".to_owned()));
        answer.map_err(Cause::Login)
    }
}

impl Slot {
    async fn answer(&mut self, program: &Program, limit: Duration, refused: Option<&Proof>) -> Result<Option<Shown>, String> {
        let now = Instant::now();
        if let Some((given, until)) = &self.given
            && now < *until
        {
            let same = matches!(given, Ok(Some(shown)) if Some(&shown.proof) == refused);
            if !same || self.rests.is_some_and(|until| now < until) {
                return given.clone();
            }
        }
        let given = program.run(limit).await;
        let now = Instant::now();
        if refused.is_some() {
            self.rests = Some(now + limit);
        }
        let until = match &given {
            Ok(Some(shown)) => shown.until.unwrap_or(now + LIFE),
            Ok(None) | Err(_) => now + limit,
        };
        self.given = Some((given.clone(), until));
        given
    }
}

async fn found(path: &Path, endpoint: &Endpoint, name: &RepositoryName) -> Result<Found, Cause> {
    let file = tokio::fs::read(path).await.map_err(|error| error.to_string());
    let found = file.and_then(|file| find(&file, &endpoint.settings.url, name.as_str()));
    found.map_err(|error| Cause::Login(format!("{}: {error}", path.display())))
}

/// What Docker's credential helpers print, and a time that they do not.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: String,
    /// Seconds.
    expires_in: Option<u64>,
}

impl Program {
    async fn run(&self, limit: Duration) -> Result<Option<Shown>, String> {
        let began = Instant::now();
        let name = self.command.first().map(String::as_str).unwrap_or_default();
        let mut command = Command::new(name);
        command.args(&self.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own, so that what a script has started ends with it.
        let mut child =
            command.process_group(0).kill_on_drop(true).spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        let talk = async {
            if let Some(mut stdin) = child.stdin.take() {
                // One that does not read its input needs none.
                let _ = stdin.write_all(self.server.as_bytes()).await;
            }
            let mut printed = Vec::new();
            let stdout = child.stdout.take().expect("its output is piped");
            stdout.take(LONGEST_ANSWER).read_to_end(&mut printed).await?;
            Ok::<_, std::io::Error>((printed, child.wait().await?))
        };
        let told = tokio::time::timeout(limit, talk).await;
        if told.is_err()
            && let Some(group) = group
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let (printed, status) = match told {
            Err(_) => return Err(format!("{name} did not end within {limit:?}")),
            Ok(Err(error)) => return Err(format!("{name} broke: {error}")),
            Ok(Ok(told)) => told,
        };
        if !status.success() {
            if self.may_have_none && printed.starts_with(b"credentials not found") {
                return Ok(None);
            }
            return Err(format!("{name} failed for {} ({status}); run it by hand to see why", self.server));
        }
        let malformed = || format!("{name} printed something else than {{\"Username\": \"…\", \"Secret\": \"…\"}} for {}", self.server);
        let answer: Answer = serde_json::from_slice(&printed).map_err(|_| malformed())?;
        match answer {
            Answer { username, secret, .. } if username.is_empty() && secret.is_empty() && self.may_have_none => Ok(None),
            Answer { username, secret, .. } if username.is_empty() || secret.is_empty() => Err(malformed()),
            answer => Ok(Some(answer.shown(began))),
        }
    }
}

impl Answer {
    fn shown(self, began: Instant) -> Shown {
        // A tenth early, so that no request is on its way with one that has just ended.
        let life = self.expires_in.map(|seconds| Duration::from_secs(seconds).min(24 * LIFE) * 9 / 10);
        let proof = match self.username == TOKEN {
            true => Proof::IdentityToken(Secret::new(self.secret)),
            false => Proof::Password { username: self.username, password: Secret::new(self.secret) },
        };
        Shown { proof, until: life.map(|life| began + life) }
    }
}
