//! Pins whose texts are like those of a pin.
//!
//! The seed's words are weighed by the field they stand in and by how rare they are; the weightiest make a query of which any part
//! may hold. Visibility is asked for twice: the viewer must be able to see the seed, and every hit.

use std::{
    collections::{HashMap, HashSet},
    ops::Bound,
};

use model::{Timestamp, UserId};
use tantivy::{
    Result, Term,
    collector::TopDocs,
    query::{BooleanQuery, Occur, RangeQuery},
};

use crate::{
    ranking::{BOOST_BOARD, BOOST_BODY, BOOST_TAGS, BOOST_TITLE},
    request::{Hit, Kind, Seed},
    text::is_stop_word,
};

use super::{
    analyzer::Analyzed,
    compile::{Compiler, within},
    excluded::Excluded,
    fields::Card,
    view::{Boxed, View, all, any, filter, with},
};

/// Words of the seed that are searched for. More add little and cost the more.
const WORDS_MAX: usize = 14;
/// Hits that are looked at per hit that is wanted, because those with the same picture are left out.
const CANDIDATES_FACTOR: usize = 4;

impl View {
    /// Finds pins like the seed.
    pub fn similar(&self, seed: &Seed, viewer: Option<UserId>, limit: usize) -> Result<Vec<Hit>> {
        let (card, itself, image) = match seed {
            Seed::Text { text, tags } => (Card { title: text.clone(), tags: tags.clone(), ..Card::default() }, None, 0),
            Seed::Pin(pin) => {
                let itself = with(Term::from_field_u64(self.fields.id, pin.as_u64()));
                let visible = all(vec![self.visible_to(viewer), filter(itself.box_clone())]);
                let found = self.searcher.search(&visible, &TopDocs::with_limit(1).order_by_score())?;
                let Some((_, address)) = found.first() else { return Ok(Vec::new()) };
                (self.card(*address)?, Some(itself), self.images([*address])?[0])
            }
        };
        let compiler = Compiler::new(self, Kind::Pins, viewer);
        let words = self.weigh(&card)?;
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let words = words.into_iter().map(|(word, weight)| compiler.words(&[word], weight)).collect();
        let mut parts = vec![(Occur::Must, within(&compiler, any(words)))];
        parts.extend(itself.map(|itself| (Occur::MustNot, Box::new(Excluded(itself)) as Boxed)));
        if image != 0 {
            let same_picture: Boxed = with_image(self, image);
            parts.push((Occur::MustNot, Box::new(Excluded(same_picture))));
        }
        // Similarity has no age: what is old may be just as alike.
        let found = self.best(&BooleanQuery::new(parts), viewer, limit * CANDIDATES_FACTOR, Timestamp(0))?;
        let images = self.images(found.iter().map(|(_, address)| *address))?;
        let mut shown = HashSet::new();
        let fresh: Vec<_> = found
            .into_iter()
            .zip(images)
            .filter(|(_, image)| *image == 0 || shown.insert(*image))
            .map(|(hit, _)| hit)
            .take(limit)
            .collect();
        let ids = self.ids(fresh.iter().map(|(_, address)| *address))?;
        Ok(ids.into_iter().zip(fresh).map(|(id, (score, _))| Hit { id, score }).collect())
    }

    /// Returns the weightiest words of a card, each stem once, with weights up to 1.
    fn weigh(&self, card: &Card) -> Result<Vec<(Analyzed, f32)>> {
        let mut analyzers = self.analyzers.clone();
        let mut weights: HashMap<String, (Analyzed, f32)> = HashMap::new();
        let tags = card.tags.join(" ");
        for (text, boost) in [(&card.title, BOOST_TITLE), (&tags, BOOST_TAGS), (&card.board, BOOST_BOARD), (&card.body, BOOST_BODY)] {
            for word in analyzers.analyze(text) {
                if !is_stop_word(&word.plain) && (word.plain.chars().count() > 1 || !word.plain.is_ascii()) {
                    let entry = weights.entry(word.stem.clone()).or_insert((word, 0.0));
                    entry.1 += boost;
                }
            }
        }
        let documents = self.searcher.num_docs() as f32;
        let mut words = Vec::new();
        for (word, boost) in weights.into_values() {
            let has_it = self.searcher.doc_freq(&Term::from_field_text(self.fields.words_public, &word.plain))? as f32;
            let rarity = ((documents + 1.0) / (has_it + 1.0)).max(1.0).ln() + 0.1;
            words.push((word, boost * rarity));
        }
        words.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.plain.cmp(&b.0.plain)));
        words.truncate(WORDS_MAX);
        let heaviest = words.first().map_or(1.0, |(_, weight)| *weight);
        words.iter_mut().for_each(|(_, weight)| *weight /= heaviest);
        Ok(words)
    }
}

/// Finds the pins that show one picture.
fn with_image(view: &View, image: u64) -> Boxed {
    let term = Term::from_field_u64(view.fields.image, image);
    Box::new(RangeQuery::new(Bound::Included(term.clone()), Bound::Included(term)))
}
