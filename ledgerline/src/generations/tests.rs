//! Which provider files a generation is folded with.

use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
use ledgerline_domain::time::UnixNanos;

use super::*;
use crate::place::Data;

/// The built-in file `generic`, with a remark that tells copies apart.
fn sources(remark: &str) -> Sources {
    let text = format!("{}\n# {remark}\n", Provider::built_in_text("generic").unwrap());
    let mut sources = Sources::default();
    sources.insert(&SourceName::new("shop").unwrap(), Arc::new(Provider::parse("x.toml", &text).unwrap()));
    sources
}

async fn remark(control: &AnyControl, number: u32) -> String {
    let texts = control.provider_texts(number).await.unwrap();
    let read = sources_of(number, &texts).unwrap();
    assert_eq!(texts_of(&read), texts, "what is read is what was kept");
    texts["shop"].trim_end().rsplit("# ").next().unwrap().to_owned()
}

#[tokio::test]
async fn an_edit_comes_with_a_restart_unless_a_generation_was_made_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data::local(Embedded::open(dir.path(), EmbeddedOptions::default()).await.unwrap());
    let control = &data.control;
    assert_eq!(take_settings(control, &sources("first")).await.unwrap(), Taken::default());
    assert_eq!(remark(control, 1).await, "first");
    let taken = take_settings(control, &sources("second")).await.unwrap();
    assert_eq!((taken.changed, taken.kept), (vec!["shop".to_owned()], Vec::new()));
    assert_eq!(remark(control, 1).await, "second");

    let texts = texts_of(&sources("third"));
    let number = control.begin_generation(None, 1, texts, UnixNanos::from_nanos(0)).await.unwrap();
    let taken = take_settings(control, &sources("third")).await.unwrap();
    assert_eq!((taken.changed, taken.kept), (Vec::new(), vec![("shop".to_owned(), number)]));
    assert_eq!((remark(control, 1).await, remark(control, number).await), ("second".into(), "third".into()));
    // A further edit is nobody's but the live one's.
    assert_eq!(take_settings(control, &sources("fourth")).await.unwrap().changed, ["shop"]);
    assert_eq!((remark(control, 1).await, remark(control, number).await), ("fourth".into(), "third".into()));
    // Nobody is bound by what was given up.
    data.retire(number).await.unwrap();
    assert_eq!(take_settings(control, &sources("third")).await.unwrap().changed, ["shop"]);
    assert_eq!(remark(control, 1).await, "third");
}

#[tokio::test]
async fn a_source_that_a_generation_does_not_know_comes_from_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data::local(Embedded::open(dir.path(), EmbeddedOptions::default()).await.unwrap());
    let control = &data.control;
    let number = control.begin_generation(None, 1, ProviderTexts::new(), UnixNanos::from_nanos(0)).await.unwrap();
    control.part_done(number, 1).await.unwrap();
    control.ready(number).await.unwrap();
    take_settings(control, &sources("new")).await.unwrap();
    assert_eq!((remark(control, 1).await, remark(control, number).await), ("new".into(), "new".into()));
    // One that the settings do not name any more is still read as it was.
    take_settings(control, &Sources::default()).await.unwrap();
    assert_eq!(remark(control, 1).await, "new");
}
