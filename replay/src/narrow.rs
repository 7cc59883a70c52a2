//! Looks for the rows of some entities in a segment and reads as little of it as that takes: its end with the footer
//! first; for several segments at once.

use std::collections::VecDeque;
use std::vec::IntoIter;

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{Archive, End, Sequenced};
use ledgerline_domain::segment::keys::SegmentKey;
use ledgerline_domain::segment::{Contents, Footer, SparseSegment};
use ledgerline_domain::{ErrorKind, Result};

/// What is read of each object at first: most footers are shorter.
const END_BYTES: u64 = 8 * 1024;
/// Ends that are asked for at once.
const ENDS_AT_ONCE: usize = 64;
/// Shorter objects are read whole once their statistics leave them.
const WHOLE_BYTES_MAX: u64 = 256 * 1024;

/// The ends of some objects, in the order of their keys.
#[derive(Default)]
pub(crate) struct Ends {
    keys: IntoIter<SegmentKey>,
    got: VecDeque<(SegmentKey, String, Option<End>)>,
}

impl Ends {
    pub fn of(keys: Vec<SegmentKey>) -> Self {
        Self { keys: keys.into_iter(), got: VecDeque::new() }
    }

    /// How many follow.
    pub fn len(&self) -> usize {
        self.keys.len() + self.got.len()
    }

    /// The next key, its text, and the end of its object if there is one.
    pub async fn next<A: Archive>(&mut self, archive: &A) -> Result<Option<(SegmentKey, String, Option<End>)>> {
        if self.got.is_empty() {
            let keys: Vec<SegmentKey> = self.keys.by_ref().take(ENDS_AT_ONCE).collect();
            let texts: Vec<String> = keys.iter().map(SegmentKey::text).collect();
            let ends = archive.get_ends(&texts, END_BYTES).await?;
            self.got = keys.into_iter().zip(texts).zip(ends).map(|((key, text), end)| (key, text, end)).collect();
        }
        Ok(self.got.pop_front())
    }
}

/// What was found.
pub(crate) enum Look {
    /// These rows, in order; none when the segment has none.
    Rows(Vec<Sequenced<Envelope>>),
    /// It is to be read whole: because it is short, or because something is wrong with it, which is named best with
    /// all of it at hand.
    Whole,
}

/// Looks into the object under `key`, which has this end. `may_hold` judges by the footer. Gives the bytes read, too.
pub(crate) async fn look<A: Archive>(
    archive: &A,
    key: &str,
    end: End,
    entities: &[EntityKey],
    may_hold: impl Fn(&Contents) -> bool,
) -> Result<(Look, u64)> {
    let mut read = end.bytes.len() as u64;
    let look = match attempt(archive, key, end, entities, may_hold, &mut read).await {
        Err(error) if error.kind() == ErrorKind::Data => Look::Whole,
        look => look?,
    };
    Ok((look, read))
}

async fn attempt<A: Archive>(
    archive: &A,
    key: &str,
    mut end: End,
    entities: &[EntityKey],
    may_hold: impl Fn(&Contents) -> bool,
    read: &mut u64,
) -> Result<Look> {
    let mut segment = match SparseSegment::open(&end)? {
        Footer::Whole(segment) => segment,
        Footer::Longer(bytes) => {
            let from = end.size.saturating_sub(bytes);
            let Some(longer) = archive.get_range(key, from..end.size).await? else { return Ok(Look::Whole) };
            *read += longer.len() as u64;
            end.bytes = longer;
            match SparseSegment::open(&end)? {
                Footer::Whole(segment) => segment,
                Footer::Longer(_) => return Ok(Look::Whole),
            }
        }
    };
    if segment.info().key() != key {
        return Ok(Look::Whole);
    }
    if !may_hold(&segment.info().contents) || !segment.may_hold_any(entities)? {
        return Ok(Look::Rows(Vec::new()));
    }
    if end.size <= WHOLE_BYTES_MAX {
        return Ok(Look::Whole);
    }
    for part in [SparseSegment::filters_wanted, SparseSegment::groups_wanted] {
        for range in part(&segment, entities)? {
            let Some(bytes) = archive.get_range(key, range.clone()).await? else { return Ok(Look::Whole) };
            *read += bytes.len() as u64;
            segment.put(range.start, &bytes)?;
        }
    }
    segment.rows_of_any(entities).map(Look::Rows)
}
