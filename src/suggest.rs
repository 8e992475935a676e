//! Names for error messages: which are near a wrong one, and all of them in a sentence.

/// The candidates that `text` is most likely a typing error of; none, where none is near.
pub(crate) fn near<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let most = (text.chars().count() / 3).clamp(1, 3);
    let mut found: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (edits(&text.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|&(edits, _)| edits <= most)
        .collect();
    found.sort_unstable();
    found.dedup();
    let nearest = found.first().map_or(0, |&(edits, _)| edits);
    found.into_iter().take_while(|&(edits, _)| edits == nearest).map(|(_, candidate)| candidate).collect()
}

/// How many characters must be inserted, removed or replaced to turn one text into the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Names in a sentence: `a, b and c`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_near() {
        assert_eq!(near("caffe", ["cafe", "erp"]), ["cafe"]);
        assert_eq!(near("kladanna", ["quable", "kladana"]), ["kladana"]);
        assert!(near("x", ["cafe", "erp"]).is_empty());
    }

    #[test]
    fn names_in_a_sentence() {
        assert_eq!(list([]), "none");
        assert_eq!(list(["a"]), "a");
        assert_eq!(list(["a", "b", "c"]), "a, b and c");
    }
}
