//! What is known about a picture beside its pixels, and the names that sites, programs and tables give to each field.

use model::Timestamp;

use crate::item::Author;

/// The fields that any source may fill. Not yet cut to size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    pub title: Option<String>,
    pub description: Option<String>,
    pub alt_text: Option<String>,
    pub link: Option<String>,
    pub keywords: Vec<String>,
    pub author: Option<Author>,
    pub at: Option<Timestamp>,
    pub license: Option<String>,
}

impl Metadata {
    /// Fills what is missing here from `other`.
    pub fn fill_from(&mut self, other: Metadata) {
        self.title = self.title.take().or(other.title);
        self.description = self.description.take().or(other.description);
        self.alt_text = self.alt_text.take().or(other.alt_text);
        self.link = self.link.take().or(other.link);
        self.author = self.author.take().or(other.author);
        self.at = self.at.or(other.at);
        self.license = self.license.take().or(other.license);
        if self.keywords.is_empty() {
            self.keywords = other.keywords;
        }
    }
}

/// A field of an item, as a label or column names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Title,
    Description,
    AltText,
    Link,
    Picture,
    Board,
    Section,
    Keywords,
    Author,
    At,
    License,
    Private,
}

/// Reduces a label to what is compared: lower-case letters and digits. "Media URL", "media_url" and "mediaUrl" are the same.
pub fn normal_label(label: &str) -> String {
    label.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the field that a column's name means. The columns are those of Pinterest's bulk file and of the exports of bookmark and
/// collection tools (Raindrop, Pocket, Pinboard, Are.na).
pub fn field_of_column(label: &str) -> Option<Field> {
    Some(match normal_label(label).as_str() {
        "title" | "name" | "pintitle" | "heading" | "headline" => Field::Title,
        "description" | "note" | "notes" | "details" | "text" | "body" | "content" | "excerpt" | "comment" | "comments" | "caption"
        | "pindescription" | "selection" => Field::Description,
        "alt" | "alttext" | "alternativetext" | "imagealt" => Field::AltText,
        "link" | "url" | "href" | "sourceurl" | "website" | "webpage" | "page" | "pageurl" | "pagelink" | "canonicallink" | "source"
        | "destinationlink" | "destinationurl" | "originallink" | "originalurl" | "pinurl" | "pinlink" => Field::Link,
        "image" | "imageurl" | "imagelink" | "imagesrc" | "img" | "imgurl" | "mediaurl" | "media" | "picture" | "pictureurl" | "photo"
        | "photourl" | "cover" | "coverurl" | "file" | "filename" | "filepath" | "path" | "imagefile" | "thumbnail" => Field::Picture,
        "board" | "boardname" | "boardtitle" | "pinterestboard" | "folder" | "foldername" | "collection" | "album" | "category" => {
            Field::Board
        }
        "section" | "boardsection" | "sectionname" | "subfolder" | "subcategory" => Field::Section,
        "tags" | "tag" | "keywords" | "keyword" | "labels" | "hashtags" | "topics" => Field::Keywords,
        "author" | "creator" | "artist" | "user" | "username" | "by" | "credit" | "photographer" => Field::Author,
        "date" | "datetime" | "created" | "createdat" | "createdon" | "datecreated" | "added" | "addedat" | "dateadded" | "timeadded"
        | "publishdate" | "publishedat" | "published" | "timestamp" | "time" | "saved" | "savedat" => Field::At,
        "license" | "licence" | "rights" | "usagerights" => Field::License,
        "private" | "secret" | "issecret" | "isprivate" => Field::Private,
        _ => return None,
    })
}

/// Reads yes and no as exports write them.
pub fn is_yes(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "y" | "on" | "private" | "secret")
}

/// Cuts a list of keywords: at commas and semicolons when there are any, else at white space if `words` says that each word is one.
pub fn split_keywords(text: &str, words: bool) -> Vec<String> {
    let parts: Vec<&str> = if text.contains([',', ';', '|']) {
        text.split([',', ';', '|']).collect()
    } else if words {
        text.split_whitespace().collect()
    } else {
        vec![text]
    };
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_many_names() {
        for (label, field) in [
            ("Media URL", Some(Field::Picture)),
            ("media_url", Some(Field::Picture)),
            ("Pinterest board", Some(Field::Board)),
            ("Publish date", Some(Field::At)),
            (" Alt-Text ", Some(Field::AltText)),
            ("", None),
            ("Thumbnail id", None),
        ] {
            assert_eq!(field_of_column(label), field, "{label}");
        }
    }

    #[test]
    fn keywords_are_cut_at_the_separator_that_is_there() {
        assert_eq!(split_keywords("still life, red;blue", true), ["still life", "red", "blue"]);
        assert_eq!(split_keywords("red blue", true), ["red", "blue"]);
        assert_eq!(split_keywords("still life", false), ["still life"]);
        assert!(split_keywords(" , ", true).is_empty());
    }

    #[test]
    fn filling_keeps_what_is_there() {
        let mut first = Metadata { title: Some("A".into()), ..Metadata::default() };
        first.fill_from(Metadata { title: Some("B".into()), keywords: vec!["k".into()], ..Metadata::default() });
        assert_eq!((first.title.as_deref(), first.keywords.len()), (Some("A"), 1));
    }
}
