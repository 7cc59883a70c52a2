//! Times as people write them: RFC 3339, a day, a month or a year, all in UTC.

use ledgerline_domain::time::UnixNanos;

use crate::exit::{Failure, Outcome};

/// The instant at which what `text` names begins.
pub fn from(option: &str, text: &str) -> Outcome<UnixNanos> {
    Ok(bounds(option, text)?.0)
}

/// The last instant of what `text` names: an RFC 3339 time itself, a day to its last nanosecond.
pub fn until(option: &str, text: &str) -> Outcome<UnixNanos> {
    Ok(bounds(option, text)?.1)
}

/// First and last instant of what `text` names.
pub fn bounds(option: &str, text: &str) -> Outcome<(UnixNanos, UnixNanos)> {
    let fault = |why: &str| {
        let fix = "write it as 2026-10-01T00:00:00Z, 2026-10-01, 2026-10 or 2026";
        Failure::usage(format!("read {option} {text:?}: {why}; {fix}"))
    };
    let Some((year, month, day)) = date(text) else {
        let at = UnixNanos::parse_rfc3339(text).map_err(|_| fault("it is no time"))?;
        return Ok((at, at));
    };
    let at = |(year, month, day): (u32, u32, u32)| {
        UnixNanos::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z"))
    };
    let begin = at((year, month.unwrap_or(1), day.unwrap_or(1))).map_err(|_| fault("there is no such day"))?;
    let next = match (month, day) {
        (_, Some(_)) => Ok(UnixNanos::from_nanos(begin.nanos().saturating_add(DAY_NANOS))),
        (Some(12), None) | (None, None) => at((year + 1, 1, 1)),
        (Some(month), None) => at((year, month + 1, 1)),
    };
    let next = next.map_err(|_| fault("there is no such time"))?;
    Ok((begin, UnixNanos::from_nanos(next.nanos() - 1)))
}

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Year, month and day of `2026`, `2026-10` or `2026-10-01`; nothing for another form.
fn date(text: &str) -> Option<(u32, Option<u32>, Option<u32>)> {
    let number = |part: &str, digits: usize| {
        let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map(|part| number(part, 2)).map_or(Some(None), |n| n.map(Some))?;
    let day = parts.next().map(|part| number(part, 2)).map_or(Some(None), |n| n.map(Some))?;
    parts.next().is_none().then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_months_and_years_have_a_first_and_a_last_instant() {
        for (text, first, last) in [
            ("2026", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z"),
            ("2026-10", "2026-10-01T00:00:00Z", "2026-10-31T23:59:59.999999999Z"),
            ("2026-12", "2026-12-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z"),
            ("2028-02", "2028-02-01T00:00:00Z", "2028-02-29T23:59:59.999999999Z"),
            ("2026-10-31", "2026-10-31T00:00:00Z", "2026-10-31T23:59:59.999999999Z"),
            ("2026-10-31T05:00:00+02:00", "2026-10-31T03:00:00Z", "2026-10-31T03:00:00Z"),
        ] {
            let (a, b) = bounds("--x", text).unwrap();
            assert_eq!((a.to_string().as_str(), b.to_string().as_str()), (first, last), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_fix() {
        for text in
            ["", "2026-13", "2026-02-30", "26-01-01", "2026-1", "2026-10-01-01", "yesterday", "2026-10-31T05:00"]
        {
            let failure = bounds("--from", text).unwrap_err();
            assert!(failure.message.contains("--from") && failure.message.contains("write it as"), "{text}");
        }
    }
}
