//! Deletes the bytes of a picture that nothing holds any more.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::ImageId;
use serde::{Deserialize, Serialize};

use super::AppJob;
use crate::compose::App;
use crate::error::Result;

#[derive(Debug, Serialize, Deserialize)]
pub struct DeletePicture {
    pub image: ImageId,
}

#[async_trait]
impl AppJob for DeletePicture {
    const QUEUE: &'static str = "delete_picture";
    const PRIORITY: u8 = 8;

    async fn run(&self, app: &App, _: &JobContext) -> Result<()> {
        app.delete_unheld_picture(self.image).await.map(drop)
    }
}
