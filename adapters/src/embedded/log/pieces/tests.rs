//! Pieces that readers share: frames across their borders, and what is written behind a kept one.

use std::os::unix::fs::FileExt as _;

use super::*;

const HEAD: u64 = 4096;

/// A segment file of four pieces and a bit with numbered bytes in it.
fn numbered(dir: &std::path::Path) -> (Arc<Segment>, Vec<u8>) {
    let segment = Arc::new(Segment::new(dir, 1, 0, Vec::new()));
    let bytes: Vec<u8> = (0..4 * PIECE_BYTES + 100).map(|n| u8::try_from((n / 7 + n / 4096) % 251).unwrap()).collect();
    std::fs::write(&segment.path, &bytes).unwrap();
    (segment, bytes)
}

#[test]
fn bytes_across_borders_are_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (segment, bytes) = numbered(dir.path());
    let pieces = Pieces::default();
    let border = PIECE_BYTES;
    for round in 0..2 {
        let mut file = pieces.open(&segment).unwrap();
        for (at, length) in [
            (0, 10),
            (border - 1, 1),
            (border - 1, 2),
            (border, 1),
            (border - 20, 40),
            (2 * border - 5, border + 10),
            (border - 5, 2 * border + 10),
            (0, bytes.len()),
            (4 * border + 90, 10),
        ] {
            let read = file.bytes(at as u64, length).unwrap();
            assert!(read == bytes[at..at + length], "{length} bytes at {at}, round {round}");
        }
        // Fewer at the end of the file, and none behind it.
        assert_eq!(file.bytes(4 * border as u64 + 90, 100).unwrap(), &bytes[4 * border + 90..]);
        assert_eq!(file.bytes(9 * border as u64, 1).unwrap(), Bytes::new());
    }
}

#[test]
fn headers_across_borders_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (segment, _) = numbered(dir.path());
    let frame = Frame { length: 5, position: 9, ordinal: 3, arrived_at: 77, batch_index: 1, shard: 2 };
    let mut written = Vec::new();
    frame.write(&mut written, segment.salt, b"hello");
    let file = std::fs::OpenOptions::new().write(true).open(&segment.path).unwrap();
    for before in 0..=written.len() {
        let at = (2 * PIECE_BYTES - before) as u64;
        file.write_all_at(&written, at).unwrap();
        let pieces = Pieces::default();
        let mut read = pieces.open(&segment).unwrap();
        assert_eq!(read.header(at).unwrap(), Some(frame), "{before} bytes before the border");
        let whole = read.bytes(at, frame.bytes()).unwrap();
        assert_eq!(Frame::read(&whole, segment.salt), Some((frame, b"hello".as_slice())));
    }
    assert_eq!(Pieces::default().open(&segment).unwrap().header(4 * PIECE_BYTES as u64 + 90).unwrap(), None);
}

#[test]
fn a_kept_piece_is_read_anew_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (segment, bytes) = numbered(dir.path());
    let pieces = Pieces::default();
    let before = pieces.open(&segment).unwrap().bytes(HEAD, 4).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&segment.path).unwrap();
    file.write_all_at(b"news", HEAD).unwrap();
    let mut other = pieces.open(&segment).unwrap();
    assert_eq!(other.bytes(HEAD, 4).unwrap(), before, "a kept piece may be older than the file");
    other.refresh();
    assert_eq!(other.bytes(HEAD, 4).unwrap(), "news");
    assert_eq!(pieces.open(&segment).unwrap().bytes(HEAD, 4).unwrap(), "news", "others have it too");
    assert_eq!(before, &bytes[4096..4100], "who holds the old piece keeps it");
}

#[test]
fn few_pieces_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let pieces = Pieces::default();
    for first in 1..=20 {
        let segment = Arc::new(Segment::new(dir.path(), first, 0, Vec::new()));
        std::fs::write(&segment.path, vec![1; PIECE_BYTES + 1]).unwrap();
        let mut file = pieces.open(&segment).unwrap();
        file.bytes(0, PIECE_BYTES + 1).unwrap();
        assert!(pieces.lock().len() <= PIECES_MAX);
    }
    let gone = Arc::new(Segment::new(dir.path(), 99, 0, Vec::new()));
    assert_eq!(pieces.open(&gone).map(|_| ()).unwrap_err().kind(), ErrorKind::Data);
}
