//! `replay export`: the state as it was at a time, as known at a time.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::Ordering;

use ledgerline_domain::Error;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_replay::export::{Cut, Row, write_csv, write_csv_heading, write_json_line};
use ledgerline_replay::parquet_export::ParquetRows;
use ledgerline_replay::rebuild::{Rebuilt, rebuild};
use ledgerline_replay::totals::{self, TotalRow, Totals};
use ledgerline_replay::within::Positions;
use serde::Serialize;

use super::sink::Sink;
use super::{check_whole, progress};
use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::times;
use crate::wiring::Reader;
use crate::words;

/// What an export is: the object of `--manifest`.
#[derive(Serialize)]
struct Manifest {
    ledgerline_export: u32,
    stream: String,
    as_of: Option<String>,
    known_at: Option<String>,
    /// Archived up to where, by shard.
    positions: Positions,
    format: &'static str,
    rows: u64,
    sha256: String,
    totals: Vec<TotalRow>,
}

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &ExportArgs, out: &mut Output) -> Outcome {
    let cut = Cut {
        as_of: args.as_of.as_deref().map(|text| times::until("--as-of", text)).transpose()?,
        known_at: args.known_at.as_deref().map(|text| times::until("--known-at", text)).transpose()?,
    };
    check_args(args)?;
    let reader = Reader::open(loaded).await?;
    let (bar, mut tell) = progress("segments folded");
    let replay = reader.replay(loaded, None);
    let rebuilt = rebuild(&*reader.archive, &replay.input(None), &mut tell).await?;
    bar.finish_and_clear();
    check_whole("export", &rebuilt)?;
    let mut manifest = Manifest {
        ledgerline_export: 1,
        stream: reader.stream.to_string(),
        as_of: cut.as_of.map(|at| at.to_string()),
        known_at: cut.known_at.map(|at| at.to_string()),
        positions: positions(&rebuilt),
        format: match args.format {
            ExportFormat::Jsonl => "jsonl",
            ExportFormat::Csv => "csv",
            ExportFormat::Parquet => "parquet",
        },
        rows: 0,
        sha256: String::new(),
        totals: Vec::new(),
    };
    write(&rebuilt, cut, args, &mut manifest, out)?;
    if let Some(file) = &args.manifest {
        let mut sink = Sink::open(Some(file), out)?;
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|e| Failure::failed(format!("write the manifest of the export: {e}")))?;
        sink.write_all(&text).and_then(|()| sink.write_all(b"\n")).map_err(|e| sink.failed(e))?;
        sink.finish()?;
    }
    if args.out.is_some() {
        output::note(in_words(&manifest, args.totals));
    }
    Ok(Exit::Ok)
}

fn check_args(args: &ExportArgs) -> Outcome<()> {
    if args.format != ExportFormat::Parquet {
        return Ok(());
    }
    if args.totals {
        return Err(Failure::usage("write --totals as Parquet: use --format jsonl or csv"));
    }
    if args.out.is_none() && io::stdout().is_terminal() {
        return Err(Failure::usage("write Parquet to a terminal: name a file with --out FILE"));
    }
    Ok(())
}

/// Writes the rows, or the sums; notes in the manifest what it wrote.
fn write(rebuilt: &Rebuilt, cut: Cut, args: &ExportArgs, manifest: &mut Manifest, out: &mut Output) -> Outcome<()> {
    let mut sums = Totals::default();
    let mut rows = 0;
    let mut records = rebuilt.at(cut).map(|record| {
        let record: EntityRecord = record?;
        sums.add(&record);
        rows += 1;
        Ok::<_, Failure>(record)
    });
    let mut sink = Sink::open(args.out.as_deref(), out)?;
    match args.format {
        _ if args.totals => records.try_for_each(|record| record.map(drop))?,
        ExportFormat::Jsonl => {
            records.try_for_each(|record| write_json_line(&Row::of(&record?), &mut sink).map_err(|e| sink.failed(e)))?
        }
        ExportFormat::Csv => {
            write_csv_heading(&mut sink).map_err(|e| sink.failed(e))?;
            records.try_for_each(|record| write_csv(Row::of(&record?), &mut sink).map_err(|e| sink.failed(e)))?;
        }
        ExportFormat::Parquet => {
            let gone = sink.gone();
            // A reader that goes away ends the command quietly, as everywhere.
            let failed = |error: Error| match gone.load(Ordering::Relaxed) {
                true => Failure::new(Exit::Ok, ""),
                false => error.into(),
            };
            let mut parquet = ParquetRows::new(sink, pairs(manifest)).map_err(failed)?;
            records.try_for_each(|record| parquet.push(Row::of(&record?)).map_err(failed))?;
            sink = parquet.finish().map_err(failed)?;
        }
    }
    let totals = sums.rows();
    if args.totals {
        let written = match args.format {
            ExportFormat::Csv => totals::write_csv(&totals, &mut sink),
            _ => totals.iter().try_for_each(|row| write_json_line(row, &mut sink)),
        };
        written.map_err(|e| sink.failed(e))?;
    }
    manifest.sha256 = sink.finish()?;
    (manifest.rows, manifest.totals) = (rows, totals);
    Ok(())
}

/// What a Parquet file carries in its footer.
fn pairs(manifest: &Manifest) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("ledgerline.export".to_owned(), manifest.ledgerline_export.to_string()),
        ("ledgerline.stream".to_owned(), manifest.stream.to_owned()),
    ];
    let times = [("ledgerline.as_of", &manifest.as_of), ("ledgerline.known_at", &manifest.known_at)];
    pairs.extend(times.into_iter().filter_map(|(key, at)| Some((key.to_owned(), at.clone()?))));
    let position = |(shard, last): (&_, &_)| (format!("ledgerline.position.{shard}"), format!("{last}"));
    pairs.extend(manifest.positions.iter().map(position));
    pairs
}

/// The end of each shard's chain.
fn positions(rebuilt: &Rebuilt) -> Positions {
    rebuilt.chain.shards.iter().filter_map(|shard| Some((shard.shard.clone(), shard.through.clone()?))).collect()
}

fn in_words(manifest: &Manifest, totals: bool) -> String {
    let time = |text: &Option<String>| {
        let at = text.as_deref().and_then(|text| UnixNanos::parse_rfc3339(text).ok());
        at.map_or_else(|| "now".to_owned(), words::time)
    };
    let what = match totals {
        true => words::count(manifest.totals.len() as u64, "sum", "sums"),
        false => words::count(manifest.rows, "row", "rows"),
    };
    let (as_of, known_at) = (time(&manifest.as_of), time(&manifest.known_at));
    format!("{what}: what was true at {as_of}, as known at {known_at} (UTC); SHA-256 {}", manifest.sha256)
}
