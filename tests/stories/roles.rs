//! Roles: who may do what, by the configuration and by command, and that no way leads around it.

mod commands;
mod expected;
mod lists;
mod matrix;
mod members;
mod pushes;
mod wire;

use crate::app::App;
use entrepot::auth::KeptAllow;
use entrepot::upkeep::{Request, RoleEvent, RoleOrder};

/// `pull,push=team/**`, as the command line takes it.
fn allow(text: &str) -> KeptAllow {
    let (actions, pattern) = text.split_once('=').unwrap();
    KeptAllow { repositories: vec![pattern.to_owned()], actions: actions.split(',').map(str::to_owned).collect() }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What the running server tells to a command about roles.
async fn order(app: &App, order: RoleOrder) -> Result<Vec<RoleEvent>, String> {
    app.command(Request::Role(order)).await
}

/// Adds a role by command.
async fn add(app: &App, name: &str, members: &[&str], allows: &[&str]) {
    let allow = allows.iter().map(|text| allow(text)).collect();
    order(app, RoleOrder::Add { name: name.into(), members: texts(members), allow }).await.unwrap();
}
