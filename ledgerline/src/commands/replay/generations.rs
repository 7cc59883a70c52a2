//! `replay generations`: which there are, and which one is live.

use ledgerline_adapters::embedded::{Generation, GenerationStatus};
use ledgerline_domain::ports::Entities as _;
use serde_json::{Value, json};

use crate::exit::{Exit, Outcome};
use crate::output::{self, Output};
use crate::settings::Loaded;
use crate::wiring::Reader;
use crate::words;

/// Runs the command.
pub async fn run(loaded: &Loaded, json: bool, out: &mut Output) -> Outcome {
    let reader = Reader::open(loaded).await?;
    let mut table = output::table(&[">", "status", "begun (UTC)", ">entities", "remarks", "why"]);
    for generation in reader.control.generations().await? {
        let entities = match generation.status {
            GenerationStatus::Retired => None,
            GenerationStatus::Building if generation.positions.is_none() => None,
            _ => reader.generation(generation.number).await?.entities().await.ok(),
        };
        if json {
            out.json(&as_json(&reader, &generation, entities).await?)?;
            continue;
        }
        table.add_row([
            generation.number.to_string(),
            generation.status.name().to_owned(),
            words::time(generation.made_at),
            entities.map(words::thousands).unwrap_or_default(),
            remarks(&generation),
            generation.reason.unwrap_or_default(),
        ]);
    }
    if !json {
        out.table(&table, 0)?;
    }
    Ok(Exit::Ok)
}

fn remarks(generation: &Generation) -> String {
    match generation.status {
        GenerationStatus::Building => {
            format!("{} of {} parts done; the log keeps what follows it", generation.parts_done.len(), generation.parts)
        }
        GenerationStatus::Previous => "rollback makes it live again".to_owned(),
        _ => String::new(),
    }
}

async fn as_json(reader: &Reader, generation: &Generation, entities: Option<u64>) -> Outcome<Value> {
    let mut checkpoints = serde_json::Map::new();
    if entities.is_some() {
        let store = reader.generation(generation.number).await?;
        for shard in reader.shards() {
            if let Some(checkpoint) = store.checkpoint(&shard).await? {
                checkpoints.insert(shard.to_string(), checkpoint.as_str().into());
            }
        }
    }
    let texts = reader.control.provider_texts(generation.number).await?;
    Ok(json!({
        "generation": generation.number,
        "status": generation.status,
        "made_at": generation.made_at.to_string(),
        "reason": generation.reason,
        "parts": generation.parts,
        "parts_done": generation.parts_done,
        "built_to": generation.positions,
        "checkpoints": checkpoints,
        "entities": entities,
        "sources": texts.keys().collect::<Vec<_>>(),
    }))
}
