//! Accepts connections: a bounded number in all and from each client, none that is silent for long, and none that outlives the service.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::{
    households::{Households, Place},
    peer::Peer,
};

/// The largest head of a request, and what is read of a body at once.
const MAX_BUFFER: usize = 64 * 1024;
/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// Counts connections that were closed at once.
const REFUSED: &str = "slipway_connections_refused_total";
/// How long to wait when the machine is out of files or memory.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// What the listener puts up with.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Connections that are served at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Connections of one address, or one /64 of IPv6, that are served at once; further ones are closed. 0: any number.
    pub max_connections_per_address: usize,
    /// The proxies that connect for many clients, and have no limit of their own.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a client may take to send a request's head, or to send nothing between two requests.
    pub header_timeout: Duration,
    /// How long a client may take no byte of an answer.
    pub write_timeout: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_address: 512,
            trusted_proxies: Vec::new(),
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Serves `app` until `soft`: then accepts nothing more and finishes what was begun, until `hard`.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    options: ListenerOptions,
    soft: CancellationToken,
    hard: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let households = Households::new(options.max_connections_per_address, &options.trusted_proxies);
    describe();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_HEADERS);
    while let Some((stream, peer, places)) = next(&listener, &slots, &households, &soft).await {
        let io = TokioIo::new(Patient::new(stream, options.write_timeout));
        let app = Extension(Peer(peer.ip())).layer(app.clone());
        let connection = http.serve_connection(io, TowerToHyperService::new(app));
        let connection = graceful.watch(connection);
        let hard = hard.clone();
        tokio::spawn(async move {
            let _places = places;
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                }
                () = hard.cancelled() => {}
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = hard.cancelled() => {}
    }
}

/// The next connection, as soon as there is a slot for it, with what it takes up. Those of clients that have all of
/// theirs are closed: waiting for one, they would keep others waiting. `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    households: &Households,
    soft: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, (OwnedSemaphorePermit, Place))> {
    let accepted = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(place) = households.admit(peer.ip()) else {
                        metrics::counter!(REFUSED).increment(1);
                        continue;
                    };
                    // Answers are written whole: waiting to fill a packet only delays them.
                    let _ = stream.set_nodelay(true);
                    return Some((stream, peer, (slot, place)));
                }
                Err(error) if is_the_connections(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = soft.cancelled() => None,
        accepted = accepted => accepted,
    }
}

fn describe() {
    metrics::describe_counter!(
        REFUSED,
        "Connections that were closed because their address had all that one may have"
    );
}

/// Whether only that one connection is concerned, which broke before it was accepted.
fn is_the_connections(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// A stream that gives up when its other side takes nothing for too long.
struct Patient<S> {
    inner: S,
    limit: Duration,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(inner: S, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            until: None,
        }
    }

    /// Lets a write through that came to something, and times one that did not.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let limit = self.limit;
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        until
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(context, shut)
    }
}
