//! The objects of the S3 stand-in and the calls that it answers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;

/// Longest body of one call.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Keys in one page of a listing: few, so that listings have pages.
const PAGE_KEYS: usize = 7;
/// Smallest part but the last.
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;

#[derive(Clone)]
struct Kept {
    bytes: Bytes,
    metadata: Option<Metadata>,
    etag: String,
}

struct Upload {
    key: String,
    metadata: Option<Metadata>,
    parts: BTreeMap<i32, Bytes>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Kept>,
    uploads: HashMap<String, Upload>,
    being_created: HashSet<String>,
    numbers: u64,
}

/// One bucket.
pub struct Objects {
    bucket: String,
    create_takes: Duration,
    conflicts: AtomicUsize,
    state: Mutex<State>,
}

impl Objects {
    pub fn new(bucket: &str, create_takes: Duration) -> Self {
        Self { bucket: bucket.into(), create_takes, conflicts: AtomicUsize::new(0), state: Mutex::default() }
    }

    pub fn names(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    pub fn put(&self, name: &str, bytes: Bytes) {
        self.lock().insert(name, bytes, None);
    }

    pub fn conflicts(&self) -> usize {
        self.conflicts.load(Ordering::SeqCst)
    }

    pub fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, bucket: &str) -> S3Result<()> {
        if bucket == self.bucket { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }

    /// Creates or replaces; `make` is asked for the object under the lock.
    async fn write(
        &self,
        key: &str,
        only: &Only,
        make: impl FnOnce(&mut State) -> S3Result<(Bytes, Option<Metadata>)>,
    ) -> S3Result<String> {
        if *only == Only::New {
            if !self.lock().being_created.insert(key.to_owned()) {
                self.conflicts.fetch_add(1, Ordering::SeqCst);
                return Err(s3_error!(ConditionalRequestConflict));
            }
            if !self.create_takes.is_zero() {
                tokio::time::sleep(self.create_takes).await;
            }
        }
        let mut state = self.lock();
        state.being_created.remove(key);
        match (only, state.objects.get(key)) {
            (Only::New, Some(_)) => return Err(s3_error!(PreconditionFailed)),
            (Only::Over(_), None) => return Err(s3_error!(NoSuchKey)),
            (Only::Over(tag), Some(found)) if found.etag != *tag => return Err(s3_error!(PreconditionFailed)),
            _ => {}
        }
        let (bytes, metadata) = make(&mut state)?;
        Ok(state.insert(key, bytes, metadata))
    }

    fn found(&self, key: &str) -> S3Result<Kept> {
        self.lock().objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

impl State {
    fn insert(&mut self, key: &str, bytes: Bytes, metadata: Option<Metadata>) -> String {
        self.numbers += 1;
        let etag = format!("etag-{}", self.numbers);
        self.objects.insert(key.to_owned(), Kept { bytes, metadata, etag: etag.clone() });
        etag
    }
}

/// On which condition an object is written.
#[derive(PartialEq, Eq)]
enum Only {
    Always,
    New,
    Over(String),
}

fn only(none_match: &Option<IfNoneMatch>, if_match: &Option<IfMatch>) -> Only {
    match (none_match, if_match) {
        (Some(ETagCondition::Any), _) => Only::New,
        (_, Some(ETagCondition::ETag(tag))) => Only::Over(tag.value().to_owned()),
        _ => Only::Always,
    }
}

async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let whole = Body::from(body).store_all_limited(BODY_BYTES_MAX).await;
    whole.map_err(|_| s3_error!(IncompleteBody))
}

/// The calls, on shared objects.
struct Calls(Arc<Objects>);

#[async_trait::async_trait]
impl S3 for Calls {
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        self.0.check(&input.bucket)?;
        let bytes = whole(input.body).await?;
        let make = |_: &mut State| Ok((bytes, input.metadata));
        let etag = self.0.write(&input.key, &only(&input.if_none_match, &input.if_match), make).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.0.check(&req.input.bucket)?;
        let Kept { bytes, metadata, etag } = self.0.found(&req.input.key)?;
        let content_length = i64::try_from(bytes.len()).ok();
        let e_tag = Some(ETag::Strong(etag));
        Ok(S3Response::new(HeadObjectOutput { content_length, metadata, e_tag, ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        self.0.check(&input.bucket)?;
        let Kept { bytes, metadata, etag } = self.0.found(&input.key)?;
        if let Some(ETagCondition::ETag(wanted)) = &input.if_match
            && wanted.value() != etag
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let length = bytes.len() as u64;
        let range = input.range.map(|range| range.check(length)).transpose();
        let range = range.map_err(|_| s3_error!(InvalidRange))?;
        // The end of an object without bytes is no range either.
        if range.as_ref().is_some_and(|range| range.is_empty()) {
            return Err(s3_error!(InvalidRange));
        }
        let content_range = range.as_ref().map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1));
        let range = range.unwrap_or(0..length);
        let place = |at: u64| usize::try_from(at).expect("a length in memory");
        let bytes = bytes.slice(place(range.start)..place(range.end));
        let content_length = i64::try_from(bytes.len()).ok();
        let body = Some(StreamingBlob::from(Body::from(bytes)));
        let e_tag = Some(ETag::Strong(etag));
        Ok(S3Response::new(GetObjectOutput {
            body,
            content_length,
            content_range,
            metadata,
            e_tag,
            ..Default::default()
        }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        self.0.check(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let behind = input.continuation_token.or(input.start_after).unwrap_or_default();
        let state = self.0.lock();
        let mut names = state.objects.keys().filter(|name| name.starts_with(&prefix) && **name > behind);
        let page: Vec<String> = names.by_ref().take(PAGE_KEYS).cloned().collect();
        let next_continuation_token = names.next().and(page.last().cloned());
        let contents = page.into_iter().map(|name| Object { key: Some(name), ..Default::default() }).collect();
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(contents),
            is_truncated: Some(next_continuation_token.is_some()),
            next_continuation_token,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.0.check(&req.input.bucket)?;
        let mut state = self.0.lock();
        state.numbers += 1;
        let id = format!("upload-{}", state.numbers);
        let upload = Upload { key: req.input.key, metadata: req.input.metadata, parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput { upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let bytes = whole(req.input.body).await?;
        let mut state = self.0.lock();
        let upload = state.uploads.get_mut(&req.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(req.input.part_number, bytes);
        let e_tag = Some(ETag::Strong(format!("part-{}", req.input.part_number)));
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let wanted = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let make = |state: &mut State| {
            let upload = state.uploads.get(&input.upload_id).filter(|upload| upload.key == input.key);
            let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
            let mut bytes = Vec::new();
            for (at, part) in wanted.iter().enumerate() {
                let found = part.part_number.and_then(|number| upload.parts.get(&number));
                let found = found.ok_or_else(|| s3_error!(InvalidPart))?;
                if at + 1 < wanted.len() && found.len() < PART_BYTES_MIN {
                    return Err(s3_error!(EntityTooSmall));
                }
                bytes.extend_from_slice(found);
            }
            let done = state.uploads.remove(&input.upload_id).and_then(|upload| upload.metadata);
            Ok((bytes.into(), done))
        };
        let etag = self.0.write(&input.key, &only(&input.if_none_match, &input.if_match), make).await?;
        let e_tag = Some(ETag::Strong(etag));
        Ok(S3Response::new(CompleteMultipartUploadOutput { e_tag, ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let removed = self.0.lock().uploads.remove(&req.input.upload_id);
        removed.ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// Serves the bucket.
pub async fn serve_on(listener: TcpListener, objects: Arc<Objects>) {
    let mut builder = S3ServiceBuilder::new(Calls(objects));
    builder.set_auth(SimpleAuth::from_single("local", "local"));
    let service = builder.build();
    let answer = move |request: Request| {
        let service = service.clone();
        async move {
            match service.call(request.map(Body::http_body_unsync)).await {
                Ok(answer) => answer.map(axum::body::Body::new),
                Err(_) => http::StatusCode::BAD_GATEWAY.into_response(),
            }
        }
    };
    let _: Result<(), std::io::Error> = axum::serve(listener, Router::new().fallback(answer)).await;
}
