//! What a bucket's policy forbids to everybody, as far as the archive needs to know.

use serde_json::Value;

/// A policy's statements.
pub(super) struct Policy(Vec<Value>);

impl Policy {
    /// Reads the JSON text; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let policy: Value = serde_json::from_str(text).ok()?;
        Some(Self(list(policy.get("Statement")?).into_iter().cloned().collect()))
    }

    /// Whether an action on an object is denied to everybody, whatever comes with the call.
    pub fn denies(&self, action: &str, object: &str) -> bool {
        self.denials(action, object).any(|statement| statement.get("Condition").is_none_or(is_empty))
    }

    /// Whether a put of an object that does not say "only if there is none" is denied to everybody. Other conditions
    /// may stand beside it, since the parts of an upload carry none.
    pub fn denies_plain_puts(&self, object: &str) -> bool {
        self.denials("s3:PutObject", object).any(|statement| {
            let null = statement.pointer("/Condition/Null").and_then(Value::as_object);
            null.is_some_and(|null| {
                null.iter().any(|(key, value)| {
                    key.eq_ignore_ascii_case("s3:if-none-match") && list(value).into_iter().any(is_true)
                })
            })
        })
    }

    fn denials<'a>(&'a self, action: &'a str, object: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |statement| {
            let any = |key: &str, text: &str| texts(statement.get(key)).any(|pattern| matches(pattern, text));
            let object = |pattern: &str| pattern.split_once(":::").is_some_and(|(_, rest)| matches(rest, object));
            statement.get("Effect").and_then(Value::as_str) == Some("Deny")
                && statement.get("Principal").is_some_and(is_everybody)
                && any("Action", action)
                && (texts(statement.get("Resource")).any(object) || texts(statement.get("Resource")).any(|r| r == "*"))
        })
    }
}

fn is_everybody(principal: &Value) -> bool {
    principal == "*" || principal.get("AWS").is_some_and(|aws| texts(Some(aws)).any(|name| name == "*"))
}

fn is_true(value: &Value) -> bool {
    value == true || value == "true"
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |all| all.iter().collect())
}

fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.map(list).unwrap_or_default().into_iter().filter_map(Value::as_str)
}

/// Whether a text fits a pattern of IAM: `*` is any text, `?` any character. Actions are told without regard to case.
fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            matches(rest, text)
                || text.char_indices().skip(1).any(|(at, _)| matches(rest, &text[at..]))
                || rest.is_empty()
        }
        (Some('?'), Some(c)) => matches(&pattern[1..], &text[c.len_utf8()..]),
        (Some(p), Some(c)) if p.eq_ignore_ascii_case(&c) => matches(&pattern[p.len_utf8()..], &text[c.len_utf8()..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
        {"Effect":"Deny","Principal":{"AWS":"*"},"Action":["s3:DeleteObject","s3:DeleteObjectVersion"],"Resource":["arn:aws:s3:::b/p/segments/*"]},
        {"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/p/segments/*",
         "Condition":{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}}]}"#;

    #[test]
    fn a_denial_counts_for_everybody_and_without_conditions() {
        let policy = Policy::parse(GOOD).unwrap();
        assert!(policy.denies("s3:DeleteObject", "b/p/segments/x") && policy.denies_plain_puts("b/p/segments/x"));
        assert!(!policy.denies("s3:DeleteObject", "b/p/heads/x") && !policy.denies_plain_puts("b/p/heads/x"));
        assert!(!policy.denies("s3:GetObject", "b/p/segments/x"), "only over plain HTTP");
        for (from, to) in [("\"Deny\"", "\"Allow\""), ("\"*\"", "\"arn:aws:iam::1:root\""), ("/p/segments/", "/q/")] {
            let other = Policy::parse(&GOOD.replace(from, to)).unwrap();
            assert!(!other.denies("s3:DeleteObject", "b/p/segments/x"), "{to}");
            assert!(!other.denies_plain_puts("b/p/segments/x"), "{to}");
        }
        assert!(Policy::parse("x").is_none());
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("s3:Put*", "s3:PutObject", true),
            ("S3:putobject", "s3:PutObject", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "ab", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
