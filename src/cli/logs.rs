//! Implements `slipway logs`.

use clap::Args;

use super::{
    BuildRef,
    ending::{Ending, Failure},
    follow::{Interrupts, LogOutput, Status},
    screen::Screen,
    settings::{Output, ServiceArgs},
};
use crate::{
    client::{Client, LogFollower, LogQuery, LogStart},
    domain::BuildId,
};

/// Bytes in one request.
const PAGE: u64 = 1 << 20;

/// Arguments of `slipway logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The build
    #[arg(value_name = "ID")]
    id: BuildRef,

    /// Print the log as it grows, until the build has ended, including later attempts
    #[arg(long, short)]
    follow: bool,

    /// The attempt, counted from 1 [default: the latest]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    attempt: Option<u32>,

    /// Only this many lines at the end
    #[arg(long, short = 'n', value_parser = clap::value_parser!(u32).range(1..), value_name = "LINES")]
    tail: Option<u32>,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

pub(super) async fn run(args: LogsArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let mut output = LogOutput::new(screen, false).in_json(settings.output == Output::Json);
    let mut interrupts = Interrupts::listen()?;
    let client = &settings.client;
    let shown = tokio::select! {
        shown = show(client, &args, screen, &mut output) => shown.map(|()| Ending::Done),
        () = interrupts.next() => Ok(Ending::Interrupted),
    };
    output.end(screen)?;
    shown
}

async fn show(
    client: &Client,
    args: &LogsArgs,
    screen: &mut Screen,
    output: &mut LogOutput,
) -> Result<(), Failure> {
    let id = args.id.0;
    let start = match (args.tail, args.attempt) {
        (Some(lines), _) => tail(client, id, args.attempt, lines, screen, output).await?,
        (None, Some(attempt)) => LogStart::At {
            attempt,
            offset: 0,
            on: false,
        },
        (None, None) => LogStart::Latest,
    };
    if args.follow {
        return follow(client, id, start, screen, output).await;
    }
    if args.tail.is_some() {
        return Ok(());
    }
    all(client, id, args.attempt, screen, output).await
}

/// Prints the end of a log, and returns the position after it.
async fn tail(
    client: &Client,
    id: BuildId,
    attempt: Option<u32>,
    lines: u32,
    screen: &mut Screen,
    output: &mut LogOutput,
) -> Result<LogStart, Failure> {
    let wanted = LogQuery {
        attempt,
        tail: Some(lines),
        ..LogQuery::default()
    };
    let slice = client.log(id, wanted).await?;
    if slice.attempt == 0 {
        return Ok(LogStart::Latest);
    }
    output.piece(screen, &Status::none(), slice.attempt, slice.offset, &slice.bytes)?;
    Ok(LogStart::At {
        attempt: slice.attempt,
        offset: slice.end(),
        on: attempt.is_none(),
    })
}

async fn follow(
    client: &Client,
    id: BuildId,
    start: LogStart,
    screen: &mut Screen,
    output: &mut LogOutput,
) -> Result<(), Failure> {
    let mut log = LogFollower::new(client.clone(), id, start);
    while let Some(item) = log.next().await? {
        output.take(screen, &Status::none(), item)?;
    }
    Ok(())
}

/// Prints the present log, page by page.
async fn all(
    client: &Client,
    id: BuildId,
    attempt: Option<u32>,
    screen: &mut Screen,
    output: &mut LogOutput,
) -> Result<(), Failure> {
    let mut wanted = LogQuery {
        attempt,
        offset: Some(0),
        limit: Some(PAGE),
        tail: None,
    };
    loop {
        let slice = client.log(id, wanted).await?;
        if slice.bytes.is_empty() {
            if slice.attempt == 0 {
                screen.note("there is no log yet");
            }
            return Ok(());
        }
        output.piece(screen, &Status::none(), slice.attempt, slice.offset, &slice.bytes)?;
        if slice.end() >= slice.total {
            return Ok(());
        }
        // All pages come from one attempt, even if a later one has begun.
        wanted.attempt = Some(slice.attempt);
        wanted.offset = Some(slice.end());
    }
}
