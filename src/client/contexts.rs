//! Requests to `/api/v1/contexts`.

use reqwest::{Body, Method, header};

use super::{Client, ClientError, Context};
use crate::domain::ProjectName;

impl Client {
    /// Uploads a context, without a time limit. `kind` is `application/gzip` for an archive, `text/plain` for
    /// a Dockerfile. Without `project`, the project is the token's own, or `default`.
    pub async fn upload_context(
        &self,
        project: Option<&ProjectName>,
        kind: &str,
        body: impl Into<Body>,
    ) -> Result<Context, ClientError> {
        let query: Vec<_> = project.iter().map(|name| ("project", name.to_string())).collect();
        let request = self
            .request(Method::POST, "contexts", &query)
            .header(header::CONTENT_TYPE, kind)
            .body(body);
        let response = self.send_slowly(request).await?;
        Ok(self.read_json(response).await?.value)
    }
}
