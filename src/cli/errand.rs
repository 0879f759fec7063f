//! Having a request carried out: by the running server of the data folder, else by this process, which then has the folder to itself.

use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::app;
use crate::config::Settings;
use crate::registry::flight::Tuning;
use crate::telemetry::audit;
use crate::upkeep::{Reply, Request, carry_out, control};
use crate::upstream::Deadlines;

/// Hands each event to `hear` as it comes, and returns when the work is done. `serde_json::Value` as `Event` takes them all as they are.
///
/// # Errors
/// A sentence: the request failed as a whole, or whoever worked on it was ended in the middle.
pub async fn run<Event: DeserializeOwned>(settings: &Settings, request: Request, hear: impl FnMut(Event)) -> Result<(), String> {
    let data = &settings.storage.data;
    let asked = control::ask(data, &request).await;
    let running = asked.map_err(|e| format!("the running server cannot be asked at {}: {e}", control::path(data).display()))?;
    if let Some(replies) = running {
        return listen(replies, hear).await;
    }
    let _audit = settings.log.audit.as_deref().map(audit::to_file).transpose()?;
    let opened = app::open(settings, Deadlines::default(), Tuning::default()).await.map_err(|e| e.to_string())?;
    opened.filled().await;
    let done = listen(carry_out(opened.registry.clone(), request), hear).await;
    opened.close().await;
    done
}

async fn listen<Event: DeserializeOwned>(mut replies: mpsc::Receiver<Reply>, mut hear: impl FnMut(Event)) -> Result<(), String> {
    while let Some(reply) = replies.recv().await {
        match reply {
            Reply::Event(event) => hear(serde_json::from_value(event).map_err(|_| "the running server is of another version; restart it")?),
            Reply::Failed(why) => return Err(why),
            Reply::Done => return Ok(()),
        }
    }
    Err("the server ended before the work was done; run the command again".into())
}
