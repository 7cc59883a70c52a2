//! What the bucket's lifecycle rules take away: left-over uploads and large bodies that are archived, nothing else.

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

use super::{Findings, State};

/// How long a large body stays after the stream has forgotten its record.
const CLAIM_DAYS_MORE: i32 = 2;

/// Judges the rules; `retention` is the stream's, in hours.
pub(super) fn judge(on: &str, below: &str, rules: &[LifecycleRule], retention: Option<i32>, found: &mut Findings) {
    let rules: Vec<&LifecycleRule> = rules.iter().filter(|rule| rule.status == ExpirationStatus::Enabled).collect();
    let aborts = |rule: &&&LifecycleRule| rule.abort_incomplete_multipart_upload.is_some() && covers(rule, below);
    if rules.iter().any(|rule| aborts(&rule)) {
        found.ok(on, "incomplete uploads", "taken away by a rule");
    } else {
        let fix = "add a lifecycle rule with AbortIncompleteMultipartUpload, 3 days";
        found.add(on, "incomplete uploads", State::Warning, "no rule takes them away; they cost storage for ever", fix);
    }
    let claims = format!("{below}claims/");
    let days = |rule: &&LifecycleRule| rule.expiration.as_ref().and_then(|expiration| expiration.days);
    let expiring: Vec<i32> = rules.iter().filter(|rule| covers(rule, &claims)).filter_map(days).collect();
    let least = retention.map(|hours| hours.div_ceil_by(24) + CLAIM_DAYS_MORE);
    match (expiring.iter().min(), least) {
        (None, _) => {
            let days =
                least.map_or_else(|| "the stream's retention and two days".to_owned(), |days| format!("{days} days"));
            let fix = format!("add a lifecycle rule that expires {claims} after {days}");
            found.add(on, "large bodies", State::Warning, "no rule takes them away when they are archived", fix);
        }
        (Some(days), Some(least)) if *days < least => {
            let fix = format!("expire {claims} after {least} days or more: the stream still needs the bodies");
            found.add(on, "large bodies", State::Fault, format!("they expire after {days} days"), fix);
        }
        (Some(days), _) => found.ok(on, "large bodies", format!("expire after {days} days")),
    }
    let segments = format!("{below}segments/");
    if rules.iter().any(|rule| rule.expiration.is_some() && covers(rule, &segments)) {
        let fix = format!("take {segments} out of the rule that expires it");
        found.add(on, "segments", State::Fault, "a rule deletes segments of the archive", fix);
    } else {
        found.ok(on, "segments", "no rule deletes them");
    }
}

/// Whether a rule is about everything below a prefix. One that asks for tags or sizes may leave some out.
fn covers(rule: &LifecycleRule, below: &str) -> bool {
    #[expect(deprecated, reason = "rules of old buckets have their prefix there")]
    let old = rule.prefix.as_deref();
    match &rule.filter {
        None => below.starts_with(old.unwrap_or_default()),
        Some(filter) if filter.and.is_none() && filter.tag.is_none() => {
            below.starts_with(filter.prefix.as_deref().unwrap_or_default())
        }
        Some(_) => false,
    }
}

/// Division that rounds up, of signed numbers that are not negative.
trait DivCeil {
    fn div_ceil_by(self, by: i32) -> i32;
}

impl DivCeil for i32 {
    fn div_ceil_by(self, by: i32) -> i32 {
        self / by + i32::from(self % by > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{AbortIncompleteMultipartUpload, LifecycleExpiration, LifecycleRuleFilter};

    fn expires(prefix: &str, days: i32) -> LifecycleRule {
        LifecycleRule::builder()
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .expiration(LifecycleExpiration::builder().days(days).build())
            .build()
            .unwrap()
    }

    fn aborts() -> LifecycleRule {
        LifecycleRule::builder()
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder().days_after_initiation(3).build(),
            )
            .build()
            .unwrap()
    }

    fn states(rules: &[LifecycleRule]) -> Vec<State> {
        let mut found = Findings::default();
        judge("bucket b", "p/", rules, Some(168), &mut found);
        found.0.into_iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn rules_take_away_what_they_may_and_no_more() {
        use State::{Fault, Ok, Warning};
        assert_eq!(states(&[aborts(), expires("p/claims/", 9)]), [Ok, Ok, Ok]);
        assert_eq!(states(&[]), [Warning, Warning, Ok]);
        assert_eq!(states(&[aborts(), expires("p/claims/", 8)]), [Ok, Fault, Ok], "too early");
        assert_eq!(states(&[aborts(), expires("", 30)]), [Ok, Ok, Fault], "all of the bucket");
        assert_eq!(states(&[aborts(), expires("p/claims/big/", 9)]), [Ok, Warning, Ok], "only some");
    }
}
