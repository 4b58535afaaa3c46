//! A blocking HTTP client for tests: plain HTTP, cookies, forms, files, JSON. A new connection per request, so that a killed
//! server shows at once. Sends what a browser sends with a same-origin form (`Origin`, `Sec-Fetch-Site`), so that the
//! site's protection against foreign forms lets it in. Does not follow redirects: a test wants to see them.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::http::{self, Framing, Response};

/// No page of the site takes this long; a test that waits longer waits for ever.
const TIMEOUT: Duration = Duration::from_secs(30);
const BOUNDARY: &str = "----corkboard-testkit-7MA4YWxkTrZu0gW";

/// One person's browser, as far as a test needs it.
#[derive(Clone, Debug)]
pub struct Client {
    /// `http://host:port`, without a slash at the end.
    base_url: String,
    cookies: BTreeMap<String, String>,
    bearer: Option<String>,
    /// Sent with every request that changes something.
    form_headers: Vec<(String, String)>,
}

/// A file in a form.
#[derive(Clone, Debug)]
pub struct Upload<'a> {
    pub field: &'a str,
    pub file_name: &'a str,
    pub content_type: &'a str,
    pub bytes: &'a [u8],
}

impl Client {
    pub fn new(base_url: &str) -> Client {
        Client { base_url: base_url.trim_end_matches('/').to_owned(), cookies: BTreeMap::new(), bearer: None, form_headers: Vec::new() }
    }

    /// Makes a client of the API with a token.
    pub fn with_token(base_url: &str, token: &str) -> Client {
        Client { bearer: Some(token.to_owned()), ..Client::new(base_url) }
    }

    /// Sends a header with every form, as scripts of the site do with `X-Fragment`.
    pub fn with_form_header(mut self, name: &str, value: &str) -> Client {
        self.form_headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Tells where the site is now, after a restart on another port.
    pub fn set_base_url(&mut self, base_url: &str) {
        self.base_url = base_url.trim_end_matches('/').to_owned();
    }

    /// Where the site is: `http://host:port`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Gives the `Cookie` header's value, to be used by other tools.
    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub fn get(&mut self, path: &str) -> anyhow::Result<Response> {
        self.send("GET", path, None)
    }

    pub fn delete(&mut self, path: &str) -> anyhow::Result<Response> {
        self.send("DELETE", path, None)
    }

    pub fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Response> {
        let body = http::form_encoded(fields).into_bytes();
        self.send("POST", path, Some(("application/x-www-form-urlencoded", body)))
    }

    pub fn post_json(&mut self, path: &str, body: &serde_json::Value) -> anyhow::Result<Response> {
        self.send("POST", path, Some(("application/json", serde_json::to_vec(body)?)))
    }

    pub fn patch_json(&mut self, path: &str, body: &serde_json::Value) -> anyhow::Result<Response> {
        self.send("PATCH", path, Some(("application/json", serde_json::to_vec(body)?)))
    }

    pub fn post_multipart(&mut self, path: &str, fields: &[(&str, &str)], files: &[Upload<'_>]) -> anyhow::Result<Response> {
        let mut body = Vec::new();
        for (name, value) in fields {
            write!(body, "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")?;
        }
        for file in files {
            let (field, name, kind) = (file.field, file.file_name, file.content_type);
            write!(body, "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n")?;
            write!(body, "Content-Type: {kind}\r\n\r\n")?;
            body.extend_from_slice(file.bytes);
            body.extend_from_slice(b"\r\n");
        }
        write!(body, "--{BOUNDARY}--\r\n")?;
        self.send("POST", path, Some((&format!("multipart/form-data; boundary={BOUNDARY}"), body)))
    }

    /// Sends one request and reads the whole response. An error means that nothing is known about its effect.
    pub fn send(&mut self, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> anyhow::Result<Response> {
        let host = self.base_url.strip_prefix("http://").context("the client speaks plain HTTP only")?.to_owned();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\naccept: text/html, application/json\r\n");
        if !self.cookies.is_empty() {
            request.push_str(&format!("cookie: {}\r\n", self.cookie_header()));
        }
        if let Some(token) = &self.bearer {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        } else if method != "GET" {
            request.push_str(&format!("origin: {}\r\nsec-fetch-site: same-origin\r\n", self.base_url));
        }
        let (kind, bytes) = body.unwrap_or_default();
        if !kind.is_empty() {
            request.push_str(&format!("content-type: {kind}\r\n"));
        }
        if method != "GET" {
            request.push_str(&format!("content-length: {}\r\n", bytes.len()));
            for (name, value) in &self.form_headers {
                request.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(&host).with_context(|| format!("connecting to {host}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // A server may refuse a large body before it has read it; its answer says more than the broken pipe.
        let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.write_all(&bytes));
        let mut buffer = Vec::new();
        let received = stream.read_to_end(&mut buffer);
        let response = match read_response(&buffer) {
            Ok(response) => response,
            Err(error) => {
                sent.with_context(|| format!("sending {method} {path}"))?;
                received.with_context(|| format!("reading the response to {method} {path}"))?;
                return Err(error.context(format!("{method} {path}")));
            }
        };
        self.keep_cookies(&response);
        Ok(response)
    }

    fn keep_cookies(&mut self, response: &Response) {
        for (name, value) in &response.headers {
            if name != "set-cookie" {
                continue;
            }
            let mut parts = value.split(';').map(str::trim);
            let Some((cookie, content)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let is_over = parts.any(|part| part.eq_ignore_ascii_case("max-age=0"));
            if is_over || content.is_empty() {
                self.cookies.remove(cookie);
            } else {
                self.cookies.insert(cookie.to_owned(), content.to_owned());
            }
        }
    }
}

/// Reads a complete response out of all that a connection has given.
fn read_response(buffer: &[u8]) -> anyhow::Result<Response> {
    let mut buffer = buffer;
    loop {
        let Some(head) = http::parse_head(buffer)? else { bail!("the connection closed before the headers were complete") };
        let (head_bytes, rest) = buffer.split_at(head.bytes);
        if (100..200).contains(&head.status) {
            buffer = rest;
            continue;
        }
        let mut body = Vec::new();
        match head.framing {
            Framing::UntilClose => body.extend_from_slice(rest),
            Framing::Length(length) if rest.len() >= length => body.extend_from_slice(&rest[..length]),
            Framing::Length(length) => bail!("the connection closed after {} of {length} bytes", rest.len()),
            Framing::Chunked => {
                if http::parse_chunks(rest, Some(&mut body))?.is_none() {
                    bail!("the connection closed within a chunked body");
                }
            }
        }
        return Ok(Response { status: head.status, headers: http::parse_headers(head_bytes), body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_come_and_go() {
        let mut client = Client::new("http://127.0.0.1:1/");
        let set = |value: &str| Response { status: 200, headers: vec![("set-cookie".into(), value.into())], body: Vec::new() };
        client.keep_cookies(&set("session=abc; Path=/; HttpOnly"));
        client.keep_cookies(&set("theme=dark"));
        assert_eq!(client.cookie_header(), "session=abc; theme=dark");
        client.keep_cookies(&set("session=; Max-Age=0"));
        assert_eq!(client.cookie_header(), "theme=dark");
    }

    #[test]
    fn a_cut_response_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(read_response(whole).unwrap().text(), "ok");
        for cut in 0..whole.len() {
            assert!(read_response(&whole[..cut]).is_err(), "{cut}");
        }
        let continued = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 303 See Other\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read_response(continued).unwrap().header("location"), Some("/"));
    }
}
