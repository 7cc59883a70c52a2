//! Amounts, times and facts as people read them. Times are UTC.

use ledgerline_domain::fact::{AmountBasis, Fact, FactKind, SubStatus};
use ledgerline_domain::money;
use ledgerline_domain::time::UnixNanos;

/// `2026-11-24 14:03:02`, with the fraction where there is one, to milliseconds.
pub fn time(at: UnixNanos) -> String {
    let text = at.to_string();
    let text = text.trim_end_matches('Z').replacen('T', " ", 1);
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{}", fraction.get(..3).unwrap_or(fraction)),
        None => text,
    }
}

/// `14:03:02` of [`time`].
pub fn time_of_day(at: UnixNanos) -> String {
    time(at).split_once(' ').map(|(_, time)| time.to_owned()).unwrap_or_default()
}

/// A length of time in at most two units: `4 ms`, `0.4 s`, `9 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(nanos: i64) -> String {
    let nanos = nanos.unsigned_abs();
    let millis = nanos / 1_000_000;
    let seconds = nanos / 1_000_000_000;
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0 if millis < 100 => format!("{millis} ms"),
        0..10 => {
            let tenths = nanos / 100_000_000;
            match tenths % 10 {
                0 => format!("{} s", tenths / 10),
                rest => format!("{}.{rest} s", tenths / 10),
            }
        }
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `1st`, `2nd`, `3rd`, `11th`.
pub fn ordinal(n: usize) -> String {
    let suffix = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// `1 event`, `2 events`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

/// `12 345`, with spaces at which no line breaks.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// An amount with its thousands apart, `12 345.00 EUR`, in which no line breaks.
pub fn amount(minor: i128, currency: &str) -> String {
    let plain = money::format(minor, currency);
    let (sign, plain) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let end = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
    let (whole, rest) = plain.split_at(end);
    let rest = rest.replace(' ', "\u{a0}");
    match whole.parse() {
        Ok(whole) => format!("{sign}{}{rest}", thousands(whole)),
        Err(_) => format!("{sign}{whole}{rest}"),
    }
}

/// What a fact says: `captured 12.50 EUR in total`, `refund re_1 of 3.00 EUR succeeded`.
pub fn fact(fact: &Fact) -> String {
    let currency = fact.currency.as_deref().unwrap_or_default();
    let amount = fact.amount.map(|minor| money::format(i128::from(minor), currency));
    let of_amount = |text: &str, amount: Option<String>| match amount {
        Some(amount) if fact.basis == AmountBasis::Total => format!("{text} {amount} in total"),
        Some(amount) => format!("{text} {amount}"),
        None => text.to_owned(),
    };
    let sub_object = |name: &str, amount: Option<String>| {
        let id = fact.reference.as_deref().unwrap_or("without id");
        let of = amount.map(|a| format!(" of {a}")).unwrap_or_default();
        let status = fact.status.map(|s| format!(" {}", sub_status(s))).unwrap_or_default();
        format!("{name} {id}{of}{status}")
    };
    match fact.kind {
        FactKind::Requested => match amount {
            Some(amount) => format!("asks for {amount}"),
            None => "payment created".into(),
        },
        FactKind::RequiresAction => "the payer must act".into(),
        FactKind::Processing => "being processed".into(),
        FactKind::Failed => "attempt failed".into(),
        FactKind::Authorized => of_amount("authorised", amount),
        FactKind::Captured => of_amount("captured", amount),
        FactKind::Canceled => "cancelled".into(),
        FactKind::Refund if fact.status.is_none() => of_amount("refunded", amount),
        FactKind::Refund => sub_object("refund", amount),
        FactKind::Dispute => sub_object("dispute", amount),
        FactKind::Fee => of_amount("fee", amount),
        FactKind::CaptureFailed => match (&fact.reference, amount) {
            (Some(id), Some(amount)) => format!("capture {id} of {amount} failed after all"),
            (Some(id), None) => format!("capture {id} failed after all"),
            (None, _) => "the capture failed after all".into(),
        },
    }
}

/// The state of a refund or dispute, as people say it.
pub fn sub_status(status: SubStatus) -> &'static str {
    match status {
        SubStatus::Pending => "pending",
        SubStatus::Succeeded => "succeeded",
        SubStatus::Failed => "failed",
        SubStatus::Canceled => "cancelled",
        SubStatus::Open => "open",
        SubStatus::Won => "won",
        SubStatus::Lost => "lost",
        SubStatus::Closed => "closed",
    }
}

/// All facts of an event, without saying one twice.
pub fn facts(all: &[Fact]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for one in all {
        let text = fact(one);
        if !parts.contains(&text) {
            parts.push(text);
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (nanos, text) in [
            (4_000_000, "4 ms"),
            (400_000_000, "0.4 s"),
            (9_000_000_000, "9 s"),
            (9_100_000_000, "9.1 s"),
            (59_900_000_000, "59 s"),
            (200_000_000_000, "3 min 20 s"),
            (7_500_000_000_000, "2 h 5 min"),
            (86_400_000_000_000, "1 d"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 112].map(ordinal).join(" "),
            "1st 2nd 3rd 4th 11th 12th 13th 21st 112th"
        );
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands).join(","), "0,999,1\u{a0}000,1\u{a0}234\u{a0}567");
    }

    #[test]
    fn amounts_keep_thousands_apart() {
        for (minor, currency, text) in [
            (1_234_567, "EUR", "12\u{a0}345.67\u{a0}EUR"),
            (-1_234_567, "JPY", "-1\u{a0}234\u{a0}567\u{a0}JPY"),
            (5, "EUR", "0.05\u{a0}EUR"),
            (i128::MAX, "JPY", "170141183460469231731687303715884105727\u{a0}JPY"),
        ] {
            assert_eq!(amount(minor, currency), text);
        }
    }

    #[test]
    fn times_are_utc_to_the_millisecond() {
        let at = UnixNanos::from_nanos(1_790_000_000_123_456_789);
        assert_eq!(time(at), "2026-09-21 14:13:20.123");
        assert_eq!(time_of_day(UnixNanos::from_nanos(1_790_000_000_000_000_000)), "14:13:20");
    }

    #[test]
    fn facts_say_amounts_and_ids() {
        let mut one = Fact {
            kind: FactKind::Refund,
            amount: Some(300),
            currency: Some("EUR".into()),
            basis: AmountBasis::Total,
            reference: Some("re_1".into()),
            status: Some(SubStatus::Succeeded),
        };
        assert_eq!(fact(&one), "refund re_1 of 3.00 EUR succeeded");
        one.status = None;
        assert_eq!(fact(&one), "refunded 3.00 EUR in total");
        one.kind = FactKind::Captured;
        assert_eq!(facts(&[one.clone(), one]), "captured 3.00 EUR in total");
    }
}
