//! Tables of settings that are refused, and of what the message must say.

use super::*;

const SOURCE: &str = "[[source]]\nname = \"shop\"\nprovider = \"stripe\"\nsecrets = [\"env:X\"]\n";

fn parse(text: &str) -> Outcome<Loaded> {
    Loaded::parse(Path::new("conf/ledgerline.toml"), text)
}

#[test]
fn refused_settings_name_file_key_and_fix() {
    let with = |line: &str| format!("{SOURCE}{line}\n");
    let fan_out =
        |names: &str| format!("[aws]\nstream = \"s\"\ntables = \"t\"\nbucket = \"b\"\nlog.fan_out = {{ {names} }}\n");
    for (text, wanted) in [
        ("shards = 0".to_owned(), vec!["`shards`", "use 1 to"]),
        ("colour = 1".to_owned(), vec!["unknown field `colour`", "`listen`"]),
        ("listen = \"somewhere\"".to_owned(), vec!["listen", "socket address"]),
        ("[limits]\nbody_bytes_max = 0".to_owned(), vec!["`limits.body_bytes_max`", "use 1 to"]),
        ("[limits]\nappend_seconds_max = 0".to_owned(), vec!["`limits.append_seconds_max`", "use 1 to"]),
        ("[limits]\nspeed = 0".to_owned(), vec!["unknown field `speed`"]),
        (format!("{SOURCE}{SOURCE}"), vec!["`source[1].name`", "configured twice"]),
        (SOURCE.replace("stripe", "strip"), vec!["`source[0].provider`", "use one of adyen, adyen-form"]),
        (SOURCE.replace("\"env:X\"", ""), vec!["`source[0].secrets`", "env:STRIPE_SECRET"]),
        (SOURCE.replace("shop", "Shop"), vec!["accept source name", "a-z"]),
        (with("tolerance_seconds = 0"), vec!["`source[0].tolerance_seconds`"]),
        (with("rate_limit_per_second = 0"), vec!["`source[0].rate_limit_per_second`", "1 or more"]),
        (with("url = \"https://example.com\""), vec!["`source[0].url`", "does not sign the address"]),
        (with("certificates = \"x\""), vec!["`source[0].certificates`", "needs none"]),
        (
            SOURCE.replace("stripe", "generic") + "hydrate = \"env:K\"\n",
            vec!["`source[0].hydrate`", "no [[hydrate]] rule"],
        ),
        (with("hydrate = \"env:K\"\nhydrate_per_second = 0"), vec!["`source[0].hydrate_per_second`", "use 1 to"]),
        (with("secret = \"x\""), vec!["unknown field `secret`"]),
        (
            fan_out("processor = \"a\", archiver = \"a\""),
            vec!["`aws.log.fan_out.archiver`", "another consumer", "one subscription per shard"],
        ),
        (fan_out("archiver = \"arn:aws:kinesis:x\""), vec!["`aws.log.fan_out.archiver`", "not its ARN"]),
        (fan_out("ingest = \"a\""), vec!["unknown field `ingest`"]),
        ("providers = [\"absent.toml\"]".to_owned(), vec!["conf/absent.toml", "`providers`"]),
    ] {
        let failure = parse(&text).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage, "{text}");
        for part in
            wanted.iter().chain(if text.contains("absent") { [].iter() } else { ["conf/ledgerline.toml"].iter() })
        {
            assert!(failure.message.contains(part), "{text}\nwants {part:?}\nsays {}", failure.message);
        }
    }
}

#[test]
fn paypals_certificates_are_fetched_unless_a_folder_is_named() {
    let text = SOURCE.replace("stripe", "paypal").replace("env:X", "WEBHOOK-1");
    let origin = |text: &str| {
        let loaded = parse(text).unwrap();
        let source = loaded.source("shop").unwrap();
        let keys = crate::keys::OuterKeys::open(&loaded, source, &loaded.scheme(source).unwrap()).unwrap();
        keys.origin().unwrap()
    };
    assert!(
        origin(&text).contains("kept in conf/ledgerline-data/certificates/shop (0 certificates there)"),
        "{}",
        origin(&text)
    );
    assert!(origin(&format!("{text}certificates = \"mine\"\n")).contains("conf/mine alone"));
}

#[test]
fn nothing_given_means_defaults() {
    let loaded = parse("").unwrap();
    assert_eq!(loaded.settings.data, Path::new("conf/ledgerline-data"));
    assert_eq!(loaded.settings.shards, None);
    assert!(loaded.settings.source.is_empty());
}

#[test]
fn the_example_is_accepted() {
    let loaded = parse(EXAMPLE).unwrap();
    assert_eq!(loaded.source("stripe-eu").unwrap().provider, "stripe");
    assert!(loaded.source("stripe-us").unwrap_err().message.contains("configured are stripe-eu"));
}

#[test]
fn a_file_overrides_a_built_in_provider() {
    let folder = tempfile::tempdir().unwrap();
    let text = Provider::built_in_text("generic").unwrap().replace("Plain JSON with", "Ours, with");
    std::fs::write(folder.path().join("ours.toml"), text).unwrap();
    let loaded = Loaded::parse(&folder.path().join("l.toml"), "providers = [\"ours.toml\"]").unwrap();
    let generic = loaded.providers.iter().find(|(p, _)| p.name() == "generic").unwrap();
    assert!(generic.0.description().starts_with("Ours, with") && generic.1.ends_with("ours.toml"));
    let twice = Loaded::parse(&folder.path().join("l.toml"), "providers = [\"ours.toml\", \"ours.toml\"]");
    assert!(twice.unwrap_err().message.contains("already defined by"));
}

#[test]
fn secrets_are_named_and_never_shown() {
    let text = SOURCE.replace("env:X", "whsec_verysecret");
    let loaded = parse(&text).unwrap();
    assert!(loaded.settings.source[0].secrets[0].is_literal());
    assert!(!format!("{:?}", loaded.settings).contains("verysecret"));
}

#[test]
fn a_source_gives_the_address_that_its_provider_signs() {
    let folder = tempfile::tempdir().unwrap();
    let signed = "scheme = \"hmac\"\nheader = \"x-sig\"\ncontent = \"{url}{body}\"\n\n[event]";
    let generic = Provider::built_in_text("generic").unwrap();
    let (before, after) = (generic.find("scheme =").unwrap(), generic.find("[event]").unwrap());
    let text = format!("{}{signed}{}", &generic[..before], &generic[after + "[event]".len()..]);
    std::fs::write(folder.path().join("ours.toml"), text).unwrap();
    let parse = |url: &str| {
        let source = SOURCE.replace("\"stripe\"", "\"generic\"");
        Loaded::parse(&folder.path().join("l.toml"), &format!("providers = [\"ours.toml\"]\n{source}{url}"))
    };
    let missing = parse("").unwrap_err().message;
    assert!(missing.contains("`source[0].url`") && missing.contains("https://example.com/webhooks/shop"), "{missing}");
    assert!(parse("url = \"example.com\"").unwrap_err().message.contains("`source[0].url`"));
    let loaded = parse("url = \"https://example.com/x\"").unwrap();
    let scheme = loaded.scheme(loaded.source("shop").unwrap()).unwrap();
    assert_eq!(scheme.url(), Some("https://example.com/x"));
}
