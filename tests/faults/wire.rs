//! A wire between the service and Postgres, which may go dead without either end being told.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// How often the wire went dead; whether it is dead now.
#[derive(Debug, Clone, Copy)]
struct Life {
    deaths: u32,
    dead: bool,
}

/// The wire. Ends when dropped.
pub struct Wire {
    port: u16,
    life: watch::Sender<Life>,
    task: JoinHandle<()>,
}

impl Wire {
    /// To a server's port on loopback.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let life = watch::Sender::new(Life {
            deaths: 0,
            dead: false,
        });
        let task = tokio::spawn(accept(listener, server, life.subscribe()));
        Self { port, life, task }
    }

    /// Its end that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections stay open, new ones come about, and no byte passes.
    pub fn die(&self) {
        self.life.send_modify(|life| {
            life.deaths += 1;
            life.dead = true;
        });
    }

    /// New connections are well. Those of before stay dead: half open, as the network left them.
    pub fn revive(&self) {
        self.life.send_modify(|life| life.dead = false);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: u16, life: watch::Receiver<Life>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let life = life.clone();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                return;
            };
            let born = *life.borrow();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = carry(from_client, to_server, born, &life) => {}
                () = carry(from_server, to_client, born, &life) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Carries bytes until one end closes; for ever, without carrying any, once the wire has died.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    born: Life,
    life: &watch::Receiver<Life>,
) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut piece).await.unwrap_or(0);
        let now = *life.borrow();
        if born.dead || now.deaths != born.deaths {
            std::future::pending::<()>().await;
        }
        if read == 0 || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
