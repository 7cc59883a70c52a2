//! JSON text written in other ways, with every token kept as it stands: what proxies and frameworks
//! make of a body that was signed. Only white space between tokens changes; `None` for a text that is
//! not JSON.

use serde_json::value::RawValue;

/// No white space at all.
pub(super) fn compact(body: &[u8]) -> Option<Vec<u8>> {
    write(body, |_, _| {})
}

/// A space behind each comma and colon.
pub(super) fn spaced(body: &[u8]) -> Option<Vec<u8>> {
    write(body, |out, place| {
        if matches!(place, Place::Comma(_) | Place::Colon) {
            out.push(b' ');
        }
    })
}

/// One member a line, indented by `width` spaces for each level.
pub(super) fn pretty(body: &[u8], width: usize) -> Option<Vec<u8>> {
    write(body, |out, place| match place {
        Place::Colon => out.push(b' '),
        Place::Comma(depth) | Place::Opened(depth) | Place::Closing(depth) => {
            out.push(b'\n');
            out.resize(out.len() + depth.min(DEPTH_MAX) * width, b' ');
        }
    })
}

/// Deeper levels are not indented further: a body is at most a few times as long as it was.
const DEPTH_MAX: usize = 16;

/// Where white space may stand, with the depth of what follows.
enum Place {
    Comma(usize),
    Colon,
    Opened(usize),
    Closing(usize),
}

fn write(body: &[u8], space: impl Fn(&mut Vec<u8>, Place)) -> Option<Vec<u8>> {
    serde_json::from_slice::<&RawValue>(body).ok()?;
    let mut out = Vec::with_capacity(body.len());
    let (mut depth, mut in_string, mut escaped, mut empty) = (0_usize, false, false, false);
    for byte in body {
        if in_string {
            out.push(*byte);
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        let closing = matches!(byte, b'}' | b']');
        // `{}` and `[]` stay together, so what follows an opening bracket waits for the next token.
        match (empty, closing) {
            (true, false) => space(&mut out, Place::Opened(depth)),
            (false, true) => space(&mut out, Place::Closing(depth.saturating_sub(1))),
            _ => {}
        }
        empty = matches!(byte, b'{' | b'[');
        depth = if empty { depth + 1 } else { depth.saturating_sub(usize::from(closing)) };
        out.push(*byte);
        match byte {
            b'"' => in_string = true,
            b',' => space(&mut out, Place::Comma(depth)),
            b':' => space(&mut out, Place::Colon),
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
        let body = b"{ \"a\\\": \" : [1, 2.50,{}] ,\n\"b\":{\"c\":[ ]}}";
        assert_eq!(text(compact(body)), r#"{"a\": ":[1,2.50,{}],"b":{"c":[]}}"#);
        assert_eq!(text(spaced(body)), r#"{"a\": ": [1, 2.50, {}], "b": {"c": []}}"#);
        let expected = "{\n  \"a\\\": \": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\": {\n    \"c\": []\n  }\n}";
        assert_eq!(text(pretty(body, 2)), expected);
        for body in ["{}", "[1,\"\\\\\",null]", "\"x\"", "7"] {
            let value: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(text(pretty(body.as_bytes(), 2)), serde_json::to_string_pretty(&value).unwrap());
            assert_eq!(text(compact(text(pretty(body.as_bytes(), 4)).as_bytes())), body);
        }
        for wrong in ["", "{", "a=b", "{\"a\":1}{"] {
            assert_eq!(compact(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
