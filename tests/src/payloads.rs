//! Every payload file beside the project, with the provider it belongs to and the headers it came with.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;

use crate::fixtures::{files, folder};

/// Folders of the fixtures, and the provider that reads what is in them.
const FOLDERS: &[(&str, &str)] = &[
    ("adyen", "adyen"),
    ("braintree", "braintree"),
    ("checkout", "checkout"),
    ("github", "github"),
    ("gocardless", "gocardless"),
    ("mollie", "mollie"),
    ("other/authorize-net", "authorize-net"),
    ("other/coinbase", "coinbase-commerce"),
    // Of services that no file here reads: kept, with the reason.
    ("other/form", "generic"),
    ("other/lemon-squeezy", "lemon-squeezy"),
    ("other/razorpay", "razorpay"),
    ("other/wise", "wise"),
    ("paddle", "paddle"),
    ("paypal", "paypal"),
    ("shopify", "shopify"),
    ("slack", "slack"),
    ("square", "square"),
    ("standard-webhooks", "standard-webhooks"),
    ("stripe", "stripe"),
];

/// One request's body as it was sent.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Name of the built-in provider.
    pub provider: &'static str,
    /// Path below the fixtures.
    pub file: String,
    /// The folder it stands in, as a source's name: ids start again in each.
    pub group: String,
    /// Headers that the provider reads, as far as the fixtures tell them.
    pub headers: Vec<(String, String)>,
    /// The exact body.
    pub body: Bytes,
}

/// All payloads of all providers; a printed line for each folder that is absent.
pub fn payloads() -> Vec<Payload> {
    let mut found = Vec::new();
    for (name, provider) in FOLDERS {
        let Some(dir) = folder(name) else { continue };
        let topics = told_topics(&dir);
        for path in files(&dir, &["json", "form", "xml", "txt"]) {
            let below = path.strip_prefix(&dir).unwrap_or(&path).to_string_lossy().into_owned();
            if below.ends_with("_index.json") || below.ends_with("signature-vectors.json") {
                continue;
            }
            let Ok(body) = std::fs::read(&path) else { continue };
            let headers = headers(provider, &below, topics.get(&below));
            let provider = kind_of_adyen(provider, &body);
            let body = if below.ends_with(".xml") { in_a_form(&body) } else { body };
            let parent = Path::new(&below).parent().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
            let group = source_name(&format!("{name}-{parent}"));
            found.push(Payload { provider, file: format!("{name}/{below}"), group, headers, body: body.into() });
        }
    }
    found
}

/// Payments come as items, or as forms; everything else is of Adyen's other kind of webhook.
fn kind_of_adyen(provider: &'static str, body: &[u8]) -> &'static str {
    let json = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let items = body.windows(19).any(|w| w == b"\"notificationItems\"");
    match provider {
        "adyen" if !json => "adyen-form",
        "adyen" if !items => "adyen-platform",
        other => other,
    }
}

/// Braintree's XML as it travels. The files are the decoded view of it.
fn in_a_form(xml: &[u8]) -> Vec<u8> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(xml).replace('+', "%2B").replace('=', "%3D");
    format!("bt_payload={encoded}%0A").into_bytes()
}

/// A folder's path as a source may be named.
fn source_name(path: &str) -> String {
    let plain: String =
        path.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let tail: String = plain.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
    tail.trim_matches('-').to_owned()
}

/// Topics that the list of origins names, by file.
fn told_topics(dir: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(dir.join("PROVENANCE.md")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let file = line.strip_prefix("| ")?.split(" |").next()?;
        let topic = line.split_once("X-Shopify-Topic: ")?.1.split(',').next()?;
        Some((file.to_owned(), topic.trim().to_owned()))
    });
    rows.collect()
}

fn headers(provider: &str, below: &str, topic: Option<&String>) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match provider {
        "github" => {
            let event = below.split('/').nth(1).unwrap_or_default();
            vec![pair("x-github-event", event), pair("x-github-delivery", below)]
        }
        "shopify" => {
            // Those without a topic in the list: `2025-04_refunds_1.json` and the like.
            let guess = |name: &str| match name {
                n if n.contains("order_transactions") => "order_transactions/create",
                n if n.contains("refunds") => "refunds/create",
                _ => "orders/updated",
            };
            let topic = topic.map_or_else(|| guess(below), String::as_str);
            vec![pair("x-shopify-topic", topic), pair("x-shopify-event-id", below)]
        }
        "standard-webhooks" => vec![pair("webhook-id", below)],
        _ => Vec::new(),
    }
}
