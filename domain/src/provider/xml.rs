//! XML as JSON, for reading with pointers.
//!
//! An element is an object of its children; one with only text is a string; one marked
//! `nil="true"` is null; one marked `type="array"` is an array of its children. Of children with
//! one name the first counts, as of equal keys in JSON. Attributes, comments and text beside
//! children say nothing here. A DOCTYPE and entities of one's own are refused: nothing is expanded.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::body::text;

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 64;

/// An element whose end is not reached.
struct Open {
    is_array: bool,
    is_nil: bool,
    has_children: bool,
    text: String,
}

/// One JSON object whose only member is the root element.
pub(super) fn to_json(body: &[u8]) -> Result<Vec<u8>, String> {
    let body = std::str::from_utf8(body).map_err(|_| "the XML is not UTF-8")?;
    let mut reader = Reader::from_str(body);
    let mut json = Vec::with_capacity(body.len() + 2);
    let mut open: Vec<Open> = Vec::new();
    let mut roots = 0_usize;
    json.push(b'{');
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|_| format!("the XML is not well formed (near byte {at})"))?;
        match event {
            Event::Start(start) => {
                if open.len() == DEPTH_MAX {
                    return Err(format!("the XML is nested deeper than {DEPTH_MAX} elements"));
                }
                roots += usize::from(open.is_empty());
                begin(&start, &mut open, &mut json)?;
            }
            Event::Empty(start) => {
                roots += usize::from(open.is_empty());
                begin(&start, &mut open, &mut json)?;
                end(&mut open, &mut json);
            }
            Event::End(_) => end(&mut open, &mut json),
            Event::Text(part) => add(&mut open, &part),
            Event::CData(part) => add(&mut open, &part),
            Event::GeneralRef(name) => {
                let number = name.resolve_char_ref().map_err(|_| "the XML has a wrong character reference")?;
                match number {
                    Some(c) => add(&mut open, c.encode_utf8(&mut [0; 4])),
                    None => {
                        let known = resolve_xml_entity(&name).ok_or("the XML has an entity of its own: refused")?;
                        add(&mut open, known);
                    }
                }
            }
            Event::DocType(_) => return Err("the XML has a DOCTYPE: refused".into()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    json.push(b'}');
    match (roots, open.is_empty()) {
        (1, true) => Ok(json),
        (_, false) => Err("the XML ends too early".into()),
        _ => Err("the XML does not have one root element".into()),
    }
}

/// Writes what stands before an element's value.
fn begin(start: &BytesStart<'_>, open: &mut Vec<Open>, json: &mut Vec<u8>) -> Result<(), String> {
    if let Some(parent) = open.last_mut() {
        let bracket = if parent.is_array { b'[' } else { b'{' };
        json.push(if parent.has_children { b',' } else { bracket });
        parent.has_children = true;
    }
    if open.last().is_none_or(|parent| !parent.is_array) {
        text(start.name().as_ref(), json);
        json.push(b':');
    }
    let (mut is_array, mut is_nil) = (false, false);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| "the XML has an attribute that is none")?;
        match (attribute.key.as_ref(), attribute.value.as_ref()) {
            ("type", "array") => is_array = true,
            ("nil", "true") => is_nil = true,
            _ => {}
        }
    }
    open.push(Open { is_array, is_nil, has_children: false, text: String::new() });
    Ok(())
}

/// Writes an element's value, or what closes it.
fn end(open: &mut Vec<Open>, json: &mut Vec<u8>) {
    let Some(element) = open.pop() else { return };
    match element {
        Open { has_children: true, is_array, .. } => json.push(if is_array { b']' } else { b'}' }),
        Open { is_array: true, .. } => json.extend_from_slice(b"[]"),
        Open { is_nil: true, .. } => json.extend_from_slice(b"null"),
        Open { text: content, .. } => text(content.trim(), json),
    }
}

fn add(open: &mut [Open], part: &str) {
    if let Some(element) = open.last_mut().filter(|e| !e.has_children) {
        element.text.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<String, String> {
        to_json(xml.as_bytes()).map(|json| {
            serde_json::from_slice::<serde_json::Value>(&json).expect("it is JSON");
            String::from_utf8(json).unwrap()
        })
    }

    #[test]
    fn elements_become_members() {
        for (xml, json) in [
            ("<a/>", r#"{"a":""}"#),
            ("<?xml version=\"1.0\"?>\n<a> x &amp; &#233; </a>\n", r#"{"a":"x & é"}"#),
            ("<a><b>1</b><c nil=\"true\"/></a>", r#"{"a":{"b":"1","c":null}}"#),
            ("<a type=\"array\"><b>1</b><b>2</b></a>", r#"{"a":["1","2"]}"#),
            ("<a type=\"array\"/>", r#"{"a":[]}"#),
            ("<a type=\"array\">\n  <t><id>x</id></t>\n</a>", r#"{"a":[{"id":"x"}]}"#),
            ("<a>text<b/>text</a>", r#"{"a":{"b":""}}"#),
            ("<a><!-- no --><![CDATA[<x>]]></a>", r#"{"a":"<x>"}"#),
        ] {
            assert_eq!(read(xml).as_deref(), Ok(json), "{xml}");
        }
    }

    #[test]
    fn nothing_is_expanded_and_everything_is_bounded() {
        for (xml, reason) in [
            ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "DOCTYPE"),
            ("<a>&x;</a>", "entity"),
            ("<a>&#x110000;</a>", "character"),
            ("<a><b></a>", "well formed"),
            ("<a>", "early"),
            ("<a/><b/>", "one root"),
            ("", "one root"),
            ("hello", "one root"),
        ] {
            let error = read(xml);
            assert!(error.as_ref().is_err_and(|e| e.contains(reason)), "{xml}: {error:?}");
        }
        let deep = "<a>".repeat(DEPTH_MAX + 1);
        assert!(read(&deep).unwrap_err().contains("deeper"));
        assert!(to_json(b"<a>\xff</a>").is_err());
    }
}
