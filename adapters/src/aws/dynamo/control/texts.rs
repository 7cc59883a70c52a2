//! Texts that may be longer than an item: compressed, cut, and named by the digest of the whole. The same text has
//! the same items, whoever puts them, so putting one again changes nothing. None is ever deleted: they are small,
//! few, and tell what older generations were folded with.
//!
//! The item of piece 3 of a text is named `text-{64 hexadecimal digits}-0003`; its attribute `bytes` holds a piece of
//! the zstd form.

use std::io::Read as _;

use aws_sdk_dynamodb::Client;
use ledgerline_domain::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::call;
use super::super::item::{bytes, item, take_bytes, text};
use crate::aws::RetrySettings;
use crate::aws::retry::repeat;
use crate::control::ProviderTexts;

/// Longest piece in one item, in bytes: there is room for the name.
const PIECE_BYTES: usize = 384 * 1024;
/// Most pieces of one text.
const PIECES_MAX: u32 = 64;
/// No text is longer than this, in bytes.
const TEXT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How hard it is compressed: small and rarely written.
const LEVEL: i32 = 9;

/// A text that was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongText {
    sha256: String,
    pieces: u32,
}

impl LongText {
    /// What it is told apart by.
    pub fn digest(&self) -> &str {
        &self.sha256
    }

    fn piece(&self, at: u32) -> String {
        format!("text-{}-{at:04}", self.sha256)
    }
}

/// The texts of a control table.
pub struct Texts {
    client: Client,
    table: String,
    retries: RetrySettings,
}

impl Texts {
    /// Asks nothing yet.
    pub fn new(client: Client, table: String, retries: RetrySettings) -> Self {
        Self { client, table, retries }
    }

    /// Puts a text; it is there when this returns.
    pub async fn put(&self, whole: String) -> Result<LongText> {
        let action = "put a long text into the control table";
        let packed = zstd::bulk::compress(whole.as_bytes(), LEVEL).map_err(|e| Error::internal(action).because(e))?;
        let pieces = u32::try_from(packed.len().div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        if pieces > PIECES_MAX || whole.len() as u64 > TEXT_BYTES_MAX {
            return Err(Error::invalid(format!("{action}: it takes {} bytes; make it shorter", packed.len())));
        }
        let long = LongText { sha256: digest(&whole), pieces };
        for (at, piece) in (0..).zip(packed.chunks(PIECE_BYTES)) {
            let all = item([("name", text(long.piece(at))), ("bytes", bytes(piece))]);
            repeat(&self.retries, || async {
                let put = self.client.put_item().table_name(&self.table).set_item(Some(all.clone()));
                put.send().await.map_err(|e| call(action, "dynamodb:PutItem", &self.table).failed(&e))
            })
            .await?;
        }
        Ok(long)
    }

    /// A text that was put.
    pub async fn get(&self, long: &LongText) -> Result<String> {
        let action = "read a long text from the control table";
        let damaged = || Error::data(format!("{action}: the text {} of {} is damaged", long.sha256, self.table));
        let mut packed = Vec::new();
        for at in 0..long.pieces {
            let found = repeat(&self.retries, || async {
                let get = self.client.get_item().table_name(&self.table).key("name", text(long.piece(at)));
                let get = get.consistent_read(true).send().await;
                get.map_err(|e| call(action, "dynamodb:GetItem", &self.table).failed(&e))
            });
            let piece = found.await?.item.and_then(|mut item| take_bytes(&mut item, "bytes"));
            packed.extend(piece.ok_or_else(damaged)?);
        }
        let whole = unpack(&packed).map_err(|e| damaged().because(e))?;
        if digest(&whole) == long.sha256 { Ok(whole) } else { Err(damaged()) }
    }

    /// Puts provider files; `None` when there are none.
    pub async fn put_files(&self, files: &ProviderTexts) -> Result<Option<LongText>> {
        if files.is_empty() {
            return Ok(None);
        }
        let whole = serde_json::to_string(files).map_err(|e| Error::internal("write provider files").because(e))?;
        self.put(whole).await.map(Some)
    }

    /// Provider files that were put.
    pub async fn get_files(&self, long: Option<&LongText>) -> Result<ProviderTexts> {
        let Some(long) = long else { return Ok(ProviderTexts::new()) };
        serde_json::from_str(&self.get(long).await?)
            .map_err(|e| Error::data("read provider files from the control table: they are damaged").because(e))
    }
}

fn unpack(packed: &[u8]) -> std::io::Result<String> {
    let mut whole = String::new();
    zstd::stream::read::Decoder::new(packed)?.take(TEXT_BYTES_MAX).read_to_string(&mut whole)?;
    Ok(whole)
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
