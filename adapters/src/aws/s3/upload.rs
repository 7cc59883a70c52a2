//! Objects that go in parts. The last request makes the object, and is the conditional one.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use ledgerline_domain::ports::Created;
use ledgerline_domain::{Error, Result};

use super::Inner;
use super::put::{PUT_ID, head, whose};
use crate::aws::failure::Failure;
use crate::aws::parallel;
use crate::aws::retry::{Attempts, repeat, unique};

/// Creates an object, if none has its name.
pub async fn create(archive: &std::sync::Arc<Inner>, name: &str, bytes: Bytes) -> Result<Created> {
    // Cheaper than parts that are sent in vain.
    if head(archive, name).await?.is_some() {
        return Ok(Created::Exists);
    }
    let put_id = unique();
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        let upload = Upload::begin(archive, name, Some(&put_id)).await?;
        let outcome = upload.fill_and_complete(archive, &bytes, Some((&put_id, &mut attempts))).await;
        match outcome {
            Ok(created) => return Ok(created),
            Err(failure) => {
                upload.abort(archive).await;
                attempts.pause(failure).await?;
            }
        }
    }
}

/// Writes an object over whatever has its name.
pub async fn replace(archive: &std::sync::Arc<Inner>, name: &str, bytes: Bytes) -> Result<()> {
    let mut attempts = Attempts::new(&archive.settings.retries);
    loop {
        let upload = Upload::begin(archive, name, None).await?;
        match upload.fill_and_complete(archive, &bytes, None).await {
            Ok(_) => return Ok(()),
            Err(failure) => {
                upload.abort(archive).await;
                attempts.pause(failure).await?;
            }
        }
    }
}

/// An upload that was begun.
struct Upload {
    name: String,
    id: String,
}

impl Upload {
    async fn begin(archive: &Inner, name: &str, put_id: Option<&str>) -> Result<Self> {
        let action = format!("begin the upload of the archive object {name}");
        let id = repeat(&archive.settings.retries, || async {
            let begin = archive.client.create_multipart_upload().bucket(&archive.settings.bucket).key(name);
            let begin = put_id.iter().fold(begin, |begin, id| begin.metadata(PUT_ID, *id));
            let begun = begin.send().await.map_err(|e| archive.call(&action, "s3:PutObject").failed(&e))?;
            let nameless = || Failure::refused(Error::internal(format!("{action}: S3 gave the upload no id")));
            begun.upload_id.ok_or_else(nameless)
        });
        Ok(Self { name: name.to_owned(), id: id.await? })
    }

    /// Sends the parts and makes the object. A failure means: begin again.
    async fn fill_and_complete(
        &self,
        archive: &std::sync::Arc<Inner>,
        bytes: &Bytes,
        create: Option<(&str, &mut Attempts)>,
    ) -> Result<Created, Failure> {
        let length = archive.part_bytes(bytes.len());
        let starts = (0..bytes.len()).step_by(length);
        let parts = starts.zip(1..).map(|(start, n)| (n, bytes.slice(start..bytes.len().min(start + length))));
        let sent = parallel::each(parts, archive.settings.at_once, |(number, part)| {
            let (archive, name, id) = (archive.clone(), self.name.clone(), self.id.clone());
            async move { send_part(&archive, &name, &id, number, part).await }
        });
        let parts = sent.await.map_err(Failure::refused)?;
        self.complete(archive, parts, create).await
    }

    async fn complete(
        &self,
        archive: &Inner,
        parts: Vec<CompletedPart>,
        create: Option<(&str, &mut Attempts)>,
    ) -> Result<Created, Failure> {
        let action = format!("complete the upload of the archive object {}", self.name);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let mut own = Attempts::new(&archive.settings.retries);
        let (put_id, whole) = create.unzip();
        let whole = whole.unwrap_or(&mut own);
        loop {
            let complete = archive.client.complete_multipart_upload();
            let complete = complete.bucket(&archive.settings.bucket).key(&self.name).upload_id(&self.id);
            let complete = complete.multipart_upload(parts.clone()).set_if_none_match(put_id.map(|_| "*".into()));
            let error = match complete.send().await {
                Ok(_) => return Ok(Created::New),
                Err(error) => error,
            };
            let failure = archive.call(&action, "s3:PutObject").failed(&error);
            let again = |why: &str| Failure::refused(Error::retry(format!("{action}: {why}")));
            match (&failure, put_id) {
                (failure, Some(put_id)) if failure.is("PreconditionFailed") => {
                    let whose = whose(archive, &self.name, put_id, whole).await;
                    self.abort(archive).await;
                    return Ok(whose);
                }
                // Completed before and the answer was lost, or given up by S3: the object itself says which.
                (failure, Some(put_id)) if failure.is("NoSuchUpload") => {
                    return match head(archive, &self.name).await.map_err(Failure::refused)? {
                        Some(found) if found.as_deref() == Some(put_id) => Ok(Created::New),
                        Some(_) => Ok(Created::Exists),
                        None => Err(again("the upload is gone")),
                    };
                }
                (failure, None) if failure.is("NoSuchUpload") && whole.may_have_done_it() => return Ok(Created::New),
                (failure, None) if failure.is("NoSuchUpload") => return Err(again("the upload is gone")),
                // S3 wants a new upload then.
                (failure, _) if failure.is("ConditionalRequestConflict") => {
                    return Err(again("another create of it is under way"));
                }
                _ => whole.pause(failure).await.map_err(Failure::refused)?,
            }
        }
    }

    /// Parts that nobody completes cost storage until the bucket's lifecycle rule removes them.
    async fn abort(&self, archive: &Inner) {
        let abort = archive.client.abort_multipart_upload();
        let sent = abort.bucket(&archive.settings.bucket).key(&self.name).upload_id(&self.id).send().await;
        if let Err(error) = sent {
            let call = archive.call("abort an upload", "s3:AbortMultipartUpload");
            tracing::debug!(object = self.name, error = %call.failed(&error).error, "left to the lifecycle rule");
        }
    }
}

async fn send_part(archive: &Inner, name: &str, id: &str, number: i32, part: Bytes) -> Result<CompletedPart> {
    let action = format!("send part {number} of the archive object {name}");
    repeat(&archive.settings.retries, || async {
        let sent = archive.client.upload_part().bucket(&archive.settings.bucket).key(name).upload_id(id);
        let sent = sent.part_number(number).body(ByteStream::from(part.clone())).send().await;
        let sent = sent.map_err(|error| archive.call(&action, "s3:PutObject").failed(&error))?;
        let done = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok(done.set_checksum_crc32(sent.checksum_crc32).build())
    })
    .await
}
