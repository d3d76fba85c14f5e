//! Records by HTTP, for languages that have no client of their own.
//!
//! - [`receiver`]: a worker takes them, `POST /SOURCE`, a record a line;
//! - [`directions`]: the master takes none, and says where receivers are.
//!
//! They come to the doors that are there: whoever has passed TLS, or is on loopback, and begins as HTTP does. Each request
//! proves itself by the token, if there is one.

mod directions;
mod receiver;

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use cutwater_core::limits;
use cutwater_wire::{channel::Channel, credentials::Credentials, tls::Role};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncBufReadExt, net::TcpStream};

pub(crate) use directions::serve_directions;
#[cfg(any(test, feature = "decoders"))]
pub(crate) use receiver::records_of;
pub(crate) use receiver::serve_http;

type Answer = Response<Full<Bytes>>;

/// Whether what is said on a new connection begins as HTTP does: by a method, in capitals. Our own protocol and TLS begin
/// otherwise. Nothing of it is taken away.
pub(crate) async fn speaks_http(channel: &mut Channel<TcpStream>) -> io::Result<bool> {
    let first = match channel {
        Channel::Open(stream) => {
            let mut first = [0];
            (stream.peek(&mut first).await? > 0).then_some(first[0])
        }
        Channel::Encrypted(stream) => stream.fill_buf().await?.first().copied(),
    };
    Ok(first.is_some_and(|first| first.is_ascii_uppercase()))
}

/// Answers the requests of a connection. An `Err` of `answer` is an answer too, that of a refusal.
async fn serve<F: Future<Output = Result<Answer, Answer>>>(
    stream: Channel<TcpStream>,
    keep_alive: bool,
    answer: impl Fn(Request<Incoming>) -> F,
) -> io::Result<()> {
    let answer = service_fn(|request| {
        let answered = answer(request);
        async { Ok::<_, Infallible>(answered.await.unwrap_or_else(|refused| refused)) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX));
    connection.keep_alive(keep_alive);
    connection.serve_connection(TokioIo::new(stream), answer).await.map_err(io::Error::other)
}

/// Who may send on a connection.
struct Access<'a> {
    credentials: &'a Credentials,
    /// What is wrong with the certificate at the other end.
    wrong_role: Option<String>,
    encrypted: bool,
}

impl<'a> Access<'a> {
    fn new(stream: &Channel<TcpStream>, credentials: &'a Credentials) -> Self {
        let wrong_role = credentials.wrong_role(stream, &[Role::Client]);
        Self { credentials, wrong_role, encrypted: stream.is_encrypted() }
    }

    /// What somebody is told who sends this and may not.
    fn refusal(&self, headers: &HeaderMap) -> Option<Answer> {
        if let Some(why) = &self.wrong_role {
            return Some(said(StatusCode::FORBIDDEN, why));
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = match given {
            Some(value) => value.strip_prefix("Bearer "),
            // With certificates there need not be any.
            None => self.encrypted.then_some(""),
        };
        if token.is_some_and(|token| self.credentials.is_token(token)) {
            return None;
        }
        let mut refused =
            said(StatusCode::UNAUTHORIZED, "send the token of the program: Authorization: Bearer TOKEN");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Some(refused)
    }
}

/// Whoever is answered in the midst of its body may take that for a broken connection, so what is still to come of it is
/// heard, within bounds, and let go.
async fn hear_out(body: &mut Incoming) {
    let mut body = Limited::new(body, limits::BATCH_BYTES_MAX);
    let heard = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(Duration::from_millis(limits::SILENCE_MS_MAX), heard).await;
}

fn said(status: StatusCode, what: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{what}\n"))));
    *answer.status_mut() = status;
    answer
}

/// The same request may be sent again in a second.
fn later(status: StatusCode, why: &str) -> Answer {
    let mut answer = said(status, why);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}
