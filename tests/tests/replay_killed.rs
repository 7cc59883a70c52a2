//! A replay is killed with SIGKILL at random moments, beside a working processor and archiver and with so
//! little memory that it uses temporary files: nothing of it is left, and every verify that ends is clean.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledgerline_tests::child::Served;
use rand::{RngExt, SeedableRng};

const KILLS: usize = 40;

/// Everything in the data directory that is no part of the log, the archive or the store.
fn strays(data: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(data).expect("it can be read").map(|entry| entry.expect("an entry").path());
    entries.collect()
}

#[test]
fn a_killed_replay_leaves_nothing_that_disturbs_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir.path());
    let text = std::fs::read_to_string(&served.settings).expect("settings");
    std::fs::write(&served.settings, text.replace("[limits]\n", "[limits]\nreplay_memory_mib_max = 1\n"))
        .expect("settings");
    served.start();
    served.wait_ready();
    let url = format!("http://{}/webhooks/shop", served.address);
    let load = ["load", "--source", "shop", "--url", &url, "--seconds", "5", "--connections", "4"];
    let mut load_first = served.spawn(&load);
    assert!(load_first.wait().expect("it ended").success());
    let before = strays(&served.data);

    // Now beside live traffic.
    let mut load_beside =
        served.spawn(&["load", "--source", "shop", "--url", &url, "--seconds", "30", "--rate", "300"]);
    let mut random = rand::rngs::StdRng::seed_from_u64(rand::random());
    let mut killed = 0;
    for round in 0..KILLS {
        let mut replay = served.spawn(&["replay", "verify"]);
        std::thread::sleep(Duration::from_millis(random.random_range(5..120)));
        match replay.try_wait().expect("a state") {
            // Faster than the kill: it must have been clean.
            Some(ended) => assert!(ended.success(), "{ended}"),
            None => {
                replay.kill().expect("killed");
                replay.wait().expect("it ended");
                killed += 1;
            }
        }
        let left: Vec<_> = strays(&served.data).difference(&before).cloned().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        if round % 8 == 0 {
            let (code, text) = served.run(&["replay", "verify"]);
            assert_eq!(code, 0, "{text}");
        }
    }
    assert!(killed > KILLS / 4, "only {killed} of {KILLS} were killed: it ends too soon to prove anything");
    load_beside.kill().expect("killed");
    load_beside.wait().expect("it ended");
    served.stop();
    let (code, text) = served.run(&["replay", "verify"]);
    assert_eq!(code, 0, "{text}");
    println!("{killed} of {KILLS} killed\n{text}");
}
