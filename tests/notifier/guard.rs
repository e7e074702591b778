//! Inside addresses are not called, whatever leads to them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use slipway::{domain::inside::Reachable, store::NotificationState};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;

use crate::{notifier::receiver::Receiver, notifier::world::World};

const REFUSED: &str = "the address is not one that may be called from here";

/// A port inside that counts who dials it, on both families.
async fn inside() -> (u16, Arc<AtomicUsize>) {
    let dialled = Arc::new(AtomicUsize::new(0));
    let four = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = four.local_addr().expect("it has an address").port();
    let six = TcpListener::bind(("::1", port)).await.ok();
    for listener in [Some(four), six].into_iter().flatten() {
        let dialled = Arc::clone(&dialled);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                dialled.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    (port, dialled)
}

#[sqlx::test(migrations = false)]
async fn nothing_inside_is_dialled(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let (port, dialled) = inside().await;
    let mut endpoints = Vec::new();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "169.254.169.254",
        "localhost",
    ] {
        endpoints.push((host, world.endpoint(&format!("http://{host}:{port}/")).await));
    }
    world.queued().await;
    world
        .settle(&world.notifier_that_reaches(Reachable::default()))
        .await;
    for (host, endpoint) in endpoints {
        let told = world.told(&endpoint).await;
        assert_eq!(told[0].state, NotificationState::Waiting, "{host}");
        assert_eq!(told[0].tries.len(), 1, "{host}");
        assert_eq!(told[0].tries[0].error.as_deref(), Some(REFUSED), "{host}");
        assert_eq!(told[0].tries[0].status, None, "{host}");
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

#[sqlx::test(migrations = false)]
async fn a_redirect_is_a_failure_and_followed_nowhere(_: PgPoolOptions, database: PgConnectOptions) {
    let world = World::new(database).await;
    let (port, dialled) = inside().await;
    let receiver = Receiver::new().await;
    let endpoint = world.endpoint(&receiver.url).await;
    for status in [301, 302, 303, 307, 308] {
        receiver.answers(move |_| {
            let to = format!("http://127.0.0.1:{port}/");
            (status, vec![("location", to)], String::new())
        });
        world.queued().await;
    }
    world.settle(&world.notifier()).await;
    let told = world.told(&endpoint).await;
    assert_eq!(told.len(), 5);
    for one in told {
        assert_eq!(one.state, NotificationState::Waiting);
        assert!(
            one.tries[0]
                .error
                .as_deref()
                .is_some_and(|error| error.contains("redirect"))
        );
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}
