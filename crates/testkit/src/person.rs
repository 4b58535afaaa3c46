//! Somebody with an account: a session for the pages and a token for the API. What people do, and what they then see.
//! Calls that change something come back with what was acknowledged; an error says that nothing is known.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::{Client, Response, Site};

/// Everybody's password. Long enough for the site, and no secret.
pub const PASSWORD: &str = "correct horse battery staple";
/// All that a test may want to do through the API.
const SCOPES: &str = "boards:read,boards:read_secret,boards:write,boards:write_secret,\
                      pins:read,pins:read_secret,pins:write,pins:write_secret,user_accounts:read,user_accounts:write";
/// A list that goes on for longer than this goes in circles.
const PAGES_MAX: usize = 400;

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    pub username: String,
    /// Pages, with the session's cookie; asks as a script would for what forms answer.
    pub pages: Client,
    /// `/v5`, with a token that may do everything.
    pub api: Client,
}

/// A pin as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPin {
    pub id: String,
    pub title: String,
}

impl Person {
    /// Makes an account with the command line, logs in, and makes a token.
    pub fn create(site: &Site, username: &str) -> anyhow::Result<Person> {
        let email = format!("{username}@example.org");
        let arguments = ["user", "create", username, "--email", &email, "--password-stdin"];
        run_with_input(&mut site.command(&arguments), &format!("{PASSWORD}\n"))?;
        let printed = run_with_input(&mut site.command(&["token", "create", "--user", username, "--scopes", SCOPES]), "")?;
        let token = printed.split_whitespace().last().context("no token was printed")?.to_owned();
        let mut person = Person {
            username: username.to_owned(),
            pages: site.client().with_form_header("x-fragment", "state"),
            api: Client::with_token(site.base_url(), &token),
        };
        person.log_in()?;
        Ok(person)
    }

    /// Logs in; fails when the site does not take the password.
    pub fn log_in(&mut self) -> anyhow::Result<()> {
        let username = self.username.clone();
        let response = self.pages.post_form("/login", &[("login", &username), ("password", PASSWORD), ("next", "/")])?;
        ensure!(is_logged_in(&response, &self.pages), "logging in as {username}: status {}", response.status);
        Ok(())
    }

    /// Tells where the site is now.
    pub fn set_base_url(&mut self, base_url: &str) {
        self.pages.set_base_url(base_url);
        self.api.set_base_url(base_url);
    }

    pub fn create_board(&mut self, name: &str) -> anyhow::Result<String> {
        let response = self.api.post_json("/v5/boards", &json!({ "name": name }))?;
        id_of(&response.expect_success("creating a board")?)
    }

    /// Pins a picture through the API; gives the pin's id.
    pub fn create_pin(&mut self, board: &str, title: &str, png: &[u8]) -> anyhow::Result<Response> {
        let source = json!({ "source_type": "image_base64", "content_type": "image/png", "data": base64(png) });
        self.api.post_json("/v5/pins", &json!({ "board_id": board, "title": title, "media_source": source }))
    }

    pub fn save(&mut self, pin: &str, board: &str) -> anyhow::Result<Response> {
        self.api.post_json(&format!("/v5/pins/{pin}/save"), &json!({ "board_id": board }))
    }

    pub fn delete_pin(&mut self, pin: &str) -> anyhow::Result<Response> {
        self.api.delete(&format!("/v5/pins/{pin}"))
    }

    pub fn follow(&mut self, username: &str) -> anyhow::Result<Response> {
        self.api.post_json(&format!("/v5/user_account/following/{username}"), &json!({}))
    }

    pub fn like(&mut self, pin: &str) -> anyhow::Result<Response> {
        self.pages.post_form(&format!("/pin/{pin}/like"), &[])
    }

    pub fn comment(&mut self, pin: &str, text: &str) -> anyhow::Result<Response> {
        self.pages.post_form(&format!("/pin/{pin}/comments"), &[("text", text)])
    }

    /// Everything on a board, through all pages of the API.
    pub fn board_pins(&mut self, board: &str) -> anyhow::Result<Vec<ListedPin>> {
        let items = self.all_items(&format!("/v5/boards/{board}/pins?page_size=100"))?;
        let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
        Ok(items.iter().map(|item| ListedPin { id: text(item, "id"), title: text(item, "title") }).collect())
    }

    /// All boards of this person: the API's objects.
    pub fn boards(&mut self) -> anyhow::Result<Vec<Value>> {
        self.all_items("/v5/boards?page_size=100")
    }

    /// The user names that this person follows.
    pub fn following(&mut self) -> anyhow::Result<Vec<String>> {
        let items = self.all_items("/v5/user_account/following?page_size=100")?;
        Ok(items.iter().filter_map(|item| item["username"].as_str().map(str::to_owned)).collect())
    }

    /// Follows an API list to its end.
    pub fn all_items(&mut self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        for _ in 0..PAGES_MAX {
            let page = self.api.get(&next)?.expect_success(&next)?.json()?;
            let found = page["items"].as_array().with_context(|| format!("{next}: no items in {page}"))?;
            items.extend(found.iter().cloned());
            let Some(bookmark) = page["bookmark"].as_str() else { return Ok(items) };
            ensure!(!found.is_empty(), "{next}: an empty page with a bookmark");
            next = format!("{path}&bookmark={bookmark}");
        }
        bail!("{path}: no end after {PAGES_MAX} pages");
    }

    /// The ids of the pins in a list of cards, through all its pages.
    pub fn cards(&mut self, path: &str) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut next = path.to_owned();
        for _ in 0..PAGES_MAX {
            let page = self.page(&next)?;
            ids.extend(values_after(&page, "<article class=\"card\" data-pin=\""));
            match next_url(&page) {
                Some(url) => next = url,
                None => return Ok(ids),
            }
        }
        bail!("{path}: no end after {PAGES_MAX} pages");
    }

    /// A page as text; fails unless it is there.
    pub fn page(&mut self, path: &str) -> anyhow::Result<String> {
        let response = self.pages.get(path)?;
        ensure!(response.status == 200, "{path}: status {}", response.status);
        Ok(response.text())
    }
}

fn is_logged_in(response: &Response, client: &Client) -> bool {
    response.is_success() && !client.cookie_header().is_empty()
}

/// Reads `id` of what was created.
pub fn id_of(response: &Response) -> anyhow::Result<String> {
    let value = response.json()?;
    value["id"].as_str().map(str::to_owned).with_context(|| format!("no id in {value}"))
}

/// Runs a command to its end with some input; gives what it printed.
pub fn run_with_input(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let words: Vec<String> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "corkboard {}: {}\n{printed}{errors}", words.join(" "), output.status);
    Ok(printed.into_owned())
}

/// The address of the next page of a list, as the link that scripts follow has it.
fn next_url(page: &str) -> Option<String> {
    let tag = page.split("<a ").find(|tag| tag.split('>').next().is_some_and(|head| head.contains("data-more")))?;
    let url = tag.split("href=\"").nth(1)?.split('"').next()?;
    Some(url.replace("&amp;", "&").replace("&#38;", "&"))
}

/// What stands between `mark` and the next quote, each time.
fn values_after<'a>(text: &'a str, mark: &str) -> impl Iterator<Item = String> + 'a {
    let parts: Vec<&str> = text.split(mark).skip(1).collect();
    parts.into_iter().filter_map(|rest| rest.split('"').next().map(str::to_owned))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            let is_padding = index > group.len();
            let sextet = (bits >> (18 - 6 * index) & 63) as usize;
            out.push(if is_padding { '=' } else { char::from(ALPHABET[sextet]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn lists_of_cards_go_on() {
        let page = "<a href=\"/x\">x</a><article class=\"card\" data-pin=\"12\"><article class=\"card\" data-pin=\"34\">\
                    <a class=\"btn more\" rel=\"next\" href=\"/?a=1&amp;b=2\" data-more>Load more</a>";
        assert_eq!(next_url(page).unwrap(), "/?a=1&b=2");
        assert_eq!(values_after(page, "<article class=\"card\" data-pin=\"").collect::<Vec<_>>(), ["12", "34"]);
        assert_eq!(next_url("<a href=\"/x\">more</a>"), None);
    }
}
