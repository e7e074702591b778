use clap::{CommandFactory, Parser};
use secrecy::ExposeSecret;

use super::{Cli, Command};

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    let given = ["slipway"].iter().chain(args).copied();
    Cli::try_parse_from(given)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_bad_setting_is_named() {
    let url = "--database-url=postgres://localhost/x";
    for (bad, named) in [
        (vec!["--database-url=mysql://x"], "--database-url"),
        (vec![url, "--listen=nowhere"], "--listen"),
        (vec![url, "--pending-deadline=0s"], "--pending-deadline"),
        (vec![url, "--max-running=0"], "--max-running"),
        (vec![url, "--internal-url=ftp://x"], "--internal-url"),
        (vec![url, "--role=king"], "--role"),
        (vec![url, "--cors-origin=*"], "--cors-origin"),
        (vec![url, "--cors-origin=null"], "--cors-origin"),
        (vec![url, "--cors-origin=https://a.example/path"], "--cors-origin"),
        (vec![url, "--cors-origin=https://u@a.example"], "--cors-origin"),
        (vec![url, "--trusted-proxy=proxy.example"], "--trusted-proxy"),
        (vec![url, "--trusted-proxy=10.0.0.0/33"], "--trusted-proxy"),
        (vec![url, "--address-rate=-1"], "--address-rate"),
        (vec![url, "--max-context-size=much"], "--max-context-size"),
        (vec![url, "--retain-builds=0d"], "--retain-builds"),
        (vec![url, "--retain-logs=never"], "--retain-logs"),
        (vec![url, "--retain-contexts=1mo"], "--retain-contexts"),
        (vec![url, "--log-archive-after=-1d"], "--log-archive-after"),
    ] {
        let args: Vec<&str> = std::iter::once("serve").chain(bad).collect();
        let error = parse(&args).expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn everybody_is_let_in_on_loopback_only() {
    let check = |settings: &[&str]| {
        let args = ["serve", "--database-url=postgres://localhost/x"];
        let args: Vec<&str> = args.iter().chain(settings).copied().collect();
        match parse(&args).expect("the settings are valid").command {
            Command::Serve(args) => args.http.check(),
            other => panic!("{other:?}"),
        }
    };
    for listen in [
        "--listen=127.0.0.1:80",
        "--listen=[::1]:80",
        "--listen=127.9.9.9:1",
    ] {
        assert_eq!(check(&["--no-auth", listen]), Ok(()), "{listen}");
    }
    for listen in ["--listen=0.0.0.0:80", "--listen=[::]:80", "--listen=10.0.0.1:80"] {
        let said = check(&["--no-auth", listen]).expect_err(listen);
        assert!(said.contains("--no-auth") && said.contains(listen), "{said}");
        assert_eq!(check(&[listen]), Ok(()), "{listen}");
        assert_eq!(check(&["--no-auth=false", listen]), Ok(()), "{listen}");
    }
}

#[test]
fn the_database_password_is_never_shown() {
    let cli = parse(&["serve", "--database-url=postgres://u:hunter2@h/d"]).expect("the settings are valid");
    assert!(!format!("{cli:?}").contains("hunter2"));
    let Command::Serve(args) = cli.command else {
        panic!("serve was asked for")
    };
    assert!(args.database.database_url.expose_secret().contains("hunter2"));
    let error =
        parse(&["serve", "--database-url=postgres://u:hunter2@ h/d"]).expect_err("a space in the host");
    // clap repeats what was typed on the command line, but the environment is where secrets are set.
    assert!(error.to_string().contains("--database-url"));
}

#[test]
fn proxies_and_origins_are_lists() {
    let args = [
        "serve",
        "--database-url=postgres://localhost/x",
        "--trusted-proxy=10.0.0.0/8,fd00::1",
        "--cors-origin=https://a.example,http://localhost:3000/",
    ];
    let Command::Serve(serve) = parse(&args).expect("the settings are valid").command else {
        panic!("serve was asked for")
    };
    let proxies: Vec<String> = serve
        .http
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "fd00::1/128"]);
    assert_eq!(
        serve.http.cors_origins,
        ["https://a.example", "http://localhost:3000"]
    );
}

#[test]
fn builds_reach_the_service_where_it_listens_unless_told_otherwise() {
    let args = [
        "serve",
        "--database-url=postgres://localhost/x",
        "--listen=127.0.0.1:9000",
    ];
    let Command::Serve(serve) = parse(&args).expect("the settings are valid").command else {
        panic!("serve was asked for")
    };
    assert_eq!(serve.http.internal_url().as_str(), "http://127.0.0.1:9000/");
}

#[test]
fn times_of_retention_are_written_in_days_or_for_ever() {
    let args = [
        "serve",
        "--database-url=postgres://localhost/x",
        "--retain-builds=forever",
        "--retain-logs=2w",
        "--retain-contexts=1d 12h",
    ];
    let Command::Serve(serve) = parse(&args).expect("the settings are valid").command else {
        panic!("serve was asked for")
    };
    let options = serve.retention.options();
    let hours = |hours: u64| Some(std::time::Duration::from_secs(hours * 3600));
    assert_eq!(options.builds, None);
    assert_eq!(options.logs, hours(14 * 24));
    assert_eq!(options.contexts, hours(36));
    assert_eq!(
        (options.events, options.idempotency_keys),
        (hours(365 * 24), hours(7 * 24))
    );
}

#[test]
fn the_key_of_secrets_is_read_from_the_settings_or_from_a_file_and_never_shown() {
    let key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("keys");
    std::fs::write(&file, format!("{key}\n")).expect("it can be written");
    let serve = |setting: &str| {
        let cli =
            parse(&["serve", "--database-url=postgres://localhost/x", setting]).expect("it can be parsed");
        assert!(!format!("{cli:?}").contains("QUFB"));
        match cli.command {
            Command::Serve(args) => args.secret.keyring(),
            other => panic!("{other:?}"),
        }
    };
    assert!(serve("--role=all").expect("none is needed").is_none());
    assert!(serve(&format!("--secret-key={key}")).expect("a key").is_some());
    assert!(
        serve(&format!("--secret-key-file={}", file.display()))
            .expect("a key")
            .is_some()
    );
    for bad in ["--secret-key=QUFB", "--secret-key-file=/nowhere/keys"] {
        let error = serve(bad).expect_err(bad);
        assert!(
            error.starts_with(bad.split('=').next().expect("a name")),
            "{error}"
        );
        assert!(!error.contains("QUFB"), "{error}");
    }
}
