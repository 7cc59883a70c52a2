//! Minor units, currencies and decimal text. No floats anywhere.

use crate::error::{Error, Result};
use crate::fact::AMOUNT_MINOR_MAX;

/// Decimal places of a currency by ISO 4217 (list one); 2 for those not named here.
pub fn decimals(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// An amount counted in `from` decimal places, in `to` places; nothing when it does not fit exactly.
pub fn rescale(amount: i64, from: u32, to: u32) -> Option<i64> {
    let factor = 10_i64.checked_pow(from.abs_diff(to))?;
    if to >= from { amount.checked_mul(factor) } else { (amount % factor == 0).then_some(amount / factor) }
}

/// Minor units as people write them: `1250, EUR` is `12.50 EUR`.
pub fn format(minor: i128, currency: &str) -> String {
    let places = decimals(currency) as usize;
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let mut text = format!("{sign}{whole}");
    if places > 0 {
        text.push('.');
        text.push_str(fraction);
    }
    if !currency.is_empty() {
        text.push(' ');
        text.push_str(currency);
    }
    text
}

/// Decimal text such as `12.5` in minor units of `currency`. More places than the currency has are
/// accepted when they are zeros.
pub fn parse_decimal(text: &str, currency: &str) -> Result<i64> {
    let refused = || {
        Error::invalid(
            "read a decimal amount: it must be digits with at most one point, not negative, and fit the currency",
        )
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let places = decimals(currency) as usize;
    let (kept, rest) = fraction.split_at(fraction.len().min(places));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || rest.bytes().any(|b| b != b'0') {
        return Err(refused());
    }
    let digits = format!("{whole}{kept:0<places$}");
    match digits.parse::<i64>() {
        Ok(minor) if minor <= AMOUNT_MINOR_MAX => Ok(minor),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_currency() {
        for (minor, currency, text) in [
            (1250, "EUR", "12.50 EUR"),
            (5, "EUR", "0.05 EUR"),
            (-5, "EUR", "-0.05 EUR"),
            (500, "JPY", "500 JPY"),
            (1, "KWD", "0.001 KWD"),
            (0, "USD", "0.00 USD"),
        ] {
            assert_eq!(format(minor, currency), text);
        }
    }

    #[test]
    fn rescales_exactly() {
        for (amount, from, to, wanted) in [
            (1000, 2, 0, Some(10)),
            (1001, 2, 0, None),
            (5, 0, 2, Some(500)),
            (7, 2, 2, Some(7)),
            (i64::MAX, 0, 2, None),
            (1, 0, 40, None),
        ] {
            assert_eq!(rescale(amount, from, to), wanted, "{amount} {from} {to}");
        }
    }

    #[test]
    fn reads_decimals_exactly() {
        for (text, currency, minor) in [
            ("12.5", "EUR", 1250),
            ("12.500", "EUR", 1250),
            ("0.07", "USD", 7),
            ("500", "JPY", 500),
            ("500.00", "JPY", 500),
            ("1.001", "KWD", 1001),
        ] {
            assert_eq!(parse_decimal(text, currency).ok(), Some(minor), "{text} {currency}");
        }
        for text in ["", ".5", "-1", "1e3", "1,5", "1.2.3", "0.001", "99999999999999999999", "+1"] {
            assert!(parse_decimal(text, "EUR").is_err(), "{text}");
        }
    }
}
