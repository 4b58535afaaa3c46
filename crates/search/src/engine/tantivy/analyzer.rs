//! The words of [`crate::text`] as tantivy wants them, with Latin accents folded and, in one of the two forms, English stems.

use tantivy::tokenizer::{AsciiFoldingFilter, Language, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer, TokenizerManager};

use crate::text::{Word, words};

/// Words as they are written, folded.
pub(super) const PLAIN: &str = "plain";
/// Words cut to their English stems.
pub(super) const STEM: &str = "stem";

/// The two analyzers, in the form in which queries use them. Cheap to clone; using one needs `&mut`.
#[derive(Clone)]
pub(super) struct Analyzers {
    plain: TextAnalyzer,
    stem: TextAnalyzer,
}

/// A word in both forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Analyzed {
    pub plain: String,
    pub stem: String,
}

impl Analyzers {
    pub(super) fn new() -> Analyzers {
        let plain = TextAnalyzer::builder(Words).filter(AsciiFoldingFilter).build();
        let stem = TextAnalyzer::builder(Words).filter(AsciiFoldingFilter).filter(Stemmer::new(Language::English)).build();
        Analyzers { plain, stem }
    }

    pub(super) fn register(&self, manager: &TokenizerManager) {
        manager.register(PLAIN, self.plain.clone());
        manager.register(STEM, self.stem.clone());
    }

    /// Cuts a text into words in both forms.
    pub(super) fn analyze(&mut self, text: &str) -> Vec<Analyzed> {
        let plain = all(&mut self.plain, text);
        let stems = all(&mut self.stem, text);
        plain.into_iter().zip(stems).map(|(plain, stem)| Analyzed { plain, stem }).collect()
    }
}

fn all(analyzer: &mut TextAnalyzer, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    analyzer.token_stream(text).process(&mut |token| found.push(token.text.clone()));
    found
}

#[derive(Clone, Copy)]
struct Words;

struct WordStream {
    words: std::vec::IntoIter<Word>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream {
        WordStream { words: words(text).into_iter(), token: Token::default() }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.offset_from = word.from;
        self.token.offset_to = word.to;
        // The default position is the one before the first.
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text = word.text;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_fold_and_one_stems() {
        let found = Analyzers::new().analyze("Æsop's Cafés, kittens ÜBER 猫の");
        let expected = [("aesops", "aesop"), ("cafes", "cafe"), ("kittens", "kitten"), ("uber", "uber"), ("猫", "猫"), ("の", "の")];
        let found: Vec<_> = found.iter().map(|word| (word.plain.as_str(), word.stem.as_str())).collect();
        assert_eq!(found, expected);
    }
}
