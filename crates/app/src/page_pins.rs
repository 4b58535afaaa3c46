//! Pins from the web: a page's pictures to choose from, and pinning the chosen one.

use bytes::Bytes;
use media::{FetchLimits, Fetched, Hash};
use model::limits::check_link;

use crate::compose::App;
use crate::error::{Error, Result};
use crate::hydrate::PinView;
use crate::pictures::StoredPicture;
use crate::pins::{NewPin, PinText, Place};
use crate::viewer::Viewer;

/// What an address offers to pin.
#[derive(Clone, Debug)]
pub struct WebPage {
    pub url: String,
    pub title: String,
    pub description: String,
    pub site_name: String,
    pub pictures: Vec<import::PagePicture>,
}

impl App {
    /// Reads a page's pictures and metadata; an address of a picture offers that picture.
    pub async fn read_web_page(&self, viewer: &Viewer, url: &str) -> Result<WebPage> {
        viewer.require()?;
        let url = check_link("url", url)?;
        if url.is_empty() {
            return Err(Error::invalid("url", "Enter the address of a page or of a picture."));
        }
        // A page is small and a picture is not; which one it is only its first bytes tell.
        let fetched = self.fetch(&url, FetchLimits::PICTURE).await?;
        let final_url = fetched.final_url.to_string();
        if is_picture(&fetched) {
            let picture = import::PagePicture { url: final_url.clone(), width: None, height: None, alt: None };
            let site_name = model::limits::domain_of(&final_url);
            return Ok(WebPage { url, title: String::new(), description: String::new(), site_name, pictures: vec![picture] });
        }
        let html = import::decode_text(&fetched.bytes);
        let page = import::read_page(&html, &fetched.final_url);
        Ok(WebPage {
            url: page.canonical.unwrap_or(final_url),
            title: page.title.unwrap_or_default(),
            description: page.description.unwrap_or_default(),
            site_name: page.site_name.unwrap_or_default(),
            pictures: page.pictures,
        })
    }

    /// Pins the picture at an address. Addresses of this site's own pictures need no fetching.
    pub async fn pin_from_url(&self, viewer: &Viewer, place: Place, text: PinText, picture_url: &str) -> Result<PinView> {
        let text = text.checked()?;
        self.writable_place(viewer, place).await?;
        let picture = self.picture_at(picture_url).await?;
        self.create_pin(viewer, NewPin::new(place, text, picture)).await
    }

    /// Stores the picture at an address.
    pub async fn picture_at(&self, url: &str) -> Result<StoredPicture> {
        if let Some(hash) = self.own_media_hash(url) {
            return self.picture_by_hash(&hash.to_string()).await;
        }
        let fetched = self.fetch(url, FetchLimits::PICTURE).await?;
        self.store_picture(fetched.bytes).await
    }

    /// Returns the hash in an address of this site's own media: `<base url>/media/<hash>/…`.
    fn own_media_hash(&self, url: &str) -> Option<Hash> {
        let path = url.strip_prefix(self.settings.base_url.as_str()).unwrap_or(url);
        path.strip_prefix("/media/")?.split('/').next()?.parse().ok()
    }

    pub(crate) async fn fetch(&self, url: &str, limits: FetchLimits) -> Result<Fetched> {
        self.fetcher.get(url, limits).await.map_err(|error| Error::invalid("url", error.to_string()))
    }

    /// Fetches a picture to be looked at before it is pinned. Returns its content type, told by its bytes, and the bytes.
    pub async fn preview_picture(&self, url: &str) -> Result<(&'static str, Bytes)> {
        let fetched = self.fetch(url, FetchLimits::PICTURE).await?;
        let content_type = picture_type(&fetched.bytes).ok_or_else(|| Error::invalid("url", "What is there is no picture."))?;
        Ok((content_type, fetched.bytes))
    }

    /// Fetches a page and stores its best picture that can be had.
    pub(crate) async fn best_picture_of_page(&self, url: &str) -> Result<(StoredPicture, Option<Bytes>)> {
        /// Pictures of a page that are tried before it is given up.
        const TRIES_MAX: usize = 5;
        let fetched = self.fetch(url, FetchLimits::PICTURE).await?;
        if is_picture(&fetched) {
            return Ok((self.store_picture(fetched.bytes.clone()).await?, Some(fetched.bytes)));
        }
        let page = import::read_page(&import::decode_text(&fetched.bytes), &fetched.final_url);
        let mut last = Error::invalid("url", "This page has no picture to pin.");
        for picture in page.pictures.iter().take(TRIES_MAX) {
            match self.picture_at(&picture.url).await {
                Ok(stored) => return Ok((stored, None)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn is_picture(fetched: &Fetched) -> bool {
    picture_type(&fetched.bytes).is_some()
}

/// Tells a picture by its first bytes. Whether it is whole only `Media::ingest` finds out.
fn picture_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}
