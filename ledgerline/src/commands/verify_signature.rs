//! `verify-signature`: explains a captured request. Which scheme judges it, which headers were read,
//! what the signature covers, the verdict, and which of the usual mistakes would explain a refusal.
//!
//! Names, lengths and key ids are printed; never a secret, a signature or a body.

use std::path::Path;

use bytes::Bytes;
use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{Cause, Examination, Scheme, Tolerance, examine};
use ledgerline_domain::time::UnixNanos;
use serde::Serialize;

use crate::cli::VerifySignatureArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::OuterKeys;
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::SystemClock;
use crate::{secrets, words};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What programs get.
#[derive(Debug, Serialize)]
struct Report {
    source: String,
    scheme: &'static str,
    tolerance: String,
    at: String,
    url: Option<String>,
    valid: bool,
    key_id: Option<String>,
    cause: Option<&'static str>,
    explanation: String,
    headers: Vec<Part>,
    signed: Vec<Part>,
    signed_bytes: usize,
    body_bytes: usize,
    tried: Vec<Tried>,
}

/// A header or a part of what is signed; no length where it is absent.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Tried {
    change: &'static str,
    fits: bool,
    fix: &'static str,
}

/// Runs the command. Code 0 when the request would be accepted, 5 when it would be refused.
pub fn run(loaded: &Loaded, args: &VerifySignatureArgs, out: &mut Output) -> Outcome {
    let source = loaded.source(&args.source)?;
    let scheme = loaded.scheme(source)?;
    let headers = headers(&String::from_utf8_lossy(&read(&args.headers)?));
    let body = read(&args.body)?;
    let at = match args.at.as_deref() {
        Some(text) => time(text)?,
        None => SystemClock.now(),
    };
    let secrets = secrets::read_all(source, secrets::Use::Archive)?;
    let raw = RawRequest { headers: &headers, body: &body, received_at: at };
    let named = OuterKeys::open(loaded, source, &scheme)?.named()?;
    let found = examine(&scheme, &secrets, named, raw).map_err(|e| {
        Failure::usage(format!("prepare source {}: {e}; its key `secrets` names the secrets", source.name))
    })?;
    let report = report(source.name.as_str(), &scheme, at, body.len(), found);
    if args.json {
        out.json_pretty(&report)?;
    } else {
        show(&report, out)?;
    }
    Ok(if report.valid { Exit::Ok } else { Exit::Refused })
}

fn read(path: &Path) -> Outcome<Bytes> {
    let failed = |why: String| Failure::usage(format!("read {}: {why}", path.display()));
    if std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len() > FILE_BYTES_MAX {
        return Err(failed(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map(Bytes::from).map_err(|e| failed(e.to_string()))
}

/// Header lines; `> ` and `< ` in front are curl's.
fn headers(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line = line.trim_start_matches(['<', '>']).trim();
        let (name, value) = line.split_once(':')?;
        let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        token.then(|| (name.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn time(text: &str) -> Outcome<UnixNanos> {
    let seconds = text.parse::<i64>().ok().and_then(UnixNanos::from_seconds);
    seconds
        .or_else(|| UnixNanos::parse_rfc3339(text).ok())
        .ok_or_else(|| Failure::usage(format!("read --at {text:?}: use 2026-10-01T09:30:00Z, or seconds since 1970")))
}

fn report(source: &str, scheme: &Scheme, at: UnixNanos, body_bytes: usize, found: Examination) -> Report {
    let explanation = match &found.verdict {
        Ok(_) if matches!(scheme, Scheme::Oidc(_)) => "the token is good; nothing of the body is covered".to_owned(),
        Ok(key) if matches!(scheme, Scheme::SharedSecret(_)) => {
            format!("the request holds the secret {key}; nothing of the body is covered")
        }
        Ok(key) => format!("the signature holds, by the secret {key}"),
        Err(cause) => format!("{cause}{}", advice(*cause)),
    };
    let part = |(name, bytes): (String, Option<usize>)| Part { name, bytes };
    Report {
        source: source.to_owned(),
        scheme: scheme.name(),
        tolerance: match scheme.tolerance() {
            Some(Tolerance::Seconds(seconds)) => format!("{seconds} s"),
            Some(Tolerance::AnyAge) => "any age".into(),
            None => "no signed time".into(),
        },
        at: at.to_string(),
        url: scheme.url().map(ToOwned::to_owned),
        valid: found.verdict.is_ok(),
        key_id: found.verdict.as_ref().ok().map(ToString::to_string),
        cause: found.verdict.as_ref().err().map(|cause| cause.as_str()),
        explanation,
        headers: found.headers.into_iter().map(|(name, bytes)| part((name.into(), bytes))).collect(),
        signed_bytes: found.signed.iter().map(|(_, bytes)| bytes).sum(),
        signed: found.signed.into_iter().map(|(name, bytes)| part((name, Some(bytes)))).collect(),
        body_bytes,
        tried: found.hypotheses.iter().map(|h| Tried { change: h.change, fits: h.fits, fix: h.fix }).collect(),
    }
}

/// Where to look first.
fn advice(cause: Cause) -> &'static str {
    match cause {
        Cause::Missing => ": is it the right source, and did a proxy drop headers?",
        Cause::Malformed => ": is it the right source and provider file?",
        Cause::Wrong | Cause::TooOld | Cause::InFuture | Cause::WrongItem(_) => "",
        Cause::UnknownKey => ": add that key to the source's secrets, or its certificate to `certificates`",
        Cause::WrongClaims => ": compare `issuer`, `audience` and the claims of the provider file with the token",
        Cause::KeyComing => ": try it again in a minute",
    }
}

fn show(report: &Report, out: &mut Output) -> Outcome<()> {
    let bytes = |bytes: Option<usize>| match bytes {
        Some(bytes) => words::thousands(bytes as u64),
        None => "absent".to_owned(),
    };
    out.line(format!("source   {}", report.source))?;
    out.line(format!("scheme   {}, {}", report.scheme, report.tolerance))?;
    out.line(format!("at       {}", report.at))?;
    if let Some(url) = &report.url {
        out.line(format!("url      {url}"))?;
    }
    let mut table = output::table(&["read", ">bytes"]);
    for header in &report.headers {
        table.add_row([format!("header {}", header.name), bytes(header.bytes)]);
    }
    table.add_row(["body".to_owned(), bytes(Some(report.body_bytes))]);
    out.gap()?;
    out.table(&table, 0)?;
    if !report.signed.is_empty() {
        let mut table = output::table(&["signed, in this order", ">bytes"]);
        for part in &report.signed {
            table.add_row([part.name.clone(), bytes(part.bytes)]);
        }
        table.add_row(["in all".to_owned(), bytes(Some(report.signed_bytes))]);
        out.gap()?;
        out.table(&table, 0)?;
    }
    out.gap()?;
    out.line(format!("{} {}", if report.valid { "✓" } else { "✗" }, report.explanation))?;
    if !report.tried.is_empty() {
        let mut table = output::table(&["it would hold if", ""]);
        for tried in &report.tried {
            table.add_row([tried.change, if tried.fits { "yes" } else { "no" }]);
        }
        out.gap()?;
        out.table(&table, 0)?;
        out.gap()?;
        for tried in report.tried.iter().filter(|tried| tried.fits) {
            out.bullet("→", tried.fix)?;
        }
        if !report.tried.iter().any(|tried| tried.fits) {
            out.bullet("→", "none of the usual mistakes explains it: most likely the secret is another one")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_of_every_origin_are_read() {
        let text = "POST /x HTTP/1.1\r\nStripe-Signature: t=1,v1=a:b\r\n> Host: h\n\nno header\n{\"a\": 1}\n";
        let expected = [("Stripe-Signature", "t=1,v1=a:b"), ("Host", "h")];
        assert_eq!(headers(text), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        assert_eq!(time("1790000000").unwrap(), time("2026-09-21T14:13:20Z").unwrap());
        assert!(time("yesterday").unwrap_err().message.contains("--at"));
    }
}
