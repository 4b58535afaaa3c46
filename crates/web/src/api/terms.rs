//! `/terms/…`: words that narrow a search down, and completions of what is being typed. Any token may ask.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use search::SuggestionKind;

use super::auth::Access;
use super::request::Params;
use super::respond::{Answer, Failure, ok};
use super::shapes::{RelatedTerm, RelatedTerms};
use crate::server::Web;

/// Terms of one call, and related ones of each.
const TERMS_MAX: usize = 10;
const RELATED_TERMS_MAX: usize = 20;
const SUGGESTED_MAX: usize = 10;
const SUGGESTED_DEFAULT: usize = 4;
const TERM_CHARS_MAX: usize = 200;

pub fn router() -> Router<Web> {
    Router::new().route("/terms/related", get(related)).route("/terms/suggested", get(suggested))
}

fn check_length(term: &str) -> Result<(), Failure> {
    if term.chars().count() <= TERM_CHARS_MAX {
        return Ok(());
    }
    Err(Failure::invalid(format!("A term has at most {TERM_CHARS_MAX} characters.")))
}

async fn related(State(web): State<Web>, _: Access, params: Params) -> Answer {
    let terms = params.list("terms");
    if !(1..=TERMS_MAX).contains(&terms.len()) {
        return Err(Failure::invalid(format!("The parameter 'terms' must name 1 to {TERMS_MAX} terms.")));
    }
    let mut list = Vec::with_capacity(terms.len());
    for term in &terms {
        check_length(term)?;
        let guides = web.app.search.guides(term, RELATED_TERMS_MAX).await.map_err(app::Error::from)?;
        list.push(RelatedTerm { term: (*term).to_owned(), related_terms: guides.into_iter().map(|guide| guide.word).collect() });
    }
    let count = list.iter().map(|related| related.related_terms.len()).sum();
    ok(&RelatedTerms { id: terms.join(","), related_term_count: count, related_terms_list: list })
}

async fn suggested(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(&[])?;
    let term = params.required("term")?;
    check_length(term)?;
    let limit = params.number("limit", SUGGESTED_DEFAULT, 1..=SUGGESTED_MAX)?;
    // People and boards are suggested too; they are no terms, so more is asked for.
    let found = web.app.suggest(&viewer, term, SUGGESTED_MAX * 2).await?;
    let terms = found.into_iter().filter(|suggestion| matches!(suggestion.kind, SuggestionKind::Term | SuggestionKind::Topic));
    let mut texts: Vec<String> = Vec::with_capacity(limit);
    for suggestion in terms {
        if !texts.contains(&suggestion.text) && texts.len() < limit {
            texts.push(suggestion.text);
        }
    }
    ok(&texts)
}
