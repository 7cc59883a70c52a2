//! Judges requests for the differential test: one JSON object a line on standard input, one verdict a
//! line on standard output. `docs/differential.md` says what it is compared with.
//!
//! In: `{"id", "table" (of the signature), "url"?, "secrets", "headers": [[name, value]], "body",
//! "now", "challenge"?}`. Out: `{"id", "verdict"}`, which is `valid`, a cause, `secret` for one that is
//! refused, or the answer to a challenge.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use bytes::Bytes;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::signature::{Scheme, SecretSet, answer_challenge, verify};
use ledgerline_domain::time::UnixNanos;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    table: String,
    url: Option<String>,
    secrets: Vec<String>,
    headers: Vec<(String, String)>,
    body: String,
    now: i64,
    challenge: Option<String>,
}

fn judge(case: &Case) -> Result<String, String> {
    let mut scheme: Scheme = toml::from_str(&case.table).map_err(|e| e.to_string())?;
    if let Some(url) = &case.url {
        scheme = scheme.with_url(url).map_err(|e| e.to_string())?;
    }
    let Ok(secrets) = SecretSet::new(&scheme, case.secrets.iter().cloned().map(Into::into)) else {
        return Ok("secret".into());
    };
    if let Some(challenge) = &case.challenge {
        return Ok(answer_challenge(&scheme, &secrets, challenge).unwrap_or_else(|| "malformed".into()));
    }
    let body = Bytes::from(case.body.clone());
    let received_at = UnixNanos::from_seconds(case.now).ok_or("a time out of range")?;
    let raw = RawRequest { headers: &case.headers, body: &body, received_at };
    Ok(match verify(&scheme, &secrets, raw) {
        Ok(_) => "valid".into(),
        Err(cause) => cause.as_str().into(),
    })
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let judged = line
            .map_err(|e| e.to_string())
            .and_then(|line| serde_json::from_str::<Case>(&line).map_err(|e| format!("{e}: {line}")))
            .and_then(|case| judge(&case).map(|verdict| serde_json::json!({ "id": case.id, "verdict": verdict })));
        let written = judged.and_then(|verdict| writeln!(out, "{verdict}").map_err(|e| e.to_string()));
        if let Err(error) = written {
            eprintln!("failed to judge a case: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
