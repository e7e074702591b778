//! `Prefer: wait`: answers that come when there is something to say.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use slipway::{api::ApiOptions, domain::Outcome};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::api::harness::{Answer, Harness, address, wanted};

fn etag(answer: &Answer) -> String {
    answer.header("etag").expect("it is tagged").to_owned()
}

#[sqlx::test(migrations = false)]
async fn news_end_a_wait_and_so_does_its_time(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let path = format!("/api/v1/builds/{id}");
    let known = etag(&service.get(&path).await);
    let headers = [("if-none-match", known.as_str()), ("prefer", "wait=1")];
    let begun = Instant::now();
    let same = service.get_with(&path, &headers).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert_eq!(same.header("preference-applied"), Some("wait=1"));
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let headers = [("if-none-match", known.as_str()), ("prefer", "wait=50")];
    let begun = Instant::now();
    let (news, _) = tokio::join!(service.get_with(&path, &headers), async {
        service.post(&format!("{path}/cancel"), &Value::Null).await
    });
    assert_eq!(news.status, StatusCode::OK);
    assert_ne!(etag(&news), known);
    assert_eq!(news.json()["state"], "cancelling");
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "it did not wait for its time"
    );

    // Another answer than the one that the client has is given at once.
    let headers = [("if-none-match", known.as_str()), ("prefer", "wait=60")];
    assert_eq!(service.get_with(&path, &headers).await.status, StatusCode::OK);
}

#[sqlx::test(migrations = false)]
async fn without_a_tag_the_end_is_waited_for(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    let path = format!("/api/v1/builds/{id}");
    let goes_on = service.get_with(&path, &[("prefer", "wait=0")]).await;
    assert_eq!(
        (goes_on.status, &goes_on.json()["state"]),
        (StatusCode::OK, &"queued".into())
    );
    let (ended, ()) = tokio::join!(service.get_with(&path, &[("prefer", "wait=600")]), async {
        service.launch(id).await;
        let succeeded = Outcome::Succeeded { digest: None };
        assert!(service.store.finish(id, &succeeded, &[], 0).await.unwrap());
    });
    assert_eq!(ended.json()["state"], "succeeded");
    assert_eq!(ended.header("preference-applied"), Some("wait=60"));
    // Nothing will ever come of waiting for more.
    let tag = etag(&ended);
    let headers = [("if-none-match", tag.as_str()), ("prefer", "wait=60")];
    assert_eq!(
        service.get_with(&path, &headers).await.status,
        StatusCode::NOT_MODIFIED
    );
    let nobody = format!("/api/v1/builds/{}", slipway::domain::BuildId::generate());
    let missing = service.get_with(&nobody, &[("prefer", "wait=60")]).await;
    missing.is_problem(404, "not_found");
}

#[sqlx::test(migrations = false)]
async fn those_who_wait_leave_room_for_the_others(_: PgPoolOptions, database: PgConnectOptions) {
    let options = ApiOptions {
        max_in_flight: 4,
        ..ApiOptions::default()
    };
    let service = Harness::with(&address(&database), options).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let path = format!("/api/v1/builds/{id}");
    let wait = || service.get_with(&path, &[("prefer", "wait=60")]);
    let (mut first, mut second) = (Box::pin(wait()), Box::pin(wait()));
    // Both have begun once neither is answered at the first poll.
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    wait().await.is_problem(503, "overloaded");
    assert_eq!(service.get(&path).await.status, StatusCode::OK);
    service.post(&format!("{path}/cancel"), &Value::Null).await;
    assert!(service.store.cancelled(id).await.unwrap());
    for waited in [first.await, second.await] {
        assert_eq!(waited.json()["state"], "cancelled");
    }
}
