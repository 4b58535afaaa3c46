//! What forms send. A body that is none is answered like other wrong input: with a page, or to a script with JSON, that says so.

use app::Error;
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::respond::{Failure, Told};
use crate::server::Web;

/// The fields of a form, as [`axum::extract::Form`] reads them.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequest<Web> for Form<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Web) -> Result<Form<T>, Failure> {
        let axum::extract::Form(fields) =
            read(request, web, |rejection: &axum::extract::rejection::FormRejection| rejection.body_text()).await?;
        Ok(Form(fields))
    }
}

/// A form with files, as [`axum::extract::Multipart`] reads it.
pub struct Multipart(pub axum::extract::Multipart);

impl FromRequest<Web> for Multipart {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Web) -> Result<Multipart, Failure> {
        let why = |rejection: &axum::extract::multipart::MultipartRejection| rejection.body_text();
        Ok(Multipart(read(request, web, why).await?))
    }
}

async fn read<E: FromRequest<Web>>(request: Request, web: &Web, why: impl FnOnce(&E::Rejection) -> String) -> Result<E, Failure> {
    let (mut parts, body) = request.into_parts();
    let again = Request::from_parts(parts.clone(), body);
    match E::from_request(again, web).await {
        Ok(read) => Ok(read),
        Err(rejection) => {
            let why = why(&rejection);
            let Ok(context) = Context::from_request_parts(&mut parts, web).await;
            Err(Error::invalid("form", format!("The form can't be read: {why}. Load the page again and repeat it."))).told(web, &context)
        }
    }
}
