//! Makes the smaller sizes of a picture before anybody asks for them.

use ::jobs::JobContext;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::AppJob;
use crate::compose::App;
use crate::error::{Error, Result};
use crate::pictures::media_error;

#[derive(Debug, Serialize, Deserialize)]
pub struct MakeRenditions {
    pub hash: String,
}

#[async_trait]
impl AppJob for MakeRenditions {
    const QUEUE: &'static str = "make_renditions";
    const PRIORITY: u8 = 3;

    fn key(&self) -> Option<String> {
        Some(self.hash.clone())
    }

    async fn run(&self, app: &App, _: &JobContext) -> Result<()> {
        let hash = self.hash.parse().map_err(Error::internal)?;
        app.media.make_renditions(hash).await.map_err(media_error)
    }
}
