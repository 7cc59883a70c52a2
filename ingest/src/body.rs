//! Reads a request's body, bounded in bytes and in time. A body that comes in one piece, as nearly
//! all do, is never copied.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Body;

use crate::gate::Ticket;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// It is over the limit.
    TooLarge,
    /// It broke off.
    Broken,
    /// There is no room for it among all bodies in flight.
    NoRoom,
}

/// Reads all of `body`, at most `bytes_max`, taking room for it on `ticket` as it arrives.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: impl Body<Data = Bytes> + Unpin,
    bytes_max: usize,
    ticket: &mut Ticket,
) -> Result<Bytes, NoBody> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|announced: usize| announced > bytes_max) {
        // Who waits for "100 Continue" has sent nothing yet.
        if !headers.contains_key(header::EXPECT) {
            discard(&mut body, bytes_max).await;
        }
        return Err(NoBody::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
        length = length.saturating_add(chunk.len());
        if length > bytes_max {
            discard(&mut body, bytes_max).await;
            return Err(NoBody::TooLarge);
        }
        if !ticket.grow(chunk.len()) {
            return Err(NoBody::NoRoom);
        }
        if first.is_empty() {
            first = chunk;
            continue;
        }
        if all.is_empty() {
            // What was announced is bounded above, and trusted no further than twice what came.
            all.reserve(announced.unwrap_or_default().min(2 * length).max(length));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Reads on for as much again as the limit, keeping nothing: a caller that is only a little over
/// gets to read its answer, instead of finding the connection reset while it still writes.
async fn discard(body: &mut (impl Body<Data = Bytes> + Unpin), bytes_max: usize) {
    let mut read = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if read > bytes_max {
            break;
        }
    }
}
