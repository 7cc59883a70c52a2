//! Keys below a prefix, page by page, in byte order.

use ledgerline_domain::Result;

use super::Inner;
use crate::archive_key::check_key;
use crate::aws::retry::repeat;

/// All keys that start with `prefix` and are at or behind `from`.
pub async fn list(archive: &Inner, prefix: &str, from: &str) -> Result<Vec<String>> {
    let below = format!("{}{prefix}", archive.before_keys);
    let behind = just_before(from).map(|behind| format!("{}{behind}", archive.before_keys));
    let action = format!("list the archive objects below {below}");
    let mut keys = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = repeat(&archive.settings.retries, || async {
            let list = archive.client.list_objects_v2().bucket(&archive.settings.bucket).prefix(&below);
            let list = list.set_start_after(behind.clone()).set_continuation_token(next.clone());
            list.send().await.map_err(|error| archive.call(&action, "s3:ListBucket").failed(&error))
        });
        let page = page.await?;
        let names = page.contents().iter().filter_map(|object| object.key());
        // What no key can name, such as a folder's mark, is not an object of ours.
        let found = names.filter_map(|name| name.strip_prefix(archive.before_keys.as_str()));
        keys.extend(found.filter(|key| *key >= from && check_key(key).is_ok()).map(str::to_owned));
        next = page.next_continuation_token().map(str::to_owned);
        if next.is_none() {
            // S3 lists in this order; services that speak like it do not all.
            keys.sort_unstable();
            return Ok(keys);
        }
    }
}

/// A text before `from` with hardly any key between: S3 gives what is *behind* a text, never the text itself. Where
/// `from` is no key, such as a folder with its slash, nothing is lost by taking it as it is.
fn just_before(from: &str) -> Option<String> {
    if !from.is_empty() && check_key(from).is_err() {
        return Some(from.to_owned());
    }
    let last = from.chars().next_back()?;
    let mut before = from[..from.len() - last.len_utf8()].to_owned();
    if let Some(lower) = u8::try_from(last).ok().filter(|c| (0x21..0x7f).contains(c)).map(|c| char::from(c - 1)) {
        before.push(lower);
        before.push('~');
    }
    Some(before).filter(|before| !before.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_at_or_behind_a_text_is_skipped() {
        assert_eq!(just_before("hour=2026-11-24T13/"), Some("hour=2026-11-24T13/".into()));
        assert_eq!(just_before("hour=2026-11-24T13"), Some("hour=2026-11-24T12~".into()));
        for from in ["a", "!", "é", "aé", "a b", "~", "a/0"] {
            if let Some(behind) = just_before(from) {
                assert!(behind.as_str() < from, "{behind:?} {from:?}");
            }
        }
        assert_eq!(just_before(""), None);
    }
}
