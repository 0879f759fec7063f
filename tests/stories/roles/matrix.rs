//! The access matrix: who, every route with every method, four kinds of repository, at the root and directly, in twelve spellings of
//! the path. Each cell is as `expected.rs` tells.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entrepot::config::{Credentials, Patterns};
use entrepot::oci::{Digest, Origin, PathName, Reference, Route};
use entrepot::server::Page;

use super::add;
use super::expected::{Act, Kind, PLACES, PRINCIPALS, Place, Principal, acts, expected, page};
use super::wire::Wire;
use crate::app::*;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Connections at once.
const LANES: usize = 8;

/// The path in twelve spellings, and whether each means the same; all others are 400.
fn spellings(name: &str, path: &str) -> Vec<(String, bool)> {
    let rest = &path[format!("/v2/{name}").len()..];
    let encoded = |byte: u8, upper: bool| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let all: String = name.bytes().map(|byte| if plain(byte) { encoded(byte, true) } else { char::from(byte).to_string() }).collect();
    let last = path.rfind(|c: char| c.is_ascii_alphanumeric()).unwrap();
    let (before, after) = name.split_once('/').unwrap();
    let capital = format!("{}{}", &name[..name.len() - 1], name[name.len() - 1..].to_ascii_uppercase());
    vec![
        (path.to_owned(), true),
        (format!("/v2/{}{}{rest}", encoded(name.as_bytes()[0], false), &name[1..]), true),
        (format!("/v2/{all}{rest}"), true),
        (format!("{}{}{}", &path[..last], encoded(path.as_bytes()[last], true), &path[last + 1..]), true),
        (format!("/v2/{before}%2F{after}{rest}"), false),
        (format!("/v2/{before}%2f{after}{rest}"), false),
        (format!("/v2/{before}%252F{after}{rest}"), false),
        (format!("/v2//{name}{rest}"), false),
        (format!("/v2/./{name}{rest}"), false),
        (format!("/v2/x/../{name}{rest}"), false),
        (format!("/v2/%2e%2E/{name}{rest}"), false),
        (format!("/v2/{capital}{rest}"), false),
    ]
}

/// One request and what must come of it.
struct Cell {
    who: Principal,
    method: &'static str,
    target: String,
    expected: u16,
}

/// What each principal shows.
struct Shown {
    revoked: String,
}

impl Shown {
    /// Of a wrong password a new user's each time: those of one are slowed.
    fn by(&self, who: Principal, number: usize) -> String {
        let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        match who {
            Principal::Anonymous => String::new(),
            Principal::WrongPassword => basic(&format!("nobody-{number}"), "wrong"),
            Principal::Reader => basic("reader", &password("reader")),
            Principal::Writer => basic("writer", &password("writer")),
            Principal::OtherTenant => basic("other", &password("other")),
            Principal::Admin => basic("admin", &password("admin")),
            Principal::Revoked => format!("Bearer {}", self.revoked),
        }
    }
}

async fn start(quay: &FaultUpstream) -> (App, Shown) {
    let app = App::with(|settings| {
        let mut lines = String::new();
        for user in ["reader", "writer", "other", "gone"] {
            lines += &format!("{user}:{}\n", bcrypt::hash(password(user), 4).unwrap());
        }
        let users = settings.auth.htpasswd.clone().unwrap();
        std::fs::OpenOptions::new().append(true).open(users).unwrap().write_all(lines.as_bytes()).unwrap();
        let mut private = quay.upstream_settings("quay.io");
        private.endpoints[0].credentials = Some(Credentials::password("ann", "quay-password"));
        settings.upstreams.push(private);
        settings.group.members.push(Origin::named("quay.io"));
        settings.hosted.reserved = Patterns::new(&["corp/**"]).unwrap();
    })
    .await;
    quay.behave(|b| {
        (b.tokens, b.account) = (true, Some(("ann".into(), "quay-password".into())));
        b.private = vec!["vault/app".into()];
    });
    add(&app, "anonymous", &[], &["pull=docker.io/**"]).await;
    add(&app, "readers", &["reader", "gone"], &["pull=team/**", "pull=corp/**", "pull=quay.io/vault/**"]).await;
    add(&app, "writers", &["writer"], &["pull,push,delete=team/**", "pull,push,delete=corp/**"]).await;
    add(&app, "tenants", &["other"], &["pull,push,delete,admin=tenant/**"]).await;
    let token = app.user("gone").token(&["repository:team/app:pull", "repository:vault/app:pull"]).await.expect(200);
    let revoked = token.json()["token"].as_str().unwrap().to_owned();
    let gone = app.anonymous().with_token(&revoked);
    gone.get("/v2/").await.expect(200);
    let users = app.settings.auth.htpasswd.clone().unwrap();
    let left: String =
        std::fs::read_to_string(&users).unwrap().lines().filter(|line| !line.starts_with("gone:")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&users, left).unwrap();
    until("the user is gone", async || gone.get("/v2/").await.status == 401).await;
    (app, Shown { revoked })
}

/// Every route of the registry that names a repository.
fn shapes(name: &str, manifest: Digest, blob: Digest) -> Vec<Route> {
    let name: PathName = name.parse().unwrap();
    vec![
        Route::Tags { name: name.clone() },
        Route::Manifest { name: name.clone(), reference: Reference::Tag("latest".parse().unwrap()) },
        Route::Manifest { name: name.clone(), reference: Reference::Digest(manifest) },
        Route::Blob { name: name.clone(), digest: blob },
        Route::Uploads { name: name.clone() },
        Route::Upload { name: name.clone(), id: "none".parse().unwrap() },
        Route::Referrers { name, digest: manifest },
    ]
}

/// The same route about what is not there, so that nothing changes.
fn about_nothing(route: &Route) -> Route {
    let none = Digest::of(b"none");
    match route.clone() {
        Route::Manifest { name, reference: Reference::Tag(_) } => {
            Route::Manifest { name, reference: Reference::Tag("none".parse().unwrap()) }
        }
        Route::Manifest { name, reference: Reference::Digest(_) } => Route::Manifest { name, reference: Reference::Digest(none) },
        Route::Blob { name, .. } => Route::Blob { name, digest: none },
        other => other,
    }
}

fn of_repository(cells: &mut Vec<Cell>, place: Place, route: &Route) {
    // What opens an upload is refused before it does.
    let query = match (route, place.query) {
        (Route::Uploads { .. }, "") => "?digest-algorithm=none".to_owned(),
        (Route::Uploads { .. }, query) => format!("?{query}&digest-algorithm=none"),
        (_, "") => String::new(),
        (_, query) => format!("?{query}"),
    };
    let acts = acts(route);
    for who in PRINCIPALS {
        for (method, act) in &acts {
            let path = if *act == Act::Delete { about_nothing(route) } else { route.clone() }.to_string();
            for (path, same) in spellings(place.name, &path) {
                let expected = if same { expected(who, route, method, *act, place) } else { 400 };
                cells.push(Cell { who, method, target: format!("{path}{query}"), expected });
            }
        }
        for method in METHODS.iter().filter(|method| acts.iter().all(|(taken, _)| taken != *method)) {
            cells.push(Cell { who, method, target: format!("{route}{query}"), expected: 405 });
        }
    }
}

fn of_nobody(cells: &mut Vec<Cell>) {
    let anywhere = PLACES[0];
    for who in PRINCIPALS {
        for route in [Route::Base, Route::Catalog, Route::Search, Route::Ping] {
            for method in METHODS {
                let act = acts(&route).iter().find(|(taken, _)| *taken == method).map(|(_, act)| *act);
                let expected = act.map_or(405, |act| expected(who, &route, method, act, anywhere));
                cells.push(Cell { who, method, target: route.to_string(), expected });
            }
        }
        for one in Page::ALL {
            let (methods, status) = page(one, who);
            for method in METHODS {
                let expected = if methods.contains(&method) { status } else { 405 };
                cells.push(Cell { who, method, target: one.path().to_owned(), expected });
            }
            let path = one.path();
            for other in [format!("/{path}"), path.replace("a", "%61"), path.replace("t", "%74"), format!("{path}/")] {
                if other != path && other != "//" {
                    cells.push(Cell { who, method: "GET", target: other, expected: 404 });
                }
            }
        }
    }
}

#[tokio::test]
async fn every_cell_of_the_access_matrix_is_right() {
    let quay = FaultUpstream::start().await;
    let (app, shown) = start(&quay).await;
    let admin = app.user("admin").basic();
    let ours = build("ours", &[bytes(1, 300)]);
    admin.push("team/app", "latest", &ours).await;
    let [open, secret] =
        [(&app.hub, "org/open", 2), (&quay, "vault/app", 3)].map(|(at, name, seed)| at.image(name, "latest", &[bytes(seed, 300)]));
    for name in ["org/open", "docker.io/org/open", "vault/app", "quay.io/vault/app"] {
        admin.get(&format!("/v2/{name}/manifests/latest")).await.expect(200);
        let blob = if name.ends_with("open") { open.layers[0] } else { secret.layers[0] };
        admin.get(&format!("/v2/{name}/blobs/{blob}")).await.expect(200);
    }
    app.landed().await;
    let mut cells = Vec::new();
    for place in PLACES {
        let (manifest, blob) = match place.kind {
            Kind::Hosted | Kind::Reserved => (ours.digest(), Digest::of(&ours.layers[0])),
            Kind::Public => (open.digest, open.layers[0]),
            Kind::Private => (secret.digest, secret.layers[0]),
        };
        for route in shapes(place.name, manifest, blob) {
            of_repository(&mut cells, place, &route);
        }
    }
    of_nobody(&mut cells);
    assert!(cells.len() > 14_000, "{}", cells.len());

    let lanes = (0..LANES).map(|lane| {
        let (mut wire, cells, shown) = (Wire::to(app.address()), &cells, &shown);
        async move {
            let mut wrong = Vec::new();
            for (number, cell) in cells.iter().enumerate().skip(lane).step_by(LANES) {
                let status = wire.ask(cell.method, &cell.target, &shown.by(cell.who, number)).await;
                if status != cell.expected {
                    wrong.push(format!("{:?}: {} {}: {status}, not {}", cell.who, cell.method, cell.target, cell.expected));
                }
            }
            wrong
        }
    });
    let wrong: Vec<String> = futures_util::future::join_all(lanes).await.concat();
    assert!(wrong.is_empty(), "{} of {} cells are wrong:\n{}", wrong.len(), cells.len(), wrong[..wrong.len().min(40)].join("\n"));
    assert_eq!(app.user("admin").basic().pull("team/app", "latest").await.digest, ours.digest(), "nothing was changed");
}
