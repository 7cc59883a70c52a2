//! Reads a column of byte strings that stand one after the other, each behind its length.
//!
//! A value is given as a slice of the decompressed page: nothing is copied, and a body keeps its
//! page alive (some 128 KiB) as long as it lives.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};

use super::reader::{damaged, undecodable};
use crate::error::Result;

/// Such a column of one row group.
pub(super) struct Plain {
    pages: Box<dyn PageReader>,
    page: Bytes,
    at: usize,
    left: usize,
}

impl Plain {
    pub(super) fn new(pages: Box<dyn PageReader>) -> Self {
        Self { pages, page: Bytes::new(), at: 0, left: 0 }
    }

    /// Reads `count` values; `make` is given the page and the value's place in it.
    pub(super) fn read<T>(
        &mut self,
        count: usize,
        mut make: impl FnMut(&Bytes, std::ops::Range<usize>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            if self.left == 0 {
                self.next_page()?;
            }
            let range = self.next_value()?;
            values.push(make(&self.page, range)?);
        }
        Ok(values)
    }

    /// Passes over `count` values; pages that hold nothing else are not decompressed.
    pub(super) fn skip(&mut self, mut count: usize) -> Result<()> {
        while count > 0 {
            if self.left == 0 {
                let page = self.pages.peek_next_page().map_err(undecodable)?.ok_or_else(damaged)?;
                match page.num_rows.or(page.num_levels) {
                    Some(rows) if rows > 0 && rows <= count => {
                        self.pages.skip_next_page().map_err(undecodable)?;
                        count -= rows;
                    }
                    _ => self.next_page()?,
                }
            } else {
                self.next_value()?;
                count -= 1;
            }
        }
        Ok(())
    }

    fn next_page(&mut self) -> Result<()> {
        match self.pages.get_next_page().map_err(undecodable)? {
            Some(Page::DataPage { buf, num_values, encoding: Encoding::PLAIN, .. }) if num_values > 0 => {
                (self.page, self.at, self.left) = (buf, 0, num_values as usize);
                Ok(())
            }
            _ => Err(damaged()),
        }
    }

    fn next_value(&mut self) -> Result<std::ops::Range<usize>> {
        let length = self.page.get(self.at..self.at + 4).and_then(|b| b.try_into().ok()).ok_or_else(damaged)?;
        let from = self.at + 4;
        let to = from + u32::from_le_bytes(length) as usize;
        if to > self.page.len() {
            return Err(damaged());
        }
        self.at = to;
        self.left -= 1;
        Ok(from..to)
    }
}
