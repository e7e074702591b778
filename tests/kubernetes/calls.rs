//! What a launch asks of the API server.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use kube::client::ClientBuilder;
use serde_json::json;
use slipway::launcher::{Launcher, kubernetes::Kubernetes};
use tower::util::MapRequestLayer;

use crate::{
    kubernetes::harness::{World, dispatchers_config},
    support::cluster::host,
};

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_launch_is_one_call_and_one_more_where_its_job_is_there() {
    let world = World::new().await;
    world.place.quota("pods", "0").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = MapRequestLayer::new({
        let calls = calls.clone();
        move |request: http::Request<kube::client::Body>| {
            calls.fetch_add(1, Ordering::Relaxed);
            request
        }
    });
    let client = ClientBuilder::try_from(dispatchers_config().await)
        .unwrap()
        .with_layer(&counting)
        .build();
    let launcher = Kubernetes::new(client, world.options.clone());
    let order = world.order(
        json!({ "git": { "url": format!("http://{}:1/team/app.git", host()) } }),
        json!({}),
    );
    let launched = launcher.launch(&order).await.unwrap();
    assert!(!launched.adopted, "it is new");
    assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "to make the Job");
    let again = launcher.launch(&order).await.unwrap();
    assert!(again.adopted, "it is the same");
    assert_eq!(
        calls.swap(0, Ordering::Relaxed),
        2,
        "to try, and to see whose it is"
    );
    world.place.close().await;
}
