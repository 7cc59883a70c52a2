//! `GET /webhooks/{source}?bt_challenge=…`: Braintree asks a new webhook's address to sign a challenge
//! before it sends anything there.
//!
//! Only sources whose scheme is Braintree's answer, and only a text that is a challenge and nothing
//! else. Whoever asks gets an answer; `domain::signature` refuses every notification whose payload
//! could have been signed that way.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, header};
use ledgerline_domain::ports::{Clock, Log, Secrets};
use ledgerline_domain::signature::{Cause, Scheme, answer_challenge};

use crate::answer::Answer;
use crate::door::Door;
use crate::receive::PATH;

/// The parameter that holds the challenge.
const PARAMETER: &str = "bt_challenge=";

/// Answers the handshake; for every other method and source that is not allowed.
pub(crate) async fn handshake<L: Log, S: Secrets, C: Clock>(
    State(door): State<Arc<Door<L, S, C>>>,
    request: Request,
) -> Response {
    let name = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let source = door.source(name).filter(|source| matches!(source.scheme, Scheme::Braintree));
    let Some(source) = source.filter(|_| request.method() == Method::GET) else {
        return Answer::MethodNotAllowed.into_response();
    };
    let wait = door.settings.retry_after;
    let Some(_ticket) = door.gate.enter() else {
        return if door.gate.is_closing() { Answer::Closing(wait) } else { Answer::Full(wait) }.into_response();
    };
    let Some(secrets) = door.secrets.secrets(name) else { return Answer::LogAway(wait).into_response() };
    let mut given = request.uri().query().unwrap_or_default().split('&').filter_map(|p| p.strip_prefix(PARAMETER));
    let answer = match (given.next(), given.next()) {
        (Some(challenge), None) => answer_challenge(&source.scheme, &secrets, challenge),
        _ => None,
    };
    let Some(answer) = answer else {
        source.meters.rejected(Cause::Malformed);
        tracing::debug!(source = name, "refused a challenge: it is none");
        return Answer::Rejected.into_response();
    };
    tracing::info!(source = name, "answered a challenge");
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
