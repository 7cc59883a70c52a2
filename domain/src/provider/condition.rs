//! `when` of a fact rule: what is wanted of one value.

use super::file::Wanted;

/// A condition on the text of one value. What is absent fits only [`Absent`](Self::Absent).
#[derive(Debug)]
pub(super) enum Condition {
    Present,
    Absent,
    Is(String),
    IsNot(String),
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
}

impl Condition {
    /// Of texts that the check has accepted.
    pub(super) fn new(wanted: &Wanted) -> Self {
        let texts = wanted.texts();
        match texts {
            [one] if one == "*" => Self::Present,
            [one] if one == "!*" => Self::Absent,
            [one] => match one.strip_prefix('!') {
                Some(other) => Self::IsNot(other.to_owned()),
                None => Self::Is(one.clone()),
            },
            several if several.iter().all(|t| t.starts_with('!')) => {
                Self::NoneOf(several.iter().filter_map(|t| t.strip_prefix('!')).map(str::to_owned).collect())
            }
            several => Self::OneOf(several.to_vec()),
        }
    }

    pub(super) fn holds(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::Absent, text) => text.is_none(),
            (_, None) => false,
            (Self::Present, Some(_)) => true,
            (Self::Is(wanted), Some(text)) => text == wanted,
            (Self::IsNot(other), Some(text)) => text != other,
            (Self::OneOf(wanted), Some(text)) => wanted.iter().any(|w| w == text),
            (Self::NoneOf(others), Some(text)) => others.iter().all(|o| o != text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold() {
        let list = |texts: &[&str]| Wanted::List(texts.iter().map(|t| (*t).to_owned()).collect());
        for (wanted, fits, fails) in [
            (list(&["*"]), vec![Some("a")], vec![None]),
            (list(&["!*"]), vec![None], vec![Some("a")]),
            (Wanted::One("a".into()), vec![Some("a")], vec![Some("b"), None]),
            (Wanted::One("!a".into()), vec![Some("b")], vec![Some("a"), None]),
            (list(&["a", "b"]), vec![Some("a"), Some("b")], vec![Some("c"), None]),
            (list(&["!a", "!b"]), vec![Some("c")], vec![Some("a"), Some("b"), None]),
        ] {
            let condition = Condition::new(&wanted);
            assert!(fits.iter().all(|text| condition.holds(*text)), "{wanted:?}");
            assert!(!fails.iter().any(|text| condition.holds(*text)), "{wanted:?}");
        }
    }
}
