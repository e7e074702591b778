//! A way to a server that can be cut and mended.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes connections on as long as it is whole.
#[derive(Clone)]
pub struct Cut {
    pub address: SocketAddr,
    whole: Arc<watch::Sender<bool>>,
}

impl Cut {
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let whole = Arc::new(watch::Sender::new(true));
        let seen = whole.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *seen.borrow() {
                    tokio::spawn(pass(client, server.clone(), seen.clone()));
                }
            }
        });
        Self { address, whole }
    }

    /// Breaks what is connected, and lets nobody through.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut client: TcpStream, server: String, mut whole: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
