//! Secrets from a folder: in the step that asks, and nowhere else.

use base64::{Engine, prelude::BASE64_STANDARD};
use bollard::query_parameters::InspectContainerOptions;
use serde_json::json;
use slipway::launcher::{LaunchError, Launcher};

use crate::{engine::digest, engine::world_or_skip, support::registry::PASSWORD};

const VALUE: &str = "not-for-the-image-4711";

#[tokio::test]
async fn a_projects_secrets_come_from_the_folder() {
    let world = world_or_skip!(locked);
    let folder = tempfile::tempdir().expect("a folder");
    let auth = BASE64_STANDARD.encode(format!("builder:{PASSWORD}"));
    let config = json!({ "auths": { &world.registry.host: { "auth": auth } } }).to_string();
    for (file, content) in [("team/token", VALUE), ("push/.dockerconfigjson", &config)] {
        let file = folder.path().join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("it can be made");
        std::fs::write(file, content).expect("it can be written");
    }
    let steps = "FROM BASE\n\
        RUN --mount=type=secret,id=npm test \"$(cat /run/secrets/npm)\" && cat /run/secrets/npm | head -c 3\n\
        RUN test ! -e /run/secrets/npm && echo gone again\n";
    let secrets = json!({ "secrets": [{ "id": "npm", "secret": "team", "key": "token" }] });
    let mut order = world.order(steps, secrets);
    let without = world.engine.launch(&order).await;
    assert!(matches!(without, Err(LaunchError::Refused(_))), "{without:?}");

    order.project = serde_json::from_value(json!({ "build_secrets": ["team"], "push_secret": "push" }))
        .expect("settings");
    let engine = world.with_options(|options| options.secrets = Some(folder.path().to_owned()));
    engine.launch(&order).await.expect("launches");
    let sighting = world.to_the_end(&engine, &order).await;
    assert_eq!(digest(&sighting), world.registry.digest("team/app", "1").await);

    let name = &sighting.attempts[0].name;
    let container = world
        .docker
        .inspect_container(name, None::<InspectContainerOptions>)
        .await;
    let container = format!("{:?}", container.expect("it is there"));
    assert!(container.contains("--secret=id=npm") && !container.contains(VALUE));
    let image = world.registry.content("team/app", "1").await;
    assert!(
        !image
            .windows(VALUE.len())
            .any(|window| window == VALUE.as_bytes())
    );
    engine.remove(order.id).await.expect("removes");
}

#[tokio::test]
async fn an_isolated_push_is_refused_plainly() {
    let world = world_or_skip!(open);
    let mut order = world.order("FROM BASE\n", json!({}));
    order.project = serde_json::from_value(json!({ "push_mode": "isolated" })).expect("settings");
    let refused = world.engine.launch(&order).await;
    assert!(
        matches!(&refused, Err(LaunchError::Refused(why)) if why.contains("an isolated push")),
        "{refused:?}"
    );
}
