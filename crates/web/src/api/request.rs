//! What calls carry: ids in paths, parameters, JSON bodies, idempotency keys. Whatever is wrong with them is said in JSON.

use std::str::FromStr;

use app::hydrate::{Page, PageRequest};
use app::{Error, What};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use model::{Bookmark, NameKind};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use super::respond::Failure;
use crate::server::Web;

/// Parameters in an address: far more than any call has.
const PARAMETERS_MAX: usize = 100;
/// A key that names one intended write; a UUID has 36.
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;
/// Pages read on for one answer while nothing of them may be shown, once there is something to show.
const FILL_ROUNDS_MAX: usize = 20;
/// The kind of bookmarks of lists that are short enough to be read whole; see `app::hydrate::lists`.
const SLICED_LIST: u8 = 200;

/// The parameters of an address, in their order.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    fn parse(query: &str) -> Params {
        let pairs = url::form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX);
        Params(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// Returns a parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub fn required(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| Failure::invalid(format!("The parameter '{name}' is missing.")))
    }

    /// Returns a list: the parameter many times, or once with commas.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
        values.map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    pub fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
            Some(text) => Err(Failure::invalid(format!("The parameter '{name}' is '{text}'; it must be true or false."))),
        }
    }

    /// Returns a whole number within limits.
    pub fn number(&self, name: &str, default: usize, range: std::ops::RangeInclusive<usize>) -> Result<usize, Failure> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            Failure::invalid(format!("The parameter '{name}' is '{text}'; it must be a number from {} to {}.", range.start(), range.end()))
        })
    }

    /// Reads which page of a list is wanted.
    pub fn page(&self) -> Result<PageRequest, Failure> {
        use model::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
        let size = self.number("page_size", PAGE_SIZE_DEFAULT, 1..=PAGE_SIZE_MAX)?;
        Ok(PageRequest { bookmark: self.get("bookmark").map(str::to_owned), size: Some(size) })
    }
}

impl FromRequestParts<Web> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Web) -> Result<Params, Failure> {
        Ok(Params::parse(parts.uri.query().unwrap_or("")))
    }
}

/// A JSON body, whatever content type it says it is.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Web> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Web) -> Result<JsonBody<T>, Failure> {
        let bytes = Bytes::from_request(request, web).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Failure::of_status(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large: a picture has at most 20 MiB.")
            }
            status => Failure::of_status(status, "The body could not be read whole."),
        })?;
        let body = serde_json::from_slice(&bytes).map_err(|error| {
            let what = if bytes.is_empty() { "it is empty".to_owned() } else { error.to_string() };
            Failure::invalid(format!("The body is not the JSON that this call takes: {what}."))
        })?;
        Ok(JsonBody(body))
    }
}

/// Reads a field that may be left out (`None`), null (`Some(None)`) or given.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Reads an id. What is no number is refused; a number that is no such id is not found.
pub fn id<T: FromStr>(text: &str, what: What) -> Result<T, Failure> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let shown: String = text.chars().take(40).collect();
        return Err(Failure::invalid(format!("'{shown}' is not the id of a {}: ids are decimal numbers.", what.label().to_lowercase())));
    }
    text.parse().map_err(|_| Failure::not_found(what))
}

/// Reads the key under which a write happens once, however often it is sent. `collection` keeps keys of different calls apart.
pub fn idempotency_key(headers: &HeaderMap, collection: &str) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().map(str::trim).ok();
    match key.filter(|key| (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len())) {
        Some(key) => Ok(Some(format!("api/{collection}/{key}"))),
        None => Err(Failure::invalid(format!(
            "The header Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters."
        ))),
    }
}

/// Returns what an earlier write with the same key made.
pub async fn made_before<T: TryFrom<model::Id>>(web: &Web, owner: model::UserId, key: Option<&str>) -> Result<Option<T>, Failure> {
    let Some(key) = key else { return Ok(None) };
    let name = web.app.storage.name(NameKind::SourceKey, &app::pins::source_key(owner, key)).await.map_err(Error::from)?;
    match name {
        None => Ok(None),
        Some(name) => T::try_from(name.id).map(Some).map_err(|_| key_is_spent()),
    }
}

/// Says that a key can't be used again: what it made is gone.
pub fn key_is_spent() -> Failure {
    Failure::of_status(StatusCode::CONFLICT, "This Idempotency-Key was used already, and what it made is gone. Use a new one.")
}

/// Reads a page and reads on where nothing of it may be shown: clients stop at the first empty page.
pub async fn filled<T, E, F, Fut>(request: &PageRequest, keep: impl Fn(&T) -> bool, read: F) -> Result<Page<T>, Failure>
where
    F: Fn(PageRequest) -> Fut,
    Fut: Future<Output = Result<Page<T>, E>>,
    Failure: From<E>,
{
    let size = request.size()?;
    let (mut items, mut bookmark) = (Vec::with_capacity(size), request.bookmark.clone());
    for round in 1.. {
        let page = read(PageRequest { bookmark: bookmark.take(), size: Some(size - items.len()) }).await?;
        items.extend(page.items.into_iter().filter(|item| keep(item)));
        bookmark = page.bookmark;
        if bookmark.is_none() || items.len() >= size || (round >= FILL_ROUNDS_MAX && !items.is_empty()) {
            break;
        }
    }
    Ok(Page { items, bookmark })
}

/// Cuts one page out of a list that was read whole.
pub fn sliced<T>(all: Vec<T>, request: &PageRequest) -> Result<Page<T>, Failure> {
    let size = request.size()?;
    let from = request.after(SLICED_LIST)?.map_or(0, |(position, _)| usize::try_from(position).unwrap_or(0));
    let more = all.len() > from.saturating_add(size);
    let items = all.into_iter().skip(from).take(size).collect();
    let bookmark = more.then(|| Bookmark { list: SLICED_LIST, position: (from + size) as i64, id: 0 }.encode());
    Ok(Page { items, bookmark })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused() {
        let params = Params::parse("a=1&b=x,y&b=z&flag=TRUE&empty=&page_size=251");
        assert_eq!(params.list("b"), ["x", "y", "z"]);
        assert!(params.flag("flag").unwrap() && !params.flag("none").unwrap() && params.flag("b").is_err());
        assert_eq!(params.get("empty"), None);
        assert!(params.page().is_err() && params.required("empty").is_err());
        for bad in ["page_size=0", "page_size=-1", "page_size=ten", "page_size=99999999999999999999"] {
            assert!(Params::parse(bad).page().is_err(), "{bad}");
        }
        assert_eq!(Params::parse("").page().unwrap().size, Some(25));
    }

    #[test]
    fn slices_end_without_a_bookmark_and_never_with_an_empty_page() {
        let mut request = PageRequest::first(2);
        let mut seen = Vec::new();
        loop {
            let page = sliced(vec![1, 2, 3, 4], &request).unwrap();
            assert!(!page.items.is_empty());
            seen.extend(page.items);
            request.bookmark = page.bookmark;
            if request.bookmark.is_none() {
                break;
            }
        }
        assert_eq!(seen, [1, 2, 3, 4]);
        request.bookmark = Some("AQAAAYvP5WgAA1lAEABr95U".into());
        assert!(sliced(vec![1], &request).is_err());
    }

    #[tokio::test]
    async fn empty_pages_in_the_middle_are_read_over() {
        let pages = |request: PageRequest| async move {
            let from: usize = request.bookmark.map_or(0, |text| text.parse().unwrap());
            let items: Vec<usize> = (from..(from + request.size.unwrap()).min(100)).collect();
            let next = from + items.len();
            Ok::<_, Failure>(Page { items, bookmark: (next < 100).then(|| next.to_string()) })
        };
        let request = PageRequest::first(5);
        let page = filled(&request, |n| *n >= 60, pages).await.unwrap();
        assert_eq!((page.items, page.bookmark.as_deref()), (vec![60, 61, 62, 63, 64], Some("65")));
        let page = filled(&request, |_| false, pages).await.unwrap();
        assert_eq!((page.items.len(), page.bookmark), (0, None));
    }
}
