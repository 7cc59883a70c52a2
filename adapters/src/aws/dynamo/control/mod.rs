//! The generations, in the control table: one item with all of them, changed as a whole.
//!
//! | attribute of the item `generations` | what |
//! | --- | --- |
//! | `live` | the number of the live generation |
//! | `list` | all generations, JSON text |
//! | `revision` | counts the changes; a put compares it |
//! | `changes` | tokens of the last changes, newest last |
//!
//! What can be long, positions and provider files, lies in items of their own beside it (see [`texts`]), named by
//! their digests and put before the list names them.
//!
//! A change reads, takes a [step](crate::control::steps), and puts what came out if nobody was faster; else it begins
//! again. A put that got no answer is repeated and finds its own token among the last changes, even when others
//! have changed something on top of it.

mod texts;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld;
use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use serde::{Deserialize, Serialize};

use self::texts::{LongText, Texts};
use super::item::{self, ITEM_BYTES_MAX, Item, get_number, get_text, item, size, text};
use super::tables::Tables;
use super::{AwsConfig, DynamoSettings, call};
use crate::aws::RetrySettings;
use crate::aws::retry::{Attempts, repeat, unique};
use crate::clock::SystemClock;
use crate::control::{Generation, GenerationStatus, Generations, Positions, ProviderTexts, steps};

/// The item's name.
const NAME: &str = "generations";
/// So many of the last changes are known by their tokens.
const CHANGES_KEPT: usize = 32;
/// Positions are kept in memory, of so many generations.
const POSITIONS_KEPT: usize = 64;

/// The generations. Clones share the client.
#[derive(Clone)]
pub struct DynamoControl {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    table: String,
    retries: RetrySettings,
    texts: Texts,
    /// By digest: what has one never changes.
    positions: Mutex<BTreeMap<String, Positions>>,
}

/// A generation in the list.
#[derive(Serialize, Deserialize)]
struct Listed {
    number: u32,
    status: GenerationStatus,
    made_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    parts: u32,
    parts_done: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positions: Option<LongText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_files: Option<LongText>,
}

/// The item, read.
struct Found {
    revision: u64,
    changes: VecDeque<String>,
    state: State,
}

/// What a change changes.
#[derive(Clone, Default)]
struct State {
    all: Vec<Generation>,
    /// Where their positions are written down, by generation; fixed once, they stay.
    placed: BTreeMap<u32, LongText>,
    /// The provider files, by generation.
    files: BTreeMap<u32, LongText>,
}

impl DynamoControl {
    /// The generations in the control table, which must exist. The first to open it begins generation 1, which is
    /// live; its tables are the deployment's to make.
    pub async fn open(aws: &AwsConfig, settings: &DynamoSettings) -> Result<Self> {
        let (client, table) = (aws.dynamodb(), Tables::new(&settings.prefix, 1)?.control);
        let texts = Texts::new(client.clone(), table.clone(), settings.retries);
        let inner = Inner { client, table, retries: settings.retries, texts, positions: Mutex::default() };
        let control = Self { inner: Arc::new(inner) };
        if control.inner.item(None).await?.is_none() {
            control.change("begin the first generation", |_| Ok(())).await?;
        }
        Ok(control)
    }

    /// Takes a step on what is there, again and again until nobody else is faster.
    async fn change<T>(&self, action: &str, mut step: impl FnMut(&mut State) -> Result<T>) -> Result<T> {
        let (inner, token) = (&self.inner, unique());
        let mut attempts = Attempts::new(&inner.retries);
        let mut found = inner.read().await?;
        loop {
            let mut state = match &found {
                Some(found) => found.state.clone(),
                None => State { all: steps::first(SystemClock.now()), ..State::default() },
            };
            let done = step(&mut state)?;
            match inner.put(action, found.as_ref(), state, &token, &mut attempts).await? {
                None => return Ok(done),
                Some(now) => found = Some(now),
            }
        }
    }

    async fn found(&self) -> Result<Found> {
        self.inner.read().await?.ok_or_else(|| self.inner.damaged())
    }
}

impl Inner {
    fn damaged(&self) -> Error {
        Error::data(format!("read the generations: the item {NAME} of {} is damaged or gone", self.table))
    }

    /// The item, or some of its attributes.
    async fn item(&self, only: Option<&str>) -> Result<Option<Item>> {
        let found = repeat(&self.retries, || async {
            let get = self.client.get_item().table_name(&self.table).key("name", text(NAME)).consistent_read(true);
            let get = match only {
                Some(only) => get.projection_expression("#only").expression_attribute_names("#only", only),
                None => get,
            };
            get.send().await.map_err(|e| call("read the generations", "dynamodb:GetItem", &self.table).failed(&e))
        });
        Ok(found.await?.item)
    }

    async fn read(&self) -> Result<Option<Found>> {
        match self.item(None).await? {
            Some(item) => Ok(Some(self.decode(&item).await?)),
            None => Ok(None),
        }
    }

    async fn decode(&self, item: &Item) -> Result<Found> {
        let list = get_text(item, "list").and_then(|list| serde_json::from_str::<Vec<Listed>>(list).ok());
        let (Some(list), Some(revision)) = (list, get_number(item, "revision")) else { return Err(self.damaged()) };
        let mut state = State::default();
        for Listed { number, status, made_at, reason, parts, parts_done, positions, provider_files } in list {
            let positions = match positions {
                Some(long) => {
                    let positions = self.positions(&long).await?;
                    state.placed.insert(number, long);
                    Some(positions)
                }
                None => None,
            };
            state.files.extend(provider_files.map(|files| (number, files)));
            let made_at = UnixNanos::from_nanos(made_at);
            state.all.push(Generation { number, status, made_at, reason, parts, parts_done, positions });
        }
        Ok(Found { revision, changes: tokens(item), state })
    }

    async fn positions(&self, long: &LongText) -> Result<Positions> {
        let known = || self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(positions) = known().get(long.digest()) {
            return Ok(positions.clone());
        }
        let positions: Positions =
            serde_json::from_str(&self.texts.get(long).await?).map_err(|e| self.damaged().because(e))?;
        let mut known = known();
        if known.len() >= POSITIONS_KEPT {
            known.clear();
        }
        known.insert(long.digest().to_owned(), positions.clone());
        Ok(positions)
    }

    async fn encode(&self, state: State) -> Result<Item> {
        let failed = |e| Error::internal("write the generations").because(e);
        let mut list = Vec::with_capacity(state.all.len());
        let State { all, mut placed, mut files } = state;
        let mut live = None;
        for Generation { number, status, made_at, reason, parts, parts_done, positions } in all {
            live = if status == GenerationStatus::Live { Some(number) } else { live };
            let positions = match (placed.remove(&number), positions) {
                (Some(long), _) => Some(long),
                (None, Some(new)) => Some(self.texts.put(serde_json::to_string(&new).map_err(failed)?).await?),
                (None, None) => None,
            };
            let (provider_files, made_at) = (files.remove(&number), made_at.nanos());
            list.push(Listed { number, status, made_at, reason, parts, parts_done, positions, provider_files });
        }
        let live = live.ok_or_else(|| Error::internal("write the generations: none is live"))?;
        let list = serde_json::to_string(&list).map_err(failed)?;
        Ok(item([("name", text(NAME)), ("live", item::number(live)), ("list", text(list))]))
    }

    /// Puts the new state over `before`. Gives what is there now when somebody else was faster.
    async fn put(
        &self,
        action: &str,
        before: Option<&Found>,
        state: State,
        token: &str,
        attempts: &mut Attempts,
    ) -> Result<Option<Found>> {
        let mut changes = before.map(|found| found.changes.clone()).unwrap_or_default();
        changes.push_back(token.to_owned());
        while changes.len() > CHANGES_KEPT {
            changes.pop_front();
        }
        let mut new = self.encode(state).await?;
        let revision = before.map_or(0, |found| found.revision);
        new.insert("revision".into(), item::number(revision + 1));
        new.insert("changes".into(), AttributeValue::L(changes.into_iter().map(text).collect()));
        if size(&new) + CHANGES_KEPT * 40 > ITEM_BYTES_MAX {
            return Err(Error::invalid(format!(
                "{action}: the list of generations has outgrown an item; take the oldest retired ones out of the item \
                 {NAME} of {}",
                self.table
            )));
        }
        loop {
            let put = self.client.put_item().table_name(&self.table).return_values_on_condition_check_failure(AllOld);
            let put = put.set_item(Some(new.clone()));
            let put = if before.is_none() {
                put.condition_expression("attribute_not_exists(#name)").expression_attribute_names("#name", "name")
            } else {
                put.condition_expression("#revision = :revision")
                    .expression_attribute_names("#revision", "revision")
                    .expression_attribute_values(":revision", item::number(revision))
            };
            let Err(error) = put.send().await else { return Ok(None) };
            if let Some(PutItemError::ConditionalCheckFailedException(found)) = error.as_service_error() {
                let item = found.item().ok_or_else(|| self.damaged())?;
                // An earlier attempt of this very put may have been done.
                if tokens(item).iter().any(|change| change == token) {
                    return Ok(None);
                }
                return self.decode(item).await.map(Some);
            }
            attempts.pause(call(action, "dynamodb:PutItem", &self.table).failed(&error)).await?;
        }
    }
}

/// The tokens of the last changes.
fn tokens(item: &Item) -> VecDeque<String> {
    let list = item.get("changes").and_then(|changes| changes.as_l().ok());
    list.into_iter().flatten().filter_map(|token| token.as_s().ok().cloned()).collect()
}

impl Generations for DynamoControl {
    async fn generations(&self) -> Result<Vec<Generation>> {
        Ok(self.found().await?.state.all)
    }

    async fn generation(&self, number: u32) -> Result<Generation> {
        steps::one(&self.found().await?.state.all, number).cloned()
    }

    async fn live(&self) -> Result<u32> {
        let item = self.inner.item(Some("live")).await?;
        item.and_then(|item| get_number(&item, "live")).ok_or_else(|| self.inner.damaged())
    }

    async fn begin_generation(
        &self,
        reason: Option<String>,
        parts: u32,
        texts: ProviderTexts,
        now: UnixNanos,
    ) -> Result<u32> {
        let files = self.inner.texts.put_files(&texts).await?;
        self.change("begin a generation", |state| {
            let number = steps::begin(&mut state.all, reason.clone(), parts, now);
            state.files.extend(files.clone().map(|files| (number, files)));
            Ok(number)
        })
        .await
    }

    async fn claim(&self, number: u32, positions: Positions) -> Result<Generation> {
        self.change("fix the positions of a generation", |state| {
            steps::claim(&mut state.all, number, positions.clone())
        })
        .await
    }

    async fn part_done(&self, number: u32, part: u32) -> Result<Generation> {
        self.change("note a complete part of a generation", |state| steps::part_done(&mut state.all, number, part))
            .await
    }

    async fn ready(&self, number: u32) -> Result<()> {
        self.change("complete a generation", |state| steps::ready(&mut state.all, number)).await
    }

    async fn move_live(&self, number: u32) -> Result<()> {
        self.change("move the live mark", |state| steps::move_live(&mut state.all, number)).await
    }

    async fn retire(&self, number: u32) -> Result<()> {
        self.change("retire a generation", |state| steps::retire(&mut state.all, number)).await
    }

    async fn provider_texts(&self, generation: u32) -> Result<ProviderTexts> {
        let files = self.found().await?.state.files.remove(&generation);
        self.inner.texts.get_files(files.as_ref()).await
    }

    async fn set_provider_texts(&self, generation: u32, texts: ProviderTexts) -> Result<()> {
        let files = self.inner.texts.put_files(&texts).await?;
        self.change("keep the provider files of a generation", |state| {
            steps::one(&state.all, generation)?;
            match &files {
                Some(files) => state.files.insert(generation, files.clone()),
                None => state.files.remove(&generation),
            };
            Ok(())
        })
        .await
    }
}

impl fmt::Debug for DynamoControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamoControl({})", self.inner.table)
    }
}
