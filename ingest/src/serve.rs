//! The service: routes, connections and their end.
//!
//! Webhooks go straight from the connection to [`receive`]; the router, which boxes and copies some
//! things per request, is for everything else and for whoever serves it himself.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{FutureExt as _, TryFutureExt as _};
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ledgerline_domain::ports::{Clock, Log, Secrets};
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::alarm::Alarm;
use crate::answer::Answer;
use crate::door::Door;
use crate::{handshake, probes, receive};

/// Largest head of a request, and most bytes of one connection that are read ahead.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Pause after a failed accept: usually there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the end of the last append is looked for while closing.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// The routes, for a server of one's own; [`run`] serves them with all limits of
/// [`Settings`](crate::Settings).
pub fn router<L: Log, S: Secrets, C: Clock>(door: Arc<Door<L, S, C>>) -> Router {
    let not_allowed = || async { Answer::MethodNotAllowed };
    Router::new()
        .route("/webhooks/{source}", post(receive::receive::<L, S, C>).fallback(handshake::handshake::<L, S, C>))
        .route("/healthz", get(probes::healthz).fallback(not_allowed))
        .route("/readyz", get(probes::readyz::<L, S, C>).fallback(not_allowed))
        .route("/metrics", get(probes::metrics::<L, S, C>).fallback(not_allowed))
        .fallback(|| async { Answer::NotFound })
        .with_state(door)
}

/// Whether the route of webhooks fits: one further part of the path, and the method that they use.
fn is_webhook(request: &Request<Incoming>) -> bool {
    let source = request.uri().path().strip_prefix(receive::PATH);
    request.method() == Method::POST && source.is_some_and(|source| !source.is_empty() && !source.contains('/'))
}

/// Answers a request, whatever it is about. The future is moved for each request, so it is kept small: a
/// webhook's lies in it, once, and the router's is boxed.
fn answer<L: Log, S: Secrets, C: Clock>(
    door: &Arc<Door<L, S, C>>,
    routes: &TowerToHyperService<Router>,
    alarm: &Alarm,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Either<Full<Bytes>, Body>>, Infallible>> + use<L, S, C> {
    if is_webhook(&request) {
        let answer = receive::answer(door.clone(), request, alarm.clone());
        answer.map(|response| Ok(response.map(Either::Left))).left_future()
    } else {
        Box::pin(routes.call(request)).map_ok(|response| response.map(Either::Right)).right_future()
    }
}

/// Serves until `shutdown` is ready, then stops accepting, says so on `/readyz`, and gives requests
/// and appends that have begun up to `drain_timeout` to finish. `Err` when they did not: none of
/// those was acknowledged.
pub async fn run<L: Log, S: Secrets, C: Clock>(
    listener: TcpListener,
    door: Arc<Door<L, S, C>>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let settings = &door.settings;
    let routes = TowerToHyperService::new(router(door.clone()));
    let graceful = GracefulShutdown::new();
    // Dropped at the end of this function: no connection outlives it.
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let room = connections.len() < settings.connections_max;
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if room => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and must not wait for more; a socket that refuses this still works.
        let _ = stream.set_nodelay(true);
        let (door, routes, alarm) = (door.clone(), routes.clone(), Alarm::default());
        let timer = alarm.clone();
        let service = service_fn(move |request| answer(&door, &routes, &alarm, request));
        let connection = http1::Builder::new()
            .timer(timer)
            .header_read_timeout(settings.head_read_timeout)
            .max_buf_size(BUFFER_BYTES_MAX)
            // Heads and bodies are small: one piece is cheaper than a list of pieces.
            .writev(false)
            // Who has sent its request may close its side and still gets the answer. To look for that, the server
            // would make room for a further request beside each one that is being served.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    door.gate.close();
    drop(listener);
    let deadline = Instant::now() + settings.drain_timeout;
    let drained = async {
        graceful.shutdown().await;
        // Appends whose callers are gone.
        while door.gate.requests() > 0 {
            sleep(DRAIN_LOOK).await;
        }
    };
    let in_time = timeout_at(deadline, drained).await.is_ok();
    match door.gate.requests() {
        // A connection that is still sending a request's head is no request yet.
        open if in_time || open == 0 => Ok(()),
        open => Err(Error::new(
            ErrorKind::Internal,
            format!(
                "finish {open} requests within {} seconds of the shutdown; none of them was acknowledged",
                settings.drain_timeout.as_secs_f32()
            ),
        )),
    }
}
