//! Lists, contexts and metrics.

use super::*;
use crate::domain::{ContextId, Source, State};

async fn ids(store: &Store, filter: &BuildFilter) -> Vec<BuildId> {
    let builds = store.builds(filter, None, 100).await.unwrap();
    builds.into_iter().map(|build| build.id).collect()
}

#[sqlx::test]
async fn a_list_goes_from_the_newest_to_the_oldest_page_by_page(pool: PgPool) {
    let store = store(&pool);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(queued(&store, "team", 0).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.builds(&BuildFilter::default(), before, 2).await.unwrap();
        seen.extend(page.iter().map(|build| build.id));
        match page.last() {
            Some(last) if page.len() == 2 => before = Some(last.id),
            _ => break,
        }
    }
    assert_eq!(seen, made);
}

#[sqlx::test]
async fn filters_narrow_a_list(pool: PgPool) {
    let store = store(&pool);
    let other = queued(&store, "other", 0).await;
    let running = running(&store, "team").await;
    let mut tagged = new_build("team");
    let Source::Git(git) = &mut tagged.spec.source else {
        panic!("a git source")
    };
    git.reference = Some("v1".parse().unwrap());
    tagged.spec.destinations =
        serde_json::from_value(serde_json::json!(["registry.example.com/team/lib:v1"])).unwrap();
    let tagged = created(&store, tagged).await;

    let all = BuildFilter::default;
    let team = Some("team".parse().unwrap());
    let repository = |name: &str| Some(format!("registry.example.com/team/{name}"));
    assert_eq!(ids(&store, &all()).await, [tagged.id, running, other]);
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                project: team.clone(),
                ..all()
            }
        )
        .await,
        [tagged.id, running]
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                project: Some("no".parse().unwrap()),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                repository: repository("lib"),
                ..all()
            }
        )
        .await,
        [tagged.id]
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                repository: repository("li"),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                git_ref: Some("v1".to_owned()),
                ..all()
            }
        )
        .await,
        [tagged.id]
    );
    for (states, expected) in [
        (vec![State::Running], vec![running]),
        // The claim of the running build also claimed the other one.
        (vec![State::Launching, State::Running], vec![running, other]),
        (vec![State::Queued, State::Running], vec![tagged.id, running]),
        (vec![State::Failed], vec![]),
    ] {
        assert_eq!(
            ids(
                &store,
                &BuildFilter {
                    states: states.clone(),
                    ..all()
                }
            )
            .await,
            expected,
            "{states:?}"
        );
    }
    let moment = Some(tagged.created_at);
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_from: moment,
                ..all()
            }
        )
        .await,
        [tagged.id]
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_before: moment,
                ..all()
            }
        )
        .await,
        [running, other]
    );
    let far = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_before: far("0001-01-01T00:00:00Z"),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_from: far("9999-12-30T00:00:00Z"),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_from: far("0001-01-01T00:00:00Z"),
                ..all()
            }
        )
        .await
        .len(),
        3
    );
}

async fn uploaded(store: &Store, project: &ProjectName, size: u64, sha256: [u8; 32]) -> Context {
    let id = ContextId::generate();
    store.begin_context(id).await.unwrap();
    let added = store.add_context(id, project, size, sha256).await.unwrap();
    added.expect("it was begun")
}

#[sqlx::test]
async fn a_context_is_open_to_its_builds_token_while_the_build_lives(pool: PgPool) {
    let store = store(&pool);
    let team: ProjectName = "team".parse().unwrap();
    let context = uploaded(&store, &team, 42, [3; 32]).await;
    let read = store.context(context.id).await.unwrap().unwrap();
    assert_eq!(
        (read.project, read.size, read.sha256),
        (team.clone(), 42, [3; 32])
    );
    assert_eq!(read.created_at, context.created_at);
    assert!(store.context(ContextId::generate()).await.unwrap().is_none());
    uploaded(&store, &team, 1, [4; 32]).await;

    let id = running(&store, "team").await;
    store.grant_context(context.id, id, [9; 32]).await.unwrap();
    store.grant_context(context.id, id, [9; 32]).await.unwrap();
    assert!(store.may_read_context(context.id, [9; 32]).await.unwrap());
    assert!(!store.may_read_context(context.id, [8; 32]).await.unwrap());
    assert!(
        !store
            .may_read_context(ContextId::generate(), [9; 32])
            .await
            .unwrap()
    );
    store
        .finish(id, &Outcome::Succeeded { digest: None }, &[], 0)
        .await
        .unwrap();
    assert!(!store.may_read_context(context.id, [9; 32]).await.unwrap());
}

#[sqlx::test]
async fn the_depth_of_the_queue_is_counted(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    running(&store, "team").await;
    store.cancel(id).await.unwrap();
    queued(&store, "team", 0).await;
    queued(&store, "other", 5).await;
    let depth = store.queue_depth().await.unwrap();
    assert_eq!(
        depth,
        QueueDepth {
            queued: 2,
            launching: 0,
            running: 1,
            cancelling: 1
        }
    );
    assert!(store.pool_status().size > 0);
}
