//! `entrepot user` and `entrepot token`: who can log in, and with what. Passwords and tokens are hashed here and go no further.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal;

use super::arguments::{NewToken, TokenCommand, UserCommand};
use super::errand;
use super::figures::{age, counted, date, table};
use crate::auth::{Account, AccountKind, KeptToken, PersonalToken, hashed, token_id, user_name};
use crate::config::{self, Secret, Settings};
use crate::upkeep::{Request, TokenEvent, TokenOrder, UserOrder};

/// How long a token is good for when nobody says.
const USUAL: Duration = Duration::from_secs(90 * 24 * 3600);

pub async fn user(settings: Settings, command: UserCommand) -> Result<(), String> {
    let order = match command {
        UserCommand::Add(arguments) => {
            let (name, roles) = (arguments.password.name, arguments.roles);
            user_name(&name)?;
            UserOrder::Add { hash: new_hash(&name, arguments.password.password_stdin).await?, name, roles }
        }
        UserCommand::Passwd(arguments) => {
            UserOrder::Password { hash: new_hash(&arguments.name, arguments.password_stdin).await?, name: arguments.name }
        }
        UserCommand::Remove(arguments) => UserOrder::Remove { name: arguments.name },
        UserCommand::List(arguments) => return list_users(&settings, arguments.asked.json).await,
    };
    let done = match &order {
        UserOrder::Add { name, .. } => format!("{name} was added"),
        UserOrder::Password { name, .. } => format!("{name} has another password; who was logged in with the old one is logged out"),
        UserOrder::Remove { name } => format!("{name} was removed, with all tokens and places in roles"),
        UserOrder::List => unreachable!("listing was done"),
    };
    errand::run(&settings, Request::User(order), |_: serde_json::Value| {}).await?;
    println!("{done}");
    Ok(())
}

async fn list_users(settings: &Settings, json: bool) -> Result<(), String> {
    let mut rows = vec![["NAME", "KIND", "ROLES", "TOKENS"].map(str::to_owned).to_vec()];
    let hear = |account: Account| match json {
        true => println!("{}", serde_json::to_string(&account).expect("an account is plain data")),
        false => rows.push(user_row(&account)),
    };
    errand::run(settings, Request::User(UserOrder::List), hear).await?;
    if !json {
        print!("{}", table(&rows));
    }
    Ok(())
}

fn user_row(account: &Account) -> Vec<String> {
    let kind = match account.kind {
        AccountKind::User => "user",
        AccountKind::Robot => "robot",
    };
    let roles = if account.roles.is_empty() { "-".to_owned() } else { account.roles.join(",") };
    vec![account.name.clone(), kind.to_owned(), roles, account.tokens.to_string()]
}

pub async fn token(settings: Settings, command: TokenCommand) -> Result<(), String> {
    match command {
        TokenCommand::Create(arguments) => create(&settings, arguments).await,
        TokenCommand::List(arguments) => list_tokens(&settings, arguments.user, arguments.asked.json).await,
        TokenCommand::Revoke(arguments) => revoke(&settings, arguments.ids, arguments.asked.json).await,
    }
}

/// Prints the token alone on standard output, so that a script can take it from there.
async fn create(settings: &Settings, arguments: NewToken) -> Result<(), String> {
    let robot = arguments.robot.is_some();
    let user = arguments.robot.or(arguments.user).expect("the command line has one of the two");
    let made = now();
    let expires = match arguments.expires.as_deref() {
        None => Some(made + USUAL.as_secs()),
        Some("never") => None,
        Some(text) => Some(made + config::duration(text).map_err(|why| format!("--expires: {why}, or never"))?.as_secs()),
    };
    let fresh = PersonalToken::make();
    let (id, hash) = (fresh.id.clone(), fresh.hash());
    let kept = KeptToken { id: id.clone(), user: user.clone(), robot, note: arguments.note, hash, allow: arguments.allow, made, expires };
    errand::run(settings, Request::Token(TokenOrder::Create(kept)), |_: serde_json::Value| {}).await?;
    let text = fresh.token.reveal();
    if arguments.asked.json {
        println!("{}", serde_json::json!({ "id": id, "token": text, "user": user, "robot": robot, "expires": expires }));
        return Ok(());
    }
    let end = expires.map_or("never".to_owned(), |end| date(end * 1000));
    eprintln!("a token of {user}, which is shown this once; it is the password of docker login -u {user}. It ends: {end}");
    println!("{text}");
    Ok(())
}

async fn list_tokens(settings: &Settings, user: Option<String>, json: bool) -> Result<(), String> {
    let mut rows = vec![["ID", "USER", "ALLOW", "AGE", "EXPIRES", "NOTE"].map(str::to_owned).to_vec()];
    let hear = |event: TokenEvent| match json {
        true => println!("{}", serde_json::to_string(&event).expect("an event is plain data")),
        false => rows.extend(token_row(event, now())),
    };
    errand::run(settings, Request::Token(TokenOrder::List(user)), hear).await?;
    if !json {
        print!("{}", table(&rows));
    }
    Ok(())
}

fn token_row(event: TokenEvent, now: u64) -> Option<Vec<String>> {
    let TokenEvent::Listed { id, user, robot, note, allow, made, expires } = event else { return None };
    let each = allow.iter().map(|allow| format!("{}={}", allow.actions.join(","), allow.repositories.join(" ")));
    let allow = if allow.is_empty() { "all of the user's".to_owned() } else { each.collect::<Vec<_>>().join("  ") };
    let expires = match expires {
        None => "never".to_owned(),
        Some(end) if end <= now => "expired".to_owned(),
        Some(end) => format!("in {}", age(Duration::from_secs(end - now))),
    };
    let user = if robot { format!("{user} (robot)") } else { user };
    Some(vec![id, user, allow, age(Duration::from_secs(now.saturating_sub(made))), expires, note])
}

async fn revoke(settings: &Settings, ids: Vec<String>, json: bool) -> Result<(), String> {
    let mut failed = 0;
    // A token that was found somewhere tells its own id.
    let ids = ids.iter().map(|text| token_id(text).unwrap_or(text).to_owned()).collect();
    let hear = |event: TokenEvent| {
        failed += u64::from(matches!(event, TokenEvent::Failed { .. }));
        match (json, &event) {
            (true, _) => println!("{}", serde_json::to_string(&event).expect("an event is plain data")),
            (false, TokenEvent::Revoked { id, user }) => println!("{id} of {user} was revoked"),
            (false, TokenEvent::Failed { why, .. }) => eprintln!("{why}"),
            (false, TokenEvent::Listed { .. }) => {}
        }
    };
    errand::run(settings, Request::Token(TokenOrder::Revoke(ids)), hear).await?;
    match failed {
        0 => Ok(()),
        _ => Err(format!("{} could not be revoked", counted(failed, "token"))),
    }
}

/// Gets a new password and hashes it: from standard input, or typed twice without being shown.
async fn new_hash(name: &str, from_stdin: bool) -> Result<String, String> {
    let read = move |prompt: String| async move { tokio::task::spawn_blocking(move || line(&prompt)).await.map_err(|e| e.to_string())? };
    let password = if from_stdin {
        read(String::new()).await?
    } else {
        let _quiet = Quiet::terminal()?;
        let typed = async {
            let first = read(format!("password for {name}: ")).await?;
            let again = read("the same again: ".to_owned()).await?;
            if first == again { Ok(first) } else { Err("the two are not the same; nothing was changed".to_owned()) }
        };
        // Ended by its guard, the terminal shows again what is typed.
        tokio::select! {
            typed = typed => typed?,
            _ = signal::ctrl_c() => return Err("nothing was changed".into()),
        }
    };
    tokio::task::spawn_blocking(move || hashed(&password)).await.map_err(|e| e.to_string())?
}

fn line(prompt: &str) -> Result<Secret, String> {
    eprint!("{prompt}");
    let _ = io::stderr().flush();
    let mut text = String::new();
    io::stdin().read_line(&mut text).map_err(|error| format!("the password cannot be read: {error}"))?;
    if !prompt.is_empty() {
        eprintln!();
    }
    Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn terminal() -> Result<Quiet, String> {
        let input = io::stdin();
        if !input.is_terminal() {
            return Err("standard input is no terminal: give the password with --password-stdin".into());
        }
        let before = tcgetattr(&input).map_err(|error| format!("the terminal cannot be asked: {error}"))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Flush, &silent).map_err(|error| format!("the terminal cannot be made silent: {error}"))?;
        Ok(Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::KeptAllow;

    #[test]
    fn a_row_tells_whose_what_for_and_until_when() {
        let (now, day) = (1_795_000_000, 86_400);
        let allowed = |actions: &str, pattern: &str| KeptAllow {
            repositories: vec![pattern.into()],
            actions: actions.split(',').map(str::to_owned).collect(),
        };
        let row = |robot, allow: &[KeptAllow], expires| {
            let (id, user, note) = ("k7p2".to_owned(), "ci".to_owned(), "builds".to_owned());
            let allow = allow.to_vec();
            token_row(TokenEvent::Listed { id, user, robot, note, allow, made: now - 3 * day, expires }, now).unwrap().join("|")
        };
        assert_eq!(
            row(true, &[allowed("pull,push", "team/**"), allowed("pull", "**")], None),
            "k7p2|ci (robot)|pull,push=team/**  pull=**|3 days|never|builds"
        );
        assert_eq!(row(false, &[], Some(now + 90 * day)), "k7p2|ci|all of the user's|3 days|in 90 days|builds");
        assert_eq!(row(false, &[], Some(now)), "k7p2|ci|all of the user's|3 days|expired|builds");
    }
}
