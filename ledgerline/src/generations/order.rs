//! Orders to the processors: things that need them stopped for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ledgerline_domain::trace::Traces;
use ledgerline_processor::apply::Progress;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Supervisor;
use crate::exit::{Exit, Failure, Outcome};
use crate::place::Data;
use crate::wiring::Task;

/// Orders that may wait; whoever gives one waits for its end, so there are few.
const WAITING_MAX: usize = 64;

/// What to do with a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make it the live one once it has caught up, which may take so long.
    Promote(u32, Duration),
    /// Delete it.
    Retire(u32),
}

/// An order and whom to tell.
pub(super) type Given = (Order, oneshot::Sender<Outcome<Value>>);

/// The way to the processors of one process. Clones lead to the same.
#[derive(Clone, Debug)]
pub struct Processors {
    sender: mpsc::Sender<Given>,
    pub(super) receiver: Arc<Mutex<mpsc::Receiver<Given>>>,
    pub(super) at_work: Arc<AtomicBool>,
}

impl Default for Processors {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self { sender, receiver: Arc::new(Mutex::new(receiver)), at_work: Arc::default() }
    }
}

impl Processors {
    /// Starts them on the data of this process; `progress` follows the live generation.
    pub fn start(&self, data: Arc<Data>, progress: Arc<Progress>, traces: Traces) -> Task {
        let supervisor = Supervisor::new(data, progress, traces, self.clone());
        Task::spawn("processor", |stop| supervisor.run(stop))
    }

    /// Whether orders are taken.
    pub fn are_at_work(&self) -> bool {
        self.at_work.load(Ordering::Acquire)
    }

    /// Gives an order and waits for its end. Code 6 when no processor runs in this process.
    pub async fn order(&self, order: Order) -> Outcome<Value> {
        let nobody = || Failure::new(Exit::Busy, "reach the processors: this process runs none; serve with that role");
        if !self.are_at_work() {
            return Err(nobody());
        }
        let (answer, done) = oneshot::channel();
        self.sender.send((order, answer)).await.map_err(|_| nobody())?;
        done.await.map_err(|_| {
            Failure::new(Exit::Busy, "hear of the order's end: the processors were stopped; look whether it was done")
        })?
    }
}
