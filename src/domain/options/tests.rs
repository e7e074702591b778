use proptest::prelude::*;

use super::{Value, *};

#[test]
fn build_arguments_cannot_steer_the_builder() {
    for name in [
        "VERSION",
        "_x",
        "http_proxy",
        "NODE_ENV",
        "GIT_COMMIT",
        "AWS_REGION",
        "PATHS",
        "MY_PATH",
    ] {
        assert!(name.parse::<BuildArgName>().is_ok(), "{name}");
    }
    for name in [
        "",
        "1A",
        "A-B",
        "A=B",
        "A B",
        "LD_PRELOAD",
        "BASH_ENV",
        "ENV",
        "PATH",
        "DOCKER_CONFIG",
        "DOCKER_AUTH_CONFIG",
        "KANIKO_DIR",
        "FF_KANIKO_X",
        "GIT_TOKEN",
        "GIT_PASSWORD",
        "GIT_SSH_COMMAND",
        "GIT_CONFIG_COUNT",
        "AWS_SECRET_ACCESS_KEY",
        "LD_",
        "DYLD_INSERT_LIBRARIES",
        "BASH_FUNC_x",
        "A\0",
        "A\n",
        "-A",
        "--build-arg",
        "$(id)",
        "é",
    ] {
        assert!(name.parse::<BuildArgName>().is_err(), "{name:?}");
    }
}

#[test]
fn values_and_keys_are_bounded() {
    assert!("any text; $(even this)\n".parse::<Value>().is_ok());
    assert!("a\0b".parse::<Value>().is_err());
    assert!("x".repeat(32 * 1024 + 1).parse::<Value>().is_err());
    assert!("org.opencontainers.image.source".parse::<Key>().is_ok());
    for key in ["", "a=b", "a b", "-x", "a\nb"] {
        assert!(key.parse::<Key>().is_err(), "{key:?}");
    }
}

#[test]
fn reserved_names_are_refused_by_themselves_only() {
    for name in STEERS_COMMANDS.iter().chain(&CONFIGURES_KANIKO) {
        assert!(name.parse::<BuildArgName>().is_err(), "{name}");
        assert!(format!("X_{name}").parse::<BuildArgName>().is_ok(), "{name}");
    }
    for prefix in RESERVED_PREFIXES {
        assert!(format!("{prefix}X").parse::<BuildArgName>().is_err(), "{prefix}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        if let Ok(name) = text.parse::<BuildArgName>() {
            prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
        if let Ok(value) = text.parse::<Value>() {
            prop_assert!(!value.as_str().contains('\0'));
        }
        if let Ok(key) = text.parse::<Key>() {
            prop_assert!(!key.as_str().contains(['=', ' ', '\0', '\n']));
        }
        let _ = (text.parse::<StageName>(), text.parse::<Platform>());
    }

    #[test]
    fn an_accepted_platform_has_two_or_three_parts(text in "[a-z0-9/_:-]{1,16}") {
        if text.parse::<Platform>().is_ok() {
            let parts: Vec<_> = text.split('/').collect();
            prop_assert!((2..=3).contains(&parts.len()) && parts.iter().all(|part| !part.is_empty()), "{text}");
        }
    }
}

#[test]
fn stages_and_platforms() {
    for text in ["builder", "Release", "stage-1", "a_b.c"] {
        assert!(text.parse::<StageName>().is_ok(), "{text}");
    }
    for text in [
        "",
        "0",
        "1st",
        "-x",
        "a b",
        "a/b",
        "a,b",
        "a\"b",
        "--target=x",
        "a\0",
        "a\n",
        "é",
    ] {
        assert!(text.parse::<StageName>().is_err(), "{text}");
    }
    for text in ["linux/amd64", "linux/arm/v7"] {
        assert!(text.parse::<Platform>().is_ok(), "{text}");
    }
    for text in [
        "linux",
        "linux/",
        "/amd64",
        "a/b/c/d",
        "Linux/amd64",
        "linux/amd64;id",
        "-a/b",
        "linux/-x",
        "linux/amd64:10",
        "linux//v8",
        "linux/amd64\n",
        " linux/amd64",
    ] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}
