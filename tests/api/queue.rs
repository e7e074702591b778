//! A queued build's place, the queue as a whole, and the steps of a build that runs.

use http::StatusCode;
use serde_json::{Value, json};
use slipway::{
    domain::{AttemptSeen, BuildId, Outcome, Phase, kaniko_log::Step},
    store::Slots,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::api::harness::{Harness, settled, wanted};

async fn build(service: &Harness, id: BuildId) -> Value {
    let answer = service.get(&format!("/api/v1/builds/{id}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

async fn serving(service: &Harness, total: u32, per_project: u32) {
    let slots = Slots { total, per_project };
    service
        .store
        .dispatcher_seen(Uuid::nil(), slots, true)
        .await
        .expect("it is recorded");
}

#[sqlx::test(migrations = false)]
async fn a_queued_build_tells_its_place_and_what_it_waits_for(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let first = service.create(&wanted()).await;
    let place = |position: u64, ahead: u64, kind: &str, message: &str| {
        json!({
            "position": position, "ahead": ahead, "estimated": false, "eta": null,
            "waiting_for": {"kind": kind, "message": message, "retry_at": null},
        })
    };
    let none = place(1, 0, "cluster", "No dispatcher is running.");
    assert_eq!(build(&service, first).await["queue"], none);
    serving(&service, 1, 1).await;
    service.launch(first).await;
    assert_eq!(build(&service, first).await["queue"], Value::Null);

    let second = service.create(&wanted()).await;
    let third = service.create(&wanted()).await;
    let limit = "All slots of its project, 1 in number, are in use.";
    assert_eq!(
        build(&service, third).await["queue"],
        place(2, 1, "project_limit", limit)
    );
    serving(&service, 1, 5).await;
    let slots = "All slots, 1 in number, are in use.";
    assert_eq!(build(&service, second).await["queue"], place(1, 0, "slot", slots));

    let succeeded = Outcome::Succeeded { digest: None };
    assert!(service.store.finish(first, &succeeded, &[], 0).await.unwrap());
    let told = build(&service, third).await["queue"]["eta"].clone();
    assert!(
        told["p50_seconds"].is_u64() && told["p90_seconds"].is_u64(),
        "{told}"
    );
    let listed = service.get("/api/v1/builds").await.json();
    assert_eq!(listed["builds"][0]["queue"], Value::Null, "not in lists");
}

#[sqlx::test(migrations = false)]
async fn the_queue_is_shown(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    serving(&service, 20, 10).await;
    let running = service.create(&wanted()).await;
    service.launch(running).await;
    let mut other = wanted();
    other["project"] = json!("other");
    for request in [wanted(), other.clone(), other] {
        service.create(&request).await;
    }
    let mut all = service.get("/api/v1/queue").await.json();
    assert!(all["oldest_queued_seconds"].is_u64(), "{all}");
    all["oldest_queued_seconds"] = json!("[seconds]");
    for project in all["projects"].as_array_mut().unwrap() {
        assert!(project["oldest_queued_seconds"].is_u64(), "{project}");
        project["oldest_queued_seconds"] = json!("[seconds]");
    }
    insta::assert_json_snapshot!("queue", all);
    let one = service.get("/api/v1/queue?project=other").await.json();
    assert_eq!(
        (&one["queued"], one["projects"].as_array().unwrap().len()),
        (&json!(3), 1)
    );
    assert_eq!(one["projects"][0]["project"], "other");
    let none = service.get("/api/v1/queue?project=nobody").await.json();
    assert_eq!(none["projects"], json!([]));
}

#[sqlx::test(migrations = false)]
async fn a_running_build_tells_its_steps(_: PgPoolOptions, database: PgConnectOptions) {
    let service = Harness::new(&database).await;
    let id = service.create(&wanted()).await;
    service.launch(id).await;
    let pod = AttemptSeen {
        name: "pod".into(),
        node: None,
        started_at: None,
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    };
    let running = Outcome::Running {
        phase: Phase::Fetching,
    };
    service.store.observe(id, &running, &[pod], 0).await.unwrap();
    let fetching = build(&service, id).await;
    assert_eq!(
        (&fetching["step"], &fetching["steps"]),
        (&Value::Null, &json!([]))
    );
    let steps = [(1, "COPY . ."), (2, "RUN <script>make</script>")].map(|(number, instruction)| Step {
        number,
        instruction: instruction.to_owned(),
    });
    service.store.begin_steps(id, "pod", &steps, true).await.unwrap();
    service
        .store
        .reach_phase(id, "pod", Phase::Building)
        .await
        .unwrap();
    let building = settled(build(&service, id).await);
    let current = json!({"number": 2, "total": null, "instruction": "RUN <script>make</script>"});
    assert_eq!(
        (&building["phase"], &building["step"]),
        (&json!("building"), &current)
    );
    let expected = json!([
        {"number": 1, "instruction": "COPY . .", "started_at": "[time]", "duration_ms": 0},
        {"number": 2, "instruction": "RUN <script>make</script>", "started_at": "[time]", "duration_ms": null},
    ]);
    assert_eq!(building["steps"], expected);
    service
        .store
        .reach_phase(id, "pod", Phase::Pushing)
        .await
        .unwrap();
    assert_eq!(build(&service, id).await["step"], Value::Null);
}
