//! Objects that go in one request.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use ledgerline_domain::Result;
use ledgerline_domain::ports::Created;

use super::Inner;
use crate::aws::failure::Failure;
use crate::aws::retry::{Attempts, repeat, unique};

/// Metadata of an object: which put made it.
pub const PUT_ID: &str = "ledgerline-put";

/// Creates an object, if none has its name.
pub async fn create(archive: &Inner, name: &str, bytes: Bytes) -> Result<Created> {
    let put_id = unique();
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        let Err(failure) = put(archive, name, bytes.clone(), Some(&put_id)).await else { return Ok(Created::New) };
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
    repeat(&archive.settings.retries, || put(archive, name, bytes.clone(), None)).await
}

/// One put; only onto a free name when it has an id.
async fn put(archive: &Inner, name: &str, bytes: Bytes, put_id: Option<&str>) -> Result<(), Failure> {
    let mut put = archive.client.put_object().bucket(&archive.settings.bucket).key(name).body(ByteStream::from(bytes));
    if let Some(put_id) = put_id {
        put = put.if_none_match("*").metadata(PUT_ID, put_id);
    }
    let action = format!("put the archive object {name}");
    let sent = put.send().await;
    sent.map(|_| ()).map_err(|error| archive.call(&action, "s3:PutObject").failed(&error))
}
