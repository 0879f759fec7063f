//! What commands do to users and their tokens, and ask about them. No password and no token comes here, only what is kept of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::auth::{Account, KeptAllow, KeptToken, Policy};
use crate::registry::Registry;
use crate::telemetry::audit::{self, By};

/// What is to be done with users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserOrder {
    Add {
        name: String,
        /// Of the password, as the users file keeps it.
        hash: String,
        /// Roles that the user is put into.
        roles: Vec<String>,
    },
    Password {
        name: String,
        hash: String,
    },
    Remove {
        name: String,
    },
    /// Each as an [`Account`].
    List,
}

/// What is to be done with tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenOrder {
    Create(KeptToken),
    /// Of all, or of one user.
    List(Option<String>),
    /// By their ids.
    Revoke(Vec<String>),
}

/// What a command tells of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TokenEvent {
    Listed {
        id: String,
        user: String,
        robot: bool,
        note: String,
        /// Empty: all that its user may.
        allow: Vec<KeptAllow>,
        /// Unix seconds.
        made: u64,
        /// Unix seconds; `None`: never.
        expires: Option<u64>,
    },
    Revoked {
        id: String,
        user: String,
    },
    Failed {
        id: String,
        why: String,
    },
}

/// Carries out what is to be done with users.
pub(super) async fn users(registry: Arc<Registry>, order: UserOrder, teller: Teller) -> Result<(), String> {
    let accounts: Vec<Account> = with(&registry, move |policy| {
        let (event, name, roles, done) = match order {
            UserOrder::Add { name, hash, roles } => {
                let done = policy.add_user(&name, &hash, &roles, By::LOCAL.user);
                ("user-added", name, roles, done)
            }
            UserOrder::Password { name, hash } => {
                let done = policy.change_password(&name, &hash);
                ("password-changed", name, Vec::new(), done)
            }
            UserOrder::Remove { name } => {
                let done = policy.remove_user(&name, By::LOCAL.user);
                ("user-removed", name, Vec::new(), done)
            }
            UserOrder::List => return policy.accounts().map_err(|why| why.to_string()),
        };
        done.map_err(|why| why.to_string())?;
        audit::account(event, &name, "", &roles.join(" "), By::LOCAL);
        Ok(Vec::new())
    })
    .await?;
    for account in accounts {
        teller.tell(account).await;
    }
    Ok(())
}

/// Carries out what is to be done with tokens. Of several that are to be revoked, one that is not there is named and the others go.
pub(super) async fn tokens(registry: Arc<Registry>, order: TokenOrder, teller: Teller) -> Result<(), String> {
    let events = match order {
        TokenOrder::Create(token) => {
            let (user, id) = (token.user.clone(), token.id.clone());
            with(&registry, move |policy| policy.add_token(token, By::LOCAL.user).map_err(|why| why.to_string())).await?;
            audit::account("token-created", &user, "", &id, By::LOCAL);
            Vec::new()
        }
        TokenOrder::List(user) => {
            let entries = registry.access().ledger().entries();
            let tokens = entries.tokens.values().map(|(kept, _)| kept.clone());
            tokens.filter(|kept| user.as_ref().is_none_or(|user| kept.user == *user)).map(listed).collect()
        }
        TokenOrder::Revoke(ids) => {
            let revoke = move |policy: &Policy| {
                let each = ids.into_iter().map(|id| match policy.revoke_token(&id, By::LOCAL.user) {
                    Ok(user) => {
                        audit::account("token-revoked", &user, &id, "", By::LOCAL);
                        TokenEvent::Revoked { id, user }
                    }
                    Err(why) => TokenEvent::Failed { id, why: why.to_string() },
                });
                Ok(each.collect())
            };
            with(&registry, revoke).await?
        }
    };
    for event in events {
        teller.tell(event).await;
    }
    Ok(())
}

fn listed(kept: KeptToken) -> TokenEvent {
    let KeptToken { id, user, robot, note, hash: _, allow, made, expires } = kept;
    TokenEvent::Listed { id, user, robot, note, allow, made, expires }
}

/// Lets the work block.
async fn with<T: Send + 'static>(
    registry: &Registry,
    work: impl FnOnce(&Policy) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let policy = registry.access().clone();
    tokio::task::spawn_blocking(move || work(&policy)).await.map_err(|_| "the change failed; the log says why".to_owned())?
}
