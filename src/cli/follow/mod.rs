//! Shows a build until it has ended.

mod output;
mod status;

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};

pub(super) use self::{output::LogOutput, status::Status};
use super::{
    describe,
    ending::{Ending, Failure},
    screen::Screen,
};
use crate::{
    client::{Build, BuildWatch, Client, ClientError, Json, LogFollower, LogItem, LogStart},
    domain::{BuildId, State},
};

/// Longest time in which the rest of a log may arrive after the build's end.
const REST_OF_LOG: Duration = Duration::from_secs(15);

/// Receiver of Ctrl-C, which replaces its default effect of ending the process.
pub(super) struct Interrupts(Signal);

impl Interrupts {
    /// Registers the handler: from now on Ctrl-C does not end the process.
    pub(super) fn listen() -> Result<Self, Failure> {
        signal(SignalKind::interrupt())
            .map(Self)
            .map_err(|error| Failure::Local(format!("Ctrl-C cannot be listened for: {error}")))
    }

    /// Returns at the next Ctrl-C.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// A build to follow, and the options for it.
pub(super) struct Following<'a> {
    pub client: &'a Client,
    pub id: BuildId,
    /// `true` if the result is the build as JSON; the log then goes to standard error.
    pub json: bool,
    pub cancel_on_interrupt: bool,
}

/// An item of the log, or a new state of the build.
enum News {
    Log(LogItem),
    LogOver,
    Build(Box<Json<Build>>),
}

/// Shows a build's log and its progress until it has ended.
pub(super) async fn follow(
    following: Following<'_>,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
) -> Result<Ending, Failure> {
    let (client, id) = (following.client, following.id);
    let mut tasks = JoinSet::new();
    let mut news = listen(client, id, &mut tasks);
    let mut show = Show {
        output: LogOutput::new(screen, following.json),
        status: Status::new(screen, following.json),
        ended: None,
        log_over: false,
    };
    let mut deadline = None;
    let mut interrupted = false;
    while !(show.log_over && show.ended.is_some()) {
        if show.ended.is_some() && deadline.is_none() {
            deadline = Some(Instant::now() + REST_OF_LOG);
        }
        tokio::select! {
            heard = news.recv() => match heard {
                Some(heard) => show.take(screen, heard?)?,
                None => break,
            },
            () = interrupts.next() => {
                show.end(screen)?;
                if interrupted || !following.cancel_on_interrupt {
                    leave(screen, id);
                    return Ok(Ending::Interrupted);
                }
                interrupted = true;
                stop(client, screen, id).await?;
            }
            () = until(deadline) => {
                screen.note("the rest of the log does not come: `slipway logs` may have it later");
                break;
            }
        }
    }
    show.end(screen)?;
    let ended = show
        .ended
        .ok_or_else(|| Failure::Local("the build's end was not seen".to_owned()))?;
    if following.json {
        screen.result(&ended.text)?;
    }
    screen.note(&describe::outcome(&ended.value));
    Ok(match ended.value.state {
        _ if interrupted => Ending::Interrupted,
        State::Succeeded => Ending::Done,
        _ => Ending::BuildFailed,
    })
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Prints that the build continues, since Ctrl-C ended only the output.
fn leave(screen: &mut Screen, id: BuildId) {
    screen.note(&format!(
        "The build goes on. `slipway logs -f {id}` follows it, `slipway cancel {id}` stops it."
    ));
}

async fn stop(client: &Client, screen: &mut Screen, id: BuildId) -> Result<(), Failure> {
    screen.note("cancelling the build; Ctrl-C once more leaves it to itself");
    match client.cancel(id).await {
        // The build ended in the meantime.
        Err(ClientError::Problem(problem)) if problem.code == "build_ended" => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Starts one task that follows the log and one that follows the build.
fn listen(
    client: &Client,
    id: BuildId,
    tasks: &mut JoinSet<()>,
) -> mpsc::Receiver<Result<News, ClientError>> {
    let (tell, news) = mpsc::channel(64);
    let mut log = LogFollower::new(client.clone(), id, LogStart::First);
    let mut build = BuildWatch::new(client.clone(), id);
    tasks.spawn({
        let tell = tell.clone();
        async move {
            loop {
                let heard = log.next().await;
                let last = !matches!(heard, Ok(Some(_)));
                let heard = heard.map(|item| item.map_or(News::LogOver, News::Log));
                if tell.send(heard).await.is_err() || last {
                    return;
                }
            }
        }
    });
    tasks.spawn(async move {
        loop {
            let heard = build.next().await;
            let last = !matches!(&heard, Ok(build) if !build.value.state.is_terminal());
            if tell
                .send(heard.map(|build| News::Build(Box::new(build))))
                .await
                .is_err()
                || last
            {
                return;
            }
        }
    });
    news
}

/// Output of a build, and what is known of its end.
struct Show {
    output: LogOutput,
    status: Status,
    ended: Option<Json<Build>>,
    log_over: bool,
}

impl Show {
    fn take(&mut self, screen: &mut Screen, news: News) -> Result<(), Failure> {
        match news {
            News::Log(item) => self.output.take(screen, &self.status, item)?,
            News::LogOver => self.log_over = true,
            News::Build(build) => {
                if build.value.state.is_terminal() {
                    // Without an attempt there is no log.
                    self.log_over |= build.value.attempts.is_empty();
                    self.ended = Some(*build);
                } else {
                    self.status.show(screen, &build.value);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        self.status.clear();
        Ok(self.output.end(screen)?)
    }
}
