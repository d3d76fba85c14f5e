//! The words that generated text is made of.

/// Words in the vocabulary.
pub const WORDS: u32 = 10_000;

/// Letters in every word.
pub const LETTERS: usize = 9;

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 5] = b"aeiou";

/// Spellings that the pattern of five consonants around four vowels allows.
const SPELLINGS: u64 = 16u64.pow(5) * 5u64.pow(4);

/// The word of a rank, the most frequent being rank 0: like "nulakokij", pronounceable and always the same.
///
/// Distinct ranks have distinct spellings without any table of those already used: the ranks are multiplied by
/// a number that shares no factor with `SPELLINGS`, which is a permutation, and written in mixed radix.
/// The factor is near the golden section of `SPELLINGS`, which scatters neighbouring ranks widely: neither
/// the first letter nor the alphabetical order says how frequent a word is.
pub fn word(rank: u32) -> [u8; LETTERS] {
    const SCATTER: u64 = 405_034_757;
    // One is added because rank 0 would otherwise be spelt with first letters only.
    let mut code = (u64::from(rank) + 1) * SCATTER % SPELLINGS;
    let mut word = [0; LETTERS];
    // From the end, so that the first letter comes from the digit that the factor scatters best.
    for (position, letter) in word.iter_mut().enumerate().rev() {
        let alphabet: &[u8] = if position % 2 == 0 { CONSONANTS } else { VOWELS };
        let radix = alphabet.len() as u64;
        *letter = alphabet[(code % radix) as usize];
        code /= radix;
    }
    word
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ten_thousand_distinct_words_in_lower_case() {
        let words: HashSet<_> = (0..WORDS).map(word).collect();
        assert_eq!(words.len(), WORDS as usize);
        assert!(words.iter().flatten().all(u8::is_ascii_lowercase));
    }

    #[test]
    fn first_letters_are_spread_over_all_ranks() {
        // The most frequent hundred should not all begin alike: a partitioning by prefix would look too good.
        let first: HashSet<_> = (0..100).map(|rank| word(rank)[0]).collect();
        assert_eq!(first.len(), CONSONANTS.len());
    }
}
