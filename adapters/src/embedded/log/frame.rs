//! One record in a segment file: a header of 40 bytes, then the payload. All numbers little-endian.
//!
//! | bytes | field |
//! | --- | --- |
//! | 0–3 | CRC-32 of everything behind it, started from the segment's salt |
//! | 4–7 | length of the payload |
//! | 8–15 | position in the whole log, from 1, without gaps: the sequence number |
//! | 16–23 | ordinal in its shard, from 1, without gaps |
//! | 24–31 | when the log took it, nanoseconds since the Unix epoch |
//! | 32–35 | place in the batch that was written and synced as one, from 0 |
//! | 36–37 | shard |
//! | 38–39 | zero |
//!
//! The salt differs from segment to segment, so bytes of another file never read as a frame. The
//! place in the batch tells a torn tail from damage: a batch is written only after the one before
//! it was synced, so a good frame of a *later* batch proves that a bad one was once whole.

use crc32fast::Hasher;

/// Bytes of a frame in front of its payload.
pub(crate) const HEADER_BYTES: usize = 40;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes of the payload.
    pub length: u32,
    /// Position in the whole log.
    pub position: u64,
    /// Ordinal in its shard.
    pub ordinal: u64,
    /// When the log took it.
    pub arrived_at: i64,
    /// Place in its batch.
    pub batch_index: u32,
    /// The shard.
    pub shard: u16,
}

impl Frame {
    /// Bytes of the whole frame.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.length as usize
    }

    /// Position of the first frame of its batch.
    pub fn batch_first(&self) -> u64 {
        self.position.saturating_sub(u64::from(self.batch_index))
    }

    /// Appends the frame with its payload to `out`. `length` must be the payload's.
    pub fn write(&self, out: &mut Vec<u8>, salt: u32, payload: &[u8]) {
        let mut header = [0_u8; HEADER_BYTES];
        header[4..8].copy_from_slice(&self.length.to_le_bytes());
        header[8..16].copy_from_slice(&self.position.to_le_bytes());
        header[16..24].copy_from_slice(&self.ordinal.to_le_bytes());
        header[24..32].copy_from_slice(&self.arrived_at.to_le_bytes());
        header[32..36].copy_from_slice(&self.batch_index.to_le_bytes());
        header[36..38].copy_from_slice(&self.shard.to_le_bytes());
        let mut crc = Hasher::new_with_initial(salt);
        crc.update(&header[4..]);
        crc.update(payload);
        header[..4].copy_from_slice(&crc.finalize().to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
    }

    /// Reads a header, checking nothing; `None` when `bytes` is shorter than one.
    pub fn header(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        Some(Self {
            length: u32::from_le_bytes(part(header, 4)),
            position: u64::from_le_bytes(part(header, 8)),
            ordinal: u64::from_le_bytes(part(header, 16)),
            arrived_at: i64::from_le_bytes(part(header, 24)),
            batch_index: u32::from_le_bytes(part(header, 32)),
            shard: u16::from_le_bytes(part(header, 36)),
        })
    }

    /// Reads a whole frame and checks its CRC: the header and the payload, or `None`.
    pub fn read(bytes: &[u8], salt: u32) -> Option<(Self, &[u8])> {
        let frame = Self::header(bytes)?;
        let whole = bytes.get(..frame.bytes())?;
        let (stored, checked) = whole.split_first_chunk::<4>()?;
        let mut crc = Hasher::new_with_initial(salt);
        crc.update(checked);
        if crc.finalize() != u32::from_le_bytes(*stored) {
            return None;
        }
        whole.get(HEADER_BYTES..).map(|payload| (frame, payload))
    }
}

/// `N` bytes at a place that is known to lie in the header.
fn part<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    header.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { length: 5, position: 7, ordinal: 3, arrived_at: -1, batch_index: 2, shard: 1 };

    #[test]
    fn reads_back() {
        let mut bytes = vec![9, 9];
        FRAME.write(&mut bytes, 77, b"hello");
        assert_eq!(bytes.len(), 2 + FRAME.bytes());
        assert_eq!(Frame::read(&bytes[2..], 77), Some((FRAME, b"hello".as_slice())));
        assert_eq!(FRAME.batch_first(), 5);
        assert_eq!(Frame::read(&bytes[2..], 78), None, "another segment's salt");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_shows() {
        let mut bytes = Vec::new();
        FRAME.write(&mut bytes, 77, b"hello");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::read(&bad, 77), None, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(Frame::read(&bytes[..cut], 77), None, "cut at {cut}");
        }
        assert_eq!(Frame::read(&[0; 64], 77), None, "zeros are not a frame");
    }
}
