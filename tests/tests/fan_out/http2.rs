//! Over TLS and HTTP/2, as at AWS: the client and its settings are those of the program, but for the certificate that
//! it trusts.

use std::net::SocketAddr;

use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use ledgerline_adapters::aws::config::subscriptions_apart;
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, Endpoints};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Speaks TLS, offers HTTP/2 alone, and passes the bytes on. Gives its address, and its certificate as PEM.
async fn before(plain: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let port = listener.local_addr().expect("its address").port();
    let plain: SocketAddr = plain.trim_start_matches("http://").parse().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut near = acceptor.accept(socket).await.expect("a TLS connection");
                assert_eq!(near.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2");
                let mut far = TcpStream::connect(plain).await.expect("the stand-in");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (format!("https://localhost:{port}"), made.cert.pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_over_http2_hold_up_nobody() {
    let shards = 6;
    let local = LocalKinesis::start_to_subscribe(shards, LONG, AGAIN_AFTER).await;
    local.register(CONSUMER).await;
    let (address, pem) = before(&local.endpoints().kinesis.expect("an address")).await;
    let http = subscriptions_apart(move || {
        let trusted = TrustStore::empty().with_pem_certificate(pem.as_bytes());
        let context = TlsContext::builder().with_trust_store(trusted).build().expect("a context");
        let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        builder.tls_context(context).build_https()
    });
    let options = AwsOptions {
        region: Some("eu-central-1".into()),
        endpoints: Endpoints { kinesis: Some(address), ..Endpoints::default() },
        local: true,
        ..AwsOptions::default()
    };
    let aws = AwsConfig::load_with(&options, http).await.expect("a region");
    let mut settings = KinesisSettings { stream: local.stream().to_owned(), ..quick_fan_out() };
    // Held up by their readers: with what is under way in each stream, more than the window of a connection.
    settings.fan_out.buffer_bytes_max = 1;
    settings.fan_out.unasked_max = Duration::from_secs(60);
    let log = KinesisLog::open(aws.kinesis().config(), settings).await.unwrap_or_else(|e| panic!("failed to {e}"));
    let fanned = log.fanned_out(CONSUMER).await.unwrap_or_else(|e| panic!("failed to {e}"));
    let mut readers: Vec<_> = log.shards().into_iter().map(Reader::of).collect();
    let on = usize::try_from(shards).expect("few");
    while local.subscriptions().open() < on {
        for reader in &mut readers {
            reader.read(&fanned, 0).await;
        }
    }
    // 20 MB, which nobody reads for now.
    let (entities, count, pad) = (60, 24, "x".repeat(14_000));
    for n in 0..count {
        let records = (0..entities).map(|id| {
            let LogRecord { key, .. } = record(id, n);
            LogRecord { key, data: Bytes::from(format!("{id} {n:0>width$}", width = pad.len())) }
        });
        log.append(records.collect()).await.expect("an append is not held up");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    let plain = log.read(&readers[0].shard, None, ReadLimit { wait: Duration::ZERO, ..PATIENT }).await.expect("a read");
    assert!(!plain.records.is_empty() && began.elapsed() < Duration::from_secs(3), "nor is a read");
    let began = Instant::now();
    let total = usize::try_from(entities * count).expect("few");
    while readers.iter().map(|reader| reader.got.len()).sum::<usize>() < total {
        for reader in &mut readers {
            reader.read(&fanned, 39).await;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "all of it comes: {:?}", fanned.counts());
    }
    assert_all(readers.into_iter().flat_map(|reader| reader.got), entities, count);
    let counts = fanned.counts();
    assert_eq!((counts.subscriptions, counts.subscriptions_ended), (u64::try_from(on).expect("few"), 0), "{counts:?}");
    assert!(counts.subscription_records >= u64::from(entities * count), "{counts:?}");
    drop(fanned);
    let began = Instant::now();
    while local.subscriptions().open() > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "a stream ends with its reader");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
