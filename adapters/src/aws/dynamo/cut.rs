//! Where a long record is cut: a pure function of its bytes, such that a change here leaves the cuts elsewhere where
//! they are. (Content-defined chunking: a cut stands where the bytes before it say so, not at a fixed distance.)
//!
//! An entry that is added at the end leaves every chunk as it was; one that is put in between changes the chunk that
//! it falls into and, rarely, the next.

use std::ops::Range;

/// No chunk is shorter, in bytes.
const CHUNK_BYTES_MIN: usize = 4 * 1024;
/// No chunk is longer, in bytes, compressed or not: with the rest of its item it must fit DynamoDB's limit.
pub const CHUNK_BYTES_MAX: usize = 128 * 1024;
/// Beyond the shortest, a cut comes after 8 KiB on average: the top 13 bits of the rolling sum are zero.
const CUT_BITS: u32 = 13;
/// No group of names is smaller.
const GROUP_MIN: usize = 16;
/// No group of names is larger.
const GROUP_MAX: usize = 1024;
/// Beyond the smallest, a group ends after 64 names on average: the first byte of its last name is below this.
const GROUP_END_BELOW: u8 = 4;

/// A number per byte value, without any pattern (splitmix64). Other numbers would cut elsewhere, and read the same.
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let mut state: u64 = 0;
    let mut at = 0;
    while at < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = mixed ^ (mixed >> 31);
        at += 1;
    }
    table
};

/// The chunks of `bytes`, one behind the other from its beginning. What follows the last one is not a chunk yet: it
/// is shorter than [`CHUNK_BYTES_MAX`] and may still grow.
pub fn chunks(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(length) = bytes.get(from..).and_then(first_cut) {
        found.push(from..from + length);
        from += length;
    }
    found
}

/// How long the first chunk is, if it ends.
fn first_cut(bytes: &[u8]) -> Option<usize> {
    let mut sum: u64 = 0;
    // The sum forgets what lies 64 bytes back.
    for (at, byte) in bytes.iter().enumerate().take(CHUNK_BYTES_MAX).skip(CHUNK_BYTES_MIN - 64) {
        sum = (sum << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if at + 1 >= CHUNK_BYTES_MIN && sum.leading_zeros() >= CUT_BITS {
            return Some(at + 1);
        }
    }
    (bytes.len() >= CHUNK_BYTES_MAX).then_some(CHUNK_BYTES_MAX)
}

/// The groups of `names`, in the same manner. What follows the last one is not a group yet.
pub fn groups<const N: usize>(names: &[[u8; N]]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, name) in names.iter().enumerate() {
        let length = at + 1 - from;
        if length >= GROUP_MAX || (length >= GROUP_MIN && name.first().is_some_and(|first| *first < GROUP_END_BELOW)) {
            found.push(from..at + 1);
            from = at + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::rngs::StdRng;
    use rand::{Rng as _, RngExt as _, SeedableRng as _};

    use super::*;

    fn random(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        StdRng::seed_from_u64(length as u64).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn chunks_lie_one_behind_the_other_within_their_bounds() {
        for bytes in [random(2_000_000), vec![0; 2_000_000], vec![7; 1_000_001], random(10), Vec::new()] {
            let mut end = 0;
            for chunk in chunks(&bytes) {
                assert_eq!(chunk.start, end);
                assert!((CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk.len()));
                end = chunk.end;
            }
            assert!(bytes.len() - end < CHUNK_BYTES_MAX);
        }
        let average = 2_000_000 / chunks(&random(2_000_000)).len();
        assert!((9_000..16_000).contains(&average), "{average}");
    }

    #[test]
    fn a_change_stays_where_it_is() {
        let bytes = random(1_000_000);
        let content = |bytes: &[u8]| chunks(bytes).into_iter().map(|at| bytes[at].to_vec()).collect::<Vec<_>>();
        let before = content(&bytes);
        let longer = content(&[&bytes[..], &random(50_000)].concat());
        assert_eq!(longer[..before.len()], before, "what is there stays");
        let known: HashSet<_> = before.into_iter().collect();
        let mut rng = StdRng::seed_from_u64(1);
        let mut new = 0;
        for _ in 0..100 {
            let at = rng.random_range(0..bytes.len());
            let changed = [&bytes[..at], &[1, 2, 3, 4, 5], &bytes[at..]].concat();
            new += content(&changed).iter().filter(|chunk| !known.contains(*chunk)).count();
        }
        assert!(new < 250, "{new} chunks for 100 changes");
    }

    #[test]
    fn groups_grow_at_their_end() {
        let names: Vec<[u8; 16]> = random(16 * 5000).chunks_exact(16).map(|name| name.try_into().unwrap()).collect();
        let all = groups(&names);
        assert!((40..100).contains(&all.len()), "{}", all.len());
        assert!(all.iter().all(|group| (GROUP_MIN..=GROUP_MAX).contains(&group.len())));
        assert_eq!(groups(&names[..4000]), all[..groups(&names[..4000]).len()]);
        assert_eq!(groups(&[[255; 16]; 2500]), [0..1024, 1024..2048]);
    }
}
