//! Creates the engine's request for a container, with the same image and arguments as a Job. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::{Options, labels::Labels};
use crate::{
    domain::{BuildSpec, Source, source::VolumeSource},
    launcher::kaniko_args::{CONTEXT_DIR, kaniko_args, kaniko_env},
};

/// Path at which kaniko leaves the image's digest: inside its own folder, which is never part of an image.
pub const DIGEST_FILE: &str = "/kaniko/digest";

/// Capabilities that kaniko needs to unpack base images and to change users; all others are dropped.
const CAPABILITIES: [&str; 7] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "KILL",
];

/// Upper bound of a container's log: a larger one loses its beginning, so that a build cannot fill the host's
/// disk.
const LOG_SIZE: &str = "512m";

/// Returns the body of the engine's "create container" call.
pub fn container(spec: &BuildSpec, options: &Options, labels: &Labels) -> ContainerCreateBody {
    let env = kaniko_env(spec)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    ContainerCreateBody {
        image: Some(options.kaniko.image.clone()),
        cmd: Some(kaniko_args(spec, &options.kaniko, DIGEST_FILE)),
        env: Some(env),
        labels: Some(labels.to_map(&options.instance)),
        host_config: Some(host_config(spec, options)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(spec: &BuildSpec, options: &Options) -> HostConfig {
    let memory = spec.resources.memory.as_ref().or(options.default_memory.as_ref());
    let memory = memory.map(|amount| i64::try_from(amount.bytes()).unwrap_or(i64::MAX));
    let cpu = spec.resources.cpu.as_ref().or(options.default_cpu.as_ref());
    let capabilities = CAPABILITIES
        .iter()
        .map(|&name| name.to_owned())
        .chain(options.extra_capabilities.iter().cloned());
    HostConfig {
        memory,
        // Equal to the memory: without swap, the limit on memory is the total limit.
        memory_swap: memory,
        nano_cpus: cpu.map(|amount| {
            i64::try_from(amount.millicores())
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000)
        }),
        pids_limit: Some(options.pids_limit),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities.collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        network_mode: Some(options.network.clone()),
        mounts: Some(context_mount(spec, options).into_iter().collect()),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), LOG_SIZE.to_owned())])),
        }),
        ..HostConfig::default()
    }
}

/// Returns a volume source's mount: a folder below the configured root, or a named volume of the engine.
fn context_mount(spec: &BuildSpec, options: &Options) -> Option<Mount> {
    let Source::Volume(VolumeSource { claim, .. }) = &spec.source else {
        return None;
    };
    let (typ, source) = match &options.volume_root {
        Some(root) => (
            MountType::BIND,
            root.join(claim.as_str()).to_string_lossy().into_owned(),
        ),
        None => (MountType::VOLUME, claim.to_string()),
    };
    Some(Mount {
        typ: Some(typ),
        source: Some(source),
        target: Some(CONTEXT_DIR.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::BuildId;

    fn body(source: Value, options: &Options) -> Value {
        let spec: BuildSpec = serde_json::from_value(json!({
            "source": source,
            "destinations": ["registry.example.com/team/app:1"],
            "resources": { "cpu": "1500m" },
            "timeout_seconds": 600,
        }))
        .expect("a valid spec");
        let id: BuildId = "01890000-0000-7000-8000-000000000000".parse().expect("an id");
        serde_json::to_value(container(&spec, options, &Labels::new(id, &spec, 1, None))).expect("plain data")
    }

    #[test]
    fn a_container_has_the_least_that_kaniko_needs() {
        let options = Options {
            default_memory: Some("2Gi".parse().expect("an amount")),
            ..Options::default()
        };
        insta::with_settings!({ sort_maps => true }, {
            insta::assert_json_snapshot!(body(json!({ "volume": { "claim": "contexts" } }), &options));
        });
    }

    #[test]
    fn a_claim_is_a_folder_below_the_configured_root() {
        let options = Options {
            volume_root: Some("/srv/contexts".into()),
            ..Options::default()
        };
        let body = body(
            json!({ "volume": { "claim": "team.one", "path": "app" } }),
            &options,
        );
        let mount = &body["HostConfig"]["Mounts"][0];
        assert_eq!(
            (&mount["Source"], &mount["Type"]),
            (&json!("/srv/contexts/team.one"), &json!("bind"))
        );
        assert_eq!(mount["ReadOnly"], true);
    }

    #[test]
    fn the_stand_in_may_be_given_what_it_needs_and_no_secret_is_in_sight() {
        let options = Options {
            extra_capabilities: vec!["SYS_CHROOT".to_owned()],
            docker_config: Some("/etc/slipway/config.json".into()),
            ..Options::default()
        };
        let body = body(json!({ "git": { "url": "https://git.test/a" } }), &options);
        let added = body["HostConfig"]["CapAdd"].as_array().expect("a list");
        assert!(added.contains(&json!("SYS_CHROOT")));
        assert!(
            !body.to_string().contains("config.json"),
            "credentials are copied, never named"
        );
    }
}
