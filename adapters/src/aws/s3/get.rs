//! Objects are fetched in ranges: the first range says how long the object is, the others come side by side. An
//! object that fits the first range costs one request.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ledgerline_domain::{Error, Result};

use super::Inner;
use crate::aws::failure::Failure;
use crate::aws::parallel;
use crate::aws::retry::{Attempts, within};

/// A range of an object as it came.
struct Piece {
    bytes: Bytes,
    /// Length of the whole object.
    of: u64,
    etag: Option<String>,
}

/// What a range request found.
enum Found {
    Piece(Piece),
    /// No object has the name.
    Nothing,
    /// The object was replaced since the first range.
    Replaced,
}

/// How often an object that is replaced again and again is begun anew.
const REPLACED_MAX: usize = 8;

/// An object's bytes.
pub async fn get(archive: &Arc<Inner>, name: &str) -> Result<Option<Bytes>> {
    Ok(tagged(archive, name).await?.map(|(bytes, _)| bytes))
}

/// An object's bytes, and the tag that S3 gave this state of it; an object without bytes comes without one.
pub async fn tagged(archive: &Arc<Inner>, name: &str) -> Result<Option<(Bytes, Option<String>)>> {
    let range = archive.settings.range_bytes;
    for _ in 0..REPLACED_MAX {
        let first = match piece(archive, name, 0, range, None).await? {
            Found::Piece(piece) => piece,
            Found::Nothing => return Ok(None),
            Found::Replaced => continue,
        };
        if first.bytes.len() as u64 == first.of {
            return Ok(Some((first.bytes, first.etag)));
        }
        let starts = (1..first.of.div_ceil(range)).map(|n| n * range);
        let rest = parallel::each(starts, archive.settings.at_once, |start| {
            let (archive, name, etag) = (archive.clone(), name.to_owned(), first.etag.clone());
            let length = range.min(first.of - start);
            async move { piece(&archive, &name, start, length, etag.as_deref()).await }
        });
        let mut whole = BytesMut::with_capacity(usize::try_from(first.of).unwrap_or_default());
        whole.extend_from_slice(&first.bytes);
        for found in rest.await? {
            if let Found::Piece(piece) = found {
                whole.extend_from_slice(&piece.bytes);
            }
        }
        if whole.len() as u64 == first.of {
            return Ok(Some((whole.freeze(), first.etag)));
        }
    }
    Err(Error::retry(format!("read the archive object {name}: it is replaced all the time")))
}

/// One range, repeated until it came whole.
async fn piece(archive: &Inner, name: &str, start: u64, length: u64, etag: Option<&str>) -> Result<Found> {
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        match attempt(archive, name, start, length, etag).await {
            Ok(found) => return Ok(found),
            Err(failure) => attempts.pause(failure).await?,
        }
    }
}

async fn attempt(archive: &Inner, name: &str, start: u64, length: u64, etag: Option<&str>) -> Result<Found, Failure> {
    let action = format!("read the archive object {name}");
    let get = archive.client.get_object().bucket(&archive.settings.bucket).key(name);
    let get = get.range(format!("bytes={start}-{}", start + length - 1)).set_if_match(etag.map(Into::into));
    let sent = match get.send().await {
        Ok(sent) => sent,
        Err(error) => {
            let failure = archive.call(&action, "s3:GetObject").failed(&error);
            return match failure.code.as_deref() {
                Some("NoSuchKey") if etag.is_none() => Ok(Found::Nothing),
                Some("PreconditionFailed" | "NoSuchKey") => Ok(Found::Replaced),
                // No range fits an object without bytes.
                Some("InvalidRange") if start == 0 => {
                    Ok(Found::Piece(Piece { bytes: Bytes::new(), of: 0, etag: None }))
                }
                Some("InvalidRange") => Ok(Found::Replaced),
                _ => Err(failure),
            };
        }
    };
    let etag = sent.e_tag.clone();
    let of = sent.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    let body = within(archive.settings.body_timeout, &action, sent.body.collect()).await.map_err(Failure::unsure)?;
    let cut = || Failure::unsure(Error::retry(format!("{action}: the answer was cut or damaged")));
    let bytes = body.map_err(|_| cut())?.into_bytes();
    let of = of.unwrap_or(bytes.len() as u64);
    if bytes.len() as u64 == length.min(of.saturating_sub(start)) {
        Ok(Found::Piece(Piece { bytes, of, etag }))
    } else {
        Err(cut())
    }
}
