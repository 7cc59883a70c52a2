//! Several sorted ranges as one.

use std::collections::VecDeque;

use ledgerline_domain::Result;

use super::item::{Item, get_text};
use super::tables::PARTS;
use crate::aws::parallel;

/// One page of a range.
pub struct Page {
    /// Its items, sorted.
    pub items: Vec<Item>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Item>,
}

struct Range {
    part: u32,
    waiting: VecDeque<Item>,
    next: Option<Item>,
    ended: bool,
}

/// The ranges of all parts, merged by the text of one attribute.
pub struct Merged<F> {
    by: &'static str,
    ranges: Vec<Range>,
    /// Reads a part's page that begins there.
    read: F,
}

impl<F, R> Merged<F>
where
    F: Fn(u32, Option<Item>) -> R,
    R: Future<Output = Result<Page>> + Send + 'static,
{
    /// Nothing is read yet.
    pub fn new(by: &'static str, read: F) -> Self {
        let range = |part| Range { part, waiting: VecDeque::new(), next: None, ended: false };
        Self { by, ranges: (0..PARTS).map(range).collect(), read }
    }

    /// The next item of all.
    pub async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            let empty = self.ranges.iter_mut().filter(|range| range.waiting.is_empty() && !range.ended);
            let mut empty: Vec<&mut Range> = empty.collect();
            if empty.is_empty() {
                break;
            }
            let asks: Vec<_> = empty.iter_mut().map(|range| (range.part, range.next.take())).collect();
            let pages = parallel::each(asks, self.ranges_at_once(), |(part, next)| (self.read)(part, next)).await?;
            let empty = self.ranges.iter_mut().filter(|range| range.waiting.is_empty() && !range.ended);
            for (range, page) in empty.zip(pages) {
                range.waiting = page.items.into();
                range.ended = page.next.is_none();
                range.next = page.next;
            }
        }
        let first =
            |range: &&mut Range| range.waiting.front().and_then(|item| get_text(item, self.by)).map(str::to_owned);
        let least = self.ranges.iter_mut().filter(|range| !range.waiting.is_empty()).min_by_key(|range| first(range));
        Ok(least.and_then(|range| range.waiting.pop_front()))
    }

    fn ranges_at_once(&self) -> usize {
        self.ranges.len()
    }
}
