//! What people type, and what they may have meant.

/// The one of `known` that is nearest to `typed`, unless that is far from all.
pub(super) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = known.iter().map(|word| (distance(typed, word), *word)).min()?;
    // Two letters of five may be wrong: two that changed places are two.
    (nearest.0 <= (nearest.1.len() * 2 / 5).max(1)).then_some(nearest.1)
}

/// The end of a sentence about an unknown word: what may have been meant, and all there are.
pub(super) fn did_you_mean(typed: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(typed, known) {
        Some(word) => format!("; did you mean {word:?}? Known: {all}"),
        None => format!("; known: {all}"),
    }
}

/// Letters to insert, drop or change (V. Levenshtein, 1966), by the rows of the usual table.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_none_where_all_are_far() {
        let known = ["crash", "disk-slow", "disk-full", "wipe"];
        for (typed, meant) in [("crahs", "crash"), ("diskslow", "disk-slow"), ("wip", "wipe")] {
            assert_eq!(nearest(typed, &known), Some(meant));
        }
        assert_eq!(nearest("earthquake", &known), None);
        assert_eq!((distance("kitten", "sitting"), distance("", "abc")), (3, 3));
        let all = known.join(", ");
        let meant = format!("; did you mean \"crash\"? Known: {all}");
        assert_eq!(did_you_mean("crahs", &known), meant);
        assert_eq!(did_you_mean("earthquake", &known), format!("; known: {all}"));
    }
}
