//! Objects that go in one request.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ports::Created;

use super::Inner;
use super::get::tagged;
use crate::aws::failure::Failure;
use crate::aws::retry::{Attempts, repeat, unique};

/// Metadata of an object: which put made it.
pub const PUT_ID: &str = "ledgerline-put";

/// Creates an object, if none has its name.
pub async fn create(archive: &Inner, name: &str, bytes: Bytes) -> Result<Created> {
    let put_id = unique();
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        let Err(failure) = put(archive, name, bytes.clone(), Only::New(&put_id)).await else { return Ok(Created::New) };
        if failure.is("PreconditionFailed") {
            return Ok(whose(archive, name, &put_id, &attempts).await);
        }
        attempts.pause(failure).await?;
    }
}

/// Whose object it is that stands in the way. Only where an earlier attempt of the same put got no answer can
/// it be its own.
pub async fn whose(archive: &Inner, name: &str, put_id: &str, attempts: &Attempts) -> Created {
    if !attempts.may_have_done_it() {
        return Created::Exists;
    }
    match head(archive, name).await {
        Ok(Some(found)) if found.as_deref() == Some(put_id) => Created::New,
        // "Exists" is true in any case, and the caller compares then.
        _ => Created::Exists,
    }
}

/// The put id of an object, if there is an object and if it has one.
pub async fn head(archive: &Inner, name: &str) -> Result<Option<Option<String>>> {
    let action = format!("look at the archive object {name}");
    repeat(&archive.settings.retries, || async {
        let sent = archive.client.head_object().bucket(&archive.settings.bucket).key(name).send().await;
        match sent {
            Ok(head) => Ok(Some(head.metadata().and_then(|all| all.get(PUT_ID)).cloned())),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(error) => Err(archive.call(&action, "s3:GetObject").failed(&error)),
        }
    })
    .await
}

/// Writes an object over whatever has its name.
pub async fn replace(archive: &Inner, name: &str, bytes: Bytes) -> Result<()> {
    repeat(&archive.settings.retries, || put(archive, name, bytes.clone(), Only::Always)).await
}

/// Writes an object over the one that is `known`, byte for byte, or on a free name. It goes in one request, however
/// long: parts would be compared at their end only.
pub async fn exchange(archive: &Arc<Inner>, name: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        let tag = match (known, tagged(archive, name).await?) {
            (None, None) => None,
            (Some(known), Some((found, tag))) if *known == found => match tag {
                Some(tag) => Some(tag),
                None => tag_of(archive, name).await?,
            },
            _ => return Ok(false),
        };
        let only = match (&tag, known) {
            (Some(tag), _) => Only::Over(tag),
            (None, None) => Only::New("exchanged"),
            // It was there and is gone.
            (None, Some(_)) => return Ok(false),
        };
        let Err(failure) = put(archive, name, new.clone(), only).await else { return Ok(true) };
        if failure.is("PreconditionFailed") || failure.is("NoSuchKey") {
            return Ok(false);
        }
        attempts.pause(failure).await?;
    }
}

async fn tag_of(archive: &Inner, name: &str) -> Result<Option<String>> {
    let action = format!("look at the archive object {name}");
    repeat(&archive.settings.retries, || async {
        let sent = archive.client.head_object().bucket(&archive.settings.bucket).key(name).send().await;
        match sent {
            Ok(head) => Ok(head.e_tag().map(ToOwned::to_owned)),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(error) => Err(archive.call(&action, "s3:GetObject").failed(&error)),
        }
    })
    .await
}

/// On which condition a put is done.
#[derive(Clone, Copy)]
enum Only<'a> {
    Always,
    /// The name is free; the object gets this put id.
    New(&'a str),
    /// The object has this tag.
    Over(&'a str),
}

/// One put.
async fn put(archive: &Inner, name: &str, bytes: Bytes, only: Only<'_>) -> Result<(), Failure> {
    let put = archive.client.put_object().bucket(&archive.settings.bucket).key(name).body(ByteStream::from(bytes));
    let put = match only {
        Only::Always => put,
        Only::New(put_id) => put.if_none_match("*").metadata(PUT_ID, put_id),
        Only::Over(tag) => put.if_match(tag),
    };
    let action = format!("put the archive object {name}");
    let sent = put.send().await;
    sent.map(|_| ()).map_err(|error| archive.call(&action, "s3:PutObject").failed(&error))
}
