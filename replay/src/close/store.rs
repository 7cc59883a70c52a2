//! Where statements and their provider files are kept, and in which words.
//!
//! | key | object |
//! | --- | --- |
//! | `closes/{stream}/{day}.json` | the first statement of a day |
//! | `closes/{stream}/{day}.{n}.json` | its nth, which corrects the one before |
//! | `providers/{stream}/{sha256}.toml` | a provider file that a statement was made with |

use std::collections::BTreeMap;

use bytes::Bytes;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Archive, Created};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::segment::digest;
use ledgerline_domain::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::{CLOSE_VERSION, Day, Named, Statement};

/// How the line with the digest begins.
const DIGEST_LINE: &str = "  \"statement_sha256\":";

/// A statement with the object that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// SHA-256 of the object.
    pub sha256: String,
    /// What it says.
    pub statement: Statement,
    /// Whether the digest in it is that of its other lines.
    pub is_sound: bool,
}

impl Stored {
    /// As another statement names it.
    pub fn named(&self) -> Named {
        Named { key: self.key.clone(), sha256: self.sha256.clone() }
    }

    fn decode(key: &str, text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "ledgerline_close")]
            version: u32,
        }
        let damaged = |e| Error::data(format!("read {key}: it is damaged")).because(e);
        let Version { version } = serde_json::from_slice(text).map_err(damaged)?;
        if version > CLOSE_VERSION {
            return Err(Error::data(format!(
                "read {key} of version {version}: this program knows versions up to {CLOSE_VERSION}; use a newer one"
            )));
        }
        let statement: Statement = serde_json::from_slice(text).map_err(damaged)?;
        let is_sound = statement.statement_sha256 == digest_of_lines(text);
        Ok(Self { key: key.to_owned(), sha256: digest(text), statement, is_sound })
    }
}

/// SHA-256 of all lines but the one that holds it: `grep -v '^  "statement_sha256":' FILE | sha256sum`.
fn digest_of_lines(text: &[u8]) -> String {
    let lines = text.split_inclusive(|b| *b == b'\n').filter(|line| !line.starts_with(DIGEST_LINE.as_bytes()));
    digest(&lines.collect::<Vec<_>>().concat())
}

fn prefix(stream: &str, day: &Day) -> String {
    format!("closes/{stream}/{}.", day.name())
}

fn key(stream: &str, day: &str, number: u32) -> String {
    match number {
        1 => format!("closes/{stream}/{day}.json"),
        number => format!("closes/{stream}/{day}.{number}.json"),
    }
}

fn number(stream: &str, day: &Day, text: &str) -> Option<u32> {
    let rest = text.strip_prefix(&prefix(stream, day))?;
    let number = if rest == "json" { 1 } else { rest.strip_suffix(".json")?.parse().ok()? };
    (key(stream, day.name(), number) == text).then_some(number)
}

/// Numbers and keys of a day's statements, the first one first.
pub async fn statements<A: Archive>(archive: &A, stream: &str, day: &Day) -> Result<Vec<(u32, String)>> {
    let keys = archive.list(&prefix(stream, day)).await?;
    let mut found: Vec<_> = keys.into_iter().filter_map(|key| Some((number(stream, day, &key)?, key))).collect();
    found.sort_unstable();
    Ok(found)
}

/// The newest statement of a day.
pub async fn newest<A: Archive>(archive: &A, stream: &str, day: &Day) -> Result<Option<Stored>> {
    let Some((_, key)) = statements(archive, stream, day).await?.pop() else { return Ok(None) };
    read(archive, &key).await.map(Some)
}

/// A statement by its key.
pub(super) async fn read<A: Archive>(archive: &A, key: &str) -> Result<Stored> {
    let text = archive.get(key).await?;
    Stored::decode(key, &text.ok_or_else(|| Error::data(format!("find {key}: it is not in the archive")))?)
}

/// Stores a statement, with its digest in it.
pub(super) async fn put<A: Archive>(archive: &A, mut statement: Statement) -> Result<Stored> {
    let encode = |statement: &Statement| -> Result<Vec<u8>> {
        let mut text =
            serde_json::to_vec_pretty(statement).map_err(|e| Error::internal("write a statement").because(e))?;
        text.push(b'\n');
        Ok(text)
    };
    statement.statement_sha256 = digest_of_lines(&encode(&statement)?);
    let text = encode(&statement)?;
    let key = key(&statement.stream, &statement.day, statement.number);
    match archive.create(&key, Bytes::from(text.clone())).await? {
        Created::New => Stored::decode(&key, &text),
        Created::Exists => Err(Error::new(
            ErrorKind::Conflict,
            format!("close {}: somebody else closed it at the same moment; look at {key}", statement.day),
        )),
    }
}

fn provider_key(stream: &str, sha256: &str) -> String {
    format!("providers/{stream}/{sha256}.toml")
}

/// Stores the provider files; gives their digests by source.
pub(super) async fn keep_providers<A: Archive>(
    archive: &A,
    stream: &str,
    sources: &Sources,
) -> Result<BTreeMap<String, String>> {
    let mut digests = BTreeMap::new();
    for (source, provider) in sources.iter() {
        let sha256 = digest(provider.text().as_bytes());
        // Created or there already: the key is the digest of the text.
        archive.create(&provider_key(stream, &sha256), Bytes::from(provider.text().to_owned())).await?;
        digests.insert(source.to_owned(), sha256);
    }
    Ok(digests)
}

/// The sources as a statement read them. [`Data`](ErrorKind::Data) when a text is not there or not the one.
pub(super) async fn providers_of<A: Archive>(archive: &A, statement: &Statement) -> Result<Sources> {
    let mut sources = Sources::default();
    for (source, sha256) in &statement.providers {
        let key = provider_key(&statement.stream, sha256);
        let missing = || Error::data(format!("find {key}, with which {source} was read: it is not in the archive"));
        let text = archive.get(&key).await?.ok_or_else(missing)?;
        if digest(&text) != *sha256 {
            return Err(Error::data(format!("read {key}: it is not the text that the statement was made with")));
        }
        let text = String::from_utf8_lossy(&text);
        let provider = Provider::parse(&key, &text)
            .map_err(|e| Error::data(format!("read {key} with this version of the program")).because(e))?;
        sources.insert(&SourceName::new(source)?, provider.into());
    }
    Ok(sources)
}
