use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::{fs::PermissionsExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use super::*;
use crate::domain::archive::{Limits, validate};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("folders can be made");
        fs::write(path, text).expect("a file can be written");
    }
    folder
}

fn look(folder: &Path, file: Option<&Path>) -> Result<Context, ContextError> {
    Context::look(folder, Dockerfile::File(file.map(Path::to_owned)))
}

fn packed(context: &Context) -> Vec<u8> {
    let mut archive = Vec::new();
    let gone = context.pack(&mut archive, |_| {}).expect("it can be packed");
    assert!(gone.is_empty(), "{gone:?}");
    archive
}

/// The paths in an archive, folders with a slash, in its order.
fn paths(archive: &[u8]) -> Vec<String> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = tar.entries().expect("a tar archive");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let slash = if entry.header().entry_type().is_dir() {
                "/"
            } else {
                ""
            };
            format!("{}{slash}", entry.path().expect("a path").display())
        })
        .collect()
}

fn sent(folder: &Path) -> Vec<String> {
    paths(&packed(&look(folder, None).expect("it can be sent")))
}

#[test]
fn a_folder_is_sent_without_what_is_ignored() {
    let folder = folder(&[
        ("Dockerfile", "FROM x"),
        (
            ".dockerignore",
            "Dockerfile\n.dockerignore\n**/*.log\nnode_modules\ndocs\n!docs/README.md\n.git/\n",
        ),
        ("a.log", ""),
        ("src/b.log", ""),
        ("src/main.rs", ""),
        ("node_modules/x/y.js", ""),
        ("docs/README.md", ""),
        ("docs/long/story.md", ""),
        (".git/config", ""),
    ]);
    assert_eq!(
        sent(folder.path()),
        [
            ".dockerignore",
            "Dockerfile",
            "docs/",
            "docs/README.md",
            "src/",
            "src/main.rs"
        ]
    );
}

#[test]
fn an_exception_deep_inside_brings_its_folders_along() {
    let folder = folder(&[
        ("Dockerfile", ""),
        (".dockerignore", "*\n!a/**/keep\n"),
        ("a/b/c/keep", ""),
        ("a/b/c/drop", ""),
        ("a/d/drop", ""),
        ("z/keep", ""),
    ]);
    assert_eq!(
        sent(folder.path()),
        [
            ".dockerignore",
            "Dockerfile",
            "a/",
            "a/b/",
            "a/b/c/",
            "a/b/c/keep"
        ]
    );
}

#[test]
fn a_dockerfile_may_have_an_ignore_file_of_its_own() {
    let folder = folder(&[
        ("Dockerfile", ""),
        (".dockerignore", "a"),
        ("docker/prod", ""),
        ("docker/prod.dockerignore", "*"),
        ("a", ""),
        ("b", ""),
    ]);
    let context = look(folder.path(), Some(&folder.path().join("docker/prod"))).expect("it can be sent");
    assert_eq!(context.dockerfile(), Path::new("docker/prod"));
    assert_eq!(
        paths(&packed(&context)),
        ["docker/", "docker/prod", "docker/prod.dockerignore"]
    );
    let (root, dockerfile) = (folder.path(), folder.path().join("Dockerfile"));
    let general = look(root, Some(&dockerfile)).expect("it can be sent");
    assert!(!paths(&packed(&general)).contains(&"a".to_owned()));
}

#[test]
fn a_dockerfile_from_elsewhere_comes_along_and_stays_out_of_the_image() {
    let outside = folder(&[("Dockerfile.ci", "FROM x"), ("Dockerfile.ci.dockerignore", "b\n")]);
    let inside = folder(&[("a", ""), ("b", ""), (".dockerignore", "a\n")]);
    let file = outside.path().join("Dockerfile.ci");
    let context = look(inside.path(), Some(&file)).expect("it can be sent");
    assert_eq!(context.dockerfile(), Path::new(".slipway.Dockerfile"));
    let archive = packed(&context);
    assert_eq!(
        paths(&archive),
        [
            ".dockerignore",
            "a",
            ".slipway.Dockerfile",
            ".slipway.Dockerfile.dockerignore"
        ]
    );
    let typed = Context::look(inside.path(), Dockerfile::Text(b"FROM y".to_vec())).expect("it can be sent");
    let archive = packed(&typed);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&*archive));
    let mut texts = BTreeMap::new();
    for entry in tar.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("it is text");
        texts.insert(path, text);
    }
    assert_eq!(texts[".slipway.Dockerfile"], "FROM y");
    assert_eq!(
        texts[".slipway.Dockerfile.dockerignore"],
        "a\n\n.slipway.Dockerfile\n.slipway.Dockerfile.dockerignore\n"
    );
    assert!(!texts.contains_key("a"));
}

#[test]
fn the_same_folder_gives_the_same_bytes_that_the_service_takes() {
    let folder = folder(&[("Dockerfile", "FROM x"), ("b/c", "text"), ("a", "")]);
    let long = "d/".repeat(60) + "a-name-longer-than-the-hundred-bytes-of-an-old-header";
    fs::create_dir_all(folder.path().join(&long)).expect("folders can be made");
    symlink("../a", folder.path().join("b/link")).expect("a link can be made");
    symlink("nowhere", folder.path().join("dangling")).expect("a link can be made");
    let script = folder.path().join("run.sh");
    fs::write(&script, "#!/bin/sh").expect("it can be written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o751)).expect("it is ours");
    let first = packed(&look(folder.path(), None).expect("it can be sent"));
    let again = packed(&look(folder.path(), None).expect("it can be sent"));
    assert!(first == again, "the same bytes");
    validate(first.as_slice(), &Limits::default()).expect("the service takes it");

    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(first.as_slice()));
    for entry in tar.entries().expect("a tar archive") {
        let entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
        match entry.path().expect("a path").to_str() {
            Some("run.sh") => assert_eq!(header.mode().expect("a mode") & 0o7777, 0o751),
            Some("b/link") => assert_eq!(
                entry.link_name().expect("a name").as_deref(),
                Some(Path::new("../a"))
            ),
            _ => {}
        }
    }
}

#[test]
fn what_cannot_be_sent_is_said_by_name() {
    let said = |folder: &tempfile::TempDir| look(folder.path(), None).expect_err("it is refused").to_string();

    let socket = folder(&[("Dockerfile", ""), ("run/x", "")]);
    let _listener = UnixListener::bind(socket.path().join("run/app.sock")).expect("a socket");
    assert!(
        said(&socket).starts_with("run/app.sock is a socket, which cannot be sent"),
        "{}",
        said(&socket)
    );
    fs::write(socket.path().join(".dockerignore"), "**/*.sock").expect("it can be written");
    assert_eq!(
        sent(socket.path()),
        [".dockerignore", "Dockerfile", "run/", "run/x"]
    );

    let links = folder(&[("Dockerfile", "")]);
    symlink("/etc/passwd", links.path().join("passwd")).expect("a link can be made");
    assert!(
        said(&links).contains("a symbolic link to an absolute path: passwd -> /etc/passwd"),
        "{}",
        said(&links)
    );

    let none = folder(&[("a", "")]);
    assert!(
        said(&none).contains("there is no Dockerfile at"),
        "{}",
        said(&none)
    );

    let pattern = folder(&[("Dockerfile", ""), (".dockerignore", "ok\n[x\n")]);
    assert!(
        said(&pattern).contains(".dockerignore, line 2: \"[x\" is no pattern"),
        "{}",
        said(&pattern)
    );

    let gone = look(Path::new("/nowhere/at/all"), None)
        .expect_err("it is refused")
        .to_string();
    assert!(gone.starts_with("/nowhere/at/all is no folder"), "{gone}");
}

#[test]
fn files_that_change_meanwhile_are_noticed() {
    let folder = folder(&[("Dockerfile", ""), ("gone", "x"), ("grown", "12345")]);
    let context = look(folder.path(), None).expect("it can be sent");
    fs::remove_file(folder.path().join("gone")).expect("it is there");
    fs::write(folder.path().join("grown"), "1234567890").expect("it can be written");
    let mut archive = Vec::new();
    let gone = context.pack(&mut archive, |_| {}).expect("it can be packed");
    assert_eq!(gone, [PathBuf::from("gone")]);
    assert_eq!(paths(&archive), ["Dockerfile", "grown"]);
}
