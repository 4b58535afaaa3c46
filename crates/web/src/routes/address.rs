//! What an address names. An address that can't name anything is answered like one that names nothing: with the not-found page.

use app::{Error, What};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::respond::{Failure, Told};
use crate::server::Web;

/// The parts of an address, as [`Path`] reads them.
pub struct At<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Web> for At<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<At<T>, Failure> {
        if let Ok(Path(value)) = Path::<T>::from_request_parts(parts, web).await {
            return Ok(At(value));
        }
        let Ok(context) = Context::from_request_parts(parts, web).await;
        Err(Error::NotFound(What::Page)).told(web, &context)
    }
}
