//! The whole table, with one endpoint and with a second one that makes good what the first does wrong.

use futures_util::StreamExt;
use futures_util::stream;

use super::app::App;
use super::case::{Case, Outcome, Plan};
use super::log;
use super::table::{Row, rows, token_rows};

/// Cases that run beside each other: more would be late for want of a processor.
const AT_ONCE: usize = 24;

fn plans(rows: Vec<Row>, backed: bool) -> Vec<Plan> {
    let plans = rows.iter().flat_map(|row| {
        row.wants().map(move |(place, want)| {
            let name = format!("an upstream that {} ({place:?}{})", row.name, if backed { ", with a second endpoint" } else { "" });
            Plan { name, place, faults: row.faults.clone(), want, backed }
        })
    });
    plans.collect()
}

/// Runs them at one server.
async fn run(plans: &[Plan]) -> Vec<Outcome> {
    log::capture();
    let cases = stream::iter(plans).then(Case::new).collect::<Vec<_>>().await;
    let app = App::with(|settings| settings.upstreams.extend(cases.iter().map(Case::settings))).await;
    stream::iter(&cases).map(|case| case.run(&app)).buffered(AT_ONCE).collect().await
}

async fn none_complains(plans: Vec<Plan>) {
    let mut complaints = Vec::new();
    for (plan, outcome) in plans.iter().zip(run(&plans).await) {
        complaints.extend(outcome.complaints.iter().map(|complaint| format!("{}: {complaint}", plan.name)));
        // A busy machine is late now and then, a server that waits too long always.
        let mut late = outcome.late;
        for _ in 0..2 {
            if late.is_some() {
                late = run(std::slice::from_ref(plan)).await.remove(0).late;
            }
        }
        complaints.extend(late.map(|late| format!("{}: the answer took {late:?}", plan.name)));
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_upstream_does_clients_get_what_is_right_or_an_error_in_time() {
    none_complains(plans(rows(), false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_token_service_does_clients_get_what_is_right_or_an_error_in_time() {
    none_complains(plans(token_rows(), false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_one_endpoint_does_another_makes_it_good() {
    let all = rows().into_iter().chain(token_rows()).collect();
    none_complains(plans(all, true)).await;
}

#[test]
fn the_table_has_two_hundred_cases() {
    assert!(plans(rows(), false).len() + plans(token_rows(), false).len() >= 200);
}
