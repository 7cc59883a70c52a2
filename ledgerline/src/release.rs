//! Releasing from the quarantine: read an item again with the provider files of today, append it.
//!
//! Nothing is edited: what is appended is the stored request with its own evidence, identified anew.
//! An event that contradicts an accepted one gets an id of its own and so counts beside it; the state
//! stays a function of the set of archived events. Appending comes first and the note that the item
//! was released second: a crash in between costs a duplicate, never an event.

use bytes::Bytes;
use ledgerline_domain::envelope::{Envelope, Identified, REQUEST_KIND};
use ledgerline_domain::fold::released_id;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Clock, Entities, Log, LogRecord, Quarantine, Quarantined};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::request::RawRequest;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure, Outcome};

/// One event that went back into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// What it is about.
    pub entity: String,
    /// The id under which it counts.
    pub event_id: String,
}

/// Releases an item. Code 4 when there is none, code 5 when it is still unreadable or was released.
pub async fn release(
    id: &str,
    store: &(impl Entities + Quarantine),
    log: &impl Log,
    clock: &impl Clock,
    sources: &Sources,
) -> Outcome<Vec<Released>> {
    let Some(item) = store.quarantined_one(id).await? else {
        return Err(Failure::not_found(format!(
            "find the quarantine item {id}: `ledgerline quarantine list` shows all"
        )));
    };
    if let Some(at) = item.released_at {
        return Err(refused(id, &format!("it was released at {at}")));
    }
    let envelopes = read_again(&item, sources)?;
    let mut records = Vec::new();
    let mut released = Vec::new();
    for envelope in envelopes {
        let envelope = distinct(envelope, store, sources).await?;
        let key = envelope.event.entity.clone();
        if key.kind() != REQUEST_KIND {
            released.push(Released { entity: key.to_string(), event_id: envelope.event.id.to_string() });
        }
        records.push(LogRecord { key, data: Bytes::from(envelope.encode()) });
    }
    log.append(records).await?;
    store.mark_released(id, clock.now()).await?;
    Ok(released)
}

fn refused(id: &str, why: &str) -> Failure {
    Failure::new(Exit::Refused, format!("release {id}: {why}"))
}

/// What the item holds, by the provider files of today; every event of it can be read.
fn read_again(item: &Quarantined, sources: &Sources) -> Outcome<Vec<Envelope>> {
    let stored = Envelope::decode(&item.envelope)?;
    let Some(provider) = sources.provider(item.source.as_str()) else {
        return Err(refused(&item.id, &format!("no source {} is configured: add it to the settings", item.source)));
    };
    let events = identify(&stored, &item.source, provider);
    for event in events.iter().filter(|e| e.entity.kind() != REQUEST_KIND) {
        let unreadable = match &event.unreadable {
            Some(reason) => Some(reason.clone()),
            None => provider.interpret(&event.event_type, event.entity.kind(), &event.body).err(),
        };
        if let Some(reason) = unreadable {
            let fix = "correct the provider file, name it in `providers` and release again";
            return Err(refused(&item.id, &format!("it is still unreadable: {reason}; {fix}")));
        }
    }
    Ok(events.into_iter().map(|event| stored.identified_again(event)).collect())
}

fn identify(stored: &Envelope, source: &SourceName, provider: &Provider) -> Vec<Identified> {
    let mut headers: Vec<(String, String)> = stored
        .signature_headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    headers.push(("content-type".to_owned(), stored.content_type.to_string()));
    let raw = RawRequest { headers: &headers, body: &stored.event.body, received_at: stored.received_at };
    if stored.is_fetched() {
        return vec![provider.identify_fetched(source, raw)];
    }
    let events = match &stored.event.part {
        Some(part) => vec![provider.identify_part(source, raw, part.clone())],
        None => provider.identify(source, raw),
    };
    // Headers that no signature covers are not kept. An event that had its id or type from one was
    // identified at the door, and what was found there stands.
    let was_identified = stored.event.unreadable.is_none();
    if was_identified && events.iter().all(|event| event.unreadable.is_some()) {
        return vec![stored.event.clone()];
    }
    events
}

/// The envelope under an id of its own, if another event with its id and other facts was accepted.
async fn distinct(envelope: Envelope, store: &impl Entities, sources: &Sources) -> Outcome<Envelope> {
    let event = &envelope.event;
    let known = store.load(std::slice::from_ref(&event.entity)).await?.into_iter().next().flatten();
    let accepted = known.iter().flat_map(|record| &record.entries).find(|entry| entry.id == event.id);
    let (Some(accepted), Some(provider)) = (accepted, sources.provider(envelope.source())) else {
        return Ok(envelope);
    };
    let Ok(meaning) = provider.interpret(&event.event_type, event.entity.kind(), &event.body) else {
        return Ok(envelope);
    };
    let digest = meaning.digest(&event.event_type, &event.order);
    if accepted.digest == digest {
        return Ok(envelope);
    }
    let id = released_id(&event.id, &digest);
    let event = Identified { id, ..event.clone() };
    Ok(envelope.identified_again(event))
}

#[cfg(test)]
mod tests {
    use ledgerline_domain::signature::{SecretSet, sign, verify};
    use ledgerline_domain::time::UnixNanos;

    use super::*;

    /// GitHub's id and type stand in headers that nothing signs, so nothing keeps them.
    #[test]
    fn what_unsigned_headers_told_at_the_door_stands() {
        let provider = Provider::built_in("github").unwrap();
        let source = SourceName::new("git").unwrap();
        let (body, received_at) = (Bytes::from_static(br#"{"issue":{"id":7}}"#), UnixNanos::from_nanos(0));
        let mut headers = sign(provider.scheme(), &"a-secret".into(), "", received_at, &body).unwrap();
        headers.push(("x-github-event".into(), "issues".into()));
        headers.push(("x-github-delivery".into(), "d-1".into()));
        let secrets = SecretSet::new(provider.scheme(), ["a-secret".into()]).unwrap();
        let raw = RawRequest { headers: &headers, body: &body, received_at };
        let verified = verify(provider.scheme(), &secrets, raw).unwrap();
        let envelope = Envelope::seal(&verified, provider.identify(&source, raw).remove(0));
        assert_eq!(envelope.event.entity.as_str(), "git/issues/7");
        assert_eq!(identify(&envelope, &source, &provider), std::slice::from_ref(&envelope.event));
        // What was not identified then is not identified now.
        let none: Vec<(String, String)> = headers.iter().filter(|(n, _)| n != "x-github-delivery").cloned().collect();
        let raw = RawRequest { headers: &none, ..raw };
        let envelope = Envelope::seal(&verified, provider.identify(&source, raw).remove(0));
        assert!(identify(&envelope, &source, &provider).iter().all(|event| event.unreadable.is_some()));
    }
}
