//! XMP: RDF in XML. Entities are not expanded, since document types are refused by the parser.

use roxmltree::{Document, Node, ParsingOptions};

use super::{PictureMetadata, is_web_url, read_time, text_of};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DC: &str = "http://purl.org/dc/elements/1.1/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const RIGHTS: &str = "http://ns.adobe.com/xap/1.0/rights/";
const PHOTOSHOP: &str = "http://ns.adobe.com/photoshop/1.0/";
const EXIF: &str = "http://ns.adobe.com/exif/1.0/";
/// Nodes of one packet; edit histories can have very many, and are of no interest.
const NODES_MAX: u32 = 50_000;

pub(super) fn read(packet: &[u8]) -> PictureMetadata {
    let text = text_of(packet);
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let Ok(document) = Document::parse_with_options(text.trim_matches(['\0', '\u{feff}', ' ', '\n', '\r', '\t']), options) else {
        return PictureMetadata::default();
    };
    let mut found = PictureMetadata::default();
    let descriptions: Vec<Node<'_, '_>> = document.descendants().filter(|node| node.has_tag_name((RDF, "Description"))).collect();
    let values =
        |namespace: &str, name: &str| -> Vec<String> { descriptions.iter().flat_map(|node| values_of(*node, namespace, name)).collect() };
    let first = |namespace: &str, name: &str| values(namespace, name).into_iter().next();
    found.title = first(DC, "title").or_else(|| first(PHOTOSHOP, "Headline"));
    found.description = first(DC, "description");
    found.keywords = values(DC, "subject");
    let creators = values(DC, "creator");
    found.author = (!creators.is_empty()).then(|| creators.join(", "));
    found.link = [first(DC, "source"), first(PHOTOSHOP, "Source"), first(RIGHTS, "WebStatement")]
        .into_iter()
        .flatten()
        .find(|link| is_web_url(link));
    found.taken_at = [first(EXIF, "DateTimeOriginal"), first(PHOTOSHOP, "DateCreated"), first(XMP, "CreateDate")]
        .into_iter()
        .flatten()
        .find_map(|time| read_time(&time));
    found
}

/// Gives a property's values: of an attribute, of a plain element, or of the items of a list (`x-default` first).
fn values_of(description: Node<'_, '_>, namespace: &str, name: &str) -> Vec<String> {
    if let Some(value) = description.attribute((namespace, name)) {
        return vec![value.to_owned()];
    }
    let Some(element) = description.children().find(|node| node.has_tag_name((namespace, name))) else {
        return Vec::new();
    };
    let mut items: Vec<Node<'_, '_>> = element.descendants().filter(|node| node.has_tag_name((RDF, "li"))).collect();
    if items.is_empty() {
        return element.text().map(str::to_owned).into_iter().collect();
    }
    items.sort_by_key(|item| item.attributes().all(|attribute| attribute.value() != "x-default"));
    items.iter().filter_map(|item| item.text()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_lists_and_attributes_are_read() {
        let packet = br#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
   xmp:CreateDate="2024-05-06T09:08:09+02:00" photoshop:Source="an agency">
  <dc:title><rdf:Alt><rdf:li xml:lang="de">Hafen</rdf:li><rdf:li xml:lang="x-default">Harbour</rdf:li></rdf:Alt></dc:title>
  <dc:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Bea</rdf:li></rdf:Seq></dc:creator>
  <dc:subject><rdf:Bag><rdf:li>boats</rdf:li><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>
  <dc:source>https://example.org/harbour</dc:source>
 </rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>

"#;
        let found = read(packet);
        assert_eq!(found.title.as_deref(), Some("Harbour"));
        assert_eq!(found.author.as_deref(), Some("Ann, Bea"));
        assert_eq!(found.keywords, ["boats", "sea"]);
        assert_eq!(found.link.as_deref(), Some("https://example.org/harbour"));
        assert_eq!(found.taken_at, Some(1_714_979_289_000));
    }

    #[test]
    fn entities_do_not_explode() {
        let bomb = b"<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><x>&b;</x>";
        assert_eq!(read(bomb), PictureMetadata::default());
        assert_eq!(read(b"<x:xmpmeta"), PictureMetadata::default());
    }
}
