//! Steps in the life of the generations. Each takes all of them, in order of their numbers, and changes them or
//! refuses and changes nothing.

use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::{Generation, GenerationStatus, Positions};

/// What a new deployment has: generation 1, live, folded from the log alone.
pub fn first(now: UnixNanos) -> Vec<Generation> {
    vec![Generation {
        number: 1,
        status: GenerationStatus::Live,
        made_at: now,
        reason: None,
        parts: 1,
        parts_done: vec![1],
        positions: None,
    }]
}

/// One of them; [`ErrorKind::Invalid`] when there is none of that number.
pub fn one(all: &[Generation], number: u32) -> Result<&Generation> {
    all.iter().find(|generation| generation.number == number).ok_or_else(|| none(number))
}

fn one_mut(all: &mut [Generation], number: u32) -> Result<&mut Generation> {
    all.iter_mut().find(|generation| generation.number == number).ok_or_else(|| none(number))
}

fn none(number: u32) -> Error {
    Error::invalid(format!("find generation {number}: there is none of that number"))
}

/// [`ErrorKind::Conflict`]: it is not in the state that the step needs.
fn not_so(what: &str, generation: &Generation) -> Error {
    let text = format!("{what} generation {}: it is {}", generation.number, generation.status.name());
    Error::new(ErrorKind::Conflict, text)
}

/// Adds one that is to be built, and gives its number.
pub fn begin(all: &mut Vec<Generation>, reason: Option<String>, parts: u32, now: UnixNanos) -> u32 {
    let number = all.iter().map(|generation| generation.number).max().unwrap_or(0) + 1;
    let status = GenerationStatus::Building;
    all.push(Generation { number, status, made_at: now, reason, parts, parts_done: Vec::new(), positions: None });
    number
}

/// Fixes its positions, unless they are. Gives the generation.
pub fn claim(all: &mut [Generation], number: u32, positions: Positions) -> Result<Generation> {
    let found = one_mut(all, number)?;
    if found.status != GenerationStatus::Building {
        return Err(not_so("go on with", found));
    }
    found.positions.get_or_insert(positions);
    Ok(found.clone())
}

/// Notes a complete part. Gives the generation.
pub fn part_done(all: &mut [Generation], number: u32, part: u32) -> Result<Generation> {
    let found = one_mut(all, number)?;
    if found.status != GenerationStatus::Building {
        return Err(not_so("complete", found));
    }
    if let Err(at) = found.parts_done.binary_search(&part) {
        found.parts_done.insert(at, part);
    }
    Ok(found.clone())
}

/// Notes that all of it is there.
pub fn ready(all: &mut [Generation], number: u32) -> Result<()> {
    let found = one_mut(all, number)?;
    let complete = (1..=found.parts).all(|part| found.parts_done.contains(&part));
    if found.status != GenerationStatus::Building || !complete {
        return Err(not_so("complete", found));
    }
    found.status = GenerationStatus::Ready;
    Ok(())
}

/// Makes it live, the live one the previous one, and the previous one just complete.
pub fn move_live(all: &mut [Generation], number: u32) -> Result<()> {
    let found = one(all, number)?;
    if found.status == GenerationStatus::Live {
        return Ok(());
    }
    if !found.status.is_complete() {
        return Err(not_so("promote", found));
    }
    for generation in all {
        generation.status = match generation.status {
            _ if generation.number == number => GenerationStatus::Live,
            GenerationStatus::Previous => GenerationStatus::Ready,
            GenerationStatus::Live => GenerationStatus::Previous,
            other => other,
        };
    }
    Ok(())
}

/// Gives it up.
pub fn retire(all: &mut [Generation], number: u32) -> Result<()> {
    let found = one_mut(all, number)?;
    if found.status == GenerationStatus::Live {
        return Err(not_so("retire", found));
    }
    found.status = GenerationStatus::Retired;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

    fn step(all: &mut Vec<Generation>, kind: u8, number: u32) -> Result<()> {
        match kind {
            0 => Ok(_ = begin(all, None, 2, AT)),
            1 => claim(all, number, Positions::new()).map(drop),
            2 => part_done(all, number, 1).map(drop),
            3 => part_done(all, number, 2).map(drop),
            4 => ready(all, number),
            5 => retire(all, number),
            _ => move_live(all, number),
        }
    }

    proptest! {
        /// Whatever is asked in whatever order: one is live, at most one was before, and a refusal changes nothing.
        #[test]
        fn one_is_live(steps in prop::collection::vec((0..9_u8, 1..6_u32), 0..200)) {
            let mut all = first(AT);
            for (kind, number) in steps {
                let before = all.clone();
                let done = step(&mut all, kind, number);
                prop_assert!(done.is_ok() || all == before);
                let count = |status| all.iter().filter(|generation| generation.status == status).count();
                prop_assert_eq!(count(GenerationStatus::Live), 1);
                prop_assert!(count(GenerationStatus::Previous) <= 1);
                for (at, generation) in all.iter().enumerate() {
                    prop_assert_eq!(usize::try_from(generation.number), Ok(at + 1));
                    prop_assert!(!generation.status.is_complete() || generation.parts_done.len() == generation.parts as usize);
                }
                for (old, new) in before.iter().zip(&all) {
                    let retired = old.status == GenerationStatus::Retired;
                    prop_assert!(!retired || new == old, "what is given up stays so");
                    prop_assert!(old.positions.is_none() || new.positions == old.positions, "the first claim stands");
                }
            }
        }
    }
}
