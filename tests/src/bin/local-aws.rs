//! A small AWS on loopback ports, to try the program on: `local-aws DIR [ARGUMENTS]`.
//!
//! Starts Kinesis, DynamoDB, S3 and Secrets Manager in this process, with stream, tables and bucket, and writes
//! `DIR/ledgerline.toml`. With arguments it runs the program with them and that file, and ends with its exit code:
//! `local-aws /tmp/x demo`. Without it stays until it is interrupted.

use std::process::{Command, ExitCode};

use ledgerline_tests::aws::LocalCloud;

/// Where the program listens if it serves.
const LISTEN: &str = "127.0.0.1:8080";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(dir) = arguments.next() else {
        eprintln!("usage: local-aws DIR [ARGUMENTS OF LEDGERLINE]");
        return ExitCode::from(2);
    };
    let arguments: Vec<_> = arguments.collect();
    let cloud = LocalCloud::start(2).await;
    let settings = cloud.write_settings(dir.as_ref(), LISTEN);
    if arguments.is_empty() {
        println!("settings: {}", settings.display());
        let _ = tokio::signal::ctrl_c().await;
        return ExitCode::SUCCESS;
    }
    let program = std::env::current_exe().expect("a path").with_file_name("ledgerline-under-test");
    let run = move || Command::new(program).arg("--config").arg(settings).args(arguments).status();
    let status = tokio::task::spawn_blocking(run).await.expect("no panic").expect("cargo build -p ledgerline-tests");
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
