//! A client that follows a log as Server-Sent Events, and notes how old each line is when it arrives.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use slipway::domain::BuildId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

/// Lines begin with this and the nanoseconds since the program's beginning.
pub const STAMP: &str = "printed at ";

/// Follows until so many lines have come: their ages in milliseconds. Says when the stream has begun.
pub async fn follow(
    address: String,
    id: BuildId,
    lines: usize,
    beginning: Instant,
    begun: oneshot::Sender<()>,
) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(&address).await?;
    let request =
        format!("GET /api/v1/builds/{id}/logs HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut begun = Some(begun);
    let (mut text, mut buffer) = (String::new(), vec![0; 64 * 1024]);
    let mut ages = Vec::with_capacity(lines);
    while ages.len() < lines {
        let read = stream.read(&mut buffer).await?;
        ensure!(read > 0, "the stream ended after {} lines", ages.len());
        let now = beginning.elapsed();
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if text.contains("event: attempt")
            && let Some(begun) = begun.take()
        {
            let _ = begun.send(());
        }
        // A line ends with the two characters that JSON writes for a newline.
        let mut read = 0;
        while let Some(end) = text[read..].find("\\n").map(|end| read + end) {
            if let Some(at) = text[read..end].rfind(STAMP).map(|at| read + at) {
                let nanos: u64 = text[at + STAMP.len()..end].parse().context("a stamp")?;
                let age = now.saturating_sub(std::time::Duration::from_nanos(nanos));
                ages.push(age.as_secs_f64() * 1000.0);
            }
            read = end + 2;
        }
        text.drain(..read);
    }
    Ok(ages)
}
