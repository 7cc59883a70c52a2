//! The file `format`: which version a data directory has, and what was fixed when it was made.
//!
//! JSON, one object. Any version but [`DATA_VERSION`] is refused, and so is a directory that holds data
//! and no such file. The number of shards decides where an entity's records lie and so cannot change.

use std::fs;
use std::io;
use std::path::Path;

use ledgerline_domain::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::files::{file_error, replace_file};

/// Version of the data directory that this program writes.
pub const DATA_VERSION: u32 = 2;
/// Shards of a new log when the settings say nothing.
pub const SHARDS_DEFAULT: u32 = 4;
/// Most shards of a log: their counters fit into a segment's header.
pub const SHARDS_MAX: u32 = 128;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Version of the whole directory.
    #[serde(rename = "ledgerline_data")]
    pub version: u32,
    /// Number of shards of the log.
    pub log_shards: u32,
}

/// Only the version: what every version's file has.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "ledgerline_data")]
    version: u32,
}

impl Format {
    /// Reads the file of `dir`; `None` when there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("format");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(file_error(ErrorKind::Retry, "read", &path, e)),
        };
        let damaged = |e| Error::data(format!("read {}: it is damaged", path.display())).because(e);
        let Version { version } = serde_json::from_str(&text).map_err(damaged)?;
        if version > DATA_VERSION {
            return Err(Error::data(format!(
                "use the data directory {}: its format is version {version} and this program knows versions up to \
                 {DATA_VERSION}; use the newer program that wrote it",
                dir.display()
            )));
        }
        if version < DATA_VERSION {
            return Err(Error::data(format!(
                "use the data directory {}: its format is version {version}, of a program before the first release, and \
                 this program writes version {DATA_VERSION} (the archive's layout changed) and does not convert; start \
                 with an empty directory, or use the program that wrote it",
                dir.display()
            )));
        }
        let format: Self = serde_json::from_str(&text).map_err(damaged)?;
        if !(1..=SHARDS_MAX).contains(&format.log_shards) {
            return Err(Error::data(format!(
                "read {}: log_shards is {}, outside 1 to {SHARDS_MAX}",
                path.display(),
                format.log_shards
            )));
        }
        Ok(Some(format))
    }

    /// Reads the file, or writes it for a directory that holds nothing yet. `shards` is what the
    /// settings ask for, if they do.
    pub fn read_or_create(dir: &Path, shards: Option<u32>) -> Result<Self> {
        if let Some(format) = Self::read(dir)? {
            return match shards {
                Some(asked) if asked != format.log_shards => Err(Error::invalid(format!(
                    "use the data directory {} with {asked} shards: it was made with {}, and that cannot change; \
                     leave the setting out, or start with an empty directory",
                    dir.display(),
                    format.log_shards
                ))),
                _ => Ok(format),
            };
        }
        for part in ["log", "control.db", "state", "archive"] {
            if dir.join(part).exists() {
                return Err(Error::data(format!(
                    "use the data directory {}: it holds {part} and no file named format; restore that file, or use \
                     another directory",
                    dir.display()
                )));
            }
        }
        let log_shards = shards.unwrap_or(SHARDS_DEFAULT);
        if !(1..=SHARDS_MAX).contains(&log_shards) {
            return Err(Error::invalid(format!("make a log of {log_shards} shards: use 1 to {SHARDS_MAX}")));
        }
        let format = Self { version: DATA_VERSION, log_shards };
        let mut text =
            serde_json::to_string(&format).map_err(|e| Error::internal("write the format file").because(e))?;
        text.push('\n');
        replace_file(&dir.join("format"), &dir.join("format.tmp"), text.as_bytes())?;
        Ok(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_once_and_then_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Format::read(dir.path()).unwrap(), None);
        let made = Format::read_or_create(dir.path(), Some(7)).unwrap();
        assert_eq!(made, Format { version: DATA_VERSION, log_shards: 7 });
        assert_eq!(Format::read_or_create(dir.path(), None).unwrap(), made);
        let error = Format::read_or_create(dir.path(), Some(8)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn newer_data_is_refused_whatever_else_it_says() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format"), r#"{"ledgerline_data": 3, "new": []}"#).unwrap();
        let error = Format::read_or_create(dir.path(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("version 3"), "{error}");
        assert!(error.to_string().contains("use the newer program"), "{error}");
    }

    #[test]
    fn data_from_before_the_first_release_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format"), r#"{"ledgerline_data": 1, "log_shards": 4}"#).unwrap();
        let error = Format::read_or_create(dir.path(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("version 1") && error.to_string().contains("empty directory"), "{error}");
    }

    #[test]
    fn damage_and_strangers_are_refused() {
        for text in
            ["", "{}", r#"{"ledgerline_data": 2, "log_shards": 0}"#, r#"{"ledgerline_data": 2, "log_shards": 129}"#]
        {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("format"), text).unwrap();
            assert_eq!(Format::read_or_create(dir.path(), None).unwrap_err().kind(), ErrorKind::Data, "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        assert_eq!(Format::read_or_create(dir.path(), None).unwrap_err().kind(), ErrorKind::Data);
        let error = Format::read_or_create(tempfile::tempdir().unwrap().path(), Some(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
