//! Commit statuses, as each kind of git host takes them.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use slipway::{
    domain::{
        Actor, BuildId, Trigger, TriggerId,
        commit_status::{StatusSettings, StatusTarget, token_context},
        provider::Provider,
        trigger::{Rules, TriggerSettings},
    },
    notifier::TokenFiles,
    store::TriggerChange,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    notifier::receiver::{Heard, Receiver},
    notifier::world::{World, project},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A trigger that shows the statuses of its builds there, with a token of its own where one is named.
async fn trigger(
    world: &World,
    provider: Provider,
    repository: &str,
    url: &str,
    token: Option<&str>,
) -> Trigger {
    let id = TriggerId::generate();
    let settings = TriggerSettings {
        repository: repository.parse().expect("a name"),
        clone_url: "https://git.example/team/app.git".parse().expect("an address"),
        rules: Rules::default(),
        enabled: true,
        commit_status: Some(status(world, id, url, token)),
    };
    let actor = Actor::command_line();
    world
        .store
        .add_trigger(id, &project("default"), provider, &settings, &vec![0], &actor)
        .await
        .expect("it is stored")
}

fn status(world: &World, id: TriggerId, url: &str, token: Option<&str>) -> StatusSettings {
    let api_url = url.parse().expect("an address");
    let seal = |token| {
        let context = token_context(id, &api_url);
        world.keyring.seal(&context, &SecretString::from(token))
    };
    StatusSettings {
        token: token.map(seal),
        api_url,
    }
}

/// A build of the trigger that is about to be created.
async fn shown(world: &World, trigger: &Trigger) -> BuildId {
    let id = BuildId::generate();
    let rule = "app".parse().expect("a name");
    let commit = COMMIT.parse().expect("a commit");
    let target = StatusTarget::of(trigger, &rule, &commit).expect("it shows statuses");
    let stored = world.store.show_commit_status(id, &target).await;
    stored.expect("it is stored");
    id
}

/// What a host hears of a build that fails.
async fn failing(world: &World, provider: Provider, base: &str) -> Vec<Heard> {
    let receiver = Receiver::new().await;
    let url = format!("{}{base}", receiver.url);
    let trigger = trigger(world, provider, "team/app", &url, Some("tok-1")).await;
    let id = shown(world, &trigger).await;
    world.queued_as(id, "default").await;
    world.start(id).await;
    world.fail(id).await;
    world.settle(&world.notifier()).await;
    receiver.heard()
}

fn field(heard: &[Heard], name: &str) -> Vec<Value> {
    heard.iter().map(|one| one.json()[name].clone()).collect()
}

#[sqlx::test(migrations = false)]
async fn github_and_gitea_hear_pending_and_then_the_result(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    for (provider, base, authorization) in [
        (Provider::Github, "", "Bearer tok-1"),
        (Provider::Gitea, "/api/v1", "token tok-1"),
        (Provider::Forgejo, "/api/v1/", "token tok-1"),
    ] {
        let heard = failing(&world, provider, base).await;
        let path = format!("{}/repos/team/app/statuses/{COMMIT}", base.trim_end_matches('/'));
        assert!(heard.iter().all(|one| one.path == path), "{heard:?}");
        assert!(
            heard
                .iter()
                .all(|one| one.header("authorization") == authorization)
        );
        assert_eq!(field(&heard, "state"), ["pending", "pending", "failure"]);
        assert_eq!(field(&heard, "context"), vec![json!("slipway/default/app"); 3]);
        let end = heard[2].json();
        assert_eq!(end["description"], "build_step_failed: RUN make ended with 2");
        let link = end["target_url"].as_str().expect("a link");
        assert!(
            link.starts_with("https://slipway.example/api/v1/builds/"),
            "{link}"
        );
    }
}

#[sqlx::test(migrations = false)]
async fn gitlab_hears_of_running_too(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let heard = failing(&world, Provider::Gitlab, "/api/v4").await;
    let path = format!("/api/v4/projects/team%2Fapp/statuses/{COMMIT}");
    assert!(heard.iter().all(|one| one.path == path), "{heard:?}");
    assert!(heard.iter().all(|one| one.header("private-token") == "tok-1"));
    assert_eq!(field(&heard, "state"), ["pending", "running", "failed"]);
    assert_eq!(field(&heard, "name"), vec![json!("slipway/default/app"); 3]);
}

#[sqlx::test(migrations = false)]
async fn bitbucket_hears_it_in_its_words(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    for (provider, base, path) in [
        (
            Provider::BitbucketCloud,
            "/2.0",
            format!("/2.0/repositories/team/app/commit/{COMMIT}/statuses/build"),
        ),
        (
            Provider::BitbucketDc,
            "/rest",
            format!("/rest/build-status/1.0/commits/{COMMIT}"),
        ),
    ] {
        let heard = failing(&world, provider, base).await;
        assert!(heard.iter().all(|one| one.path == path), "{heard:?}");
        assert_eq!(field(&heard, "state"), ["INPROGRESS", "INPROGRESS", "FAILED"]);
        let key = heard[0].json()["key"].as_str().expect("a key").to_owned();
        assert!(key.len() <= 40, "{key}");
        assert_eq!(field(&heard, "key"), vec![json!(key); 3]);
    }
}

#[sqlx::test(migrations = false)]
async fn the_operators_token_goes_to_its_host_and_its_project_alone(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let mut world = World::new(database).await;
    let (right, wrong) = (Receiver::new().await, Receiver::new().await);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("token");
    std::fs::write(&file, "operators\n").expect("it can be written");
    let setting = format!("default@{}/team={}", right.url, file.display());
    world.tokens = TokenFiles::new(vec![setting.parse().expect("a setting")]);
    for (url, owner, repository, arrives) in [
        (&right.url, "default", "team/app", true),
        (&right.url, "default", "teams/app", false),
        (&right.url, "other", "team/app", false),
        (&wrong.url, "default", "team/app", false),
    ] {
        let before = right.heard().len();
        let trigger = trigger(&world, Provider::Github, repository, url, None).await;
        let id = shown(&world, &trigger).await;
        world.queued_as(id, project(owner).as_str()).await;
        world.settle(&world.notifier()).await;
        assert_eq!(
            right.heard().len() - before,
            usize::from(arrives),
            "{owner} {repository}"
        );
        let build = world.store.build(id).await.expect("readable").expect("there");
        assert_eq!(build.state.as_str(), "queued", "no build is held up");
    }
    assert_eq!(right.heard()[0].header("authorization"), "Bearer operators");
    assert!(wrong.heard().is_empty());
}

#[sqlx::test(migrations = false)]
async fn what_a_host_will_never_take_is_given_up_and_the_next_is_told(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let receiver = Receiver::new().await;
    receiver.answers_with(422);
    let trigger = trigger(&world, Provider::Github, "team/app", &receiver.url, Some("tok-1")).await;
    let id = shown(&world, &trigger).await;
    world.queued_as(id, "default").await;
    world.start(id).await;
    world.settle(&world.notifier()).await;
    assert_eq!(receiver.heard().len(), 2);
    let forget = async || {
        let batch = world
            .store
            .remove_old_commit_statuses(Duration::from_secs(1), uuid::Uuid::nil())
            .await;
        batch.expect("it can be swept").removed
    };
    assert_eq!(forget().await, 0, "it is young");
    assert_eq!(world.count("commit_statuses").await, 1);
}

#[sqlx::test(migrations = false)]
async fn a_new_token_counts_at_once_and_what_is_turned_off_or_removed_is_told_no_more(
    _: PgPoolOptions,
    database: PgConnectOptions,
) {
    let world = World::new(database).await;
    let (receiver, elsewhere) = (Receiver::new().await, Receiver::new().await);
    let trigger = trigger(&world, Provider::Gitea, "team/app", &receiver.url, Some("tok-1")).await;
    let id = shown(&world, &trigger).await;
    world.queued_as(id, "default").await;
    let settles = async |status: Option<StatusSettings>| {
        let change = TriggerChange {
            commit_status: Some(status),
            ..TriggerChange::default()
        };
        let actor = Actor::command_line();
        let changed = world.store.change_trigger(trigger.id, &change, &actor).await;
        changed.expect("it is changed").expect("it is there");
    };
    settles(Some(status(&world, trigger.id, &receiver.url, Some("tok-2")))).await;
    world.settle(&world.notifier()).await;
    assert_eq!(receiver.heard()[0].header("authorization"), "token tok-2");

    // The token of another address does not come to this one, nor its own to that.
    settles(Some(status(&world, trigger.id, &elsewhere.url, Some("tok-3")))).await;
    world.start(id).await;
    world.settle(&world.notifier()).await;
    settles(None).await;
    let again = BuildId::generate();
    let copied = world.store.show_commit_status_of(again, id).await;
    copied.expect("it is looked up");
    assert_eq!(world.count("commit_statuses").await, 1, "it shows none any more");

    world
        .store
        .remove_trigger(trigger.id, &Actor::command_line())
        .await
        .expect("it is removed");
    world.fail(id).await;
    world.settle(&world.notifier()).await;
    assert_eq!((receiver.heard().len(), elsewhere.heard().len()), (1, 0));
}
