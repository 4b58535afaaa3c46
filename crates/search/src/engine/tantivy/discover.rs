//! What the index offers by itself: suggestions, topics and guides. Public documents only.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use model::{BoardId, Timestamp, UserId};
use parking_lot::Mutex;
use tantivy::{Result, Term, schema::Field};

use crate::{
    language::Query,
    limits::TOPICS_MAX,
    request::{Guide, Kind, Suggestion, SuggestionKind},
    text::{is_stop_word, is_word_char, words},
};

use super::{
    analyzer::Analyzed,
    compile::{Compiler, within},
    view::{Boxed, View, all, any, with},
};

/// Words, tags and names of a dictionary that are tried for one prefix.
const CANDIDATES_MAX: usize = 32;
/// The most people, boards and topics among suggestions; words fill the rest.
const PEOPLE_MAX: usize = 3;
const BOARDS_MAX: usize = 3;
const TOPICS_SUGGESTED_MAX: usize = 2;
/// The best pins of a search from which guides are taken.
const GUIDE_PINS_MAX: usize = 200;
/// Fewer pins need no guide.
const GUIDE_PINS_MIN: usize = 4;
/// A word that more than this share of the pins has does not split them.
const GUIDE_SHARE_MAX: f32 = 0.6;

/// What was typed so far, cut where its last word begins.
struct Typed {
    /// The complete words.
    head: Vec<Analyzed>,
    /// The last word, which may go on.
    last: Analyzed,
    /// The text before the last word.
    before: String,
}

impl View {
    /// Completes a prefix: words first, then topics, boards and people.
    pub fn suggest(&self, prefix: &str, viewer: Option<UserId>, limit: usize) -> Result<Vec<Suggestion>> {
        let Some(typed) = self.typed(prefix) else { return Ok(Vec::new()) };
        let mut people = self.suggest_people(&typed, viewer)?;
        let mut boards = self.suggest_boards(&typed)?;
        let mut topics = self.suggest_topics(prefix)?;
        people.truncate(PEOPLE_MAX.min(limit / 3 + 1));
        boards.truncate(BOARDS_MAX.min(limit / 3));
        topics.truncate(TOPICS_SUGGESTED_MAX.min(limit / 4));
        let others = (people.len() + boards.len() + topics.len()).min(limit);
        let mut all = self.suggest_terms(&typed, limit - others)?;
        all.extend(topics);
        all.extend(boards);
        all.extend(people);
        all.truncate(limit);
        Ok(all)
    }

    fn typed(&self, prefix: &str) -> Option<Typed> {
        let last_word = words(prefix).pop()?;
        let before = prefix[..last_word.from].trim().to_lowercase();
        let mut analyzed = self.analyzers.clone().analyze(prefix);
        let last = analyzed.pop()?;
        Some(Typed { head: analyzed, last, before })
    }

    fn suggest_terms(&self, typed: &Typed, limit: usize) -> Result<Vec<Suggestion>> {
        let compiler = Compiler::new(self, Kind::Pins, None);
        let mut analyzers = self.analyzers.clone();
        let mut found = Vec::new();
        for (term, _) in self.terms_with_prefix(self.fields.words_public, &typed.last.plain)?.into_iter().take(CANDIDATES_MAX) {
            // Whatever has a term of `words_public` is a public pin or board.
            let mut queries = vec![with(Term::from_field_text(self.fields.words_public, &term))];
            queries.extend(typed.head.iter().map(|word| compiler.words(std::slice::from_ref(word), 1.0)));
            let documents = self.count(queries)?;
            let stem = analyzers.analyze(&term).pop().map_or(term.clone(), |word| word.stem);
            if documents > 0 && !is_stop_word(&term) && term.chars().any(is_word_char) {
                found.push((documents, term, stem));
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut stems = HashSet::new();
        found.retain(|(_, _, stem)| stems.insert(stem.clone()));
        let texts = found.into_iter().map(|(_, term, _)| if typed.before.is_empty() { term } else { format!("{} {term}", typed.before) });
        Ok(texts.take(limit).map(|text| Suggestion { text, kind: SuggestionKind::Term }).collect())
    }

    fn suggest_topics(&self, prefix: &str) -> Result<Vec<Suggestion>> {
        let prefix = prefix.trim().trim_start_matches('#').to_lowercase().replace([' ', '-'], "_");
        if prefix.is_empty() {
            return Ok(Vec::new());
        }
        let mut candidates = self.terms_with_prefix(self.fields.tag_public, &prefix)?;
        candidates.truncate(CANDIDATES_MAX);
        let topics = self.most_used(self.fields.tag_public, candidates, TOPICS_SUGGESTED_MAX)?;
        Ok(topics.into_iter().map(|(text, _)| Suggestion { text, kind: SuggestionKind::Topic }).collect())
    }

    fn suggest_boards(&self, typed: &Typed) -> Result<Vec<Suggestion>> {
        let compiler = Compiler::new(self, Kind::Boards, None);
        let Some(query) = self.begins_with(self.fields.words_public, typed)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (_, address) in self.best(&within(&compiler, query), None, CANDIDATES_MAX, Timestamp(0))? {
            let card = self.card(address)?;
            // The words may stand in the description: a board is suggested by its name alone.
            if self.is_named(&card.title, typed)
                && let Some(board) = self.ids([address])?.pop().and_then(|id| BoardId::try_from(id).ok())
            {
                found.push(Suggestion { text: card.title, kind: SuggestionKind::Board(board) });
            }
        }
        Ok(found)
    }

    fn suggest_people(&self, typed: &Typed, viewer: Option<UserId>) -> Result<Vec<Suggestion>> {
        let compiler = Compiler::new(self, Kind::People, None);
        let Some(query) = self.begins_with(self.fields.owner, typed)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (_, address) in self.best(&within(&compiler, query), None, PEOPLE_MAX + 1, Timestamp(0))? {
            let card = self.card(address)?;
            if let Some(user) = self.ids([address])?.pop().and_then(|id| UserId::try_from(id).ok())
                && viewer != Some(user)
            {
                let text = if card.title.is_empty() { card.username.clone() } else { card.title };
                found.push(Suggestion { text, kind: SuggestionKind::Person(user, card.username) });
            }
        }
        Ok(found)
    }

    /// Finds documents that have the complete words and a word that begins with the last one.
    fn begins_with(&self, field: Field, typed: &Typed) -> Result<Option<Boxed>> {
        let terms = self.terms_with_prefix(field, &typed.last.plain)?;
        let last: Vec<Boxed> = terms.into_iter().take(CANDIDATES_MAX).map(|(term, _)| with(Term::from_field_text(field, &term))).collect();
        if last.is_empty() {
            return Ok(None);
        }
        let mut parts = vec![any(last)];
        parts.extend(typed.head.iter().map(|word| with(Term::from_field_text(field, &word.plain))));
        Ok(Some(all(parts)))
    }

    fn is_named(&self, name: &str, typed: &Typed) -> bool {
        let words = self.analyzers.clone().analyze(name);
        let has_head = typed.head.iter().all(|word| words.iter().any(|other| other.plain == word.plain));
        has_head && words.iter().any(|word| word.plain.starts_with(&typed.last.plain))
    }

    /// Returns the terms that most living documents have, exactly counted. The counts of `candidates`, most first, are upper bounds,
    /// so that the count can stop as soon as no other can be among the most used.
    fn most_used(&self, field: Field, candidates: Vec<(String, u64)>, limit: usize) -> Result<Vec<(String, u64)>> {
        let has_removed = self.searcher.segment_readers().iter().any(|segment| segment.has_deletes());
        let mut best: BinaryHeap<Reverse<(u64, Reverse<String>)>> = BinaryHeap::new();
        for (term, at_most) in candidates {
            if best.len() == limit && best.peek().is_none_or(|Reverse((least, _))| *least >= at_most) {
                break;
            }
            let exact = if has_removed { self.count(vec![with(Term::from_field_text(field, &term))])? as u64 } else { at_most };
            if exact > 0 {
                best.push(Reverse((exact, Reverse(term))));
                if best.len() > limit {
                    best.pop();
                }
            }
        }
        let sorted = best.into_sorted_vec();
        Ok(sorted.into_iter().map(|Reverse((count, Reverse(term)))| (term, count)).collect())
    }

    /// Finds words that split the public pins that a query finds.
    pub fn guides(&self, query: &Query, limit: usize) -> Result<Vec<Guide>> {
        let mut compiler = Compiler::new(self, Kind::Pins, None);
        let strict = compiler.strict(query)?;
        let found = self.best(&strict, None, GUIDE_PINS_MAX, Timestamp(0))?;
        if found.len() < GUIDE_PINS_MIN {
            return Ok(Vec::new());
        }
        let mut analyzers = self.analyzers.clone();
        let asked: HashSet<String> = analyzers.analyze(&query.to_string()).into_iter().map(|word| word.stem).collect();
        let mut pins_with: HashMap<String, (String, Vec<usize>)> = HashMap::new();
        for (pin, (_, address)) in found.iter().enumerate() {
            let card = self.card(*address)?;
            for word in analyzers.analyze(&format!("{}\n{}\n{}", card.title, card.tags.join(" "), card.board)) {
                let says_something = word.plain.chars().count() > 2 && word.plain.chars().any(char::is_alphabetic);
                if says_something && !is_stop_word(&word.plain) && !asked.contains(&word.stem) {
                    let (_, pins) = pins_with.entry(word.stem).or_insert_with(|| (word.plain, Vec::new()));
                    if pins.last() != Some(&pin) {
                        pins.push(pin);
                    }
                }
            }
        }
        let most = (found.len() as f32 * GUIDE_SHARE_MAX) as usize;
        let candidates = pins_with.into_values().filter(|(_, pins)| pins.len() > 1 && pins.len() <= most).collect();
        Ok(choose_guides(candidates, found.len(), limit).into_iter().map(|word| Guide { query: format!("{query} {word}"), word }).collect())
    }
}

/// Chooses words one after the other: each the one that splits best among the pins that no word before it has.
fn choose_guides(mut candidates: Vec<(String, Vec<usize>)>, pins: usize, limit: usize) -> Vec<String> {
    candidates.sort();
    let mut covered = vec![false; pins];
    let mut chosen = Vec::new();
    while chosen.len() < limit {
        let gain = |with: &[usize]| {
            let share = with.len() as f32 / pins as f32;
            let fresh = with.iter().filter(|pin| !covered[**pin]).count() as f32 / with.len() as f32;
            share * (1.0 - share) * (0.25 + 0.75 * fresh)
        };
        let best = candidates.iter().enumerate().max_by(|(_, a), (_, b)| gain(&a.1).total_cmp(&gain(&b.1)).then_with(|| b.0.cmp(&a.0)));
        let Some((index, _)) = best else { break };
        let (word, with) = candidates.swap_remove(index);
        with.into_iter().for_each(|pin| covered[pin] = true);
        chosen.push(word);
    }
    chosen
}

/// The generation of the index whose topics were counted, and its topics.
type Counted = (u64, Vec<(String, u64)>);

/// The topics of one state of the index, so that they are counted once per commit at most.
#[derive(Default)]
pub(super) struct TopicsMemo {
    counted: Mutex<Option<Counted>>,
}

impl TopicsMemo {
    /// Lists the most used tags.
    pub fn get(&self, view: &View, limit: usize) -> Result<Vec<(String, u64)>> {
        let generation = view.searcher.generation().generation_id();
        // Held while counting: whoever comes meanwhile would count the same.
        let mut counted = self.counted.lock();
        if counted.as_ref().is_none_or(|(counted_at, _)| *counted_at != generation) {
            let field = view.fields.tag_public;
            *counted = Some((generation, view.most_used(field, view.all_terms(field)?, TOPICS_MAX)?));
        }
        Ok(counted.as_ref().map_or_else(Vec::new, |(_, topics)| topics.iter().take(limit).cloned().collect()))
    }
}
