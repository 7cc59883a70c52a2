//! The change of the live generation where many processes fold: all of them fold into every complete
//! generation all the time, so a change is a wait and one conditional write.
//!
//! Who reads through the mark may see the newest events of the last moments go away for as long as the new
//! generation takes to fold them: nobody stops the others, as one machine does. No event is left out of either.

use std::time::Duration;

use ledgerline_adapters::embedded::Positions;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::supervisor::carry_over;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::{AnyStore, Data};

/// How often a generation that catches up is looked at.
const CATCH_UP_LOOK: Duration = Duration::from_millis(500);

/// Makes a generation the live one, once it has folded everything that the live one has folded now.
pub(crate) async fn promote_shared(data: &Data, number: u32, wait: Duration) -> Outcome<Value> {
    let refused = |why: &str| Failure::new(Exit::Refused, format!("promote generation {number}: {why}"));
    let generation = data.control.generation(number).await?;
    let old = data.control.live().await?;
    if number == old {
        return Ok(json!({ "live": number, "previous": null }));
    }
    if !generation.status.is_complete() {
        return Err(refused(&format!("it is {}", generation.status.name())));
    }
    let (from, to) = (data.generation(old).await?, data.generation(number).await?);
    let target = checkpoints(&from).await?;
    let deadline = Instant::now() + wait;
    loop {
        let done = checkpoints(&to).await?;
        let behind = target.iter().filter(|(shard, tip)| done.get(*shard).is_none_or(|done| done < *tip)).count();
        if behind == 0 {
            break;
        }
        if Instant::now() >= deadline {
            return Err(refused(&format!(
                "it has not caught up on {behind} shards; is a processor at work? wait longer"
            )));
        }
        tokio::time::sleep(CATCH_UP_LOOK).await;
    }
    carry_over(&from, &to).await?;
    data.make_live(number).await?;
    Ok(json!({ "live": number, "previous": old }))
}

/// How far a generation is on each shard; the progress of readers that do not fold has a `/` in its name.
async fn checkpoints(store: &AnyStore) -> Outcome<Positions> {
    Ok(store.checkpoints().await?.into_iter().filter(|(shard, _)| !shard.as_str().contains('/')).collect())
}
