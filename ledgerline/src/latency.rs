//! A histogram of latencies: fixed size, about 1.6 % exact, from 1 µs to over an hour.

/// Buckets per power of two.
const STEPS: u64 = 64;
/// Buckets in all: exact below 64 µs, then 64 for each of 26 powers of two.
const BUCKETS: usize = 64 + 64 * 26;

/// Counts of latencies in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
    most: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, most: 0 }
    }
}

impl Latencies {
    /// Notes one latency.
    pub fn note(&mut self, micros: u64) {
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += 1;
        }
        self.total += 1;
        self.most = self.most.max(micros);
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.most = self.most.max(other.most);
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest, in microseconds.
    pub fn max(&self) -> u64 {
        self.most
    }

    /// The latency in microseconds that `per_mille` of a thousand stay within; 0 when there is none.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(at).min(self.most);
            }
        }
        self.most
    }
}

fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    // 64..128 is the first power of two behind the exact ones.
    let power = u64::from(micros.ilog2()) - 6;
    let step = (micros >> power) - STEPS;
    ((STEPS + power * STEPS + step) as usize).min(BUCKETS - 1)
}

/// Largest latency of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = ((bucket - STEPS) / STEPS, (bucket - STEPS) % STEPS);
    ((STEPS + step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut latencies = Latencies::default();
        (1..=100_000).for_each(|micros| latencies.note(micros));
        for (per_mille, exact) in [(500, 50_000), (990, 99_000), (999, 99_900)] {
            let found = latencies.quantile(per_mille);
            assert!(found >= exact && found * 1_000 <= exact * 1_017, "{per_mille}: {found}");
        }
        assert_eq!((latencies.count(), latencies.max(), latencies.quantile(1_000)), (100_000, 100_000, 100_000));
    }

    #[test]
    fn every_latency_has_a_bucket_that_holds_it() {
        for micros in (0..200).chain([1_000, 4_095, 4_096, 1 << 20, (1 << 31) + 5]) {
            assert!(upper(bucket(micros)) >= micros && (micros == 0 || upper(bucket(micros) - 1) < micros), "{micros}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(Latencies::default().quantile(990), 0);
    }
}
