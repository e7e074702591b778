//! Implements `slipway build`.

mod args;
mod source;
mod upload;

use std::path::Path;

use clap::Args;
use tokio::io::AsyncReadExt;

pub use self::args::BuildArgs;
use self::{args::Wanted, source::Given};
use super::{
    context::{Context, Dockerfile},
    ending::{Ending, Failure},
    follow::{Following, Interrupts, follow},
    screen::Screen,
    settings::{Output, Settings},
};
use crate::{
    client::{Build, Json},
    domain::{Source, path::RelativePath, source::UploadSource},
};

/// Options for following a new build.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Show the build's log until its end, and exit with its outcome
    #[arg(long)]
    pub(super) follow: bool,

    /// With --follow: cancel the build on Ctrl-C, instead of leaving it running
    #[arg(long, requires = "follow")]
    pub(super) cancel_on_interrupt: bool,
}

/// Uploads the context if there is one, queues the build, and follows it with `--follow`.
pub(super) async fn run(args: BuildArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    screen.be_quiet(args.quiet);
    let settings = args.service.settings()?;
    let project = settings.project(&args.project);
    let wanted = Wanted::new(&args, project).map_err(Failure::Input)?;
    let mut interrupts = Interrupts::listen()?;
    let created = tokio::select! {
        created = create(&args, wanted, &settings, screen) => created?,
        () = interrupts.next() => {
            screen.note("interrupted before the build was queued");
            return Ok(Ending::Interrupted);
        }
    };
    settle(&settings, screen, &mut interrupts, created, &args.follow).await
}

/// Prints a new build's id, or follows it with `--follow`.
pub(super) async fn settle(
    settings: &Settings,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
    created: Json<Build>,
    args: &FollowArgs,
) -> Result<Ending, Failure> {
    let id = created.value.id;
    if args.follow {
        screen.note(&format!("build {id}"));
        let following = Following {
            client: &settings.client,
            id,
            json: settings.output == Output::Json,
            cancel_on_interrupt: args.cancel_on_interrupt,
        };
        return follow(following, screen, interrupts).await;
    }
    match settings.output {
        Output::Json => screen.result(&created.text)?,
        Output::Text => screen.result(&id.to_string())?,
    }
    screen.note(&format!(
        "it is {}: `slipway logs -f {id}` follows it",
        created.value.state
    ));
    Ok(Ending::Done)
}

async fn create(
    args: &BuildArgs,
    wanted: Wanted,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Json<Build>, Failure> {
    let from_stdin = args.file.as_deref() == Some(Path::new("-"));
    let (source, dockerfile) = match &args.context {
        Given::Remote(_) | Given::Stdin if from_stdin => {
            return Err(Failure::Input(
                "--file=- gives a folder another Dockerfile: this context has its own".to_owned(),
            ));
        }
        Given::Remote(source) => {
            let named = args.file.as_deref().unwrap_or(Path::new("Dockerfile"));
            (source.clone(), inside(named)?)
        }
        Given::Stdin => from_standard_input(args, &wanted, settings, screen).await?,
        Given::Folder(folder) => {
            let dockerfile = if from_stdin {
                Dockerfile::Text(standard_input().await?)
            } else {
                Dockerfile::File(args.file.clone())
            };
            send(folder, dockerfile, &wanted, settings, screen).await?
        }
    };
    let named = wanted.project.is_some();
    let spec = wanted.spec(args, source, dockerfile);
    Ok(match named {
        true => settings.client.create_build(&spec).await?,
        false => settings.client.create_build_anywhere(&spec).await?,
    })
}

/// Uploads a folder, and returns the source and the Dockerfile's path in it.
async fn send(
    folder: &Path,
    dockerfile: Dockerfile,
    wanted: &Wanted,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<(Source, RelativePath), Failure> {
    let looking = tokio::task::spawn_blocking({
        let folder = folder.to_owned();
        move || Context::look(&folder, dockerfile)
    });
    let looked = looking.await.map_err(|error| Failure::Local(error.to_string()))?;
    let context = looked.map_err(|error| Failure::Input(error.to_string()))?;
    let dockerfile = inside(context.dockerfile())?;
    let count = context.count();
    let sent = upload::folder(&settings.client, screen, wanted.project.as_ref(), context).await?;
    for path in &sent.gone {
        screen.note(&format!(
            "{} went away while the context was sent",
            path.display()
        ));
    }
    let size = indicatif::DecimalBytes(sent.context.size);
    screen.note(&format!("sent {count} files and folders, {size} packed"));
    Ok((uploaded(&sent.context), dockerfile))
}

/// Uploads standard input: a tar.gz archive if it has the gzip signature, a Dockerfile otherwise.
async fn from_standard_input(
    args: &BuildArgs,
    wanted: &Wanted,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<(Source, RelativePath), Failure> {
    let unreadable = |error| Failure::Local(format!("standard input cannot be read: {error}"));
    let mut stdin = tokio::io::stdin();
    let mut begun = Vec::new();
    while begun.len() < 2 && stdin.read_buf(&mut begun).await.map_err(unreadable)? > 0 {}
    let (kind, dockerfile) = if begun.starts_with(&[0x1f, 0x8b]) {
        let named = args.file.as_deref().unwrap_or(Path::new("Dockerfile"));
        ("application/gzip", inside(named)?)
    } else if args.file.is_some() {
        return Err(Failure::Input(
            "--file names a file of the context, and a Dockerfile on standard input has none".to_owned(),
        ));
    } else {
        ("text/plain", inside(Path::new("Dockerfile"))?)
    };
    let context = upload::stream(
        &settings.client,
        screen,
        wanted.project.as_ref(),
        kind,
        begun,
        stdin,
    )
    .await?;
    Ok((uploaded(&context), dockerfile))
}

async fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    tokio::io::stdin()
        .read_to_end(&mut text)
        .await
        .map_err(|error| Failure::Local(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

fn uploaded(context: &crate::client::Context) -> Source {
    Source::Upload(UploadSource {
        context_id: context.id,
        sub_path: None,
    })
}

/// Parses a Dockerfile's path into the API's form.
fn inside(path: &Path) -> Result<RelativePath, Failure> {
    let text = path.to_string_lossy();
    text.parse()
        .map_err(|reason| Failure::Input(format!("--file: {text:?} {reason}")))
}
