//! Certificates by a web and an authority of the tests' own.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ledgerline_domain::signature::Cause;
use ledgerline_domain::time::UnixNanos;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::*;

const URL: &str = "https://api.paypal.com/v1/notifications/certs/";
const NOW: i64 = 1_790_000_000;

type Root = CertifiedIssuer<'static, KeyPair>;

/// Pages by name, and how often anything was asked for.
#[derive(Default)]
struct Pages {
    pages: Mutex<HashMap<String, Result<String, ErrorKind>>>,
    asked: AtomicUsize,
}

impl Pages {
    fn put(&self, name: &str, page: Result<String, ErrorKind>) {
        self.pages.lock().unwrap().insert(format!("{URL}{name}"), page);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Web for Pages {
    async fn get(&self, get: Get) -> Result<Bytes> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.pages.lock().unwrap().get(&get.url) {
            Some(Ok(page)) => Ok(page.clone().into()),
            Some(Err(kind)) => Err(Error::new(*kind, "fetch a page of the test")),
            None => Err(Error::invalid("fetch a page of the test: 404")),
        }
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_seconds(NOW).unwrap()
    }
}

fn root() -> Root {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of an RSA key, as PayPal's are.
fn leaf(root: &Root, name: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::from_pem(include_str!("../../domain/src/signature/tests/rsa_for_tests.pem")).unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    params.signed_by(&key, root).unwrap().pem()
}

fn trust(root: &Root) -> Arc<Trust> {
    Arc::new(Trust::of_pem(root.pem().as_bytes()).unwrap())
}

fn open(folder: &Path) -> Arc<FetchedCertificates> {
    Arc::new(FetchedCertificates::open("shop", URL, folder).unwrap().with_interval(Duration::ZERO))
}

fn known(certificates: &FetchedCertificates, name: &str) -> Result<(), Cause> {
    certificates.certificate(name).found().map(|_| ())
}

/// Asks until the answer is another one than that it is coming.
async fn settled(certificates: &FetchedCertificates, name: &str) -> Result<(), Cause> {
    for _ in 0..500 {
        match known(certificates, name) {
            Err(Cause::KeyComing) => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => return answer,
        }
    }
    panic!("{name} is coming for ever");
}

async fn started(certificates: &Arc<FetchedCertificates>, web: &Arc<Pages>, trust: Arc<Trust>) {
    tokio::spawn(certificates.clone().run(web.clone(), trust, Arc::new(Fixed)));
    while !certificates.state().fetching {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_certificate_is_fetched_once_checked_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("certificates/shop");
    let (root, web) = (root(), Arc::new(Pages::default()));
    web.put("CERT-1", Ok(format!("{}{}", leaf(&root, "certs.paypal.com", |_| {}), root.pem())));
    let certificates = open(&folder);
    // Without anybody who fetches there is nothing to wait for.
    assert_eq!(known(&certificates, "CERT-1"), Err(Cause::UnknownKey));
    started(&certificates, &web, trust(&root)).await;
    assert_eq!(known(&certificates, "CERT-1"), Err(Cause::KeyComing));
    assert_eq!(settled(&certificates, "CERT-1").await, Ok(()));
    assert_eq!((web.asked(), certificates.count()), (1, 1));
    // Years later, without a network and without asking a root again.
    let later = open(&folder);
    assert_eq!(known(&later, "CERT-1"), Ok(()));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_not_good_is_not_kept_and_not_asked_for_again_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs, web) = (root(), root(), Arc::new(Pages::default()));
    let ec = |root: &Root| {
        let params = CertificateParams::new(["certs.paypal.com".to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), root).unwrap().pem()
    };
    let pages = [
        ("CERT-other-root", Ok(leaf(&theirs, "certs.paypal.com", |_| {}))),
        ("CERT-old", Ok(leaf(&ours, "certs.paypal.com", |p| p.not_after = rcgen::date_time_ymd(2026, 9, 1)))),
        ("CERT-name", Ok(leaf(&ours, "certs.example.com", |_| {}))),
        ("CERT-ec", Ok(ec(&ours))),
        ("CERT-junk", Ok("junk".to_owned())),
        ("CERT-away", Err(ErrorKind::Retry)),
    ];
    for (name, page) in &pages {
        web.put(name, page.clone());
    }
    let certificates = open(dir.path());
    started(&certificates, &web, trust(&ours)).await;
    for name in pages.iter().map(|(name, _)| *name).chain(["CERT-absent"]) {
        assert_eq!(settled(&certificates, name).await, Err(Cause::UnknownKey), "{name}");
    }
    let asked = web.asked();
    assert_eq!(asked, pages.len() + 1);
    for (name, _) in &pages {
        assert_eq!(known(&certificates, name), Err(Cause::UnknownKey));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(web.asked(), asked);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // The public roots know nothing of ours.
    web.put("CERT-ours", Ok(leaf(&ours, "certs.paypal.com", |_| {})));
    let public = open(dir.path());
    started(&public, &web, Arc::new(Trust::public())).await;
    assert_eq!(settled(&public, "CERT-ours").await, Err(Cause::UnknownKey));
}

#[tokio::test]
async fn a_flood_of_names_costs_a_few_fetches() {
    let dir = tempfile::tempdir().unwrap();
    let (root, web) = (root(), Arc::new(Pages::default()));
    let certificates = Arc::new(FetchedCertificates::open("shop", URL, dir.path()).unwrap());
    started(&certificates, &web, trust(&root)).await;
    let mut coming = 0;
    for n in 0..10_000 {
        coming += usize::from(known(&certificates, &format!("CERT-{n}")) == Err(Cause::KeyComing));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!((WISHES_MAX..WISHES_MAX + 2).contains(&coming), "{coming}");
    assert_eq!(web.asked(), 1);
    let state = certificates.state();
    assert!(state.wishes.len() <= WISHES_MAX && state.absent.len() <= 1 && state.at_hand.is_empty());
}

#[tokio::test]
async fn a_certificate_that_somebody_put_there_counts() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = open(dir.path());
    let pem = include_str!("../../domain/src/signature/tests/certificate_for_tests.pem");
    std::fs::write(dir.path().join("CERT-by-hand"), pem).unwrap();
    assert_eq!(known(&certificates, "CERT-by-hand"), Err(Cause::UnknownKey));
    certificates.look_again().unwrap();
    assert_eq!(known(&certificates, "CERT-by-hand"), Ok(()));
    std::fs::write(dir.path().join("CERT-bad"), "no certificate").unwrap();
    assert!(FetchedCertificates::open("shop", URL, dir.path()).err().unwrap().message.contains("CERT-bad"));
}
