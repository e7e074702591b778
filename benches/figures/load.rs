//! A load generator that costs little: keep-alive HTTP/1.1 over plain sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One connection that sends requests one after the other.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8192),
        })
    }

    /// Sends one JSON request and reads the whole answer.
    pub async fn post(&mut self, path: &str, body: &str) -> Result<Answer> {
        self.post_with(path, "", body).await
    }

    /// The same with more headers, each with its line's end.
    pub async fn post_with(&mut self, path: &str, headers: &str, body: &str) -> Result<Answer> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(&request).await
    }

    /// Asks for something and reads the whole answer.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n"))
            .await
    }

    async fn send(&mut self, request: &str) -> Result<Answer> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the service hung up"
            );
        };
        let text = std::str::from_utf8(&self.buffer[..head])?.to_ascii_lowercase();
        let status = text
            .split(' ')
            .nth(1)
            .context("an answer without a status")?
            .parse()?;
        let Some(length) = text.split("content-length: ").nth(1) else {
            bail!("an answer without a length")
        };
        let length: usize = length.split("\r\n").next().unwrap_or_default().parse()?;
        while self.buffer.len() < head + length {
            ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the service hung up"
            );
        }
        Ok(Answer {
            status,
            body: self.buffer[head..head + length].to_vec(),
        })
    }
}

/// Requests a second that `clients` connections get answered with 201 within `time`.
pub async fn rate(
    address: &str,
    path: &'static str,
    body: &str,
    clients: u32,
    time: Duration,
) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (stop, body) = (stop.clone(), body.to_owned());
        let mut client = Client::connect(address).await?;
        running.spawn(async move {
            let mut done = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.post(path, &body).await?;
                ensure!(
                    answer.status == 201,
                    "{} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                );
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let began = Instant::now();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut total = 0.0;
    while let Some(ended) = running.join_next().await {
        total += f64::from(ended??);
    }
    Ok(total / began.elapsed().as_secs_f64())
}
