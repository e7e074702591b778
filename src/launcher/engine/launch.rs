//! Creates and starts the container of an attempt, or adopts one that exists already.
//!
//! A container is created, filled and started. A process that is killed in between leaves a container that
//! never started: it may be half filled, so it is created anew. A container that has started is left alone.

use bollard::{
    Docker,
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder,
        StartContainerOptions,
    },
};
use tracing::{info, warn};

use super::{
    Engine,
    attempts::{self, Standing, standing},
    context, engine_error, files,
    labels::{self, CONTEXT_VOLUME, Labels},
    request,
    secrets::{self, Given},
    settled,
};
use crate::{
    domain::Source,
    launcher::{LaunchError, Launched, LauncherError, Order},
};

/// Starts the first attempt, or adopts the container that an earlier call has started.
pub async fn launch(engine: &Engine, order: &Order) -> Result<Launched, LaunchError> {
    let docker = docker(engine).await?;
    let found = ours(docker, engine, order).await?;
    for one in &found {
        if one.standing == Standing::Created && one.labels.attempt == 1 {
            remove(docker, &one.id).await?;
            continue;
        }
        let external_id = one.labels.first.clone().unwrap_or_else(|| one.id.clone());
        return Ok(Launched {
            external_id,
            adopted: true,
        });
    }
    let launched = run(engine, docker, order, Labels::new(order.id, &order.spec, 1, None)).await?;
    info!(build.id = %order.id, container = launched.external_id, adopted = launched.adopted, "started the build's container");
    Ok(launched)
}

/// Starts a further attempt, if the container of the one before it has ended and still exists: if it was
/// removed, the build was removed.
pub async fn start_attempt(engine: &Engine, order: &Order, number: u32) -> Result<(), LaunchError> {
    let docker = docker(engine).await?;
    let found = ours(docker, engine, order).await?;
    let before = found
        .iter()
        .find(|one| one.labels.attempt + 1 == number && one.standing == Standing::Ended);
    let Some(before) = before else {
        return Err(LaunchError::Unavailable(format!(
            "there is no failed attempt before attempt {number}"
        )));
    };
    if let Some(there) = found.iter().find(|one| one.labels.attempt == number) {
        if there.standing != Standing::Created {
            return Ok(());
        }
        remove(docker, &there.id).await?;
    }
    let first = before.labels.first.clone().unwrap_or_else(|| before.id.clone());
    run(
        engine,
        docker,
        order,
        Labels::new(order.id, &order.spec, number, Some(&first)),
    )
    .await?;
    info!(build.id = %order.id, attempt = number, "started the build's next container");
    Ok(())
}

async fn docker(engine: &Engine) -> Result<&Docker, LaunchError> {
    engine.docker().await.map_err(|error| match error {
        LauncherError::Unavailable(words) | LauncherError::NotFound(words) => LaunchError::Unavailable(words),
    })
}

/// One of the build's containers.
struct Found {
    id: String,
    labels: Labels,
    standing: Standing,
}

async fn ours(docker: &Docker, engine: &Engine, order: &Order) -> Result<Vec<Found>, LaunchError> {
    let instance = &engine.options.instance;
    let listed = attempts::labelled(docker, &labels::of_build(instance, order.id), instance).await;
    let mut found = Vec::new();
    for (id, labels) in listed.map_err(|error| engine_error::launching(&error))? {
        match docker
            .inspect_container(&id, None::<InspectContainerOptions>)
            .await
        {
            Ok(one) => found.push(Found {
                id,
                labels,
                standing: standing(&one.state.unwrap_or_default()),
            }),
            Err(error) if engine_error::status(&error) == Some(404) => {}
            Err(error) => return Err(engine_error::launching(&error)),
        }
    }
    found.sort_by_key(|one| one.labels.attempt);
    Ok(found)
}

async fn run(
    engine: &Engine,
    docker: &Docker,
    order: &Order,
    labels: Labels,
) -> Result<Launched, LaunchError> {
    settled::check(order)?;
    engine.image.ensure(docker).await?;
    check_volume(engine, docker, order).await?;
    let secrets = secrets_of(engine, order).await?;
    let arriving = context::fetch(&engine.http, order, &engine.options.context_limits).await?;
    let name = labels::container_name(order.id, labels.attempt);
    let body = request::container(&order.spec, &engine.options, &labels);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let id = match docker.create_container(Some(options), body).await {
        Ok(made) => made.id,
        Err(error) if engine_error::status(&error) == Some(409) => {
            return adopt(engine, docker, order, &name).await;
        }
        Err(error) => return Err(engine_error::launching(&error)),
    };
    match fill_and_start(docker, &id, secrets, arriving, &labels).await {
        Ok(()) => Ok(Launched {
            external_id: labels.first.unwrap_or(id),
            adopted: false,
        }),
        Err(error) => {
            // A failed removal does no harm: the next call creates the container anew if it never started,
            // and adopts it if it did.
            if let Err(left) = remove(docker, &id).await {
                warn!(build.id = %order.id, container = id, reason = %left, "a container is left behind");
            }
            Err(error)
        }
    }
}

/// Collects the files that only this container receives: registry credentials, the project's or else the
/// operator's, and the build's secrets.
async fn secrets_of(engine: &Engine, order: &Order) -> Result<Vec<Given>, LaunchError> {
    let options = &engine.options;
    let mut files = secrets::of_build(order, options.secrets.as_deref()).await?;
    let config = match (
        secrets::registry(order, options.secrets.as_deref()).await?,
        &options.docker_config,
    ) {
        (Some(own), _) => Some(own),
        (None, Some(config)) => Some(files::credentials(config).await?),
        (None, None) => None,
    };
    files.extend(config.map(|content| Given {
        path: files::CREDENTIALS.to_owned(),
        content,
    }));
    Ok(files)
}

async fn fill_and_start(
    docker: &Docker,
    id: &str,
    secrets: Vec<Given>,
    arriving: Option<context::Arriving>,
    labels: &Labels,
) -> Result<(), LaunchError> {
    files::put_secrets(docker, id, secrets).await?;
    if let Some(arriving) = arriving {
        files::put_context(docker, id, arriving).await?;
    }
    if let Some(first) = &labels.first {
        // A removal deletes the earlier attempts first and then lists again, so either it finds this
        // container, or this call finds that they are gone.
        let there = docker
            .inspect_container(first, None::<InspectContainerOptions>)
            .await;
        there.map_err(|error| engine_error::launching(&error))?;
    }
    let started = docker.start_container(id, None::<StartContainerOptions>).await;
    started.map_err(|error| engine_error::launching(&error))
}

/// Handles a taken name: adopts the container if another call for the same build created it, and refuses it
/// otherwise.
async fn adopt(engine: &Engine, docker: &Docker, order: &Order, name: &str) -> Result<Launched, LaunchError> {
    let found = docker
        .inspect_container(name, None::<InspectContainerOptions>)
        .await;
    let found = found.map_err(|error| engine_error::launching(&error))?;
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let Some(labels) =
        Labels::read(&labels, &engine.options.instance).filter(|labels| labels.build == order.id)
    else {
        return Err(LaunchError::NameConflict(name.to_owned()));
    };
    if standing(&found.state.unwrap_or_default()) == Standing::Created {
        return Err(LaunchError::Unavailable(format!(
            "another process is starting the container {name}"
        )));
    }
    let external_id = labels.first.or(found.id).unwrap_or_else(|| name.to_owned());
    Ok(Launched {
        external_id,
        adopted: true,
    })
}

/// Checks that a build may mount the volume that it names. It could name any volume of the engine, such as a
/// database's, so only labelled ones are allowed.
async fn check_volume(engine: &Engine, docker: &Docker, order: &Order) -> Result<(), LaunchError> {
    let Source::Volume(source) = &order.spec.source else {
        return Ok(());
    };
    if engine.options.volume_root.is_some() {
        return Ok(());
    }
    match docker.inspect_volume(source.claim.as_str()).await {
        Ok(volume) if volume.labels.contains_key(CONTEXT_VOLUME) => Ok(()),
        Ok(_) => Err(LaunchError::Refused(format!(
            "the volume {} is not open to builds: it does not carry the label {CONTEXT_VOLUME}",
            source.claim
        ))),
        Err(error) if engine_error::status(&error) == Some(404) => Err(LaunchError::Refused(format!(
            "there is no volume {}",
            source.claim
        ))),
        Err(error) => Err(engine_error::launching(&error)),
    }
}

async fn remove(docker: &Docker, id: &str) -> Result<(), LaunchError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Err(error) if engine_error::status(&error) == Some(404) => Ok(()),
        other => other.map_err(|error| engine_error::launching(&error)),
    }
}
