//! What a git source is made of.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// The address of a git repository: `https://host/path` or `http://host/path`, without user info, query and
    /// fragment.
    GitUrl,
    check_url
);
text_type!(
    /// A branch, tag or full ref name, by the rules of `git check-ref-format`, and without `#`.
    GitRef,
    check_ref
);
text_type!(
    /// A full commit id: 40 or 64 hexadecimal digits.
    CommitId,
    check_commit
);

fn check_url(text: &str) -> Result<(), Invalid> {
    plain(text, 2048)
}

fn check_ref(text: &str) -> Result<(), Invalid> {
    plain(text, 255)
}

fn check_commit(text: &str) -> Result<(), Invalid> {
    plain(text, 64)
}
