//! How long and how many. Each limit has a unit, a reason, and one place that says what to do when it is hit.

/// What is wrong with an input, for the person who made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The form field or JSON key.
    pub field: &'static str,
    pub message: String,
}

impl Invalid {
    pub fn new(field: &'static str, message: impl Into<String>) -> Invalid {
        Invalid { field, message: message.into() }
    }
}

// Characters are Unicode scalar values. The pin's figures are those of Pinterest's API, so that what fits there fits here.
pub const PIN_TITLE_CHARS_MAX: usize = 100;
pub const PIN_DESCRIPTION_CHARS_MAX: usize = 800;
pub const PIN_ALT_TEXT_CHARS_MAX: usize = 500;
pub const PIN_LINK_CHARS_MAX: usize = 2048;
pub const BOARD_NAME_CHARS_MAX: usize = 180;
pub const BOARD_DESCRIPTION_CHARS_MAX: usize = 500;
pub const SECTION_NAME_CHARS_MAX: usize = 180;
pub const COMMENT_CHARS_MAX: usize = 500;
pub const USERNAME_CHARS_MIN: usize = 3;
pub const USERNAME_CHARS_MAX: usize = 30;
pub const NAME_CHARS_MAX: usize = 60;
pub const ABOUT_CHARS_MAX: usize = 500;
/// Octets of an address in SMTP (RFC 5321, path of 256 less its brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Argon2 would take more; nobody types it, and hashing megabytes is a way to hurt a site.
pub const PASSWORD_BYTES_MAX: usize = 1024;
pub const TAG_CHARS_MAX: usize = 50;
/// More tags than this on one pin are noise in topics and search; the rest is left as plain text.
pub const TAGS_PER_PIN_MAX: usize = 20;
pub const MENTIONS_PER_COMMENT_MAX: usize = 10;
pub const BOARDS_PER_USER_MAX: u64 = 2_000;
pub const SECTIONS_PER_BOARD_MAX: u64 = 500;
pub const PINS_PER_BOARD_MAX: u64 = 200_000;
/// They live inside the board's row, which is read with every page of the board.
pub const COLLABORATORS_PER_BOARD_MAX: usize = 100;
pub const FOLLOWS_PER_USER_MAX: u64 = 50_000;
pub const TOKENS_PER_USER_MAX: u64 = 50;
pub const SESSIONS_PER_USER_MAX: u64 = 100;
pub const REPORT_NOTE_CHARS_MAX: usize = 1_000;
/// What an admin says about a legal hold, a takedown or a decision: a long paragraph; documents belong into the office's files.
pub const LEGAL_NOTE_CHARS_MAX: usize = 2_000;
/// What an owner says against a takedown.
pub const APPEAL_CHARS_MAX: usize = 4_000;
/// A case number, a letter's reference.
pub const LEGAL_REFERENCE_CHARS_MAX: usize = 200;
/// Default and largest page of a list (API v5).
pub const PAGE_SIZE_DEFAULT: usize = 25;
pub const PAGE_SIZE_MAX: usize = 250;
/// One object's JSON. A pin with every field full is under 8 KiB; what is larger is not an object.
pub const OBJECT_BYTES_MAX: usize = 1 << 20;

/// Trims `text` and refuses it when it is longer than `max` characters or holds control characters.
pub fn check_text(field: &'static str, label: &str, text: &str, max: usize) -> Result<String, Invalid> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    let chars = text.chars().count();
    if chars > max {
        return Err(Invalid::new(field, format!("{label} has {chars} characters; at most {max} are allowed.")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Invalid::new(field, format!("{label} holds control characters; remove them.")));
    }
    Ok(text.to_owned())
}

/// Like [`check_text`], on one line and not empty.
pub fn check_name(field: &'static str, label: &str, text: &str, max: usize) -> Result<String, Invalid> {
    let name = check_text(field, label, text, max)?.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return Err(Invalid::new(field, format!("{label} is empty; give it at least one character.")));
    }
    Ok(name)
}

/// Checks a user name: letters, digits, '_', '-' and '.', not all digits, not a word that the site uses in its own addresses.
pub fn check_username(text: &str) -> Result<String, Invalid> {
    let name = text.trim().to_lowercase();
    let fail = |message: String| Err(Invalid::new("username", message));
    let chars = name.chars().count();
    if !(USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX).contains(&chars) {
        return fail(format!("A user name has {USERNAME_CHARS_MIN} to {USERNAME_CHARS_MAX} characters; this one has {chars}."));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
        return fail("A user name is made of the letters a to z, digits, '_', '-' and '.'.".into());
    }
    if !name.as_bytes()[0].is_ascii_alphanumeric() || !name.as_bytes()[name.len() - 1].is_ascii_alphanumeric() {
        return fail("A user name starts and ends with a letter or a digit.".into());
    }
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return fail("A user name can't be digits only: it would look like an id.".into());
    }
    if RESERVED_USERNAMES.contains(&name.as_str()) {
        return fail(format!("'{name}' is a word that the site itself uses; choose another user name."));
    }
    Ok(name)
}

/// First parts of the site's own addresses, and words that would mislead.
pub const RESERVED_USERNAMES: &[&str] = &[
    "about",
    "account",
    "admin",
    "api",
    "assets",
    "board",
    "boards",
    "comment",
    "comments",
    "corkboard",
    "create",
    "demo",
    "explore",
    "favicon.ico",
    "feed",
    "feeds",
    "followers",
    "following",
    "forgot",
    "healthz",
    "help",
    "home",
    "import",
    "invitations",
    "join",
    "login",
    "logout",
    "manifest.webmanifest",
    "me",
    "media",
    "metrics",
    "moderator",
    "new",
    "notifications",
    "oauth",
    "offline",
    "pin",
    "pins",
    "privacy",
    "readyz",
    "report",
    "reset",
    "robots.txt",
    "root",
    "save",
    "search",
    "security",
    "session",
    "sessions",
    "settings",
    "signin",
    "signup",
    "site",
    "sitemap.xml",
    "static",
    "status",
    "support",
    "system",
    "tag",
    "takedowns",
    "terms",
    "topic",
    "topics",
    "trash",
    "undefined",
    "user",
    "users",
    "v5",
    "null",
    "www",
];

/// Checks the form of an e-mail address; whether it exists only mail can tell.
pub fn check_email(text: &str) -> Result<String, Invalid> {
    let email = text.trim().to_lowercase();
    let well_formed = email.len() <= EMAIL_BYTES_MAX
        && email.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty()
                && local.len() <= 64
                && !host.is_empty()
                && !host.contains('@')
                && !host.starts_with(['.', '-'])
                && !host.ends_with(['.', '-'])
                && !host.contains("..")
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
                && local.bytes().all(|b| b.is_ascii_graphic() && !b"()<>[]:;,\\\"".contains(&b))
        });
    if well_formed { Ok(email) } else { Err(Invalid::new("email", "This is not an e-mail address; it should look like name@example.org.")) }
}

/// Checks a new password.
pub fn check_password(password: &str) -> Result<(), Invalid> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Invalid::new("password", format!("A password has at least {PASSWORD_CHARS_MIN} characters.")));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Invalid::new("password", format!("A password has at most {PASSWORD_BYTES_MAX} bytes.")));
    }
    Ok(())
}

/// Checks a link: empty, or http(s) with a host. Returns it trimmed.
pub fn check_link(field: &'static str, text: &str) -> Result<String, Invalid> {
    let link = text.trim();
    if link.is_empty() {
        return Ok(String::new());
    }
    let chars = link.chars().count();
    if chars > PIN_LINK_CHARS_MAX {
        return Err(Invalid::new(field, format!("The link has {chars} characters; at most {PIN_LINK_CHARS_MAX} are allowed.")));
    }
    let lower = link.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    if rest.is_none_or(|rest| domain_of_rest(rest).is_empty()) || link.chars().any(|c| c.is_control() || c == ' ') {
        return Err(Invalid::new(field, "A link starts with http:// or https:// and names a site, like https://example.org/page."));
    }
    Ok(link.to_owned())
}

/// Returns the host of a checked link without "www.", in lower case; empty for an empty link.
pub fn domain_of(link: &str) -> String {
    let lower = link.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")).unwrap_or("");
    let domain = domain_of_rest(rest);
    domain.strip_prefix("www.").unwrap_or(domain).to_owned()
}

fn domain_of_rest(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    if host.starts_with('[') { host } else { host.split(':').next().unwrap_or("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        assert_eq!(check_username(" Ada.Lovelace ").unwrap(), "ada.lovelace");
        for bad in ["", "ab", "12345", "search", "a b c", "_ada", "ada-", "ädä", &"x".repeat(31)] {
            assert!(check_username(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn emails() {
        assert_eq!(check_email("Ada@Example.ORG").unwrap(), "ada@example.org");
        for bad in ["", "ada", "@example.org", "ada@", "a b@example.org", "ada@ex..org", "ada@@example.org", "<ada@example.org>"] {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn links_and_domains() {
        assert_eq!(check_link("link", " https://www.Example.org/a?b ").unwrap(), "https://www.Example.org/a?b");
        assert_eq!(domain_of("https://www.Example.org:8080/a"), "example.org");
        assert_eq!(domain_of("http://user@host.org/@x"), "host.org");
        assert_eq!(check_link("link", "").unwrap(), "");
        for bad in ["javascript:alert(1)", "https://", "ftp://x.org", "example.org", "https://a b.org", "https:///x"] {
            assert!(check_link("link", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_are_counted_in_characters() {
        assert_eq!(check_text("title", "The title", &"ü".repeat(100), 100).unwrap().chars().count(), 100);
        let error = check_text("title", "The title", &"ü".repeat(101), 100).unwrap_err();
        assert_eq!(error.message, "The title has 101 characters; at most 100 are allowed.");
        assert!(check_text("title", "The title", "a\u{0}b", 100).is_err());
        assert_eq!(check_name("name", "The name", "  a \n b ", 10).unwrap(), "a b");
    }
}
