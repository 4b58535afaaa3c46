//! The fields of the index and how documents become them.
//!
//! ```text
//! id kind viewer owner_id at popularity image      numbers: who may see it, ranking, filters
//! title tags board body                            texts with English stems and positions
//! owner                                            user name and name as written
//! username site tag_public|tag_secret color        whole terms, for filters
//! words_public | words_secret                      all the words as written, for exactness, corrections and completions
//! card                                             what the answers need of the texts, stored
//! ```
//!
//! Invariant: the dictionaries of `tag_public` and `words_public` hold terms of public documents only (of removed ones too, until
//! the next merge: whoever lists terms counts living documents first). Nothing else is ever listed to people.

use model::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tantivy::{
    TantivyDocument, Term,
    schema::{FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, SchemaBuilder, TextFieldIndexing, TextOptions},
};

use crate::{
    color::Color,
    document::{Doc, Viewers},
    limits::{TAGS_MAX, TEXT_BYTES_MAX},
    text::cut,
};

use super::analyzer::{PLAIN, STEM};

/// Stands for everyone in `viewer`; no person has the id 0.
pub(super) const EVERYONE: u64 = 0;

/// The handles of the fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub id: Field,
    pub kind: Field,
    pub viewer: Field,
    pub owner_id: Field,
    pub at: Field,
    pub popularity: Field,
    pub image: Field,
    pub title: Field,
    pub tags: Field,
    pub board: Field,
    pub body: Field,
    pub owner: Field,
    pub username: Field,
    pub site: Field,
    pub tag_public: Field,
    pub tag_secret: Field,
    pub color: Field,
    pub words_public: Field,
    pub words_secret: Field,
    pub card: Field,
}

/// Names of the fast fields.
pub(super) const ID: &str = "id";
pub(super) const VIEWER: &str = "viewer";
pub(super) const AT: &str = "at";
pub(super) const POPULARITY: &str = "popularity";
pub(super) const IMAGE: &str = "image";

/// What is kept of a document's texts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Card {
    #[serde(rename = "t")]
    pub title: String,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(rename = "b", default, skip_serializing_if = "String::is_empty")]
    pub board: String,
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    #[serde(rename = "u", default, skip_serializing_if = "String::is_empty")]
    pub username: String,
}

impl Fields {
    /// Builds the schema. Any change of it makes old indexes start over.
    pub(super) fn schema() -> (Schema, Fields) {
        let mut builder = SchemaBuilder::new();
        let fields = Fields {
            id: builder.add_u64_field(ID, INDEXED | FAST),
            kind: builder.add_u64_field("kind", INDEXED),
            viewer: builder.add_u64_field(VIEWER, INDEXED | FAST),
            owner_id: builder.add_u64_field("owner_id", INDEXED),
            at: builder.add_i64_field(AT, FAST),
            popularity: builder.add_u64_field(POPULARITY, FAST),
            image: builder.add_u64_field(IMAGE, FAST),
            title: builder.add_text_field("title", text(STEM, IndexRecordOption::WithFreqsAndPositions)),
            tags: builder.add_text_field("tags", text(STEM, IndexRecordOption::WithFreqsAndPositions)),
            board: builder.add_text_field("board", text(STEM, IndexRecordOption::WithFreqsAndPositions)),
            body: builder.add_text_field("body", text(STEM, IndexRecordOption::WithFreqsAndPositions)),
            owner: builder.add_text_field("owner", text(PLAIN, IndexRecordOption::WithFreqsAndPositions)),
            username: builder.add_text_field("username", STRING),
            site: builder.add_text_field("site", STRING),
            tag_public: builder.add_text_field("tag_public", STRING),
            tag_secret: builder.add_text_field("tag_secret", STRING),
            color: builder.add_text_field("color", STRING),
            words_public: builder.add_text_field("words_public", text(PLAIN, IndexRecordOption::WithFreqs)),
            words_secret: builder.add_text_field("words_secret", text(PLAIN, IndexRecordOption::WithFreqs)),
            card: builder.add_text_field("card", STORED),
        };
        (builder.build(), fields)
    }

    /// Returns the term of `viewer` that public documents have.
    pub(super) fn everyone(&self) -> Term {
        Term::from_field_u64(self.viewer, EVERYONE)
    }

    /// Returns the term of `viewer` that secret documents of this person have.
    pub(super) fn person(&self, viewer: UserId) -> Term {
        Term::from_field_u64(self.viewer, viewer.as_u64())
    }

    /// Turns a document into fields.
    pub(super) fn document(&self, doc: &Doc) -> TantivyDocument {
        let mut out = TantivyDocument::new();
        out.add_u64(self.id, doc.id().as_u64());
        out.add_u64(self.kind, doc.id().kind() as u64);
        let card = match doc {
            Doc::Pin { owner, tags, domain, color, at, saves, image_hash, owner_username, owner_name, viewers, .. } => {
                self.ownership(&mut out, *owner, owner_username, owner_name, viewers);
                self.ranking(&mut out, *saves, Some(*at));
                self.tags(&mut out, tags, doc.is_public());
                self.site(&mut out, domain);
                if let Some(color) = Color::of_hex(color) {
                    out.add_text(self.color, color.as_str());
                }
                if !image_hash.is_empty() {
                    out.add_u64(self.image, image_number(image_hash));
                }
                pin_card(doc)
            }
            Doc::Board { owner, name, description, owner_username, owner_name, pins, at, viewers, .. } => {
                self.ownership(&mut out, *owner, owner_username, owner_name, viewers);
                self.ranking(&mut out, *pins, Some(*at));
                Card { title: short(name), board: short(name), body: short(description), ..Card::default() }
            }
            Doc::User { id, username, name, about, followers } => {
                self.ownership(&mut out, *id, username, name, &Viewers::Everyone);
                self.ranking(&mut out, *followers, None);
                Card { title: short(name), body: short(about), username: username.to_lowercase(), ..Card::default() }
            }
        };
        self.texts(&mut out, &card, doc);
        out.add_text(self.card, serde_json::to_string(&card).unwrap_or_default());
        out
    }

    fn ownership(&self, out: &mut TantivyDocument, owner: UserId, username: &str, name: &str, viewers: &Viewers) {
        out.add_u64(self.owner_id, owner.as_u64());
        out.add_text(self.username, username.to_lowercase());
        out.add_text(self.owner, cut(username, TEXT_BYTES_MAX));
        out.add_text(self.owner, cut(name, TEXT_BYTES_MAX));
        match viewers {
            Viewers::Everyone => out.add_u64(self.viewer, EVERYONE),
            Viewers::Only(people) => people.iter().for_each(|person| out.add_u64(self.viewer, person.as_u64())),
        }
    }

    fn ranking(&self, out: &mut TantivyDocument, popularity: u64, at: Option<Timestamp>) {
        out.add_u64(self.popularity, popularity);
        if let Some(at) = at {
            out.add_i64(self.at, at.0);
        }
    }

    fn tags(&self, out: &mut TantivyDocument, tags: &[String], is_public: bool) {
        let field = if is_public { self.tag_public } else { self.tag_secret };
        for tag in tags.iter().take(TAGS_MAX) {
            out.add_text(field, tag.to_lowercase());
        }
    }

    /// Adds the host and every host above it, so that `site:example.org` finds "shop.example.org" too.
    fn site(&self, out: &mut TantivyDocument, domain: &str) {
        let mut rest = domain;
        while !rest.is_empty() {
            out.add_text(self.site, rest);
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
    }

    fn texts(&self, out: &mut TantivyDocument, card: &Card, doc: &Doc) {
        let words = if doc.is_public() { self.words_public } else { self.words_secret };
        // People's words are found through `owner` and `body`: their names must not become words that are suggested.
        let has_words = !matches!(doc, Doc::User { .. });
        for (field, text) in [(self.title, &card.title), (self.board, &card.board), (self.body, &card.body)] {
            if !text.is_empty() {
                out.add_text(field, text);
                if has_words {
                    out.add_text(words, text);
                }
            }
        }
        for tag in &card.tags {
            out.add_text(self.tags, tag);
            out.add_text(words, tag);
        }
        // "etsy" finds what links to etsy.com.
        if let Doc::Pin { domain, .. } = doc
            && let Some((label, _)) = domain.rsplit_once('.')
        {
            out.add_text(words, label);
        }
    }
}

fn pin_card(doc: &Doc) -> Card {
    let Doc::Pin { title, description, alt_text, tags, board_name, .. } = doc else { return Card::default() };
    let mut body = short(description);
    if !alt_text.is_empty() && alt_text != description {
        body.push('\n');
        body.push_str(&short(alt_text));
    }
    Card {
        title: short(title),
        tags: tags.iter().take(TAGS_MAX).map(|tag| tag.to_lowercase()).collect(),
        board: short(board_name),
        body,
        username: String::new(),
    }
}

/// Returns the number that stands for a picture. Never 0, which stands for none.
pub(super) fn image_number(hash: &str) -> u64 {
    model::id::fnv1a(hash.as_bytes().iter()).max(1)
}

fn short(text: &str) -> String {
    cut(text, TEXT_BYTES_MAX).to_owned()
}

fn text(tokenizer: &str, record: IndexRecordOption) -> TextOptions {
    let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(record);
    TextOptions::default().set_indexing_options(indexing)
}
