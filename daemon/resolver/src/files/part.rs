//! The part of a file that is ours: between two marks. What stands before and behind is its user's, and stays.

/// The line before our part.
const BEGIN: &str = "# trestle: from here";

/// The line behind it.
const END: &str = "# trestle: to here; write below";

/// The text with our part renewed. A text without our part gets it before everything else.
pub fn renewed(text: &str, ours: &str) -> String {
    let mut renewed = String::with_capacity(text.len() + ours.len());
    let (before, behind) = apart(text).unwrap_or(("", text));
    renewed.push_str(before);
    for piece in [BEGIN, "\n", ours, END, "\n"] {
        renewed.push_str(piece);
    }
    renewed.push_str(behind);
    renewed
}

/// What stands before our part, and behind it.
fn apart(text: &str) -> Option<(&str, &str)> {
    let begin = line(text, BEGIN)?;
    let (before, rest) = text.split_at(begin);
    let end = line(rest, END)?;
    let behind = &rest[end + END.len()..];
    Some((before, behind.strip_prefix('\n').unwrap_or(behind)))
}

/// Where a whole line of the text starts.
fn line(text: &str, wanted: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end_matches(['\n', '\r']) == wanted {
            return Some(at);
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_user_wrote_before_and_behind_stays() {
        let first = renewed("", "127.0.0.1 localhost\n");
        let edited = format!("10.0.0.9 mine\n{first}10.0.0.8 also\n");
        let second = renewed(&edited, "127.0.0.1 localhost\n10.0.0.2 web\n");
        assert!(second.starts_with("10.0.0.9 mine\n") && second.ends_with("10.0.0.8 also\n"), "{second}");
        assert!(second.contains("10.0.0.2 web\n"));
        assert_eq!(renewed(&second, "127.0.0.1 localhost\n"), edited);
    }

    proptest! {
        #[test]
        fn renewing_twice_is_renewing_once_and_loses_nothing_of_others(text in "[a#\n: trestlfomh]{0,80}", one in "[a-z\n]{0,9}", two in "[a-z\n]{0,9}") {
            let (one, two) = (format!("{one}\n"), format!("{two}\n"));
            let first = renewed(&text, &one);
            prop_assert_eq!(renewed(&first, &one), first.clone());
            prop_assert!(first.ends_with(&text) || apart(&text).is_some());
            prop_assert_eq!(renewed(&renewed(&first, &two), &one), first);
        }
    }
}
