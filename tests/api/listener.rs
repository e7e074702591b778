//! Clients that are slow, many, or still there when the service stops.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use slipway::api::{ListenerOptions, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Long enough for every machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    soft: CancellationToken,
    hard: CancellationToken,
    ended: JoinHandle<()>,
    /// Lets `/held` answer.
    release: Arc<Notify>,
    /// Told when `/held` is asked.
    held: Arc<Notify>,
}

async fn running(options: ListenerOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let (release, held) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, tell) = (Arc::clone(&release), Arc::clone(&held));
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/endless", get(|| async { vec![b'x'; 64 << 20] }))
        .route(
            "/held",
            get(move || async move {
                tell.notify_one();
                wait.notified().await;
                "done"
            }),
        );
    let ended = tokio::spawn(serve(listener, app, options, soft.clone(), hard.clone()));
    Running {
        address,
        soft,
        hard,
        ended,
        release,
        held,
    }
}

fn brief() -> ListenerOptions {
    ListenerOptions {
        max_connections: 4,
        header_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_millis(200),
        ..ListenerOptions::default()
    }
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let client = TcpStream::connect(address).await.expect("it listens");
    asking(client, path).await
}

async fn asking(mut client: TcpStream, path: &str) -> TcpStream {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    client
        .write_all(request.as_bytes())
        .await
        .expect("it can be sent");
    client
}

/// The same, from another address of this machine.
async fn ask_from(own: &str, address: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::new(own.parse().expect("an address"), 0);
    socket.bind(own).expect("it is this machine's");
    let client = socket.connect(address).await.expect("it listens");
    asking(client, path).await
}

/// Reads until `end` was seen, or the connection ended.
async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        match timeout(PATIENCE, client.read(&mut buffer))
            .await
            .expect("it answers or hangs up")
        {
            Ok(0) | Err(_) => break,
            Ok(n) => text.push_str(&String::from_utf8_lossy(&buffer[..n])),
        }
    }
    text
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_hung_up_on() {
    let running = running(brief()).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    let said = read_until(&mut client, "never").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn a_client_that_sends_nothing_more_is_hung_up_on() {
    let running = running(brief()).await;
    let mut client = ask(running.address, "/").await;
    assert!(read_until(&mut client, "hello").await.ends_with("hello"));
    let said = read_until(&mut client, "never").await;
    assert!(!said.contains("200"), "{said}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_gives_its_place_up() {
    let options = ListenerOptions {
        max_connections: 1,
        ..brief()
    };
    let running = running(options).await;
    let greedy = ask(running.address, "/endless").await;
    let mut next = ask(running.address, "/").await;
    assert!(read_until(&mut next, "hello").await.ends_with("hello"));
    drop(greedy);
}

#[tokio::test]
async fn further_connections_wait_for_a_place() {
    let options = ListenerOptions {
        max_connections: 1,
        ..ListenerOptions::default()
    };
    let running = running(options).await;
    let mut first = ask(running.address, "/held").await;
    timeout(PATIENCE, running.held.notified())
        .await
        .expect("it is being answered");
    let mut second = ask(running.address, "/").await;
    let mut buffer = [0; 1];
    let early = timeout(Duration::from_millis(100), second.read(&mut buffer)).await;
    assert!(early.is_err(), "the second waits: {early:?}");
    running.release.notify_one();
    assert!(read_until(&mut first, "done").await.ends_with("done"));
    drop(first);
    assert!(read_until(&mut second, "hello").await.ends_with("hello"));
}

#[tokio::test]
async fn further_connections_of_one_address_are_closed_and_others_are_served() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // The listener counts on this thread: the test's runtime has no other.
    let _counted = metrics::set_default_local_recorder(&recorder);
    let options = ListenerOptions {
        max_connections_per_address: 2,
        ..ListenerOptions::default()
    };
    let running = running(options).await;
    let first = ask(running.address, "/held").await;
    let mut second = ask(running.address, "/").await;
    assert!(read_until(&mut second, "hello").await.ends_with("hello"));
    let mut third = ask(running.address, "/").await;
    assert_eq!(read_until(&mut third, "hello").await, "", "it is closed");
    assert!(
        metrics.render().contains("slipway_connections_refused_total 1\n"),
        "{}",
        metrics.render()
    );

    let mut other = ask_from("127.0.0.2", running.address, "/").await;
    assert!(read_until(&mut other, "hello").await.ends_with("hello"));
    drop(first);
    // Its place is free as soon as the service has noticed.
    let served = async {
        loop {
            let mut again = ask(running.address, "/").await;
            if read_until(&mut again, "hello").await.ends_with("hello") {
                break;
            }
        }
    };
    timeout(PATIENCE, served).await.expect("there is room again");
}

#[tokio::test]
async fn a_trusted_proxy_may_connect_for_many() {
    let options = ListenerOptions {
        max_connections_per_address: 1,
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
        ..ListenerOptions::default()
    };
    let running = running(options).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = ask(running.address, "/").await;
        assert!(read_until(&mut client, "hello").await.ends_with("hello"));
        clients.push(client);
    }
}

#[tokio::test]
async fn the_soft_signal_lets_requests_finish_and_takes_no_new_ones() {
    let running = running(ListenerOptions::default()).await;
    let mut busy = ask(running.address, "/held").await;
    timeout(PATIENCE, running.held.notified())
        .await
        .expect("it is being answered");
    let mut idle = ask(running.address, "/").await;
    assert!(read_until(&mut idle, "hello").await.ends_with("hello"));
    running.soft.cancel();
    assert_eq!(
        read_until(&mut idle, "never").await,
        "",
        "an idle connection is closed"
    );
    running.release.notify_one();
    assert!(read_until(&mut busy, "done").await.ends_with("done"));
    timeout(PATIENCE, running.ended)
        .await
        .expect("it ends")
        .expect("it ends well");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn the_hard_signal_waits_for_nobody() {
    let running = running(ListenerOptions::default()).await;
    let mut busy = ask(running.address, "/held").await;
    timeout(PATIENCE, running.held.notified())
        .await
        .expect("it is being answered");
    running.soft.cancel();
    running.hard.cancel();
    timeout(PATIENCE, running.ended)
        .await
        .expect("it ends")
        .expect("it ends well");
    assert_eq!(read_until(&mut busy, "done").await, "");
}

#[tokio::test]
async fn heads_are_bounded() {
    let running = running(ListenerOptions::default()).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
        "x".repeat(128 << 10)
    );
    let _ = client.write_all(head.as_bytes()).await;
    let said = read_until(&mut client, "\r\n\r\n").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
}
