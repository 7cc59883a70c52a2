//! What a server writes down for the close of a day: how far the archive has come in time, and how many
//! requests it refused.
//!
//! Both are small objects of the archive, derived and replaceable. A refusal is counted on the day on which
//! it is written down, at most [`LOOK`] after it happened; what was counted in the last [`LOOK`] before a
//! crash is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Clock as _, Log as _};
use ledgerline_domain::time::UnixNanos;
use ledgerline_processor::archiver::ArchiverProgress;
use ledgerline_replay::close::{Day, Rejected, add_rejected, note_archived_until};
use rand::RngExt as _;
use tokio::sync::watch;

use crate::place::Data;
use crate::wiring::{Refused, SystemClock, wait_for};

/// How often there is a look at what is to be written down.
pub const LOOK: Duration = Duration::from_secs(10);
/// How old the note of the archive's progress may become.
const WATERMARK_NANOS: i64 = 60_000_000_000;

/// Position of the newest record of each shard that has one.
pub(crate) async fn tips(data: &Data) -> Result<Vec<(ShardId, SequenceNumber)>> {
    let mut tips = Vec::new();
    for shard in data.log.shards() {
        if let Some(tip) = data.log.tip(&shard).await? {
            tips.push((shard, tip));
        }
    }
    Ok(tips)
}

/// Whether everything that the log holds is archived.
pub(crate) async fn is_archived(data: &Data, archived: &ArchiverProgress) -> Result<bool> {
    let tips = tips(data).await?;
    let archived = archived.positions();
    Ok(tips.iter().all(|(shard, tip)| archived.get(shard).is_some_and(|done| done >= tip)))
}

/// Writes down until it is stopped, and once more then; errors are logged and looked at again.
pub(crate) async fn run(
    data: Arc<Data>,
    archived: Arc<ArchiverProgress>,
    refused: Arc<OnceLock<Refused>>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    // Several servers count side by side, each for itself.
    let writer = data.is_shared().then(|| format!("{:016x}", rand::rng().random::<u64>()));
    let mut book = Daybook { writer, ..Daybook::default() };
    loop {
        let stopped = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = wait_for(stop.clone()) => true,
        };
        let counted = refused.get().map(|refused| owned(refused()));
        if let Err(error) = book.write(&data, &archived, counted, SystemClock.now(), stopped).await {
            tracing::warn!(%error, "failed to write down the day's counters; trying again");
        }
        if stopped {
            return Ok(());
        }
    }
}

fn owned(counted: BTreeMap<String, BTreeMap<&'static str, u64>>) -> Rejected {
    let causes = |causes: BTreeMap<&'static str, u64>| causes.into_iter().map(|(c, n)| (c.to_owned(), n)).collect();
    counted.into_iter().map(|(source, counted)| (source, causes(counted))).collect()
}

/// What is written down already.
#[derive(Default)]
struct Daybook {
    writer: Option<String>,
    refused: Rejected,
    day: Option<Day>,
    watermark: Option<UnixNanos>,
}

impl Daybook {
    async fn write(
        &mut self,
        data: &Data,
        archived: &ArchiverProgress,
        refused: Option<Rejected>,
        now: UnixNanos,
        is_last: bool,
    ) -> Result<()> {
        if let Some(refused) = refused {
            let (more, day) = (less(&refused, &self.refused), Day::of(now));
            // The first look of a day writes, whatever it has: somebody counts.
            if !more.is_empty() || self.day.as_ref() != Some(&day) {
                add_rejected(&*data.archive, &data.stream, &day, self.writer.as_deref(), &more).await?;
                (self.refused, self.day) = (refused, Some(day));
            }
        }
        let due = self.watermark.is_none_or(|noted| is_last || now.since(noted) >= WATERMARK_NANOS);
        // `now` was read before the log's ends: what arrived until then is archived when they are. Where others
        // archive too, the manifests say it.
        if due && !data.is_shared() && is_archived(data, archived).await? {
            note_archived_until(&*data.archive, &data.stream, now).await?;
            self.watermark = Some(now);
        }
        Ok(())
    }
}

/// What `all` has more than `known`.
fn less(all: &Rejected, known: &Rejected) -> Rejected {
    let mut more = Rejected::new();
    for (source, causes) in all {
        for (cause, count) in causes {
            let before = known.get(source).and_then(|causes| causes.get(cause)).copied().unwrap_or(0);
            if *count > before {
                more.entry(source.clone()).or_default().insert(cause.clone(), count - before);
            }
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
    use ledgerline_replay::close::{archived_until, rejected};

    use super::*;

    #[tokio::test]
    async fn counts_go_to_their_day_once_and_the_archive_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::local(Embedded::open(folder.path(), EmbeddedOptions::default()).await.unwrap());
        let (archived, mut book) = (ArchiverProgress::default(), Daybook::default());
        let counted = |n| Some(Rejected::from([("shop".to_owned(), BTreeMap::from([("wrong".to_owned(), n)]))]));
        let at = |text: &str| UnixNanos::parse_rfc3339(text).unwrap();
        let (evening, night) = (at("2026-10-31T23:59:55Z"), at("2026-11-01T00:00:05Z"));
        for (refused, now) in [(None, evening), (counted(2), evening), (counted(2), evening), (counted(7), night)] {
            book.write(&data, &archived, refused, now, false).await.unwrap();
        }
        for (now, count) in [(evening, 2), (night, 5)] {
            let written = rejected(&*data.archive, &data.stream, &Day::of(now)).await.unwrap().unwrap();
            assert_eq!(written["shop"]["wrong"], count);
        }
        // A server that starts again begins at nothing and adds.
        let mut again = Daybook::default();
        again.write(&data, &archived, counted(1), night, false).await.unwrap();
        again.write(&data, &archived, counted(1), night, false).await.unwrap();
        let written = rejected(&*data.archive, &data.stream, &Day::of(night)).await.unwrap().unwrap();
        assert_eq!(written["shop"]["wrong"], 6);
        let until = archived_until(&*data.archive, &data.stream, &Day::of(evening), &BTreeMap::new()).await.unwrap();
        assert_eq!(until, Some(night), "an empty log is archived");
        book.write(&data, &archived, None, at("2026-11-01T00:00:30Z"), false).await.unwrap();
        let soon = archived_until(&*data.archive, &data.stream, &Day::of(evening), &BTreeMap::new()).await.unwrap();
        assert_eq!(soon, Some(night), "not every look is written down");
    }
}
