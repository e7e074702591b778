//! `/api/v1/contexts`.

use reqwest::{Body, Method, header};

use super::{Client, ClientError, Context};
use crate::domain::ProjectName;

impl Client {
    /// Uploads a context, however long that takes. `kind` is `application/gzip` for an archive, `text/plain` for a
    /// Dockerfile.
    pub async fn upload_context(
        &self,
        project: &ProjectName,
        kind: &str,
        body: impl Into<Body>,
    ) -> Result<Context, ClientError> {
        let query = [("project", project.to_string())];
        let request = self
            .request(Method::POST, "contexts", &query)
            .header(header::CONTENT_TYPE, kind)
            .body(body);
        let response = self.send_slowly(request).await?;
        Ok(self.read_json(response).await?.value)
    }
}
