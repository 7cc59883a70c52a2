//! Many calls side by side, but not too many.

use ledgerline_domain::{Error, Result};
use tokio::task::JoinSet;

/// Runs one call per item, at most `at_once` at a time, and gives their results in the items' order. After the
/// first error no new call begins; it comes back once those under way have ended, so nothing goes on behind the
/// caller's back.
pub(crate) async fn each<I, T, F>(
    items: impl IntoIterator<Item = I>,
    at_once: usize,
    mut call: impl FnMut(I) -> F,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut results: Vec<Option<T>> = Vec::new();
    let mut failed: Option<Error> = None;
    let mut under_way = JoinSet::new();
    let mut rest = items.into_iter().enumerate();
    loop {
        while failed.is_none() && under_way.len() < at_once.max(1) {
            let Some((at, item)) = rest.next() else { break };
            let call = call(item);
            results.push(None);
            under_way.spawn(async move { (at, call.await) });
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok((at, Ok(done)))) => {
                if let Some(place) = results.get_mut(at) {
                    *place = Some(done);
                }
            }
            Some(Ok((_, Err(error)))) => failed = Some(worse(failed, error)),
            Some(Err(error)) => failed = Some(worse(failed, Error::internal("run calls to AWS").because(error))),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

/// The one of two errors that waiting helps least.
fn worse(first: Option<Error>, second: Error) -> Error {
    use ledgerline_domain::ErrorKind::{Conflict, Retry};
    let rank = |error: &Error| match error.kind() {
        Retry => 0,
        Conflict => 1,
        _ => 2,
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ledgerline_domain::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn results_keep_their_places_and_the_bound_holds() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let found = each(0..50_u64, 7, |n| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(50 - n)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            }
        });
        assert_eq!(found.await.unwrap(), (0..50).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn an_error_stops_what_has_not_begun_and_waits_for_the_rest() {
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let found = each(0..50, 5, |n| {
            let (begun, ended) = (begun.clone(), ended.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                if n != 2 {
                    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
                }
                ended.fetch_add(1, Ordering::SeqCst);
                if n == 2 { Err(Error::new(ErrorKind::Conflict, "x")) } else { Ok(()) }
            }
        });
        assert_eq!(found.await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!((begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (5, 5));
    }
}
