//! What Dockerfiles mean: the same on kaniko and, for what it knows, on the stand-in. Each `RUN test …` is a check.

use serde_json::json;
use slipway::{
    domain::{Outcome, Reason},
    launcher::{Launcher, kaniko_args::DEFAULT_IMAGE},
};

use crate::{engine::digest, engine::failure, engine::world::not_run, engine::world_or_skip};

const STAGES: &str = r#"# syntax=docker/dockerfile:1
ARG TAG=nothing
FROM BASE AS tools
ARG TAG
RUN mkdir /out && echo "built $TAG" > /out/result && mkdir /out/deep && echo deep > /out/deep/file

FROM scratch AS unused
COPY no-such-file /

FROM BASE AS release
ENV GREETING "hello there" 
ENV A=1 B="two words" \
    C=${A:-none}
LABEL org.example.one=1 "org.example.two"="with, a comma"
EXPOSE 8080 9090/udp
WORKDIR /srv
WORKDIR app
COPY --from=tools /out/ ./out/
COPY --chown=7:8 *.txt a\
/b.md ./docs/
ADD c.conf /etc/
COPY ["with space", "/etc/spaced"]
COPY tree /srv/tree
RUN test "$(pwd)" = /srv/app && test "$(cat out/result)" = "built x y" && test -f out/deep/file
# A comment between.
RUN test -f docs/one.txt && test -f docs/b.md && test ! -e docs/ignored.txt \
    # and one inside
    && test -f /etc/c.conf && test -f /etc/spaced && test "$B" = "two words" && test "$C" = none
RUN test -f /srv/tree/kept && test ! -e /srv/tree/dropped && test ! -e /srv/tree/sub/dropped
RUN ["/bin/sh", "-c", "ls -ln docs/one.txt | head -n 1; test \"$GREETING\" = \"hello there\""]
USER 1234:99
RUN test "$(id -u)" = 1234 && echo quiet > /dev/null
ENTRYPOINT ["/bin/cat"]
CMD ["/srv/app/out/result"]

FROM release AS later
RUN false
"#;

#[tokio::test]
async fn a_dockerfile_of_many_stages_means_what_it_says() {
    let world = world_or_skip!(open);
    for path in ["one.txt", "ignored.txt", "a/b.md", "c.conf", "with space"] {
        world.write(path, path);
    }
    for path in ["tree/kept", "tree/dropped", "tree/sub/dropped"] {
        world.write(path, path);
    }
    world.write(".dockerignore", "# notes\nignored*\ntree/**\n!tree/kept\n");
    let order = world.order(
        STAGES,
        json!({ "build_args": { "TAG": "x y" }, "target": "release" }),
    );

    let sighting = world.build(&order).await;

    let log = world.log(&order, 1, 0).await;
    assert!(matches!(sighting.outcome, Outcome::Succeeded { .. }), "{log}");
    assert_eq!(digest(&sighting), world.registry.digest("team/app", "1").await);
    let config = &world.registry.config("team/app", "1").await["config"];
    assert_eq!(config["Entrypoint"], json!(["/bin/cat"]));
    assert_eq!(config["Cmd"], json!(["/srv/app/out/result"]));
    assert_eq!(config["User"], "1234:99");
    assert_eq!(config["WorkingDir"], "/srv/app");
    assert_eq!(config["ExposedPorts"], json!({ "8080/tcp": {}, "9090/udp": {} }));
    assert_eq!(config["Labels"]["org.example.two"], "with, a comma");
    let owner = log
        .lines()
        .find(|line| line.ends_with("docs/one.txt") && line.starts_with('-'))
        .expect("was listed");
    assert_eq!(
        owner.split_whitespace().skip(2).take(2).collect::<Vec<_>>(),
        ["7", "8"]
    );
}

#[tokio::test]
async fn every_destination_gets_the_same_image() {
    let world = world_or_skip!(open);
    let names = ["team/app:2", "team/app:latest", "other/app:2"]
        .map(|name| format!("{}/{name}", world.registry.host));
    let order = world.order(
        "FROM scratch\nCOPY Dockerfile /\n",
        json!({ "destinations": names }),
    );
    let reported = digest(&world.build(&order).await);
    for (repository, tag) in [("team/app", "2"), ("team/app", "latest"), ("other/app", "2")] {
        assert_eq!(
            world.registry.digest(repository, tag).await,
            reported,
            "{repository}:{tag}"
        );
    }
}

#[tokio::test]
async fn a_copy_cannot_reach_out_of_the_context() {
    let world = world_or_skip!(open);
    world.write_aside("secret", "s3cret");
    let order = world.order(
        "FROM scratch\nCOPY ../secret /secret\n",
        json!({ "max_retries": 0 }),
    );
    let sighting = world.build(&order).await;
    assert_eq!(failure(&sighting).reason, Reason::BuildStepFailed);
}

#[tokio::test]
async fn a_target_that_is_no_stage_is_the_dockerfiles_fault() {
    let world = world_or_skip!(open);
    let order = world.order("FROM BASE AS one\n", json!({ "target": "two" }));
    assert_eq!(
        failure(&world.build(&order).await).reason,
        Reason::DockerfileInvalid
    );
}

#[tokio::test]
async fn the_stand_in_names_itself_and_what_it_cannot_do() {
    let world = world_or_skip!(open);
    if world.options.kaniko.image == DEFAULT_IMAGE {
        not_run("the executor is kaniko, not the stand-in");
        return;
    }
    let refused = [
        ("VOLUME /data", "VOLUME"),
        ("HEALTHCHECK NONE", "HEALTHCHECK"),
        ("RUN --mount=type=cache,target=/x true", "RUN --mount"),
        ("RUN <<EOF\ntrue\nEOF", "here-documents"),
    ];
    for (instruction, name) in refused {
        let order = world.order(&format!("FROM BASE\n{instruction}\n"), json!({}));
        let sighting = world.build(&order).await;
        let failure = failure(&sighting);
        assert_eq!(failure.reason, Reason::DockerfileInvalid);
        assert!(
            failure.message.contains(&format!("does not support {name}")),
            "{}",
            failure.message
        );
        let log = world.log(&order, 1, 0).await;
        assert!(
            log.lines()
                .next()
                .is_some_and(|line| line.contains("this is the stand-in executor")),
            "{log}"
        );
        world.engine.remove(order.id).await.expect("removes");
    }
}
