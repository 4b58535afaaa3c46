//! Rules for templates: nothing that the site's content security policy would block, and nothing from other sites.

use super::{Finding, TextFile};

/// Kinds of script that are data, not code: the policy lets them stand in the page.
const DATA_SCRIPTS: [&str; 2] = ["application/json", "application/ld+json"];
/// Attributes that load something at once.
const LOADING: [&str; 3] = ["src=\"http", "srcset=\"http", "src=\"//"];

/// Applies every rule to one template.
pub fn check(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |line: usize, what: String, advice: &str| findings.push(Finding::error(&file.path, line, what, advice));
    for (index, line) in file.text.lines().enumerate() {
        let number = index + 1;
        for tag in tags(line, "<script") {
            let is_data = DATA_SCRIPTS.iter().any(|kind| tag.contains(kind));
            if !tag.contains("src=") && !is_data {
                report(number, "an inline script, which the content security policy blocks".into(), "Move it into a file of assets/");
            }
        }
        if line.contains("<style") {
            report(number, "an inline style sheet, which the content security policy blocks".into(), "Move it into a file of assets/");
        }
        if let Some(name) = handler(line) {
            report(
                number,
                format!("`{name}=`: a script in an attribute, which the policy blocks"),
                "Listen for the event in a script of assets/",
            );
        }
        if line.contains(" style=\"") {
            report(
                number,
                "a style attribute, which the content security policy blocks".into(),
                "Use a class, an SVG attribute or width and height",
            );
        }
        if LOADING.iter().any(|attribute| line.contains(attribute)) {
            report(number, "something is loaded from another site".into(), "Serve it from here");
        }
    }
    findings
}

/// The rest of the line from each place where a tag starts.
fn tags<'a>(line: &'a str, tag: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(tag).map(move |(at, _)| line[at..].split_once('>').map_or(&line[at..], |(inside, _)| inside))
}

/// Finds an attribute like `onclick="`.
fn handler(line: &str) -> Option<&str> {
    line.match_indices(" on").find_map(|(at, _)| {
        let (name, _) = line[at + 1..].split_once('=')?;
        let is_name = name.len() > 4 && name.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_name && line[at + 1 + name.len()..].starts_with("=\"")).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let file = TextFile { path: "crates/web/templates/a.html".into(), text: text.into() };
        check(&file).iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn what_the_policy_blocks() {
        let text = "<script src=\"/assets/a.js\" defer></script>\n<script>alert(1)</script>\n<script type=\"application/json\">{}</script>\n\
                    <p style=\"color: red\">\n<button onclick=\"a()\">\n<p>only once=\"no\"</p>\n<img src=\"https://example.org/a.png\">\n<a href=\"https://example.org\">x</a>";
        assert_eq!(
            found(text),
            [
                "2: an inline script, which the content security policy blocks",
                "4: a style attribute, which the content security policy blocks",
                "5: `onclick=`: a script in an attribute, which the policy blocks",
                "7: something is loaded from another site",
            ]
        );
    }
}
