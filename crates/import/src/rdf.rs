//! RDF metadata inside SVG drawings and XMP sidecars: Dublin Core and Creative Commons.
//!
//! ```text
//! bytes ─ decode by BOM or XML declaration ─▶ XML parser ─▶ RDF element ─┐
//!                                              │ broken                  ├─▶ Metadata
//!                                              └─▶ tolerant scan of the <metadata> block ─┘   (and what is broken is told)
//! ```
//!
//! Names are compared without their prefix: a great many drawings declare namespaces that are no longer current.

use roxmltree::{Document, Node, ParsingOptions};

use crate::date;
use crate::item::Author;
use crate::limits::{RDF_BLOCK_BYTES_MAX, XML_ATTRIBUTES_MAX, XML_DEPTH_MAX, XML_ENTITY_BYTES_MAX, XML_NAMESPACES_MAX, XML_NODES_MAX};
use crate::markup::{Dialect, Scanner, Token, local_name, unescape};
use crate::metadata::{Metadata, split_keywords};
use crate::text::{decode, http_link, one_line, windows_1252};

/// What a file holds, and what is wrong with it.
pub struct Rdf {
    pub metadata: Metadata,
    /// Why the XML parser refused the file; its metadata then comes from the tolerant scan.
    pub broken: Option<String>,
}

/// Reads the metadata of an SVG or XMP file.
pub fn read(bytes: &[u8]) -> Rdf {
    let text = decode_xml(bytes);
    match strict(&text) {
        Ok(metadata) => Rdf { metadata, broken: None },
        Err(why) => Rdf { metadata: tolerant(&text), broken: Some(why) },
    }
}

fn decode_xml(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).to_ascii_lowercase();
    let declaration = head.split("?>").next().unwrap_or_default();
    let latin = declaration.starts_with("<?xml") && ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| declaration.contains(name));
    if latin { bytes.iter().map(|byte| windows_1252(*byte)).collect() } else { decode(bytes) }
}

fn strict(text: &str) -> Result<Metadata, String> {
    check_shape(text)?;
    let options = ParsingOptions { allow_dtd: true, nodes_limit: XML_NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| format!("its XML is broken: {error}"))?;
    let rdf = document.descendants().find(|node| node.is_element() && node.tag_name().name() == "RDF");
    let mut metadata = rdf.map(|node| from_rdf(&element(node, 0))).unwrap_or_default();
    // A drawing's own title and description.
    let child = |name: &str| document.root_element().children().find(|node| node.tag_name().name() == name);
    let own = |name: &str| child(name).and_then(|node| non_empty(&element(node, 0).whole_text()));
    metadata.fill_from(Metadata { title: own("title"), description: own("desc"), ..Metadata::default() });
    Ok(metadata)
}

/// Refuses what would make the parser work or grow out of proportion to the file's size.
fn check_shape(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    for token in Scanner::new(text, Dialect::Xml) {
        match token {
            Token::Open(tag) => {
                if tag.attributes > XML_ATTRIBUTES_MAX {
                    return Err(format!("an element has {} attributes; at most {XML_ATTRIBUTES_MAX} are read", tag.attributes));
                }
                depth += usize::from(!tag.self_closing);
            }
            Token::Close(_) => depth = depth.saturating_sub(1),
            Token::Text(_) | Token::Verbatim(_) => {}
        }
        if depth > XML_DEPTH_MAX {
            return Err(format!("its elements are nested deeper than {XML_DEPTH_MAX}"));
        }
    }
    let namespaces = text.matches("xmlns").count();
    if namespaces > XML_NAMESPACES_MAX {
        return Err(format!("it declares {namespaces} namespaces; at most {XML_NAMESPACES_MAX} are read"));
    }
    check_entities(text)
}

/// Bounds what the document's own entities can grow into. The parser allows 255 nested references for each one in the text.
fn check_entities(text: &str) -> Result<(), String> {
    const NESTED_REFERENCES_MAX: usize = 256;
    let (mut longest, mut nested) = (0, false);
    for (at, _) in text.match_indices("<!ENTITY") {
        let body = &text[at + 8..];
        let declaration = &body[..body.find(['<', '>']).unwrap_or(body.len())];
        longest = longest.max(declaration.len());
        nested |= declaration.contains('&');
    }
    if longest == 0 {
        return Ok(());
    }
    let references = text.matches('&').count();
    let grown = longest.saturating_mul(references).saturating_mul(if nested { NESTED_REFERENCES_MAX } else { 1 });
    if grown > XML_ENTITY_BYTES_MAX {
        return Err(format!("its entities could grow to {grown} bytes; at most {XML_ENTITY_BYTES_MAX} are allowed"));
    }
    Ok(())
}

/// The part of an element that matters here.
#[derive(Debug, Default)]
struct Element {
    name: String,
    /// `rdf:resource`, or `rdf:about` of an element without it.
    resource: Option<String>,
    /// Properties that XMP writes as attributes: name and value.
    properties: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

/// Levels of elements below RDF that are looked at; Dublin Core needs five.
const RDF_DEPTH_MAX: usize = 16;

fn element(node: Node<'_, '_>, depth: usize) -> Element {
    let mut found = Element { name: node.tag_name().name().to_owned(), ..Element::default() };
    for attribute in node.attributes() {
        match attribute.name() {
            "resource" => found.resource = Some(attribute.value().to_owned()),
            "about" => found.resource = found.resource.or_else(|| Some(attribute.value().to_owned())),
            name => found.properties.push((name.to_owned(), attribute.value().to_owned())),
        }
    }
    for child in node.children() {
        if child.is_text() {
            found.text.push_str(child.text().unwrap_or_default());
        } else if child.is_element() && depth < RDF_DEPTH_MAX {
            found.children.push(element(child, depth + 1));
        }
    }
    found
}

/// Scans the metadata block of a broken file, whatever is wrong around it.
fn tolerant(text: &str) -> Metadata {
    let find = |names: &[&str]| names.iter().find_map(|name| text.find(name));
    let Some(start) = find(&["<metadata", "<rdf:RDF", "<RDF"]) else { return Metadata::default() };
    let rest = &text[start..];
    let end = ["</metadata", "</rdf:RDF", "</RDF"].iter().find_map(|name| rest.find(name)).unwrap_or(rest.len()).min(RDF_BLOCK_BYTES_MAX);
    let block = &rest[..rest.floor_char_boundary(end)];
    let mut stack = vec![Element::default()];
    for token in Scanner::new(block, Dialect::Xml) {
        match token {
            Token::Open(tag) => {
                let resource = tag.attribute("rdf:resource").or_else(|| tag.attribute("resource")).or_else(|| tag.attribute("rdf:about"));
                let found = Element { name: local_name(tag.name).to_owned(), resource, ..Element::default() };
                if tag.self_closing || stack.len() > RDF_DEPTH_MAX {
                    let parent = stack.last_mut().expect("the root stays");
                    parent.children.push(found);
                } else {
                    stack.push(found);
                }
            }
            Token::Close(name) => close(&mut stack, local_name(name)),
            Token::Text(text) => stack.last_mut().expect("the root stays").text.push_str(&unescape(text)),
            Token::Verbatim(text) => stack.last_mut().expect("the root stays").text.push_str(text),
        }
    }
    while stack.len() > 1 {
        fold(&mut stack);
    }
    from_rdf(&stack[0])
}

/// Ends the nearest open element of that name and those inside it; a stray end tag ends nothing.
fn close(stack: &mut Vec<Element>, name: &str) {
    let Some(at) = stack.iter().skip(1).rposition(|open| open.name == name) else { return };
    while stack.len() > at + 1 {
        fold(stack);
    }
}

fn fold(stack: &mut Vec<Element>) {
    if let (Some(done), Some(parent)) = (stack.pop(), stack.last_mut()) {
        parent.children.push(done);
    }
}

impl Element {
    /// Returns the first element of that name inside, in the order of the document.
    fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// Returns all text inside, joined by spaces.
    fn whole_text(&self) -> String {
        let mut text = self.text.clone();
        for child in &self.children {
            text.push(' ');
            text.push_str(&child.whole_text());
        }
        text
    }

    /// Collects the texts of the `rdf:li` inside.
    fn list(&self, found: &mut Vec<String>) {
        for child in &self.children {
            if child.name == "li" {
                found.extend(non_empty(&child.whole_text()));
            } else {
                child.list(found);
            }
        }
    }

    fn property(&self, name: &str) -> Option<String> {
        self.properties.iter().find(|(known, _)| known == name).and_then(|(_, value)| non_empty(value))
    }
}

fn non_empty(text: &str) -> Option<String> {
    let text = one_line(text);
    (!text.is_empty()).then_some(text)
}

fn from_rdf(rdf: &Element) -> Metadata {
    let work = rdf.find("Work").or_else(|| rdf.find("Description").filter(|work| !work.children.is_empty() || !work.properties.is_empty()));
    let work = work.unwrap_or(rdf);
    let child = |name: &str| work.children.iter().find(|child| child.name == name);
    // Alternatives by language: the first is the default.
    let text = |name: &str| {
        let element = child(name);
        let alternative = element.and_then(|element| element.find("li")).and_then(|li| non_empty(&li.whole_text()));
        alternative.or_else(|| element.and_then(|element| non_empty(&element.whole_text()))).or_else(|| work.property(name))
    };
    let mut keywords = Vec::new();
    if let Some(subject) = child("subject") {
        subject.list(&mut keywords);
        if keywords.is_empty() {
            keywords = split_keywords(&one_line(&subject.whole_text()), false);
        }
    }
    let resource = |name: &str| child(name).and_then(|element| element.resource.clone().or_else(|| non_empty(&element.text)));
    let license = resource("license").filter(|license| !license.trim().is_empty());
    Metadata {
        title: text("title").filter(|title| !is_boilerplate(title)),
        description: text("description"),
        alt_text: None,
        link: resource("source").and_then(|source| http_link(&source)),
        keywords,
        author: child("creator").and_then(author).or_else(|| child("rights").and_then(agent)),
        at: text("date").or_else(|| text("CreateDate")).and_then(|date| date::parse(&date)),
        license,
    }
}

/// Titles that drawing programs write of themselves.
fn is_boilerplate(title: &str) -> bool {
    let title = title.to_ascii_lowercase();
    title.starts_with("untitled") || title == "new document 1" || title == "drawing" || title == "svg"
}

fn author(creator: &Element) -> Option<Author> {
    agent(creator).or_else(|| {
        let mut names = Vec::new();
        creator.list(&mut names);
        let name = names.into_iter().next().or_else(|| non_empty(&creator.whole_text()))?;
        Some(Author { name, username_hint: None })
    })
}

fn agent(holder: &Element) -> Option<Author> {
    let name = non_empty(&holder.find("Agent")?.find("title")?.whole_text())?;
    Some(Author { name, username_hint: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = r#"<metadata id="m"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
        xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"><cc:Work rdf:about="">
        <dc:title>Red  ball</dc:title><dc:description>A ball &amp; a shadow</dc:description>
        <dc:subject><rdf:Bag><rdf:li></rdf:li><rdf:li>ball</rdf:li><rdf:li>toy</rdf:li></rdf:Bag></dc:subject>
        <dc:publisher><cc:Agent><dc:title>The Library</dc:title></cc:Agent></dc:publisher>
        <dc:creator><cc:Agent><dc:title>Ann Béo</dc:title></cc:Agent></dc:creator><dc:date>2005-03-01</dc:date>
        <dc:source>http://example.org/ball</dc:source><cc:license rdf:resource="http://web.resource.org/cc/PublicDomain"/>
        </cc:Work></rdf:RDF></metadata>"#;

    fn check_block(metadata: &Metadata) {
        assert_eq!(metadata.title.as_deref(), Some("Red ball"));
        assert_eq!(metadata.description.as_deref(), Some("A ball & a shadow"));
        assert_eq!(metadata.keywords, ["ball", "toy"]);
        assert_eq!(metadata.author.as_ref().unwrap().name, "Ann Béo");
        assert_eq!(metadata.link.as_deref(), Some("http://example.org/ball"));
        assert_eq!(metadata.license.as_deref(), Some("http://web.resource.org/cc/PublicDomain"));
        assert_eq!(metadata.at.unwrap().0, 1_109_635_200_000);
    }

    #[test]
    fn reads_dublin_core_in_a_drawing() {
        let rdf = read(format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><g><title>inner</title></g>{BLOCK}</svg>").as_bytes());
        assert_eq!(rdf.broken, None);
        check_block(&rdf.metadata);
    }

    #[test]
    fn reads_the_block_of_a_broken_drawing() {
        for broken in
            [format!("<svg>{BLOCK}<path d=\"M0 0\"</svg>"), format!("<svg x=\"&oops;\">{BLOCK}"), format!("<svg a=1 b>{BLOCK}</g></svg>")]
        {
            let rdf = read(broken.as_bytes());
            assert!(rdf.broken.is_some(), "{broken}");
            check_block(&rdf.metadata);
        }
        let inside = BLOCK.replace("</dc:title><dc:description>", "</title></b></dc:title><dc:description>");
        check_block(&read(format!("<svg>{inside}").as_bytes()).metadata);
    }

    #[test]
    fn reads_old_encodings_and_xmp() {
        let latin: Vec<u8> = format!("<?xml version='1.0' encoding='iso-8859-1'?><svg>{BLOCK}</svg>").chars().map(|c| c as u8).collect();
        let rdf = read(&latin);
        assert_eq!(rdf.broken, None);
        check_block(&rdf.metadata);
        let xmp = r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r" xmlns:dc="d" xmlns:xmp="x"><rdf:Description rdf:about="" xmp:CreateDate="2005-03-01T00:00:00Z">
            <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Hill</rdf:li><rdf:li xml:lang="de">Berg</rdf:li></rdf:Alt></dc:title>
            <dc:creator><rdf:Seq><rdf:li>Ann</rdf:li></rdf:Seq></dc:creator>
            <dc:subject><rdf:Bag><rdf:li>green</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"#;
        let metadata = read(xmp.as_bytes()).metadata;
        assert_eq!(
            (metadata.title.as_deref(), metadata.keywords, metadata.author.unwrap().name),
            (Some("Hill"), vec!["green".to_owned()], "Ann".to_owned())
        );
        assert_eq!(metadata.at.unwrap().0, 1_109_635_200_000);
    }

    #[test]
    fn drawings_without_rdf_give_their_own_title() {
        let rdf = read(b"<svg><title>Cat</title><desc>A cat</desc></svg>");
        assert_eq!((rdf.metadata.title.as_deref(), rdf.metadata.description.as_deref()), (Some("Cat"), Some("A cat")));
        assert_eq!(read(b"").metadata, Metadata::default());
        assert!(read(b"\x00\x01\x02").broken.is_some());
    }

    #[test]
    fn entity_bombs_are_named_and_their_block_still_read() {
        let laughs: String = (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
        let bomb = format!("<!DOCTYPE svg [<!ENTITY l0 \"lol\">{laughs}]><svg>{BLOCK}<text>&l9;</text></svg>");
        let quadratic =
            format!("<!DOCTYPE svg [<!ENTITY a \"{}\">]><svg>{BLOCK}<text>{}</text></svg>", "x".repeat(100_000), "&a;".repeat(100_000));
        let external = format!("<!DOCTYPE svg [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><svg>{BLOCK}<text>&a;</text></svg>");
        for (name, text) in [("bomb", bomb), ("quadratic", quadratic), ("external", external)] {
            let rdf = read(text.as_bytes());
            assert!(rdf.broken.is_some(), "{name}");
            check_block(&rdf.metadata);
        }
        let harmless = format!("<!DOCTYPE svg [<!ENTITY ns_svg \"http://www.w3.org/2000/svg\">]><svg xmlns=\"&ns_svg;\">{BLOCK}</svg>");
        assert_eq!(read(harmless.as_bytes()).broken, None);
    }

    #[test]
    fn out_of_proportion_documents_are_refused_quickly() {
        let deep = format!("{}{}", "<g>".repeat(200_000), "</g>".repeat(200_000));
        let attributes = format!("<svg {}/>", (0..100_000).map(|n| format!("a{n}='' ")).collect::<String>());
        let namespaces = format!("<svg>{}</svg>", (0..50_000).map(|n| format!("<g xmlns:a{n}='x'/>")).collect::<String>());
        for text in [deep, attributes, namespaces, format!("<svg>{}", "<metadata><a>".repeat(300_000))] {
            assert!(read(text.as_bytes()).broken.is_some());
        }
    }
}
