//! Static files, compiled in. Each is served as `/static/<name>.<hash>.<ext>`, where the hash is that of its content, so that browsers
//! may keep it for ever and a new build is seen at once.
//!
//! Files name each other by relative address (`"./dom.js"`, `url("./mark.svg")`); at the first use those names are replaced by the
//! hashed ones. [`SOURCES`] therefore lists a file after all that it names.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A file as it is served.
pub struct Asset {
    /// "app.css"
    pub name: &'static str,
    /// "/static/app.1f2e3d4c5b6a.css"
    pub url: String,
    pub content_type: &'static str,
    pub body: Bytes,
}

struct Source {
    name: &'static str,
    parts: &'static [&'static [u8]],
}

macro_rules! sources {
    ($($name:literal = $($path:literal)+;)+) => {
        /// Every file, after all that it names. Several paths are joined into one file.
        const SOURCES: &[Source] = &[$(Source { name: $name, parts: &[$(include_bytes!(concat!("../static/", $path))),+] }),+];
    };
}

sources! {
    "icons.svg" = "icons/icons.svg";
    "mark.svg" = "icons/mark.svg";
    "icon-180.png" = "icons/icon-180.png";
    "icon-192.png" = "icons/icon-192.png";
    "icon-512.png" = "icons/icon-512.png";
    "icon-512-maskable.png" = "icons/icon-512-maskable.png";
    "manifest.webmanifest" = "manifest.webmanifest";
    "app.css" = "css/base.css" "css/controls.css" "css/frame.css" "css/cards.css" "css/pin.css" "css/pages.css" "css/settings.css";
    "masonry.js" = "js/masonry.js";
    "dom.js" = "js/dom.js";
    "stash.js" = "js/stash.js";
    "order.js" = "js/order.js";
    "upload.js" = "js/upload.js";
    "from_url.js" = "js/from_url.js";
    "live.js" = "js/live.js";
    "grid.js" = "js/grid.js";
    "picker.js" = "js/picker.js";
    "toggles.js" = "js/toggles.js";
    "comments.js" = "js/comments.js";
    "suggest.js" = "js/suggest.js";
    "keys.js" = "js/keys.js";
    "app.js" = "js/app.js";
    "sw.js" = "js/sw.js";
}

struct Assets {
    list: Vec<Asset>,
    by_name: HashMap<&'static str, usize>,
    /// By the part of the URL after "/static/".
    by_file: HashMap<String, usize>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(build);

/// Characters of the hash in a name: 48 bits, so that two contents never meet in one installation's life.
const HASH_CHARS: usize = 12;

fn build() -> Assets {
    let mut assets = Assets { list: Vec::with_capacity(SOURCES.len()), by_name: HashMap::new(), by_file: HashMap::new() };
    for source in SOURCES {
        let mut body = source.parts.concat();
        let (stem, extension) = source.name.rsplit_once('.').expect("every static file has an extension");
        if extension != "png" {
            let mut text = String::from_utf8(body).expect("static text is UTF-8");
            for earlier in &assets.list {
                let file = earlier.url.rsplit('/').next().unwrap_or(earlier.name);
                text = text.replace(&format!("./{}", earlier.name), &format!("./{file}"));
            }
            body = text.into_bytes();
        }
        let mut hash = model::text::hex(&Sha256::digest(&body));
        hash.truncate(HASH_CHARS);
        let file = format!("{stem}.{hash}.{extension}");
        let at = assets.list.len();
        assets.list.push(Asset {
            name: source.name,
            url: format!("/static/{file}"),
            content_type: content_type(extension),
            body: Bytes::from(body),
        });
        assets.by_name.insert(source.name, at);
        assets.by_file.insert(file, at);
    }
    assets
}

fn content_type(extension: &str) -> &'static str {
    match extension {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// Returns the URL of a file by its plain name. A name that doesn't exist is a mistake in a template, which every render test finds.
pub fn asset(name: &str) -> &'static str {
    let assets = &*ASSETS;
    match assets.by_name.get(name) {
        Some(at) => &assets.list[*at].url,
        None => panic!("no static file is called '{name}'"),
    }
}

/// Returns the URL of the icon sprite; it stands dozens of times on a page.
pub fn icons() -> &'static str {
    &ASSETS.list[0].url
}

/// Returns all files, for a service worker's list, for tests and previews.
pub fn all() -> &'static [Asset] {
    &ASSETS.list
}

/// Answers GET /static/{file}. The hash is part of the name, so a browser never has to ask twice.
pub fn respond(file: &str) -> Response<Body> {
    let assets = &*ASSETS;
    let Some(asset) = assets.by_file.get(file).map(|at| &assets.list[*at]) else {
        let mut response = Response::new(Body::from("There is no such file."));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Body::from(asset.body.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if asset.name == "sw.js" {
        headers.insert("service-worker-allowed", HeaderValue::from_static("/"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_content() {
        assert!(asset("app.css").starts_with("/static/app.") && asset("app.css").ends_with(".css"));
        assert_eq!(icons(), asset("icons.svg"));
        let response = respond(asset("app.js").strip_prefix("/static/").unwrap());
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(respond("app.js").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn files_name_each_other_by_hash() {
        for asset in all().iter().filter(|asset| asset.content_type.starts_with("text") || asset.name.ends_with("manifest")) {
            let text = std::str::from_utf8(&asset.body).unwrap();
            for other in all() {
                assert!(!text.contains(&format!("./{}", other.name)), "{} names {} before it is listed", asset.name, other.name);
            }
            // The namespace of SVG is a name that looks like an address; nothing is loaded from it.
            let addresses = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!addresses.contains("http://") && !addresses.contains("https://"), "{} loads something from elsewhere", asset.name);
        }
    }
}
