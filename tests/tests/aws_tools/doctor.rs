//! The doctor on services in this process: a deployment that is well, and defects made on purpose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use ledgerline_adapters::aws::config::https_client;
use ledgerline_adapters::aws::doctor::{Finding, Part, State, Targets, examine};
use ledgerline_adapters::aws::dynamo::{DynamoSettings, tables};
use ledgerline_adapters::aws::leases::DynamoLeases;
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, Endpoints};
use ledgerline_tests::aws::{LocalDynamo, LocalKinesis, LocalS3, LocalSecrets, switched_to_auto};

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Effect":"Deny","Principal":"*","Action":["s3:DeleteObject","s3:DeleteObjectVersion"],"Resource":"arn:aws:s3:::archive/p/segments/*"},
 {"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::archive/p/segments/*",
  "Condition":{"Null":{"s3:if-none-match":"true"}}}]}"#;

/// Sub-resource, status and body.
type Says = (&'static str, u16, String);

/// What the bucket says of itself, and which calls are denied: no stand-in has either.
#[derive(Clone, Debug)]
struct Account {
    inner: SharedHttpClient,
    says: Arc<Mutex<Vec<Says>>>,
    denied: Arc<Mutex<Vec<&'static str>>>,
}

impl Account {
    fn good(inner: SharedHttpClient) -> Self {
        let says = [
            ("versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
            ("policy", POLICY),
            (
                "encryption",
                "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms\
                 </SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
            ),
            (
                "publicAccessBlock",
                "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true\
                 </IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true\
                 </RestrictPublicBuckets></PublicAccessBlockConfiguration>",
            ),
            (
                "lifecycle",
                "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>\
                 <AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation>\
                 </AbortIncompleteMultipartUpload></Rule><Rule><ID>b</ID><Status>Enabled</Status><Filter><Prefix>\
                 p/claims/</Prefix></Filter><Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>",
            ),
        ];
        let says = says.into_iter().map(|(what, text)| (what, 200, text.to_owned())).collect();
        Self { inner, says: Arc::new(Mutex::new(says)), denied: Arc::default() }
    }

    /// The bucket says something else.
    fn says(self, what: &'static str, status: u16, text: &str) -> Self {
        let mut says = self.says.lock().expect("not poisoned");
        says.retain(|(known, ..)| *known != what);
        says.push((what, status, text.to_owned()));
        drop(says);
        self
    }

    /// A call is not allowed.
    fn denies(self, call: &'static str) -> Self {
        self.denied.lock().expect("not poisoned").push(call);
        self
    }
}

impl HttpClient for Account {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.clone(), self.inner.http_connector(settings, parts)))
    }
}

#[derive(Clone, Debug)]
struct Connector(Account, SharedHttpConnector);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = |status: u16, text: String| {
            let status = StatusCode::try_from(status).expect("a status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(text))))
        };
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        if self.0.denied.lock().expect("not poisoned").iter().any(|call| target.ends_with(&format!(".{call}"))) {
            return answer(400, r#"{"__type":"com.amazon#AccessDeniedException","Message":"no"}"#.to_owned());
        }
        let query = request.uri().split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        let says = self.0.says.lock().expect("not poisoned");
        let said = says
            .iter()
            .find(|(what, ..)| target.is_empty() && query.split('&').any(|part| part.trim_end_matches('=') == *what));
        match said {
            Some((_, status, text)) => answer(*status, text.clone()),
            None => self.1.call(request),
        }
    }
}

/// Services with everything that a deployment makes.
struct Deployment {
    kinesis: LocalKinesis,
    dynamo: LocalDynamo,
    s3: LocalS3,
    secrets: LocalSecrets,
    targets: Targets,
}

impl Deployment {
    async fn start() -> Self {
        let (kinesis, dynamo) = (LocalKinesis::start(2).await, LocalDynamo::start().await);
        let (s3, secrets) = (LocalS3::start(Duration::ZERO).await, LocalSecrets::start().await);
        secrets.rotate("prod/stripe", "a secret");
        for consumer in ["folds", "archives"] {
            kinesis.register(consumer).await;
        }
        let targets = Targets {
            stream: "events".into(),
            tables: "well".into(),
            bucket: "archive".into(),
            prefix: "p".into(),
            secrets: vec!["prod/stripe".into()],
            consumers: vec![(Part::Processor, "folds".into()), (Part::Archiver, "archives".into())],
            parts: vec![Part::Ingest, Part::Processor, Part::Archiver],
            write: true,
        };
        let deployment = Self { kinesis, dynamo, s3, secrets, targets };
        let aws = deployment.reach(https_client()).await;
        tables::create(&aws, &DynamoSettings::new("well"), 1).await.expect("tables");
        for table in ["well-leases", "well-leases-archiver"] {
            DynamoLeases::create_table(aws.dynamodb().config(), table).await.expect("a table");
        }
        let longer = deployment.kinesis.client().increase_stream_retention_period().stream_name("events");
        longer.retention_period_hours(168).send().await.expect("a longer retention");
        deployment
    }

    async fn reach(&self, http: SharedHttpClient) -> AwsConfig {
        let endpoints = Endpoints {
            kinesis: self.kinesis.endpoints().kinesis,
            dynamodb: self.dynamo.endpoints().dynamodb,
            s3: self.s3.endpoints().s3,
            secrets_manager: self.secrets.endpoints().secrets_manager,
        };
        let options =
            AwsOptions { region: Some("eu-central-1".into()), endpoints, local: true, ..AwsOptions::default() };
        AwsConfig::load_with(&options, http).await.expect("a region")
    }

    async fn findings(&self, account: Account) -> Vec<Finding> {
        examine(&self.reach(SharedHttpClient::new(account)).await, &self.targets).await
    }
}

fn at_fault(findings: &[Finding]) -> Vec<String> {
    let faults = findings.iter().filter(|finding| finding.state == State::Fault);
    faults.map(|finding| format!("{}, {}", finding.on, finding.what)).collect()
}

fn state(findings: &[Finding], on: &str, what: &str) -> State {
    let found = findings.iter().find(|finding| finding.on == on && finding.what == what);
    found.unwrap_or_else(|| panic!("nothing about {what} of {on}: {findings:#?}")).state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_is_well_has_no_fault_and_is_not_changed() {
    let deployment = Deployment::start().await;
    let findings = deployment.findings(Account::good(https_client())).await;
    assert_eq!(at_fault(&findings), [""; 0], "{findings:#?}");
    for (on, what) in [
        ("this machine", "clock"),
        ("stream events", "record distribution"),
        ("stream events", "retention"),
        ("stream events", "kinesis:PutRecords"),
        ("stream events", "kinesis:GetRecords"),
        ("consumer folds", "exists"),
        ("consumer archives", "kinesis:SubscribeToShard"),
        ("table well-records-0001", "index listing"),
        ("table well-records-0001", "dynamodb:PutItem"),
        ("table well-checkpoints-0001", "dynamodb:UpdateItem"),
        ("table well-leases", "dynamodb:DeleteItem"),
        ("table well-leases-archiver", "leases"),
        ("bucket archive", "versioning"),
        ("bucket archive", "no deletes"),
        ("bucket archive", "create-only policy"),
        ("bucket archive", "create only once"),
        ("bucket archive", "large bodies"),
        ("bucket archive", "s3:AbortMultipartUpload"),
        ("secret prod/stripe", "readable"),
    ] {
        assert_eq!(state(&findings, on, what), State::Ok, "{what} of {on}: {findings:#?}");
    }
    // Where nobody answers the call, nothing is claimed.
    assert_eq!(state(&findings, "table well-records-0001", "point-in-time recovery"), State::NotChecked);
    // Nothing was written but the one object.
    let aws = deployment.reach(https_client()).await;
    for table in ["well-records-0001", "well-leases", "well-checkpoints-0001", "well-quarantine-0001"] {
        let rows = aws.dynamodb().scan().table_name(table).send().await.expect("rows");
        assert_eq!(rows.count, 0, "{table}");
    }
    assert_eq!(deployment.kinesis.subscriptions().begun(), 0, "and nobody's subscription was taken over");
    assert_eq!(deployment.s3.names().len(), 1);
    assert!(deployment.s3.names().iter().all(|name| name.starts_with("p/doctor/")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_defect_is_found_with_its_fix() {
    let deployment = Deployment::start().await;
    let good = || Account::good(https_client());
    let none = |code: &str| format!("<Error><Code>{code}</Code><Message>x</Message></Error>");
    let cases: Vec<(Account, &[&str])> = vec![
        (Account::good(switched_to_auto()), &["stream events, record distribution"]),
        (good().says("versioning", 200, "<VersioningConfiguration/>"), &["bucket archive, versioning"]),
        (
            good().says("policy", 404, &none("NoSuchBucketPolicy")),
            &["bucket archive, no deletes", "bucket archive, create-only policy"],
        ),
        (
            good().says("policy", 200, &POLICY.replace("s3:if-none-match", "s3:x-amz-acl")),
            &["bucket archive, create-only policy"],
        ),
        (
            good().says("publicAccessBlock", 404, &none("NoSuchPublicAccessBlockConfiguration")),
            &["bucket archive, public access"],
        ),
        (
            good().says(
                "lifecycle",
                200,
                "<LifecycleConfiguration><Rule><ID>all</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>\
                 <Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>",
            ),
            &["bucket archive, segments"],
        ),
        (good().denies("PutRecords"), &["stream events, kinesis:PutRecords"]),
        (
            good().denies("BatchGetItem").denies("DeleteItem"),
            &[
                "table well-records-0001, dynamodb:BatchGetItem",
                "table well-leases, dynamodb:DeleteItem",
                "table well-leases-archiver, dynamodb:DeleteItem",
            ],
        ),
        (
            good().denies("SubscribeToShard"),
            &["consumer folds, kinesis:SubscribeToShard", "consumer archives, kinesis:SubscribeToShard"],
        ),
        (good().denies("DescribeStreamConsumer"), &["consumer folds, exists", "consumer archives, exists"]),
        (good().denies("GetSecretValue"), &["secret prod/stripe, readable"]),
    ];
    for (account, faults) in cases {
        let findings = deployment.findings(account).await;
        assert_eq!(at_fault(&findings), faults, "{findings:#?}");
        let unmended = findings.iter().find(|f| f.state == State::Fault && f.fix.is_empty());
        assert_eq!(unmended, None, "a fault without its fix");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_names_that_are_wrong_are_found() {
    let mut deployment = Deployment::start().await;
    let aws = deployment.reach(https_client()).await;
    let client = aws.dynamodb();
    // The tables of another program: no index, another key, leases of a Kinesis Client Library 3.
    client.delete_table().table_name("well-records-0001").send().await.expect("deleted");
    DynamoLeases::create_table(client.config(), "well-records-0001").await.expect("another table");
    let row = client.put_item().table_name("well-leases").item("leaseKey", AttributeValue::S("Leader".into()));
    row.item("entityType", AttributeValue::S("LEADER".into())).send().await.expect("a row");
    let findings = deployment.findings(Account::good(https_client())).await;
    for (on, what) in [
        ("table well-records-0001", "key"),
        ("table well-records-0001", "index listing"),
        ("table well-records-0001", "index attention"),
        ("table well-leases", "leases"),
    ] {
        assert_eq!(state(&findings, on, what), State::Fault, "{what} of {on}: {findings:#?}");
    }
    deployment.targets.consumers = vec![(Part::Archiver, "nobody".into())];
    let findings = deployment.findings(Account::good(https_client())).await;
    assert_eq!(state(&findings, "consumer nobody", "exists"), State::Fault, "{findings:#?}");
    assert!(findings.iter().any(|f| f.on == "consumer nobody" && f.fix.contains("register-stream-consumer")));
    deployment.targets.stream = "no-stream".into();
    deployment.targets.tables = "nothing".into();
    deployment.targets.bucket = "no-bucket".into();
    deployment.targets.secrets = vec!["no-secret".into()];
    let findings = deployment.findings(Account::good(https_client())).await;
    for (on, what) in [
        ("stream no-stream", "exists"),
        ("table nothing-control", "exists"),
        ("table nothing-records-0001", "exists"),
        ("table nothing-leases", "exists"),
        ("secret no-secret", "readable"),
    ] {
        assert_eq!(state(&findings, on, what), State::Fault, "{what} of {on}: {findings:#?}");
    }
}
