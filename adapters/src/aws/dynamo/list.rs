//! Listings in key order: candidates from an index, then the records themselves.

use std::sync::Arc;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::ports::EntityFilter;
use ledgerline_domain::record::EntityRecord;

use super::item::{Item, get_text, text};
use super::load::load;
use super::merge::{Merged, Page};
use super::tables::{ATTENTION, LISTING, part_name};
use super::{Inner, call};
use crate::aws::retry::repeat;

/// Most index entries that one query looks at.
const QUERY_MAX: usize = 1000;

/// A range of one index.
#[derive(Clone)]
struct Search {
    /// Only what needs attention.
    attention: bool,
    status: Option<String>,
    /// Keys from here.
    low: Option<String>,
    /// Keys up to here.
    high: Option<String>,
    /// Most entries per query.
    limit: i32,
}

/// One page of records in key order.
pub async fn list(
    store: &Arc<Inner>,
    filter: &EntityFilter,
    after: Option<&EntityKey>,
    limit: usize,
) -> Result<Vec<EntityRecord>> {
    let mut found = Vec::new();
    // What no entity can have as its source, none has.
    if limit == 0 || filter.source.as_deref().is_some_and(|source| SourceName::new(source).is_err()) {
        return Ok(found);
    }
    let search = search(filter, after, limit);
    let mut candidates = Merged::new("key", |part, next| query(store.clone(), search.clone(), part, next));
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let mut more = true;
    while more && found.len() < limit {
        let mut keys = Vec::new();
        while more && keys.len() < limit - found.len() {
            let Some(item) = candidates.next().await? else {
                more = false;
                break;
            };
            let key = get_text(&item, "key").and_then(|key| EntityKey::parse(key).ok());
            let Some(key) = key.filter(|key| after.is_none_or(|after| key > after)) else { continue };
            if is(&filter.source, key.source()) && is(&filter.kind, key.kind()) {
                keys.push(key);
            }
        }
        // The index may be a moment behind: the record decides.
        let records = load(store, &keys).await?.into_iter().flatten();
        found.extend(records.filter(|r| is(&filter.status, r.status()) && (!filter.attention || r.needs_attention())));
    }
    Ok(found)
}

fn search(filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Search {
    let prefix = match (&filter.source, &filter.kind) {
        (Some(source), Some(kind)) => Some(format!("{source}/{kind}")),
        (Some(source), None) => Some(source.clone()),
        (None, _) => None,
    };
    // Every key of it begins with the prefix and '/', and is less than the prefix and the sign after '/'.
    let high = prefix.as_ref().map(|prefix| format!("{prefix}0"));
    let first = prefix.map(|prefix| format!("{prefix}/"));
    let low = first.max(after.map(|after| after.as_str().to_owned()));
    let narrow = filter.status.is_some() || (filter.kind.is_some() && filter.source.is_none());
    let entries = if narrow { QUERY_MAX } else { (limit / 8 + 8).min(QUERY_MAX) };
    let limit = i32::try_from(entries).unwrap_or(i32::MAX);
    Search { attention: filter.attention, status: filter.status.clone(), low, high, limit }
}

async fn query(store: Arc<Inner>, search: Search, part: u32, next: Option<Item>) -> Result<Page> {
    // Nothing lies between: an index would refuse to look.
    if matches!((&search.low, &search.high), (Some(low), Some(high)) if low > high) {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let table = &store.tables.records;
    let answer = repeat(&store.retries, || async {
        let query = in_range(store.client.query().table_name(table), &search, part);
        let query = query.set_exclusive_start_key(next.clone());
        query.send().await.map_err(|e| call("list records", "dynamodb:Query", table).failed(&e))
    });
    let answer = answer.await?;
    Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
}

fn in_range(query: QueryFluentBuilder, search: &Search, part: u32) -> QueryFluentBuilder {
    let (index, hash) = if search.attention { (ATTENTION, "attention") } else { (LISTING, "part") };
    let mut query = query
        .index_name(index)
        .limit(search.limit)
        .expression_attribute_names("#part", hash)
        .expression_attribute_values(":part", text(part_name(part)));
    let range = match (&search.low, &search.high) {
        (Some(_), Some(_)) => " AND #key BETWEEN :low AND :high",
        (Some(_), None) => " AND #key >= :low",
        (None, Some(_)) => " AND #key <= :high",
        (None, None) => "",
    };
    query = query.key_condition_expression(format!("#part = :part{range}"));
    if !range.is_empty() {
        query = query.expression_attribute_names("#key", "key");
    }
    for (name, bound) in [(":low", &search.low), (":high", &search.high)] {
        if let Some(bound) = bound {
            query = query.expression_attribute_values(name, text(bound));
        }
    }
    if let Some(status) = &search.status {
        query = query
            .filter_expression("#status = :status")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", text(status));
    }
    query
}
