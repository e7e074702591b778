//! Parts of a git source, and the context argument that kaniko takes for it.

use super::{
    source::GitSource,
    text::{Invalid, plain, text_type},
    web,
};

text_type!(
    /// Address of a git repository: `https://host/path` or `http://host/path`, without user info, query and
    /// fragment. The network policy decides which hosts a build may reach, because kaniko resolves the name
    /// in its pod.
    #[schema(example = "https://git.example.com/team/app.git", pattern = "^https?://", max_length = 2048)]
    GitUrl,
    check_url
);
text_type!(
    /// Branch, tag or full ref name that follows the rules of `git check-ref-format` and contains no `#`.
    #[schema(example = "refs/heads/main", max_length = 255)]
    GitRef,
    check_ref
);
text_type!(
    /// Full commit id: 40 hexadecimal digits in lower case (kaniko does not read repositories with SHA-256
    /// ids).
    #[schema(pattern = "^[0-9a-f]{40}$")]
    CommitId,
    check_commit
);

impl GitUrl {
    /// Returns `https` or `http`, for kaniko's `GIT_PULL_METHOD`.
    pub fn scheme(&self) -> &'static str {
        if self.0.starts_with("http://") {
            "http"
        } else {
            "https"
        }
    }

    /// Returns host and path, without the scheme.
    pub fn without_scheme(&self) -> &str {
        self.0.split_once("://").map_or(&self.0, |(_, rest)| rest)
    }
}

impl GitSource {
    /// Returns kaniko's `--context`: `git://host/path`, then `#ref`, then `#commit` (kaniko v1.28.3,
    /// `pkg/buildcontext/git.go`).
    ///
    /// A short ref may be a branch or a tag, a full ref may be any kind. A commit without a ref leaves the
    /// first fragment empty: kaniko then clones all branches and checks the commit out. In the first
    /// fragment, kaniko would fetch the commit by its id, which a git server allows only if it is configured
    /// so (`uploadpack.allowAnySHA1InWant`); otherwise kaniko ends with
    /// `server does not support exact SHA1 refspec`. A commit that is on no branch needs its ref.
    pub fn kaniko_context(&self) -> String {
        let mut context = format!("git://{}", self.url.without_scheme());
        let named = self.reference.as_ref().map(GitRef::as_str);
        // kaniko treats a ref of 40 hexadecimal digits as a commit, even if it is the name of a branch.
        let (reference, id) = match named {
            Some(text) if is_object_id(text) => (None, Some(text)),
            reference => (reference, None),
        };
        let commit = self.commit.as_ref().map(CommitId::as_str).or(id);
        if reference.is_some() || commit.is_some() {
            context.push('#');
            context.push_str(reference.unwrap_or_default());
        }
        if let Some(commit) = commit {
            context.push('#');
            context.push_str(commit);
        }
        context
    }
}

fn is_object_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn check_url(text: &str) -> Result<(), Invalid> {
    let url = web::parse(text, &["https", "http"])?;
    if url.query().is_some() {
        return Err(Invalid::new("must not have a query ('?')"));
    }
    if url.path() == "/" {
        return Err(Invalid::new("must name a repository after the host"));
    }
    Ok(())
}

/// Checks the rules of `git check-ref-format --allow-onelevel`, and refuses the characters that have a
/// meaning for kaniko.
fn check_ref(text: &str) -> Result<(), Invalid> {
    plain(text, 255)?;
    if let Some(c) = text
        .chars()
        .find(|c| " ~^:?*[\\#".contains(*c) || c.is_whitespace())
    {
        return Err(Invalid::new(format_args!("must not contain {c:?}")));
    }
    if text.starts_with('-') {
        return Err(Invalid::new("must not begin with '-'"));
    }
    if text.contains("..") || text.contains("@{") || text == "@" {
        return Err(Invalid::new("must not contain '..' or '@{', nor be '@'"));
    }
    if text.ends_with('.') {
        return Err(Invalid::new("must not end with '.'"));
    }
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if text.split('/').any(bad_part) {
        return Err(Invalid::new(
            "must not have a part that is empty, begins with '.' or ends with '.lock'",
        ));
    }
    Ok(())
}

fn check_commit(text: &str) -> Result<(), Invalid> {
    // Git prints ids in lower case, and two spellings of one commit must not be two requests.
    if !is_object_id(text) || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Invalid::new(
            "must be a full commit id: 40 hexadecimal digits in lower case",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
