//! Reads a column of byte strings that stand one after the other, each behind its length.
//!
//! A value is given as a slice of the decompressed page: nothing is copied, and a body keeps its
//! page alive (some 512 KiB) as long as it lives. A page that nobody keeps is overwritten by the next.
//!
//! Pages are decompressed here and not by the Parquet crate, which makes a context of its own for
//! every column of every row group: that costs as much as a hundred rows.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use super::reader::{damaged, undecodable};
use super::row_group::rows;
use crate::error::{Error, Result};

/// A page may not claim to be larger than this.
const PAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Decompresses pages, with one context for as many columns as it is lent to.
#[derive(Default)]
pub(super) struct Unpacker(Option<Decompressor<'static>>);

impl Unpacker {
    /// The page that `packed` holds, in `room`, whose contents are dropped.
    fn unpack(&mut self, packed: &[u8], mut room: Vec<u8>) -> Result<Bytes> {
        let size = get_frame_content_size(packed).ok().flatten().filter(|size| *size <= PAGE_BYTES_MAX);
        let size = size.and_then(|size| usize::try_from(size).ok()).ok_or_else(damaged)?;
        let context = match &mut self.0 {
            Some(context) => context,
            none => none.insert(Decompressor::new().map_err(|e| Error::internal("make a decompressor").because(e))?),
        };
        room.clear();
        room.reserve_exact(size);
        context.decompress_to_buffer(packed, &mut room).map_err(|e| damaged().because(e))?;
        if room.len() == size { Ok(Bytes::from(room)) } else { Err(damaged()) }
    }
}

/// Such a column of one row group.
pub(super) struct Plain {
    pages: SerializedPageReader<Bytes>,
    is_packed: bool,
    page: Bytes,
    at: usize,
    left: usize,
}

impl Plain {
    pub(super) fn open(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Self> {
        let chunk = group.columns().get(column).ok_or_else(damaged)?;
        let is_packed = match chunk.compression() {
            Compression::ZSTD(_) => true,
            Compression::UNCOMPRESSED => false,
            _ => return Err(damaged()),
        };
        let as_it_lies = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build();
        let rows = rows(group)?;
        let pages = as_it_lies
            .and_then(|chunk| SerializedPageReader::new(object.clone(), &chunk, rows, None))
            .map_err(undecodable)?;
        Ok(Self { pages, is_packed, page: Bytes::new(), at: 0, left: 0 })
    }

    /// Reads the next value; `make` is given the page and the value's place in it.
    pub(super) fn next<T>(
        &mut self,
        unpacker: &mut Unpacker,
        make: impl FnOnce(&Bytes, Range<usize>) -> Result<T>,
    ) -> Result<T> {
        if self.left == 0 {
            self.next_page(unpacker)?;
        }
        let range = self.next_value()?;
        make(&self.page, range)
    }

    /// Passes over `count` values; pages that hold nothing else are not decompressed.
    pub(super) fn skip(&mut self, unpacker: &mut Unpacker, mut count: usize) -> Result<()> {
        while count > 0 {
            if self.left == 0 {
                let page = self.pages.peek_next_page().map_err(undecodable)?.ok_or_else(damaged)?;
                match page.num_rows.or(page.num_levels) {
                    Some(rows) if rows > 0 && rows <= count => {
                        self.pages.skip_next_page().map_err(undecodable)?;
                        count -= rows;
                    }
                    _ => self.next_page(unpacker)?,
                }
            } else {
                self.next_value()?;
                count -= 1;
            }
        }
        Ok(())
    }

    fn next_page(&mut self, unpacker: &mut Unpacker) -> Result<()> {
        match self.pages.get_next_page().map_err(undecodable)? {
            Some(Page::DataPage { buf, num_values, encoding: Encoding::PLAIN, .. }) if num_values > 0 => {
                self.page = if self.is_packed { unpacker.unpack(&buf, self.room())? } else { buf };
                (self.at, self.left) = (0, num_values as usize);
                Ok(())
            }
            _ => Err(damaged()),
        }
    }

    /// The room of the page before, if nobody holds a slice of it.
    fn room(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.page).try_into_mut() {
            Ok(mut page) => {
                page.clear();
                page.into()
            }
            Err(_) => Vec::new(),
        }
    }

    fn next_value(&mut self) -> Result<Range<usize>> {
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
