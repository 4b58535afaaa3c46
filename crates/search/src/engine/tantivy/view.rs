//! One state of the index, and the small questions that every read asks of it.

use std::collections::HashMap;

use model::{Id, UserId};
use tantivy::{
    DocAddress, Result, Searcher, TantivyDocument, Term,
    collector::Count,
    query::{Bm25StatisticsProvider, BooleanQuery, BoostQuery, ConstScoreQuery, FuzzyTermQuery, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption, Value},
};

use super::{
    analyzer::Analyzers,
    fields::{Card, EVERYONE, Fields, ID, IMAGE, VIEWER},
};

/// Terms of one segment's dictionary that are looked at for one prefix: keeps one letter from walking through all words.
const SCANNED_TERMS_MAX: usize = 5_000;

pub(super) type Boxed = Box<dyn Query>;

/// A state of the index. Later commits do not change it.
pub(super) struct View {
    pub searcher: Searcher,
    pub fields: Fields,
    pub analyzers: Analyzers,
}

impl View {
    /// Returns the filter that every read carries: what everyone may see, and what this viewer may.
    pub fn visible_to(&self, viewer: Option<UserId>) -> Boxed {
        let everyone = with(self.fields.everyone());
        match viewer {
            None => filter(everyone),
            Some(viewer) => filter(any(vec![everyone, with(self.fields.person(viewer))])),
        }
    }

    /// Returns the filter for one kind of documents.
    pub fn of_kind(&self, kind: model::id::Kind) -> Boxed {
        filter(with(Term::from_field_u64(self.fields.kind, kind as u64)))
    }

    /// Counts what all of the queries find.
    pub fn count(&self, queries: Vec<Boxed>) -> Result<usize> {
        self.searcher.search(&all(queries), &Count)
    }

    /// Leaves out what the viewer may not see. The queries do so already; this holds even if one of them is wrong.
    pub fn only_visible(&self, mut found: Vec<(f32, DocAddress)>, viewer: Option<UserId>) -> Result<Vec<(f32, DocAddress)>> {
        let columns = self.column(VIEWER)?;
        let may_see = |person: u64| person == EVERYONE || viewer.is_some_and(|viewer| viewer.as_u64() == person);
        let before = found.len();
        found.retain(|(_, at)| columns[at.segment_ord as usize].values_for_doc(at.doc_id).any(may_see));
        if found.len() < before {
            tracing::error!(count = before - found.len(), "a query found documents that its viewer may not see; they were left out");
        }
        Ok(found)
    }

    /// Reads ids, in order.
    pub fn ids(&self, found: impl IntoIterator<Item = DocAddress>) -> Result<Vec<Id>> {
        let columns = self.column(ID)?;
        let ids = found.into_iter().filter_map(|at| columns[at.segment_ord as usize].first(at.doc_id));
        Ok(ids.filter_map(|id| Id::from_u64(id).ok()).collect())
    }

    /// Reads the numbers of pictures, in order; 0 for none.
    pub fn images(&self, found: impl IntoIterator<Item = DocAddress>) -> Result<Vec<u64>> {
        let columns = self.column(IMAGE)?;
        Ok(found.into_iter().map(|at| columns[at.segment_ord as usize].first(at.doc_id).unwrap_or(0)).collect())
    }

    fn column(&self, name: &str) -> Result<Vec<tantivy::columnar::Column<u64>>> {
        self.searcher.segment_readers().iter().map(|segment| segment.fast_fields().u64(name)).collect()
    }

    /// Reads the stored texts of a document.
    pub fn card(&self, address: DocAddress) -> Result<Card> {
        let document: TantivyDocument = self.searcher.doc(address)?;
        let text = document.get_first(self.fields.card).and_then(|value| value.as_str()).unwrap_or("");
        Ok(serde_json::from_str(text).unwrap_or_default())
    }

    /// Returns terms of a field that begin with `prefix`, with the number of their documents (removed ones too), most first.
    pub fn terms_with_prefix(&self, field: Field, prefix: &str) -> Result<Vec<(String, u64)>> {
        let mut found = HashMap::new();
        for segment in self.searcher.segment_readers() {
            let index = segment.inverted_index(field)?;
            let mut stream = index.terms().range().ge(prefix).into_stream()?;
            let mut scanned = 0;
            while scanned < SCANNED_TERMS_MAX && stream.advance() && stream.key().starts_with(prefix.as_bytes()) {
                add_term(&mut found, stream.key(), stream.value().doc_freq);
                scanned += 1;
            }
        }
        Ok(most_first(found))
    }

    /// Returns terms of a field within `typos` letters of `word`, other than itself.
    pub fn terms_like(&self, field: Field, word: &str, typos: u8) -> Result<Vec<(String, u64)>> {
        let mut found = HashMap::new();
        let fuzzy = FuzzyTermQuery::new(Term::from_field_text(field, word), typos, true);
        for segment in self.searcher.segment_readers() {
            let index = segment.inverted_index(field)?;
            let mut stream = index.terms().search(fuzzy.automaton()?).into_stream()?;
            while stream.advance() {
                if stream.key() != word.as_bytes() {
                    add_term(&mut found, stream.key(), stream.value().doc_freq);
                }
            }
        }
        Ok(most_first(found))
    }

    /// Returns all terms of a field with the number of their documents (removed ones too), most first.
    pub fn all_terms(&self, field: Field) -> Result<Vec<(String, u64)>> {
        let mut found = HashMap::new();
        for segment in self.searcher.segment_readers() {
            let index = segment.inverted_index(field)?;
            let mut stream = index.terms().stream()?;
            while stream.advance() {
                add_term(&mut found, stream.key(), stream.value().doc_freq);
            }
        }
        Ok(most_first(found))
    }
}

/// The statistics for BM25. Fields that most documents leave empty have a tiny average length, beside which a single tag looks like a
/// long text; so no field counts as shorter on average than what is usual where it is used.
impl Bm25StatisticsProvider for View {
    fn total_num_tokens(&self, field: Field) -> Result<u64> {
        let fields = self.fields;
        let usual = match field {
            field if field == fields.title || field == fields.tags => 4,
            field if field == fields.board || field == fields.owner => 3,
            field if field == fields.body => 12,
            field if field == fields.words_public || field == fields.words_secret => 20,
            _ => 1,
        };
        let counted = Bm25StatisticsProvider::total_num_tokens(&self.searcher, field)?;
        Ok(counted.max(usual * self.total_num_docs()?))
    }

    fn total_num_docs(&self) -> Result<u64> {
        Bm25StatisticsProvider::total_num_docs(&self.searcher)
    }

    fn doc_freq(&self, term: &Term) -> Result<u64> {
        self.searcher.doc_freq(term)
    }
}

fn add_term(found: &mut HashMap<String, u64>, key: &[u8], documents: u32) {
    let Ok(text) = std::str::from_utf8(key) else { return };
    match found.get_mut(text) {
        Some(count) => *count += u64::from(documents),
        None => {
            found.insert(text.to_owned(), u64::from(documents));
        }
    }
}

fn most_first(found: HashMap<String, u64>) -> Vec<(String, u64)> {
    let mut terms: Vec<_> = found.into_iter().collect();
    terms.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    terms
}

/// Finds documents with a term, scored by how much it says.
pub(super) fn with(term: Term) -> Boxed {
    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
}

/// Finds what the query finds, without any score.
pub(super) fn filter(query: Boxed) -> Boxed {
    Box::new(ConstScoreQuery::new(query, 0.0))
}

pub(super) fn boosted(query: Boxed, boost: f32) -> Boxed {
    Box::new(BoostQuery::new(query, boost))
}

pub(super) fn any(queries: Vec<Boxed>) -> Boxed {
    Box::new(BooleanQuery::union(queries))
}

pub(super) fn all(queries: Vec<Boxed>) -> Boxed {
    Box::new(BooleanQuery::new(queries.into_iter().map(|query| (Occur::Must, query)).collect()))
}
