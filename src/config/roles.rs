//! Reads `[[auth.role]]`: who belongs together and may do what. The names that are built in are nobody's.

use super::pattern::Patterns;
use super::reader::Reader;
use super::settings::*;
use super::tree::Node;
use super::values::*;

/// The role of everybody, logged in or not.
pub const ANONYMOUS: &str = "anonymous";
/// The built-in role of all users, while there is no other.
pub const USERS: &str = "users";
/// The built-in role that may do everything, and the account that is in it.
pub const ADMIN: &str = "admin";

/// The longest name of a role, in bytes.
const LONGEST: usize = 64;

impl Rights {
    /// Each word, and what it allows.
    const WORDS: [(&'static str, Rights); 5] = [
        ("pull", Rights { pull: true, ..Rights::NONE }),
        ("push", Rights { push: true, ..Rights::NONE }),
        ("delete", Rights { delete: true, ..Rights::NONE }),
        ("shadow", Rights { shadow: true, ..Rights::NONE }),
        ("admin", Rights { admin: true, ..Rights::NONE }),
    ];
    const NONE: Rights = Rights { pull: false, push: false, delete: false, shadow: false, admin: false };

    /// # Errors
    /// Says which word is none, or that there is none at all.
    pub fn named<T: AsRef<str>>(words: &[T]) -> Result<Rights, String> {
        if words.is_empty() {
            return Err("nothing would be allowed; write pull, push, delete, shadow or admin".into());
        }
        words.iter().map(AsRef::as_ref).try_fold(Rights::NONE, |all, word| match Rights::WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, rights)) => Ok(all.and(*rights)),
            None => Err(format!("{word:?} is not known; write pull, push, delete, shadow or admin")),
        })
    }

    /// The words for what is allowed.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Rights::WORDS.into_iter().filter(move |(_, one)| self.and(*one) == self).map(|(word, _)| word)
    }

    fn and(self, other: Rights) -> Rights {
        Rights {
            pull: self.pull || other.pull,
            push: self.push || other.push,
            delete: self.delete || other.delete,
            shadow: self.shadow || other.shadow,
            admin: self.admin || other.admin,
        }
    }
}

/// Checks the name of a role that somebody wants to make.
///
/// # Errors
/// Says why it cannot be one.
pub fn role_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(plain) {
        return Err(format!("{text:?} is no name for a role: it has letters, digits and . _ -, at most {LONGEST}"));
    }
    match [ADMIN, USERS].contains(&text) {
        true => Err(format!("{text:?} is built in and stays what it is; choose another name")),
        false => Ok(text.to_owned()),
    }
}

/// Reads every role. `auth.anonymous`, where it was said, is the role of everybody already.
pub(super) fn read(auth: &mut Reader<'_>, into: &mut Auth) {
    for mut table in auth.tables("role") {
        let mut role = Role { name: String::new(), place: None, members: Patterns::default(), allow: Vec::new() };
        let place = table.read("name", &mut role.name, text_as(role_name));
        let members = table.read("members", &mut role.members, patterns);
        allows(&mut table, &mut role);
        match place {
            None => table.fault("name", table.place.clone(), "every role needs a name, like name = \"developers\""),
            Some(place) => {
                if let Some(first) = into.roles.iter().find(|other| other.name == role.name && !role.name.is_empty()) {
                    let first = first.place.as_deref().unwrap_or_default();
                    table.fault("name", place.clone(), format!("{:?} is there twice; the first is at {first}", role.name));
                } else if role.name == ANONYMOUS && into.anonymous.is_some() {
                    let message = "auth.anonymous says already what everybody may; remove one of the two";
                    table.fault("name", place.clone(), message);
                }
                role.place = Some(place.to_string());
            }
        }
        if let (true, Some(place)) = (role.name == ANONYMOUS, members) {
            table.fault("members", place, "everybody is in the role \"anonymous\", logged in or not; remove its members");
        }
        warn(&table, &role);
        table.finish();
        into.roles.push(role);
    }
}

fn allows(table: &mut Reader<'_>, role: &mut Role) {
    let place = table.place.clone();
    let Some(node) = table.take("allow") else {
        table.fault(
            "allow",
            place,
            "every role needs what it allows, like allow = [{ repositories = [\"team/**\"], actions = [\"pull\"] }]",
        );
        return;
    };
    let nodes = match nonempty(Ok)(node) {
        Ok(nodes) => nodes,
        Err(faults) => return table.faults("allow", faults),
    };
    for mut inner in nodes.into_iter().filter_map(|node| table.inner("allow", node)) {
        let mut allow = Allow { repositories: Patterns::default(), rights: Rights::default() };
        if inner.read("repositories", &mut allow.repositories, repositories).is_none() {
            let message = "say for which repositories, like repositories = [\"team/**\"]; [\"**\"] is all of them";
            inner.fault("repositories", inner.place.clone(), message);
        }
        if inner.read("actions", &mut allow.rights, rights).is_none() {
            let message = "say what is allowed, like actions = [\"pull\", \"push\"]";
            inner.fault("actions", inner.place.clone(), message);
        }
        inner.finish();
        role.allow.push(allow);
    }
}

fn rights(node: Node) -> Read<Rights> {
    Ok(nonempty(choice(&Rights::WORDS))(node)?.into_iter().fold(Rights::NONE, Rights::and))
}

fn warn(table: &Reader<'_>, role: &Role) {
    if role.name != ANONYMOUS {
        return;
    }
    let gives =
        |one: fn(&Rights) -> bool| role.allow.iter().filter(move |allow| one(&allow.rights)).flat_map(|allow| allow.repositories.texts());
    for (patterns, may) in [
        (gives(|rights| rights.push || rights.admin).collect::<Vec<_>>(), "push without a log-in, and replace what others pull"),
        (gives(|rights| rights.delete || rights.admin).collect(), "delete without a log-in"),
        (gives(|rights| rights.admin).collect(), "look after what is here without a log-in"),
    ] {
        if !patterns.is_empty() {
            let list = patterns.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(", ");
            table.context.warn(format!("whoever reaches this server may {may}: {list} (the role \"anonymous\")"));
        }
    }
}
