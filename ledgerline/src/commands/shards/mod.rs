//! `shards`: the shards of the log, who reads them and how far each is.

#[cfg(feature = "aws")]
mod leased;

use std::collections::BTreeMap;

use ledgerline_domain::ids::{SequenceNumber, ShardId};
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

/// A position for people: without its zeros.
fn number(position: Option<&SequenceNumber>) -> String {
    match position {
        None => "nothing yet".to_owned(),
        Some(position) if position.is_shard_end() => "its end".to_owned(),
        Some(position) => {
            let digits = position.as_str().trim_start_matches('0');
            if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
        }
    }
}

/// A shard's name for people: Kinesis pads the number with zeros.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "only streams at AWS have such names"))]
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
        assert_eq!(number(Some(&SequenceNumber::shard_end())), "its end");
        assert_eq!(number(None), "nothing yet");
    }
}
