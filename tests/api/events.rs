//! Events of builds and of projects: as lists, and as they happen.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use slipway::domain::{BuildId, Outcome};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    api::harness::{Harness, settled, wanted},
    api::stream::{Event, Stream},
};

/// What a stream tells up to its end, which is the last: the states, and the end's data.
async fn states(mut stream: Stream) -> (Vec<String>, Value) {
    let mut states = Vec::new();
    loop {
        let event = stream.event().await.expect("an end is told");
        if event.name == "end" {
            assert!(stream.event().await.is_none(), "the end is the last event");
            return (states, event.data);
        }
        states.push(state(&event));
    }
}

fn state(event: &Event) -> String {
    assert_eq!(event.name, "state");
    event.data["state"].as_str().expect("a state").to_owned()
}

/// A project's events from a cursor on, as soon as there are so many. The server's other databases have transactions,
/// too, that events wait for.
async fn page(service: &Harness, query: &str, count: usize) -> Value {
    let reading = async {
        loop {
            let mut changes = service.store.watch_builds();
            let page = service
                .get(&format!("/api/v1/events?project=default{query}"))
                .await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            let page = page.json();
            if page["events"].as_array().expect("a list").len() >= count {
                return page;
            }
            changes.wait().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .expect("the events come")
}

async fn succeed(service: &Harness, id: BuildId) {
    let succeeded = Outcome::Succeeded { digest: None };
    assert!(
        service
            .store
            .finish(id, &succeeded, &[], 0)
            .await
            .expect("recorded")
    );
}

#[sqlx::test(migrations = false)]
async fn a_build_is_followed_to_its_end_and_from_any_event_on(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    let path = format!("/api/v1/builds/{id}/events");
    let mut stream = service.events(&path, None).await;
    let first = stream.event().await.expect("it was created");
    assert_eq!(
        (state(&first), &first.data["cause"]),
        ("queued".to_owned(), &json!("request"))
    );
    assert_eq!(first.data["build_id"], id.to_string());
    service.launch(id).await;
    let second = stream.event().await.expect("it was claimed");
    assert_eq!(second.id, Some(second.data["id"].to_string()));
    succeed(&service, id).await;
    let end = json!({"state": "succeeded"});
    assert_eq!(
        states(stream).await,
        (vec!["running".to_owned(), "succeeded".to_owned()], end.clone())
    );

    let last = |event: &Event| event.id.as_deref().map(|id| id.parse().expect("a number"));
    let resumed = service.events(&path, last(&second)).await;
    assert_eq!(
        states(resumed).await,
        (vec!["running".to_owned(), "succeeded".to_owned()], end.clone())
    );
    let all = service.get(&path).await.json();
    let all = all["events"].as_array().expect("a list");
    let seen_all = service.events(&path, all[3]["id"].as_u64()).await;
    assert_eq!(states(seen_all).await, (vec![], end));
    let rest = service
        .get(&format!("{path}?after={}", all[1]["id"]))
        .await
        .json();
    assert_eq!(rest["events"].as_array().expect("a list"), &all[2..]);
}

#[sqlx::test(migrations = false)]
async fn a_project_is_read_page_by_page_and_read_on_later(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let first = service.create(&wanted()).await;
    let mut other = wanted();
    other["project"] = json!("other");
    service.create(&other).await;
    let second = service.create(&wanted()).await;
    let all = page(&service, "", 2).await;
    let ids: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["build_id"])
        .collect();
    assert_eq!(ids, [&json!(first), &json!(second)]);
    let one = page(&service, "&limit=1", 1).await;
    assert_eq!(
        one["events"].as_array().unwrap()[..],
        all["events"].as_array().unwrap()[..1]
    );
    let cursor = one["next_cursor"].as_str().unwrap();
    let two = page(&service, &format!("&after={cursor}"), 1).await;
    assert_eq!(
        two["events"].as_array().unwrap()[..],
        all["events"].as_array().unwrap()[1..]
    );
    let cursor = two["next_cursor"].as_str().unwrap();
    let none = page(&service, &format!("&after={cursor}"), 0).await;
    assert_eq!(none, json!({"events": [], "next_cursor": cursor}));
    insta::assert_json_snapshot!("project_events", settled(json!({"events": all["events"]})));
}

#[sqlx::test(migrations = false)]
async fn a_project_is_followed_from_now_on_or_from_a_cursor(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let old = service.create(&wanted()).await;
    let before = page(&service, "", 1).await;
    let path = "/api/v1/events?project=default";
    let mut now = service.events(path, None).await;
    let cursor = before["next_cursor"].as_str().unwrap();
    let resume = [("accept", "text/event-stream"), ("last-event-id", cursor)];
    let mut resumed = service.follow(path, &resume).await;
    let id = service.create(&wanted()).await;
    service
        .post(&format!("/api/v1/builds/{id}/cancel"), &Value::Null)
        .await;
    let mut cursors = Vec::new();
    for expected in ["queued", "cancelling", "cancelled"] {
        for stream in [&mut now, &mut resumed] {
            let event = stream.event().await.expect("it goes on");
            assert_eq!(
                (state(&event), &event.data["build_id"]),
                (expected.to_owned(), &json!(id))
            );
            cursors.push(event.id.expect("it has a cursor"));
        }
    }
    let resume = [
        ("accept", "text/event-stream"),
        ("last-event-id", cursors[2].as_str()),
    ];
    let mut third = service.follow(path, &resume).await;
    assert_eq!(state(&third.event().await.expect("it goes on")), "cancelled");
    assert_ne!(old, id);
}

#[sqlx::test(migrations = false)]
async fn bad_requests_are_refused_before_anything_is_streamed(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    let build = format!("/api/v1/builds/{id}/events");
    for bad in [
        format!("{build}?after=-1"),
        format!("{build}?after=x"),
        format!("{build}?limit=1"),
        "/api/v1/events".to_owned(),
        "/api/v1/events?project=NO".to_owned(),
        "/api/v1/events?project=a&after=zzz".to_owned(),
        "/api/v1/events?project=a&limit=501".to_owned(),
        "/api/v1/events?project=a&state=queued".to_owned(),
        "/api/v1/queue?project=".to_owned(),
        "/api/v1/queue?limit=1".to_owned(),
    ] {
        service.get(&bad).await.is_problem(422, "validation_failed");
    }
    for path in [build.as_str(), "/api/v1/events?project=a"] {
        let headers = [("accept", "text/event-stream"), ("last-event-id", "no'--")];
        let refused = service.get_with(path, &headers).await;
        refused.is_problem(422, "validation_failed");
    }
    let nobody = format!("/api/v1/builds/{}/events", BuildId::generate());
    let headers = [("accept", "text/event-stream")];
    service
        .get_with(&nobody, &headers)
        .await
        .is_problem(404, "not_found");
    // Nobody's project has no events, and may have some later.
    assert_eq!(
        service.get("/api/v1/events?project=nobody").await.json()["events"],
        json!([])
    );
}
