//! What a body is written in: JSON as it stands, or a form or XML that is turned into JSON for reading.
//!
//! Only the reading copy changes; what is logged, archived and signed stays byte for byte what came.
//! The encoding is a function of the bytes alone (the door, the fold and the replay see nothing
//! else): a body that begins with `{` or `[` is JSON wherever `json` is listed, one that begins
//! with `<` is XML wherever `xml` is listed, anything else is the first form encoding whose field
//! it has.
//!
//! Errors say in words why a body cannot be read, without any of its content.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::xml;

/// Most fields of one form.
pub(super) const FIELDS_MAX: usize = 10_000;

/// `[body]` of a provider file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BodyTable {
    pub encoding: Encodings,
}

/// One encoding or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an encoding such as \"form\", or a list of encodings")]
pub(super) enum Encodings {
    One(String),
    List(Vec<String>),
}

/// How bodies become JSON; nothing listed means JSON only.
#[derive(Debug, Default)]
pub(super) struct BodyPlan {
    json: bool,
    xml: bool,
    forms: Vec<Form>,
}

/// A form, and the field in it that holds another text.
#[derive(Debug)]
struct Form {
    field: Option<(String, Inner)>,
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Json,
    Xml,
}

impl BodyPlan {
    /// Reads the list. `Err` is the fix.
    pub(super) fn new(table: Option<&BodyTable>) -> Result<Self, String> {
        let list = match table.map(|t| &t.encoding) {
            None => return Ok(Self { json: true, ..Self::default() }),
            Some(Encodings::One(one)) => std::slice::from_ref(one),
            Some(Encodings::List(list)) => list,
        };
        let mut plan = Self::default();
        for encoding in list {
            let field = |name: &str, inner| Form { field: Some((name.to_owned(), inner)) };
            match encoding.split_once(':') {
                None if encoding == "json" => plan.json = true,
                None if encoding == "xml" => plan.xml = true,
                None if encoding == "form" => plan.forms.push(Form { field: None }),
                Some(("form-json", name)) if !name.is_empty() => plan.forms.push(field(name, Inner::Json)),
                Some(("form-xml", name)) if !name.is_empty() => plan.forms.push(field(name, Inner::Xml)),
                _ => {
                    return Err(format!(
                        "{encoding:?} is none: use json, xml, form, form-json:FIELD or form-xml:FIELD"
                    ));
                }
            }
        }
        if list.is_empty() { Err("name at least one encoding, such as \"json\"".into()) } else { Ok(plan) }
    }

    /// Whether JSON is among the encodings.
    pub(super) fn reads_json(&self) -> bool {
        self.json
    }

    /// The body as JSON. JSON itself is handed through without a copy or a look.
    pub(super) fn json<'a>(&self, body: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        if self.forms.is_empty() && !self.xml {
            return Ok(Cow::Borrowed(body));
        }
        match body.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{' | b'[') if self.json => return Ok(Cow::Borrowed(body)),
            Some(b'<') if self.xml => return xml::to_json(body).map(Cow::Owned),
            _ => {}
        }
        if self.forms.is_empty() {
            let known = if self.json { "JSON or XML" } else { "XML" };
            return Err(format!("the body is not {known}"));
        }
        self.form(body).map(Cow::Owned)
    }

    fn form(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let fields: Vec<_> = form_urlencoded::parse(body).take(FIELDS_MAX + 1).collect();
        if fields.len() > FIELDS_MAX {
            return Err(format!("the form has more than {FIELDS_MAX} fields"));
        }
        let has = |name: &str| fields.iter().any(|(key, _)| key == name);
        let form = self.forms.iter().find(|form| form.field.as_ref().is_none_or(|(name, _)| has(name)));
        let Some(form) = form else {
            return Err("the body is no form with the field that the provider file names".into());
        };
        if fields.len() == 1 && fields.iter().all(|(_, value)| value.is_empty()) {
            return Err("the body is no form".into());
        }
        let mut json = Vec::with_capacity(body.len() + body.len() / 2 + 2);
        json.push(b'{');
        for (n, (key, value)) in fields.iter().enumerate() {
            if n > 0 {
                json.push(b',');
            }
            text(key, &mut json);
            json.push(b':');
            match &form.field {
                Some((name, Inner::Json)) if name == key => json.extend_from_slice(&inner_json(value)?),
                Some((name, Inner::Xml)) if name == key => json.extend_from_slice(&inner_xml(value)?),
                _ => text(value, &mut json),
            }
        }
        json.push(b'}');
        Ok(json)
    }
}

/// A text as a JSON string.
pub(super) fn text(text: &str, json: &mut Vec<u8>) {
    // Writing a str to a Vec cannot fail.
    let _ = serde_json::to_writer(json, text);
}

/// The JSON text in a form's field, as it stands.
fn inner_json(value: &str) -> Result<Cow<'_, [u8]>, String> {
    let bad = || "the form's field is not JSON".to_owned();
    let raw: &serde_json::value::RawValue = serde_json::from_str(value).map_err(|_| bad())?;
    Ok(Cow::Borrowed(raw.get().as_bytes()))
}

/// The XML in a form's field, plain or as base64 with line breaks.
fn inner_xml(value: &str) -> Result<Vec<u8>, String> {
    if value.trim_start().starts_with('<') {
        return xml::to_json(value.as_bytes());
    }
    let packed: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(packed).map_err(|_| "the form's field is neither XML nor base64")?;
    xml::to_json(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(list: &[&str]) -> BodyPlan {
        let table = BodyTable { encoding: Encodings::List(list.iter().map(|s| (*s).to_owned()).collect()) };
        BodyPlan::new(Some(&table)).unwrap()
    }

    fn read(list: &[&str], body: &str) -> Result<String, String> {
        plan(list).json(body.as_bytes()).map(|json| String::from_utf8(json.into_owned()).unwrap())
    }

    #[test]
    fn each_encoding_becomes_json() {
        for (list, body, json) in [
            (&["form"][..], "a=1&b=x+y%26&a=2", r#"{"a":"1","b":"x y&","a":"2"}"#),
            (&["json", "form"], r#" {"a":1}"#, r#" {"a":1}"#),
            (&["json", "form"], "id=tr_1", r#"{"id":"tr_1"}"#),
            (
                &["form-json:p", "form"],
                "p=%7B%22a%22%3A9007199254740993%7D&q=1",
                r#"{"p":{"a":9007199254740993},"q":"1"}"#,
            ),
            (&["form-json:p", "form"], "q=1", r#"{"q":"1"}"#),
            (&["form-xml:p"], "p=%3Ca%3E1%3C/a%3E", r#"{"p":{"a":"1"}}"#),
            (&["form-xml:p"], "p=PGE%2B%0AMTwvYT4%3D%0A", r#"{"p":{"a":"1"}}"#),
            (&["xml"], "<a>1</a>", r#"{"a":"1"}"#),
            (&["json"], "anything", "anything"),
        ] {
            assert_eq!(read(list, body).as_deref(), Ok(json), "{list:?} {body}");
        }
    }

    #[test]
    fn what_is_none_says_so() {
        for (list, body, reason) in [
            (&["form-xml:p"][..], "q=1", "no form with the field"),
            (&["form-xml:p"], "p=%%%", "neither XML nor base64"),
            (&["form-xml:p"], "p=PGE%2B", "XML"),
            (&["form-json:p"], "p=x", "not JSON"),
            (&["form"], "", "no form"),
            (&["form"], "hello", "no form"),
            (&["json", "xml"], "hello", "not JSON or XML"),
        ] {
            let error = read(list, body);
            // An empty form has no fields and so no values; its events then lack an id.
            if body.is_empty() {
                assert_eq!(error.as_deref(), Ok("{}"));
                continue;
            }
            assert!(error.as_ref().is_err_and(|e| e.contains(reason)), "{list:?} {body}: {error:?}");
        }
        let many = vec!["a=1"; FIELDS_MAX + 1].join("&");
        assert!(read(&["form"], &many).unwrap_err().contains("more than"));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_the_rest() {
        // Windows-1252, as older notifications are.
        let json = plan(&["form"]).json(b"id=7&name=Jos%E9&raw=\xe9").unwrap().into_owned();
        assert!(String::from_utf8(json).unwrap().starts_with(r#"{"id":"7","#));
    }
}
