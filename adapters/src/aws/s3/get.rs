//! Objects are fetched in ranges: the first range says how long the object is, the others come side by side. An
//! object that fits the first range costs one request.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ledgerline_domain::ports::End;
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

/// Some of an object's bytes: what it has of them.
pub async fn get_range(archive: &Inner, name: &str, range: Range<u64>) -> Result<Option<Bytes>> {
    // A range without bytes cannot be asked for.
    let length = range.end.saturating_sub(range.start).max(1);
    Ok(match piece(archive, name, range.start, length, None).await? {
        Found::Piece(_) if range.is_empty() => Some(Bytes::new()),
        Found::Piece(piece) => Some(piece.bytes),
        Found::Nothing => None,
        // It begins behind the object's end.
        Found::Replaced => Some(Bytes::new()),
    })
}

/// The last bytes of several objects, side by side.
pub async fn get_ends(archive: &Arc<Inner>, names: Vec<String>, bytes_max: u64) -> Result<Vec<Option<End>>> {
    parallel::each(names, archive.settings.at_once, |name| {
        let archive = archive.clone();
        async move {
            Ok(match ranged(&archive, &name, Wanted::Last(bytes_max.max(1)), None).await? {
                Found::Piece(piece) => Some(End { size: piece.of, bytes: piece.bytes }),
                Found::Nothing | Found::Replaced => None,
            })
        }
    })
    .await
}

async fn piece(archive: &Inner, name: &str, start: u64, length: u64, etag: Option<&str>) -> Result<Found> {
    ranged(archive, name, Wanted::From { start, length }, etag).await
}

/// Behind the last byte of every object.
const POSITION_MAX: u64 = 1 << 62;

/// A range to ask for; it has at least one byte.
#[derive(Clone, Copy)]
enum Wanted {
    From {
        start: u64,
        length: u64,
    },
    /// So many from the end.
    Last(u64),
}

impl Wanted {
    fn header(self) -> String {
        match self {
            // A position that no object reaches is not a number to every service.
            Self::From { start, length } => match start.checked_add(length - 1).filter(|last| *last < POSITION_MAX) {
                Some(last) => format!("bytes={start}-{last}"),
                None => format!("bytes={start}-"),
            },
            Self::Last(bytes) => format!("bytes=-{bytes}"),
        }
    }

    /// How many bytes of it an object of that size has.
    fn of(self, size: u64) -> u64 {
        match self {
            Self::From { start, length } => length.min(size.saturating_sub(start)),
            Self::Last(bytes) => bytes.min(size),
        }
    }

    /// Whether every object has some of it but one without bytes.
    fn fits_all(self) -> bool {
        matches!(self, Self::From { start: 0, .. } | Self::Last(_))
    }
}

/// One range, repeated until it came whole.
async fn ranged(archive: &Inner, name: &str, wanted: Wanted, etag: Option<&str>) -> Result<Found> {
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        match attempt(archive, name, wanted, etag).await {
            Ok(found) => return Ok(found),
            Err(failure) => attempts.pause(failure).await?,
        }
    }
}

async fn attempt(archive: &Inner, name: &str, wanted: Wanted, etag: Option<&str>) -> Result<Found, Failure> {
    let action = format!("read the archive object {name}");
    let get = archive.client.get_object().bucket(&archive.settings.bucket).key(name);
    let get = get.range(wanted.header()).set_if_match(etag.map(Into::into));
    let sent = match get.send().await {
        Ok(sent) => sent,
        Err(error) => {
            let failure = archive.call(&action, "s3:GetObject").failed(&error);
            return match failure.code.as_deref() {
                Some("NoSuchKey") if etag.is_none() => Ok(Found::Nothing),
                Some("PreconditionFailed" | "NoSuchKey") => Ok(Found::Replaced),
                // No range fits an object without bytes.
                Some("InvalidRange") if wanted.fits_all() => {
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
    if bytes.len() as u64 == wanted.of(of) { Ok(Found::Piece(Piece { bytes, of, etag })) } else { Err(cut()) }
}
