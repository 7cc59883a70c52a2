//! The tables: there, with their keys and indexes, recoverable, protected.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, TableDescription, TableStatus,
};
use ledgerline_domain::ErrorKind;

use super::trouble::{Trouble, trouble};
use super::{Findings, Part, State, Targets};
use crate::aws::AwsConfig;
use crate::aws::dynamo::tables::{ATTENTION, LISTING, Tables};
use crate::aws::leases::DynamoLeases;

const DESCRIBE: &str = "dynamodb:DescribeTable";
const BACKUPS: &str = "dynamodb:DescribeContinuousBackups";

/// The item of the control table that says which generation is live.
const GENERATIONS: &str = "generations";

/// A table as the program expects it.
struct Expected {
    name: String,
    keys: &'static [&'static str],
    indexes: &'static [(&'static str, &'static [&'static str])],
    /// Whether it holds what nothing else does, for a while or for good.
    recovery: bool,
}

/// Gives the number of the live generation.
pub(super) async fn examine(aws: &AwsConfig, targets: &Targets, found: &mut Findings) -> u32 {
    let client = aws.dynamodb();
    let generation = match Tables::new(&targets.tables, 1) {
        Ok(names) => live(&client, &names.control, found).await,
        Err(error) => {
            let on = format!("tables {}", targets.tables);
            found.add(&on, "names", State::Fault, error.to_string(), "correct `tables`");
            return 1;
        }
    };
    let Ok(names) = Tables::new(&targets.tables, generation) else { return generation };
    let table = |name: &str, keys, recovery| Expected { name: name.to_owned(), keys, indexes: &[], recovery };
    let records = Expected {
        indexes: &[(LISTING, &["part", "key"]), (ATTENTION, &["attention", "key"])],
        ..table(&names.records, &["key"], true)
    };
    let mut expected = vec![
        table(&names.control, &["name"], true),
        records,
        table(&names.checkpoints, &["shard"], false),
        table(&names.quarantine, &["part", "id"], true),
    ];
    let leases = [(Part::Processor, "leases"), (Part::Archiver, "leases-archiver")];
    let leases: Vec<String> = leases
        .into_iter()
        .filter(|(part, _)| targets.has(*part))
        .map(|(_, end)| format!("{}-{end}", targets.tables))
        .collect();
    expected.extend(leases.iter().map(|name| table(name, &["leaseKey"], false)));
    for expected in &expected {
        one(&client, expected, found).await;
    }
    for name in leases {
        rows(aws, &name, found).await;
    }
    generation
}

/// The number of the live generation. A deployment that has not begun has none yet, and begins with the first.
async fn live(client: &Client, control: &str, found: &mut Findings) -> u32 {
    let get = client.get_item().table_name(control).key("name", AttributeValue::S(GENERATIONS.to_owned()));
    let number = match get.send().await {
        Ok(answer) => answer.item.and_then(|item| item.get("live")?.as_n().ok()?.parse().ok()),
        Err(_) => None,
    };
    if let Some(number) = number {
        found.ok(&format!("table {control}"), "live generation", format!("{number}"));
    }
    number.unwrap_or(1)
}

async fn one(client: &Client, expected: &Expected, found: &mut Findings) {
    let on = format!("table {}", expected.name);
    let described = client.describe_table().table_name(&expected.name).send().await;
    let table = match described.map(|answer| answer.table) {
        Ok(Some(table)) => table,
        Ok(None) => return found.add(&on, "exists", State::NotChecked, "the answer is empty", ""),
        Err(error) => {
            return match trouble(&error, DESCRIBE, &on) {
                Trouble::Absent(code) => {
                    let keys = expected.keys.join(" and ");
                    let fix = format!("create it with the key {keys} (string), or correct `tables` or the region");
                    found.add(&on, "exists", State::Fault, format!("there is none ({code})"), fix);
                }
                Trouble::Other(words) => found.add(&on, "exists", State::Fault, words, "make AWS reachable from here"),
                other => other.note(found, &on, "exists", DESCRIBE),
            };
        }
    };
    match &table.table_status {
        Some(status @ (TableStatus::Active | TableStatus::Updating)) => found.ok(&on, "exists", status.as_str()),
        status => {
            let status = status.as_ref().map_or("unknown", TableStatus::as_str);
            found.add(&on, "exists", State::Fault, format!("it is {status}"), "wait until it is ACTIVE");
        }
    }
    let keys = names(table.key_schema());
    if keys == expected.keys && all_texts(&table, expected.keys) {
        found.ok(&on, "key", keys.join(", "));
    } else {
        let fix = format!("make it anew with the key {} (strings): a key cannot be changed", expected.keys.join(", "));
        found.add(&on, "key", State::Fault, keys.join(", "), fix);
    }
    indexes(&on, &table, expected, found);
    if table.deletion_protection_enabled == Some(true) {
        found.ok(&on, "deletion protection", "on");
    } else {
        let fix = format!("aws dynamodb update-table --table-name {} --deletion-protection-enabled", expected.name);
        found.add(&on, "deletion protection", State::Warning, "off", fix);
    }
    if expected.recovery {
        recovery(client, &on, &expected.name, found).await;
    }
}

/// Names of a key's attributes, hash first.
fn names(schema: &[KeySchemaElement]) -> Vec<&str> {
    let rank = |key: &&KeySchemaElement| u8::from(key.key_type != KeyType::Hash);
    let mut keys: Vec<&KeySchemaElement> = schema.iter().collect();
    keys.sort_by_key(rank);
    keys.into_iter().map(|key| key.attribute_name.as_str()).collect()
}

fn all_texts(table: &TableDescription, keys: &[&str]) -> bool {
    let types: BTreeMap<&str, &str> =
        table.attribute_definitions().iter().map(|a| (a.attribute_name.as_str(), a.attribute_type.as_str())).collect();
    keys.iter().all(|key| types.get(key).is_none_or(|kind| *kind == "S"))
}

fn indexes(on: &str, table: &TableDescription, expected: &Expected, found: &mut Findings) {
    for (name, keys) in expected.indexes {
        let what = format!("index {name}");
        let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(*name));
        let fix = || format!("add the index {name} with the key {}, projection INCLUDE status", keys.join(", "));
        let Some(index) = index else {
            found.add(on, &what, State::Fault, "there is none", fix());
            continue;
        };
        let its = names(index.key_schema());
        let projected = index.projection().is_some_and(|projection| {
            projection.projection_type().is_some_and(|kind| kind.as_str() == "ALL")
                || projection.non_key_attributes().iter().any(|name| name == "status")
        });
        if its != *keys {
            found.add(on, &what, State::Fault, format!("its key is {}", its.join(", ")), fix());
        } else if !projected {
            found.add(on, &what, State::Fault, "it does not hold `status`: lists by status find nothing", fix());
        } else {
            found.ok(on, &what, its.join(", "));
        }
    }
}

async fn recovery(client: &Client, on: &str, table: &str, found: &mut Findings) {
    const WHAT: &str = "point-in-time recovery";
    let described = client.describe_continuous_backups().table_name(table).send().await;
    let status = match described {
        Ok(answer) => answer
            .continuous_backups_description
            .and_then(|all| all.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status),
        Err(error) => return trouble(&error, BACKUPS, on).note(found, on, WHAT, BACKUPS),
    };
    if status == Some(PointInTimeRecoveryStatus::Enabled) {
        found.ok(on, WHAT, "on");
    } else {
        let fix = format!(
            "aws dynamodb update-continuous-backups --table-name {table} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true"
        );
        found.add(on, WHAT, State::Warning, "off", fix);
    }
}

/// A table of leases must hold leases of this kind only.
async fn rows(aws: &AwsConfig, table: &str, found: &mut Findings) {
    let on = format!("table {table}");
    match DynamoLeases::open(aws.dynamodb().config(), table).await {
        Ok(_) => found.ok(&on, "leases", "of this program, or none"),
        Err(error) if error.to_string().contains("Kinesis Client Library 3") => {
            let fix = "give the program a table of its own: another `tables`";
            found.add(&on, "leases", State::Fault, "a Kinesis Client Library 3 fleet works in it", fix);
        }
        Err(error) => {
            let state = if error.kind() == ErrorKind::Data { State::Fault } else { State::NotChecked };
            found.add(&on, "leases", state, error.to_string(), "");
        }
    }
}
