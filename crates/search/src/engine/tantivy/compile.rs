//! A query's AST ─▶ a tantivy query, run.
//!
//! ```text
//! must      visibility · kind · owner · filters · every clause with words
//! should    words too common to insist on · all words together in the title
//! must not  negated atoms
//! ```
//!
//! A word that (almost) nothing has is completed, if it is the last one and still open, and corrected: the other words of its kind
//! join it, counting less. When nothing has all of the words, what has some of them is shown, with a note. Which of this happens
//! depends on the documents that the viewer may see, and on those alone: neither the hits nor the notes tell of others.

use std::ops::Bound;

use model::{Timestamp, UserId};
use tantivy::{
    DocAddress, DocId, Result, Score, SegmentReader, Term,
    collector::{Count, TopDocs},
    query::{AllQuery, BooleanQuery, DisjunctionMaxQuery, EmptyQuery, Occur, PhraseQuery, RangeQuery},
    schema::Field,
};

use crate::{
    language::{Atom, Clause, Query},
    ranking::{
        self, BOOST_BOARD, BOOST_BODY, BOOST_COMPLETED, BOOST_CORRECTED, BOOST_EXACT, BOOST_OWNER, BOOST_TAGS, BOOST_TITLE, BOOST_TOGETHER,
        BOOST_USERNAME, COMPLETIONS_MAX, CORRECTIONS_MAX, FEW_DOCUMENTS, TIE_BREAKER,
    },
    request::{Hit, Kind, Lookup, Order, Page},
    text::{is_stop_word, typos_between},
};

use super::{
    analyzer::Analyzed,
    excluded::Excluded,
    fields::{AT, ID, POPULARITY},
    view::{Boxed, View, all, any, boosted, filter, with},
};

/// Turns atoms into queries for one kind and one viewer.
pub(super) struct Compiler<'a> {
    view: &'a View,
    kind: Kind,
    viewer: Option<UserId>,
    analyzers: super::analyzer::Analyzers,
    /// What was done to the words.
    notes: Vec<String>,
}

/// A query in parts.
struct Plan {
    filters: Vec<Boxed>,
    forbidden: Vec<Boxed>,
    /// Clauses that are about words, and whether they are too common to insist on.
    texts: Vec<(Boxed, bool)>,
    /// Improves the ranking only.
    together: Option<Boxed>,
}

impl View {
    /// Answers a lookup.
    pub fn query(&self, lookup: &Lookup) -> Result<Page> {
        let mut compiler = Compiler::new(self, lookup.kind, lookup.viewer);
        let plan = compiler.plan(&lookup.query, lookup.owner)?;
        let mut notes = compiler.notes;
        let words = plan.texts.iter().filter(|(_, is_common)| !is_common).count();
        let (mut found, count) = self.run(&plan.strict(), lookup)?;
        if count == 0 && words > 1 {
            (found, _) = self.run(&plan.relaxed(), lookup)?;
            if !found.is_empty() || lookup.offset > 0 {
                notes.push("Nothing has all of these words; these have some of them.".to_owned());
            }
        }
        let more = found.len() > lookup.limit;
        found.truncate(lookup.limit);
        let ids = self.ids(found.iter().map(|(_, address)| *address))?;
        let hits = ids.into_iter().zip(found).map(|(id, (score, _))| Hit { id, score }).collect();
        Ok(Page { hits, more, notes })
    }

    /// Finds one document more than the page has, and counts all of them.
    fn run(&self, query: &dyn tantivy::query::Query, lookup: &Lookup) -> Result<(Vec<(f32, DocAddress)>, usize)> {
        let top = TopDocs::with_limit(lookup.limit + 1).and_offset(lookup.offset);
        let (found, count): (Vec<(f32, DocAddress)>, usize) = match lookup.order {
            Order::Best => {
                let collector = (top.tweak_score(best_first(lookup.now)), Count);
                let (found, count) = self.searcher.search_with_statistics_provider(query, &collector, self)?;
                (found.into_iter().map(|((score, _), address)| (score, address)).collect(), count)
            }
            Order::Newest => {
                let (found, count) = self.searcher.search(query, &(top.order_by(newest_first), Count))?;
                (found.into_iter().map(|(_, address)| (0.0, address)).collect(), count)
            }
        };
        Ok((self.only_visible(found, lookup.viewer)?, count))
    }

    /// Finds the best documents of a query, without anything else.
    pub fn best(
        &self,
        query: &dyn tantivy::query::Query,
        viewer: Option<UserId>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(f32, DocAddress)>> {
        let collector = TopDocs::with_limit(limit).tweak_score(best_first(now));
        let found = self.searcher.search_with_statistics_provider(query, &collector, self)?;
        self.only_visible(found.into_iter().map(|((score, _), address)| (score, address)).collect(), viewer)
    }
}

/// The final score, and the id so that equal ones keep their order.
pub(super) fn best_first(now: Timestamp) -> impl Fn(&SegmentReader) -> Box<dyn Fn(DocId, Score) -> (f32, u64)> + Send + Sync + 'static {
    move |segment| {
        let columns = segment.fast_fields();
        let (popularity, at, id) = (columns.u64(POPULARITY).ok(), columns.i64(AT).ok(), columns.u64(ID).ok());
        Box::new(move |document, relevance| {
            let popularity = popularity.as_ref().and_then(|column| column.first(document)).unwrap_or(0);
            let at = at.as_ref().and_then(|column| column.first(document)).map(Timestamp);
            (ranking::score(relevance, popularity, at, now), id.as_ref().and_then(|column| column.first(document)).unwrap_or(0))
        })
    }
}

/// The time, and the id so that equal ones keep their order. People have no time: the ones with the latest ids come first.
fn newest_first(segment: &SegmentReader) -> Box<dyn Fn(DocId) -> (i64, u64)> {
    let columns = segment.fast_fields();
    let (at, id) = (columns.i64(AT).ok(), columns.u64(ID).ok());
    Box::new(move |document| {
        let at = at.as_ref().and_then(|column| column.first(document)).unwrap_or(i64::MIN);
        (at, id.as_ref().and_then(|column| column.first(document)).unwrap_or(0))
    })
}

impl Plan {
    /// All the words, where no word is too common or all of them are.
    fn strict(&self) -> BooleanQuery {
        let all_common = self.texts.iter().all(|(_, is_common)| *is_common);
        let mut parts = self.base();
        for (text, is_common) in &self.texts {
            let occur = if *is_common && !all_common { Occur::Should } else { Occur::Must };
            parts.push((occur, text.box_clone()));
        }
        BooleanQuery::new(parts)
    }

    /// Some of the words.
    fn relaxed(&self) -> BooleanQuery {
        let mut parts = self.base();
        let words = self.texts.iter().filter(|(_, is_common)| !is_common).map(|(text, _)| text.box_clone()).collect();
        parts.push((Occur::Must, any(words)));
        BooleanQuery::new(parts)
    }

    fn base(&self) -> Vec<(Occur, Boxed)> {
        let filters = self.filters.iter().map(|query| (Occur::Must, query.box_clone()));
        let forbidden = self.forbidden.iter().map(|query| (Occur::MustNot, query.box_clone()));
        let together = self.together.iter().map(|query| (Occur::Should, query.box_clone()));
        filters.chain(forbidden).chain(together).collect()
    }
}

impl<'a> Compiler<'a> {
    pub fn new(view: &'a View, kind: Kind, viewer: Option<UserId>) -> Compiler<'a> {
        Compiler { view, kind, viewer, analyzers: view.analyzers.clone(), notes: Vec::new() }
    }

    /// Returns the whole query without corrections, for callers that only want its documents.
    pub fn strict(&mut self, query: &Query) -> Result<Boxed> {
        let query = Query { is_open: false, ..query.clone() };
        Ok(Box::new(self.plan(&query, None)?.strict()))
    }

    fn plan(&mut self, query: &Query, owner: Option<UserId>) -> Result<Plan> {
        let mut plan = Plan { filters: self.base(), forbidden: Vec::new(), texts: Vec::new(), together: None };
        if let Some(owner) = owner {
            plan.filters.push(filter(with(Term::from_field_u64(self.view.fields.owner_id, owner.as_u64()))));
        }
        let last = query.clauses.len().checked_sub(1).filter(|_| query.is_open);
        for (index, clause) in query.clauses.iter().enumerate() {
            self.clause(&mut plan, clause, Some(index) == last)?;
        }
        plan.together = self.together(query);
        Ok(plan)
    }

    /// The filters that every query of this kind and viewer has.
    pub fn base(&self) -> Vec<Boxed> {
        vec![self.view.visible_to(self.viewer), self.view.of_kind(self.kind.of_ids())]
    }

    fn clause(&mut self, plan: &mut Plan, clause: &Clause, is_open: bool) -> Result<()> {
        if let [term] = clause.any.as_slice()
            && term.negated
        {
            plan.forbidden.push(Box::new(Excluded(self.atom(&term.atom))));
            return Ok(());
        }
        let mut is_text = false;
        let mut is_common = true;
        let mut parts = Vec::new();
        for (index, term) in clause.any.iter().enumerate() {
            if term.negated {
                parts.push(filter(Box::new(BooleanQuery::new(vec![
                    (Occur::Must, Box::new(AllQuery)),
                    (Occur::MustNot, Box::new(Excluded(self.atom(&term.atom)))),
                ]))));
                continue;
            }
            match &term.atom {
                Atom::Word(text) => {
                    is_text = true;
                    is_common &= is_stop_word(text);
                    parts.push(self.forgiving_word(text, is_open && index + 1 == clause.any.len())?);
                }
                Atom::Phrase(_) => {
                    (is_text, is_common) = (true, false);
                    parts.push(self.atom(&term.atom));
                }
                filter => parts.push(self.atom(filter)),
            }
        }
        let query = if parts.len() == 1 { parts.remove(0) } else { any(parts) };
        if is_text {
            plan.texts.push((query, is_common))
        } else {
            plan.filters.push(query)
        }
        Ok(())
    }

    /// Finds what an atom says, and nothing near it.
    fn atom(&mut self, atom: &Atom) -> Boxed {
        let fields = self.view.fields;
        match atom {
            Atom::Word(text) | Atom::Phrase(text) => {
                let words = self.analyzers.analyze(text);
                self.words(&words, 1.0)
            }
            Atom::By(name) => filter(with(Term::from_field_text(fields.username, name))),
            Atom::Board(name) => {
                let words = self.analyzers.analyze(name);
                filter(phrase(fields.board, words.iter().map(|word| &word.stem)))
            }
            Atom::Site(host) => filter(with(Term::from_field_text(fields.site, host))),
            Atom::Tag(tag) => {
                let public = with(Term::from_field_text(fields.tag_public, tag));
                filter(any(vec![public, with(Term::from_field_text(fields.tag_secret, tag))]))
            }
            Atom::Color(color) => filter(with(Term::from_field_text(fields.color, color.as_str()))),
            Atom::Before(start) => {
                filter(Box::new(RangeQuery::new(Bound::Unbounded, Bound::Excluded(Term::from_field_i64(fields.at, start.timestamp().0)))))
            }
            Atom::After(start) => {
                filter(Box::new(RangeQuery::new(Bound::Included(Term::from_field_i64(fields.at, start.timestamp().0)), Bound::Unbounded)))
            }
        }
    }

    /// Finds words that follow each other, in any field, the best field counting most.
    pub fn words(&self, words: &[Analyzed], boost: f32) -> Boxed {
        let fields = self.view.fields;
        let stems = || words.iter().map(|word| &word.stem);
        let plain = || words.iter().map(|word| &word.plain);
        let mut parts = Vec::new();
        if self.kind == Kind::People {
            parts.push(boosted(phrase(fields.owner, plain()), BOOST_TITLE * boost));
            parts.push(boosted(phrase(fields.body, stems()), BOOST_BODY * boost));
            if let [word] = words {
                parts.push(boosted(with(Term::from_field_text(fields.username, &word.plain)), BOOST_USERNAME * boost));
            }
        } else {
            for (field, weight) in
                [(fields.title, BOOST_TITLE), (fields.tags, BOOST_TAGS), (fields.board, BOOST_BOARD), (fields.body, BOOST_BODY)]
            {
                parts.push(boosted(phrase(field, stems()), weight * boost));
            }
            parts.push(boosted(phrase(fields.owner, plain()), BOOST_OWNER * boost));
        }
        let best = Box::new(DisjunctionMaxQuery::with_tie_breaker(parts, TIE_BREAKER)) as Boxed;
        let ([word], true) = (words, self.kind != Kind::People) else { return best };
        // Exactness adds to the best field; for words that stand nowhere else (hosts) it is all there is.
        let mut exact = vec![best];
        for field in self.dictionaries() {
            exact.push(boosted(with(Term::from_field_text(field, &word.plain)), BOOST_EXACT * boost));
        }
        any(exact)
    }

    /// Returns the fields whose dictionaries know the words that this viewer's hits can have.
    fn dictionaries(&self) -> Vec<Field> {
        let fields = self.view.fields;
        match (self.kind, self.viewer) {
            (Kind::People, _) => vec![fields.owner],
            (_, None) => vec![fields.words_public],
            (_, Some(_)) => vec![fields.words_public, fields.words_secret],
        }
    }

    /// Finds a word, and when (almost) nothing has it, what it may become or may have been meant to be.
    fn forgiving_word(&mut self, text: &str, is_open: bool) -> Result<Boxed> {
        let words = self.analyzers.analyze(text);
        let exact = self.words(&words, 1.0);
        let [word] = words.as_slice() else { return Ok(exact) };
        let seen = self.visible_count(exact.box_clone())?;
        // Names are typed in parts: people are completed always.
        let completes = is_open && (seen < FEW_DOCUMENTS || self.kind == Kind::People);
        let mut parts = vec![exact];
        let mut completed = false;
        if completes {
            for (other, _) in self.visible_others(word, COMPLETIONS_MAX, |view, field| view.terms_with_prefix(field, &word.plain))? {
                completed = true;
                parts.push(self.words(&[other], BOOST_COMPLETED));
            }
        }
        let typos = ranking::typos_allowed(&word.plain);
        if seen < FEW_DOCUMENTS && !completed && typos > 0 {
            let mut corrections = Vec::new();
            for (other, distance) in self.visible_others(word, CORRECTIONS_MAX, |view, field| view.terms_like(field, &word.plain, typos))? {
                corrections.push(other.plain.clone());
                parts.push(self.words(&[other], BOOST_CORRECTED[distance.min(2)]));
            }
            if seen == 0 && !corrections.is_empty() {
                self.notes
                    .push(format!("Nothing has \"{text}\"; searched for \"{}\".", corrections[..corrections.len().min(3)].join("\", \"")));
            }
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { any(parts) })
    }

    /// Looks up other words in the dictionaries and keeps those that a document has which the viewer may see; nearest first.
    fn visible_others(
        &mut self,
        word: &Analyzed,
        limit: usize,
        terms: impl Fn(&View, Field) -> Result<Vec<(String, u64)>>,
    ) -> Result<Vec<(Analyzed, usize)>> {
        let mut candidates = Vec::new();
        for field in self.dictionaries() {
            for (term, documents) in terms(self.view, field)? {
                candidates.push((typos_between(&word.plain, &term), std::cmp::Reverse(documents), term, field));
            }
        }
        candidates.sort();
        let mut others: Vec<(Analyzed, usize)> = Vec::new();
        for (distance, _, term, field) in candidates.into_iter().take(limit * 4) {
            let is_known = others.iter().any(|(other, _)| other.plain == term);
            if others.len() < limit && !is_known && self.visible_count(with(Term::from_field_text(field, &term)))? > 0 {
                others.extend(self.analyzers.analyze(&term).into_iter().next().map(|other| (other, distance)));
            }
        }
        // Other forms of one stem find the same documents.
        let mut stems = vec![word.stem.clone()];
        others.retain(|(other, _)| !stems.contains(&other.stem) && (stems.push(other.stem.clone()), true).1);
        Ok(others)
    }

    fn visible_count(&self, query: Boxed) -> Result<usize> {
        let mut queries = self.base();
        queries.push(query);
        self.view.count(queries)
    }

    /// All words next to each other in the title.
    fn together(&mut self, query: &Query) -> Option<Boxed> {
        if query.clauses.iter().any(|clause| clause.any.len() > 1) || self.kind == Kind::People {
            return None;
        }
        let text = query.texts().collect::<Vec<_>>().join(" ");
        let words = self.analyzers.analyze(&text);
        (words.len() > 1).then(|| boosted(phrase(self.view.fields.title, words.iter().map(|word| &word.stem)), BOOST_TOGETHER))
    }
}

/// Finds terms that follow each other in a field.
fn phrase<'t>(field: Field, terms: impl Iterator<Item = &'t String>) -> Boxed {
    let mut terms: Vec<Term> = terms.map(|text| Term::from_field_text(field, text)).collect();
    match terms.len() {
        0 => Box::new(EmptyQuery),
        1 => with(terms.remove(0)),
        _ => Box::new(PhraseQuery::new(terms)),
    }
}

/// Joins a query with the filters of a compiler.
pub(super) fn within(compiler: &Compiler<'_>, query: Boxed) -> Boxed {
    let mut queries = compiler.base();
    queries.push(query);
    all(queries)
}
