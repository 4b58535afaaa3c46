//! Cuts texts into words, the same way when they are indexed and when they are searched.
//!
//! ```text
//! "Ada's  Café-Noir 猫の絵 🔥"  ─▶  adas · café · noir · 猫 · の · 絵 · 🔥
//! ```
//!
//! Words are stretches of letters and digits, in lower case. Marks that combine (accents written apart, vowel points) are left out.
//! Scripts that write no spaces (Han, Kana, Hangul, Thai, …) become one word per character: a search for a stretch of them is a
//! search for a phrase, so that any part of a sentence is found. Pictographs are words of their own. Precomposed Latin letters lose
//! their accents later, in the engine.

use crate::limits::WORD_CHARS_MAX;

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub text: String,
    /// The byte range in the text.
    pub from: usize,
    pub to: usize,
}

/// Cuts `text` into words.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut open: Option<Word> = None;
    let mut open_chars = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if is_combining(c) {
            if let Some(word) = &mut open {
                word.to = end;
            }
        } else if is_single(c) {
            words.extend(open.take());
            words.push(Word { text: c.to_lowercase().collect(), from: at, to: end });
        } else if c.is_alphanumeric() {
            let word = open.get_or_insert_with(|| {
                open_chars = 0;
                Word { text: String::new(), from: at, to: end }
            });
            if open_chars < WORD_CHARS_MAX {
                word.text.extend(c.to_lowercase().map(without_accent).filter(|c| !is_combining(*c)));
                open_chars += 1;
            }
            word.to = end;
        } else if !(open.is_some() && matches!(c, '\'' | '’') && is_short_ending(&text[end..])) {
            words.extend(open.take());
        }
    }
    words.extend(open);
    words
}

/// Tells whether `c` can be part of a word that can be searched.
pub(crate) fn is_word_char(c: char) -> bool {
    (c.is_alphanumeric() || is_single(c)) && !is_combining(c)
}

/// What follows an apostrophe belongs to the word before it when it is short: "cat's", "don't", "we're"; but not "l'été".
fn is_short_ending(rest: &str) -> bool {
    let letters = rest.chars().take_while(|c| c.is_alphanumeric()).count();
    (1..=2).contains(&letters)
}

/// Marks that change the letter before them.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{200d}')
}

/// Characters that are words of their own: those of scripts without spaces, and pictographs.
fn is_single(c: char) -> bool {
    let written_without_spaces = matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}'
        | '\u{20000}'..='\u{323af}');
    let pictograph = matches!(c, '\u{2600}'..='\u{27bf}' | '\u{2b50}'..='\u{2b55}' | '\u{1f300}'..='\u{1faff}');
    pictograph || (written_without_spaces && c.is_alphanumeric())
}

/// Greek and Cyrillic letters without their accents; the engine does the same for Latin ones.
fn without_accent(c: char) -> char {
    match c {
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        'ё' => 'е',
        other => other,
    }
}

/// Words that nearly every English text has: they are looked for when they stand alone, and else only help the ranking.
pub(crate) fn is_stop_word(word: &str) -> bool {
    matches!(
        word,
        "a" | "an"
            | "and"
            | "are"
            | "as"
            | "at"
            | "be"
            | "by"
            | "for"
            | "from"
            | "how"
            | "i"
            | "in"
            | "is"
            | "it"
            | "my"
            | "of"
            | "on"
            | "or"
            | "that"
            | "the"
            | "this"
            | "to"
            | "was"
            | "what"
            | "with"
            | "you"
            | "your"
    )
}

/// Counts the letters that must be added, left out, changed or swapped with their neighbour to make one word of the other.
pub(crate) fn typos_between(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut c_before = None;
    for (row, c) in one.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, d) in other.iter().enumerate() {
            let changed = last[column] + usize::from(c != *d);
            let mut least = changed.min(last[column + 1] + 1).min(current[column] + 1);
            if column > 0 && c_before == Some(*d) && other[column - 1] == c {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
        c_before = Some(c);
    }
    last[other.len()]
}

/// Cuts `text` to at most `max` bytes, between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn cuts_as_drawn() {
        assert_eq!(texts("Ada's  Café-Noir 猫の絵 🔥"), ["adas", "café", "noir", "猫", "の", "絵", "🔥"]);
        assert_eq!(texts("don't we’re l'été rock 'n' roll"), ["dont", "were", "l", "été", "rock", "n", "roll"]);
        assert_eq!(texts("cafe\u{301} still_life 3:15"), ["cafe", "still", "life", "3", "15"]);
        assert_eq!(texts("ΜΆΙΟΣ Ёлка"), ["μαιοσ", "елка"]);
        assert_eq!(texts("한글 ภาพ"), ["한", "글", "ภ", "า", "พ"]);
        assert_eq!(texts(" -!?\n"), Vec::<String>::new());
        assert_eq!(texts(&"x".repeat(100)), ["x".repeat(WORD_CHARS_MAX)]);
    }

    #[test]
    fn typos_are_counted() {
        for (one, other, typos) in [
            ("", "", 0),
            ("kitten", "kitten", 0),
            ("kiten", "kitten", 1),
            ("ktiten", "kitten", 1),
            ("sitting", "kitten", 3),
            ("ab", "", 2),
            ("größe", "grösse", 2),
        ] {
            assert_eq!(typos_between(one, other), typos, "{one} {other}");
            assert_eq!(typos_between(other, one), typos, "{other} {one}");
        }
    }

    proptest! {
        #[test]
        fn words_lie_in_the_text_in_order(text: String) {
            let mut before = 0;
            for word in words(&text) {
                prop_assert!(word.from >= before && word.from < word.to && word.to <= text.len());
                prop_assert!(text.get(word.from..word.to).is_some());
                before = word.to;
            }
        }

        #[test]
        fn a_cut_is_a_prefix_within_its_bytes(text: String, max in 0_usize..40) {
            let cut = cut(&text, max);
            prop_assert!(cut.len() <= max && text.starts_with(cut) && text.len().min(max) - cut.len() < 4);
        }
    }
}
