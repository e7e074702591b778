//! The logs of a node's containers, served as a kubelet serves them: over TLS, to the API server.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use futures::{Stream, StreamExt, stream};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::puppet::chronicle::PATIENCE;

/// What is wrong with a container's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every request is refused with this status.
    Refused(u16),
    /// The next connection breaks after so many bytes.
    Breaks(usize),
    /// The node takes connections, and says nothing.
    Silent,
}

#[derive(Default)]
struct Log {
    text: Vec<u8>,
    ended: bool,
    fault: Option<Fault>,
    requests: usize,
    follows: usize,
}

/// The logs of one node, by pod.
pub struct Logs {
    logs: Mutex<HashMap<String, Log>>,
    changed: watch::Sender<()>,
}

impl Logs {
    /// Serves logs from a free port on; the port, and the task that serves.
    pub async fn serve(host: &str) -> (Arc<Self>, u16, JoinHandle<()>) {
        let logs = Arc::new(Self {
            logs: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let tcp = TcpListener::bind((host, 0)).await.expect("a free port");
        let port = tcp.local_addr().expect("a port").port();
        let router = Router::new()
            .route("/containerLogs/{namespace}/{pod}/{container}", get(answer))
            .with_state(logs.clone());
        let listener = Tls {
            tcp,
            acceptor: acceptor(),
        };
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("it serves until it is stopped");
        });
        (logs, port, task)
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<String, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, pod: &str, change: impl FnOnce(&mut Log)) {
        change(self.logs().entry(pod.to_owned()).or_default());
        self.changed.send_replace(());
    }

    pub fn begin(&self, pod: &str) {
        self.change(pod, |_| {});
    }

    pub fn append(&self, pod: &str, text: &[u8]) {
        self.change(pod, |log| log.text.extend_from_slice(text));
    }

    pub fn end(&self, pod: &str) {
        self.change(pod, |log| log.ended = true);
    }

    /// The container is gone, and its log with it.
    pub fn remove(&self, pod: &str) {
        self.logs().remove(pod);
        self.changed.send_replace(());
    }

    pub fn fault(&self, pod: &str, fault: impl Into<Option<Fault>>) {
        let fault = fault.into();
        self.change(pod, |log| log.fault = fault);
    }

    /// The end of a log, as far as it is text.
    pub fn last_words(&self, pod: &str, most: usize) -> String {
        let logs = self.logs();
        let text = logs.get(pod).map_or(&[][..], |log| &log.text);
        String::from_utf8_lossy(&text[text.len().saturating_sub(most)..]).into_owned()
    }

    /// How often the log was followed.
    pub fn follows(&self, pod: &str) -> usize {
        self.logs().get(pod).map_or(0, |log| log.follows)
    }

    /// Waits until the log was asked for so many times more.
    pub async fn until_asked(&self, pod: &str, more: usize) {
        let asked = || self.logs().get(pod).map_or(0, |log| log.requests);
        let enough = asked() + more;
        let mut changed = self.changed.subscribe();
        let waited = tokio::time::timeout(PATIENCE, changed.wait_for(|()| asked() >= enough)).await;
        assert!(waited.is_ok(), "nobody asks for the log any more");
    }

    /// Counts a request, and says what is wrong with it. `None` where there is no log.
    fn ask(&self, pod: &str, follow: bool) -> Option<Option<Fault>> {
        let mut logs = self.logs();
        let log = logs.get_mut(pod)?;
        log.requests += 1;
        log.follows += usize::from(follow);
        self.changed.send_replace(());
        Some(match log.fault {
            Some(Fault::Breaks(_)) => log.fault.take(),
            other => other,
        })
    }

    fn from(&self, pod: &str, at: usize) -> Option<(Bytes, bool)> {
        let logs = self.logs();
        let log = logs.get(pod)?;
        Some((Bytes::copy_from_slice(log.text.get(at..)?), log.ended))
    }

    /// What is there, and where it is followed all that comes, until the container ends.
    fn stream(self: Arc<Self>, pod: String, at: usize, follow: bool) -> impl Stream<Item = Bytes> {
        let changed = self.changed.subscribe();
        stream::unfold(
            (self, pod, at, changed),
            move |(logs, pod, at, mut changed)| async move {
                loop {
                    changed.mark_unchanged();
                    let (bytes, ended) = logs.from(&pod, at)?;
                    if !bytes.is_empty() {
                        let next = at + bytes.len();
                        return Some((bytes, (logs, pod, next, changed)));
                    }
                    if ended || !follow {
                        return None;
                    }
                    changed.changed().await.ok()?;
                }
            },
        )
    }
}

async fn answer(
    State(logs): State<Arc<Logs>>,
    Path((_, pod, container)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let follow = query.get("follow").is_some_and(|value| value == "true");
    let Some(fault) = logs.ask(&pod, follow) else {
        let words = format!("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating");
        return (StatusCode::BAD_REQUEST, words).into_response();
    };
    let tail = query.get("tailLines").and_then(|lines| lines.parse().ok());
    let at = tail.map_or(0, |lines| tail_begins(&logs, &pod, lines));
    let pieces = logs.stream(pod, at, follow);
    match fault {
        None => Body::from_stream(pieces.map(Ok::<_, Infallible>)).into_response(),
        Some(Fault::Refused(status)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, "not now").into_response()
        }
        Some(Fault::Silent) => std::future::pending().await,
        Some(Fault::Breaks(after)) => Body::from_stream(broken(pieces, after)).into_response(),
    }
}

fn tail_begins(logs: &Logs, pod: &str, lines: usize) -> usize {
    let text = logs.from(pod, 0).map(|(text, _)| text).unwrap_or_default();
    let ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    // The last line's end is no beginning of another.
    ends.map(|(at, _)| at + 1).nth(lines).unwrap_or(0)
}

fn broken(pieces: impl Stream<Item = Bytes>, after: usize) -> impl Stream<Item = io::Result<Bytes>> {
    let mut left = after;
    let cut = pieces.map(move |piece| {
        let kept = piece.slice(..left.min(piece.len()));
        left -= kept.len();
        kept
    });
    let whole = cut.take_while(|piece| futures::future::ready(!piece.is_empty()));
    whole
        .map(Ok)
        .chain(stream::once(async { Err(io::ErrorKind::ConnectionReset.into()) }))
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// With a certificate made for this run: the API server does not look at a kubelet's unless it is told to.
fn acceptor() -> TlsAcceptor {
    static ACCEPTOR: OnceLock<TlsAcceptor> = OnceLock::new();
    let made = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-subj", "/CN=puppet", "-days", "2", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they fit");
        TlsAcceptor::from(Arc::new(config))
    };
    ACCEPTOR.get_or_init(made).clone()
}
