//! Defines the arguments of `slipway build`.

use std::{collections::BTreeMap, env, fmt::Display, num::NonZeroU32, path::PathBuf, str::FromStr};

use clap::Args;

use super::{FollowArgs, source::Given};
use crate::{
    cli::settings::{ProjectArgs, ServiceArgs},
    domain::{
        BuildSpec, ImageReference, ImageRepository, Invalid, ProjectName, Source,
        concurrency::{Concurrency, GroupName, Supersede},
        options::{BuildArgName, Cache, Key, Platform, Resources, StageName, Value},
        path::RelativePath,
        quantity::{Cpu, Memory},
        secrets::{BuildSecret, BuildSecrets},
        spec::{Bounded, Destinations, MaxRetries, Priority, TimeoutSeconds},
    },
};

const EXAMPLES: &str = "\
Examples:
  slipway build . -t registry.example.com/team/app:1 --follow
  slipway build server -f server/Dockerfile.prod -t registry.example.com/team/app:1 --build-arg VERSION=1
  slipway build https://git.example.com/team/app.git#main:server -t registry.example.com/team/app:main
  slipway build - -t registry.example.com/team/tools:1 < Dockerfile
  id=$(slipway build . -t registry.example.com/team/app:1 --quiet)

What .dockerignore lists is not sent (Dockerfile.dockerignore goes before it, for that Dockerfile).
Without --follow the build's id is printed as soon as it is queued; --follow prints its log.

Exit codes:
  0    it was queued; with --follow: the image was built and pushed
  1    with --follow: the build failed, was cancelled or fell out of the queue
  2    what was asked for is not valid
  3    the service cannot be reached, or something else went wrong
  130  Ctrl-C";

/// Arguments of `slipway build`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct BuildArgs {
    /// A folder; a git repository as https://HOST/PATH.git[#REF[:FOLDER]]; `-` for a Dockerfile or a tar.gz
    /// archive on standard input; an archive as https://…/NAME.tar.gz, s3://… or gs://…;
    /// volume:CLAIM[/FOLDER]
    #[arg(value_name = "CONTEXT")]
    pub(super) context: Given,

    /// The image to push, with its registry's host; may be repeated
    #[arg(long, short, required = true, value_name = "IMAGE")]
    tag: Vec<ImageReference>,

    /// The Dockerfile, relative to the working directory (of a repository or an archive: to its root); `-`
    /// reads it from standard input [default: Dockerfile in the context]
    #[arg(long, short, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// A build argument; without a value, the environment variable of that name, if it is set; may be
    /// repeated
    #[arg(long, value_parser = build_arg, value_name = "NAME[=VALUE]")]
    build_arg: Vec<(BuildArgName, Option<Value>)>,

    /// A secret for `RUN --mount=type=secret,id=ID`: the key of a Secret that the project's builds may read;
    /// may be repeated
    #[arg(long, value_parser = secret, value_name = "ID=SECRET/KEY")]
    secret: Vec<BuildSecret>,

    /// The stage to build [default: the last one]
    #[arg(long, value_name = "STAGE")]
    target: Option<StageName>,

    /// A label for the image; may be repeated
    #[arg(long, value_parser = pair, value_name = "KEY=VALUE")]
    label: Vec<(Key, Value)>,

    /// A note that is stored with the build; may be repeated
    #[arg(long, value_parser = pair, value_name = "KEY=VALUE")]
    annotation: Vec<(Key, Value)>,

    /// The platform to build for [default: the node's own]
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<Platform>,

    /// Use cached layers, and cache new ones
    #[arg(long)]
    cache: bool,

    /// The repository for cached layers; implies --cache [default: the image's own, with /cache]
    #[arg(long, value_name = "REPOSITORY")]
    cache_repository: Option<ImageRepository>,

    /// The time for which a cached layer is valid, such as 36h; implies --cache [default: two weeks]
    #[arg(long, value_parser = ttl, value_name = "DURATION")]
    cache_ttl: Option<NonZeroU32>,

    /// The number of retries after failed attempts, 0 to 10, for failures that a retry can mend [default: 3]
    #[arg(long, value_parser = number::<MaxRetries>, value_name = "N")]
    max_retries: Option<MaxRetries>,

    /// The longest time that one attempt may take, such as 20m; at most a day [default: 1h]
    #[arg(long, value_parser = timeout, value_name = "DURATION")]
    timeout: Option<TimeoutSeconds>,

    /// The priority within the project, -100 to 100; higher starts first [default: 0]
    #[arg(long, allow_negative_numbers = true, value_parser = number::<Priority>, value_name = "N")]
    priority: Option<Priority>,

    /// The build's group: the newest build of a group ends older ones, as --supersede defines
    #[arg(long, value_name = "NAME")]
    group: Option<GroupName>,

    /// The older builds of the group to end: none, queued, or running (also those that run and do not push
    /// yet) [default: queued]
    #[arg(long, requires = "group", value_name = "WHICH")]
    supersede: Option<Supersede>,

    /// CPU for the build, such as 2 or 500m [default: the operator's]
    #[arg(long, value_name = "CPU")]
    cpu: Option<Cpu>,

    /// Memory for the build, such as 4Gi [default: the operator's]
    #[arg(long, value_name = "MEMORY")]
    memory: Option<Memory>,

    /// Project option.
    #[command(flatten)]
    pub(super) project: ProjectArgs,
    /// Options for following the build.
    #[command(flatten)]
    pub(super) follow: FollowArgs,

    /// Print only the build's id, or its log
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
}

/// Parts of the request that do not depend on the context.
pub(super) struct Wanted {
    /// `None`: the token's own project if it has one, else `default`.
    pub project: Option<ProjectName>,
    destinations: Destinations,
    build_args: Bounded<BuildArgName>,
    secrets: BuildSecrets,
    labels: Bounded<Key>,
    annotations: Bounded<Key>,
}

impl Wanted {
    /// Checks the arguments before anything is sent.
    pub(super) fn new(args: &BuildArgs, project: Option<ProjectName>) -> Result<Self, String> {
        let from_environment = |(name, value): &(BuildArgName, Option<Value>)| match value {
            Some(value) => Some(Ok((name.clone(), value.clone()))),
            // As in docker, a variable that is not set is not passed on.
            None => {
                let value = env::var(name.as_str()).ok()?;
                let value = value
                    .parse()
                    .map_err(|reason| format!("--build-arg {name} {reason}"));
                Some(value.map(|value| (name.clone(), value)))
            }
        };
        let build_args = args.build_arg.iter().filter_map(from_environment);
        let build_args: BTreeMap<_, _> = build_args.collect::<Result<_, String>>()?;
        let map = |pairs: &[(Key, Value)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        let of = |flag: &'static str| move |reason: Invalid| format!("{flag} {reason}");
        Ok(Self {
            project,
            destinations: args.tag.clone().try_into().map_err(of("--tag"))?,
            build_args: build_args.try_into().map_err(of("--build-arg"))?,
            secrets: args.secret.clone().try_into().map_err(of("--secret"))?,
            labels: map(&args.label).try_into().map_err(of("--label"))?,
            annotations: map(&args.annotation).try_into().map_err(of("--annotation"))?,
        })
    }

    /// Returns the request.
    pub(super) fn spec(self, args: &BuildArgs, source: Source, dockerfile: RelativePath) -> BuildSpec {
        BuildSpec {
            project: self.project.unwrap_or_default(),
            source,
            dockerfile,
            destinations: self.destinations,
            build_args: self.build_args,
            secrets: self.secrets,
            target: args.target.clone(),
            labels: self.labels,
            platform: args.platform.clone(),
            cache: Cache {
                enabled: args.cache || args.cache_repository.is_some() || args.cache_ttl.is_some(),
                repository: args.cache_repository.clone(),
                ttl_seconds: args.cache_ttl,
            },
            priority: args.priority.unwrap_or_default(),
            timeout_seconds: args.timeout.unwrap_or_default(),
            max_retries: args.max_retries.unwrap_or_default(),
            resources: Resources {
                cpu: args.cpu.clone(),
                memory: args.memory.clone(),
            },
            concurrency: args.group.clone().map(|group| Concurrency {
                group,
                supersede: args.supersede.unwrap_or_default(),
            }),
            annotations: self.annotations,
        }
    }
}

fn build_arg(text: &str) -> Result<(BuildArgName, Option<Value>), Invalid> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.parse()?, Some(value.parse()?))),
        None => Ok((text.parse()?, None)),
    }
}

/// Parses `ID=SECRET/KEY`; a leading `id=`, as in docker's syntax, is accepted.
fn secret(text: &str) -> Result<BuildSecret, String> {
    let text = match text.strip_prefix("id=") {
        Some(rest) if rest.contains('=') => rest,
        _ => text,
    };
    let parts = text
        .split_once('=')
        .and_then(|(id, rest)| Some((id, rest.split_once('/')?)));
    let (id, (secret, key)) = parts.ok_or("write ID=SECRET/KEY")?;
    let of = |what: &'static str| move |reason: Invalid| format!("the {what} {reason}");
    Ok(BuildSecret {
        id: id.parse().map_err(of("id"))?,
        secret: secret.parse().map_err(of("Secret's name"))?,
        key: key.parse().map_err(of("key"))?,
    })
}

fn pair(text: &str) -> Result<(Key, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let said = |reason: Invalid| reason.to_string();
    Ok((key.parse().map_err(said)?, value.parse().map_err(said)?))
}

fn number<T: TryFrom<i64, Error: Display>>(text: &str) -> Result<T, String> {
    let number: i64 = text.parse().map_err(|_| "write a whole number".to_owned())?;
    number.try_into().map_err(|reason: T::Error| reason.to_string())
}

fn seconds(text: &str) -> Result<i64, String> {
    let hint = "write a length of time such as 90s, 20m or 1h 30m";
    let length = jiff::SignedDuration::from_str(text).map_err(|_| hint.to_owned())?;
    Ok(length.as_secs())
}

fn timeout(text: &str) -> Result<TimeoutSeconds, String> {
    TimeoutSeconds::try_from(seconds(text)?).map_err(|_| "must be from one second to a day".to_owned())
}

fn ttl(text: &str) -> Result<NonZeroU32, String> {
    let seconds = u32::try_from(seconds(text)?).ok().and_then(NonZeroU32::new);
    seconds.ok_or_else(|| "must be at least one second".to_owned())
}
