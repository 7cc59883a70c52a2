//! What could not be read, with the exact bytes. An envelope that is longer than an item lies in several, which
//! are put before the one that names them.

use std::sync::Arc;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use bytes::Bytes;
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::ports::Quarantined;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use super::item::{Item, bytes, get_number, get_text, item, number, take_bytes, text};
use super::merge::{Merged, Page};
use super::tables::{PARTS, part_name};
use super::{Inner, call};
use crate::aws::parallel;
use crate::aws::retry::{Attempts, repeat, unique};

/// Longest piece of an envelope in one item, in bytes: there is room for the rest of the item.
const PIECE_BYTES: usize = 384 * 1024;
/// Most items that one query looks at.
const QUERY_MAX: usize = 100;

/// The part that an item belongs to.
fn part_of(id: &str) -> u32 {
    crc32fast::hash(id.as_bytes()) % PARTS
}

fn key(id: &str) -> Item {
    item([("part", text(part_name(part_of(id)))), ("id", text(id))])
}

/// The part in which the pieces of an item's envelope lie; no listing looks there.
fn pieces_part(id: &str) -> String {
    format!("envelope {id}")
}

/// Puts items that are not there yet.
pub async fn park(store: &Arc<Inner>, items: Vec<Quarantined>) -> Result<()> {
    let put = parallel::each(items, store.at_once, |item| {
        let store = store.clone();
        async move { park_one(&store, item).await }
    });
    put.await.map(drop)
}

async fn park_one(store: &Inner, parked: Quarantined) -> Result<()> {
    let mut head = key(&parked.id);
    head.extend(item([
        ("source", text(parked.source.as_str())),
        ("entity", text(parked.entity.as_str())),
        ("event_id", text(parked.event_id)),
        ("reason", text(parked.reason)),
        ("received_at", number(parked.received_at.nanos())),
    ]));
    if parked.envelope.len() > PIECE_BYTES {
        for (at, piece) in parked.envelope.chunks(PIECE_BYTES).enumerate() {
            let place = [("part", text(pieces_part(&parked.id))), ("id", text(format!("{at:04}")))];
            let mut all = item(place);
            all.insert("envelope".into(), bytes(piece));
            put(store, all).await?;
        }
        head.insert("envelope_bytes".into(), number(parked.envelope.len()));
    } else {
        head.insert("envelope".into(), bytes(parked.envelope));
    }
    put(store, head).await
}

/// Puts an item where none is.
async fn put(store: &Inner, item: Item) -> Result<()> {
    let table = &store.tables.quarantine;
    let mut attempts = Attempts::new(&store.retries);
    loop {
        let put = store.client.put_item().table_name(table).set_item(Some(item.clone()));
        let put = put.condition_expression("attribute_not_exists(#id)").expression_attribute_names("#id", "id");
        let Err(error) = put.send().await else { return Ok(()) };
        if let Some(PutItemError::ConditionalCheckFailedException(_)) = error.as_service_error() {
            return Ok(());
        }
        attempts.pause(call("put a quarantined item", "dynamodb:PutItem", table).failed(&error)).await?;
    }
}

/// One page in id order.
pub async fn list(
    store: &Arc<Inner>,
    include_released: bool,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Quarantined>> {
    let after = after.filter(|after| !after.is_empty()).map(str::to_owned);
    let mut items =
        Merged::new("id", |part, next| query(store.clone(), part_name(part), include_released, after.clone(), next));
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(item) = items.next().await? else { break };
        found.push(read(store, item).await?);
    }
    Ok(found)
}

/// One item.
pub async fn one(store: &Arc<Inner>, id: &str) -> Result<Option<Quarantined>> {
    if id.is_empty() {
        return Ok(None);
    }
    let table = &store.tables.quarantine;
    let found = repeat(&store.retries, || async {
        let get = store.client.get_item().table_name(table).set_key(Some(key(id))).consistent_read(true);
        get.send().await.map_err(|e| call("read a quarantined item", "dynamodb:GetItem", table).failed(&e))
    });
    match found.await?.item {
        Some(item) => Ok(Some(read(store, item).await?)),
        None => Ok(None),
    }
}

/// Notes that an item was released; false when it was before, or is not there.
pub async fn release(store: &Inner, id: &str, at: UnixNanos) -> Result<bool> {
    if id.is_empty() {
        return Ok(false);
    }
    let (table, token) = (&store.tables.quarantine, unique());
    let mut attempts = Attempts::new(&store.retries);
    loop {
        let update = store.client.update_item().table_name(table).set_key(Some(key(id)));
        let update = update
            .update_expression("SET #released_at = :at, #token = :token")
            .condition_expression("attribute_exists(#id) AND attribute_not_exists(#released_at)")
            .return_values_on_condition_check_failure(AllOld)
            .expression_attribute_names("#id", "id")
            .expression_attribute_names("#released_at", "released_at")
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":at", number(at.nanos()))
            .expression_attribute_values(":token", text(token.clone()));
        let Err(error) = update.send().await else { return Ok(true) };
        if let Some(UpdateItemError::ConditionalCheckFailedException(found)) = error.as_service_error() {
            // An earlier attempt of this very call may have been done.
            return Ok(found.item().and_then(|item| get_text(item, "token")) == Some(token.as_str()));
        }
        attempts.pause(call("release a quarantined item", "dynamodb:UpdateItem", table).failed(&error)).await?;
    }
}

/// The items that were released, and when.
pub async fn released(store: &Arc<Inner>) -> Result<Vec<(String, UnixNanos)>> {
    let parts = parallel::each(0..PARTS, store.at_once, |part| {
        let store = store.clone();
        async move { released_of(&store, &part_name(part)).await }
    });
    Ok(parts.await?.into_iter().flatten().collect())
}

async fn released_of(store: &Inner, part: &str) -> Result<Vec<(String, UnixNanos)>> {
    let (table, mut found, mut next) = (&store.tables.quarantine, Vec::new(), None);
    loop {
        let page = repeat(&store.retries, || async {
            let query = store.client.query().table_name(table).consistent_read(true);
            let query = query.set_exclusive_start_key(next.clone());
            let query = query
                .key_condition_expression("#part = :part")
                .filter_expression("attribute_exists(#released_at)")
                .projection_expression("#id, #released_at")
                .expression_attribute_names("#part", "part")
                .expression_attribute_names("#id", "id")
                .expression_attribute_names("#released_at", "released_at")
                .expression_attribute_values(":part", text(part));
            query.send().await.map_err(|e| call("read what was released", "dynamodb:Query", table).failed(&e))
        });
        let page = page.await?;
        for item in page.items() {
            let (id, at) = (get_text(item, "id"), get_number(item, "released_at"));
            let (Some(id), Some(at)) = (id, at) else {
                return Err(Error::data(format!("read what was released: an item of {table} is damaged")));
            };
            found.push((id.to_owned(), UnixNanos::from_nanos(at)));
        }
        next = page.last_evaluated_key;
        if next.is_none() {
            return Ok(found);
        }
    }
}

/// Notes of items that they were released, as far as they are here and not released yet.
pub async fn release_all(store: &Arc<Inner>, items: Vec<(String, UnixNanos)>) -> Result<()> {
    let released = parallel::each(items, store.at_once, |(id, at)| {
        let store = store.clone();
        async move { release(&store, &id, at).await }
    });
    released.await.map(drop)
}

async fn query(
    store: Arc<Inner>,
    part: String,
    include_released: bool,
    after: Option<String>,
    next: Option<Item>,
) -> Result<Page> {
    let table = &store.tables.quarantine;
    let answer = repeat(&store.retries, || async {
        let query = store.client.query().table_name(table).consistent_read(true);
        let query = query.limit(i32::try_from(QUERY_MAX).unwrap_or(i32::MAX)).set_exclusive_start_key(next.clone());
        let query = query.expression_attribute_names("#part", "part").expression_attribute_values(":part", text(&part));
        let query = match &after {
            Some(after) => query
                .key_condition_expression("#part = :part AND #id > :after")
                .expression_attribute_names("#id", "id")
                .expression_attribute_values(":after", text(after)),
            None => query.key_condition_expression("#part = :part"),
        };
        let query = if include_released {
            query
        } else {
            query
                .filter_expression("attribute_not_exists(#released_at)")
                .expression_attribute_names("#released_at", "released_at")
        };
        query.send().await.map_err(|e| call("list the quarantine", "dynamodb:Query", table).failed(&e))
    });
    let answer = answer.await?;
    Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
}

async fn read(store: &Arc<Inner>, mut item: Item) -> Result<Quarantined> {
    let id = get_text(&item, "id").unwrap_or_default().to_owned();
    let damaged = || Error::data(format!("read the quarantined item {id:?}: it is damaged, or not of this program"));
    let envelope = match get_number::<usize>(&item, "envelope_bytes") {
        None => take_bytes(&mut item, "envelope").map(Bytes::from),
        Some(length) => Some(pieces(store, &id).await?).filter(|all| all.len() == length),
    };
    let named = |name| get_text(&item, name).ok_or_else(damaged);
    Ok(Quarantined {
        source: SourceName::new(named("source")?).map_err(|_| damaged())?,
        entity: EntityKey::parse(named("entity")?).map_err(|_| damaged())?,
        event_id: named("event_id")?.to_owned(),
        reason: named("reason")?.to_owned(),
        received_at: UnixNanos::from_nanos(get_number(&item, "received_at").ok_or_else(damaged)?),
        envelope: envelope.ok_or_else(damaged)?,
        released_at: get_number(&item, "released_at").map(UnixNanos::from_nanos),
        id: id.clone(),
    })
}

/// The pieces of an envelope, put together.
async fn pieces(store: &Arc<Inner>, id: &str) -> Result<Bytes> {
    let mut whole = Vec::new();
    let mut next = None;
    loop {
        let page = query(store.clone(), pieces_part(id), true, None, next).await?;
        page.items
            .into_iter()
            .for_each(|mut piece| whole.extend(take_bytes(&mut piece, "envelope").unwrap_or_default()));
        next = page.next;
        if next.is_none() {
            return Ok(whole.into());
        }
    }
}
