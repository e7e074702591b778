//! Image references by the grammar of the `distribution/reference` project.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// Where an image is pushed: `host[:port]/path[:tag]`, with an explicit registry host and without a digest.
    ImageReference,
    check_reference
);
text_type!(
    /// A repository without tag and digest: `host[:port]/path`.
    ImageRepository,
    check_repository
);
text_type!(
    /// An image's digest: `sha256:` and 64 hexadecimal digits.
    Digest,
    check_digest
);

impl ImageReference {
    /// The repository part: everything before the tag.
    pub fn repository(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => &self.0,
        }
    }

    /// The tag; `latest` where none is written.
    pub fn tag(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag,
            _ => "latest",
        }
    }

    /// The registry's host, with its port if one is written.
    pub fn registry(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

fn check_reference(text: &str) -> Result<(), Invalid> {
    plain(text, 400)
}

fn check_repository(text: &str) -> Result<(), Invalid> {
    plain(text, 400)
}

fn check_digest(text: &str) -> Result<(), Invalid> {
    let hex = text
        .strip_prefix("sha256:")
        .ok_or_else(|| Invalid::new("must begin with 'sha256:'"))?;
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Invalid::new(
            "must have 64 lower-case hexadecimal digits after 'sha256:'",
        ));
    }
    Ok(())
}
