//! `shards`: the shards of the log, who reads them and how far each is.

#[cfg(feature = "aws")]
mod leased;

use std::collections::BTreeMap;

use ledgerline_domain::ids::SequenceNumber;
#[cfg(any(feature = "aws", test))]
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::Entities as _;
use serde_json::json;

use crate::cli::ShardsArgs;
use crate::exit::{Exit, Outcome};
use crate::generations::fill::positions;
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::Reader;

/// Runs the command.
pub async fn run(loaded: &Loaded, args: &ShardsArgs, out: &mut Output) -> Outcome {
    #[cfg(feature = "aws")]
    if loaded.settings.aws.is_some() {
        return leased::run(loaded, args, out).await;
    }
    let reader = Reader::open(loaded).await?;
    let archived = positions(&*reader.archive, &reader.stream).await?;
    let mut folded = BTreeMap::new();
    for shard in reader.shards() {
        let checkpoint = reader.store.checkpoint(&shard).await?;
        folded.insert(shard, checkpoint);
    }
    let mut table = output::table(&["shard", ">folded up to", ">archived up to"]);
    for (shard, checkpoint) in &folded {
        let archived = archived.get(shard);
        if args.json {
            out.json(&json!({ "shard": shard, "folded": checkpoint, "archived": archived }))?;
        }
        table.add_row([shard.to_string(), number(checkpoint.as_ref()), number(archived)]);
    }
    if !args.json {
        out.table(&table, 0)?;
    }
    Ok(Exit::Ok)
}

/// Digits of a position that people get: the last ones are those that change.
const DIGITS: usize = 12;

/// A position for people: without its zeros, and the end of a long one.
fn number(position: Option<&SequenceNumber>) -> String {
    match position {
        None => "nothing yet".to_owned(),
        Some(position) if position.is_shard_end() => "its end".to_owned(),
        Some(position) => {
            let digits = position.as_str().trim_start_matches('0');
            match digits.len() {
                0 => "0".to_owned(),
                length if length > 2 * DIGITS => format!("…{}", digits.get(length - DIGITS..).unwrap_or(digits)),
                _ => digits.to_owned(),
            }
        }
    }
}

/// A shard's name for people: Kinesis pads the number with zeros.
#[cfg(any(feature = "aws", test))]
fn short(shard: &ShardId) -> String {
    match shard.as_str().strip_prefix("shardId-") {
        Some(number) => format!("{:0>4}", number.trim_start_matches('0')),
        None => shard.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lose_their_padding() {
        assert_eq!(short(&ShardId::new("shardId-000000000012")), "0012");
        assert_eq!(short(&ShardId::new("shardId-000000000000")), "0000");
        assert_eq!(short(&ShardId::numbered(3)), "shard-0003");
        assert_eq!(number(Some(&SequenceNumber::from_u64(120))), "120");
        let long = "49680526119425559453077619309877536425291480694238740482";
        assert_eq!(number(Some(&SequenceNumber::new(long))), "…694238740482");
        assert_eq!(number(Some(&SequenceNumber::shard_end())), "its end");
        assert_eq!(number(None), "nothing yet");
    }
}
