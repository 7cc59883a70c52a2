//! The price list: a table in `prices.toml`, each price with its source and date; a file may override some of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::exit::{Failure, Outcome};

const BUILT_IN: &str = include_str!("prices.toml");

/// One price.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars …
    pub dollars: f64,
    /// … for so many.
    pub per: u64,
    /// Of what.
    pub what: String,
    /// Where it was read, and when.
    pub source: String,
}

/// All prices, by name.
#[derive(Clone, Debug)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    /// The built-in list with what `file` says instead. A name that the list does not have is refused.
    pub fn read(file: Option<&Path>) -> Outcome<Self> {
        let parse = |name: &str, text: &str| {
            toml::from_str(text).map_err(|e| Failure::usage(format!("read the prices in {name}: {e}")))
        };
        let mut all: BTreeMap<String, Price> = parse("the built-in list", BUILT_IN)?;
        let Some(file) = file else { return Ok(Self(all)) };
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|e| Failure::usage(format!("read the prices in {name}: {e}; correct --prices")))?;
        let other: BTreeMap<String, Price> = parse(&name, &text)?;
        for (key, price) in other {
            if !(price.dollars.is_finite() && price.dollars >= 0.0 && price.per > 0) {
                return Err(Failure::usage(format!(
                    "read the price {key} in {name}: give dollars of 0 or more, per 1 or more"
                )));
            }
            if all.insert(key.clone(), price).is_none() {
                let known: Vec<&str> = all.keys().map(String::as_str).filter(|known| *known != key).collect();
                return Err(Failure::usage(format!("read {name}: no price is called {key}; use {}", known.join(", "))));
            }
        }
        Ok(Self(all))
    }

    /// Dollars for so many; a name that is not there costs nothing, which a test keeps from happening.
    pub fn dollars(&self, name: &str, count: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a million at most")]
        self.0.get(name).map_or(0.0, |price| count * price.dollars / price.per as f64)
    }

    /// A price by its name.
    pub fn get(&self, name: &str) -> Option<&Price> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_overrides_what_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prices.toml");
        let price = "dollars = 1.0\nper = 10\nwhat = \"w\"\nsource = \"s\"\n";
        std::fs::write(&file, format!("[s3_put]\n{price}")).unwrap();
        let prices = Prices::read(Some(&file)).unwrap();
        assert_eq!(prices.dollars("s3_put", 20.0), 2.0);
        assert_eq!(prices.dollars("dynamodb_write_unit", 2e6), 1.25);
        std::fs::write(&file, format!("[s3_putt]\n{price}")).unwrap();
        assert!(Prices::read(Some(&file)).unwrap_err().message.contains("s3_putt"));
        std::fs::write(&file, "[s3_put]\ndollars = 1.0\n").unwrap();
        assert!(Prices::read(Some(&file)).is_err());
    }
}
