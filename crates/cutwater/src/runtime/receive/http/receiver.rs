use std::{io, time::Duration};

use bytes::Bytes;
use cutwater_core::{ClientId, clients::Refused, limits};
use cutwater_wire::{
    channel::Channel,
    client::{Batch, BatchReport},
    credentials::Credentials,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{HeaderMap, Method, Request, StatusCode, body::Incoming};
use tokio::net::TcpStream;

use super::{Access, Answer, hear_out, later, said, serve};
use crate::runtime::receive::Inbox;

/// Names the client, so that what it sends again counts once: any text.
const CLIENT: &str = "cutwater-client";
/// Numbers its requests, from 0.
const SEQUENCE: &str = "cutwater-sequence";

/// Takes records: `POST /SOURCE`, a record a line.
///
/// A request is answered when its records are held by as many workers as it takes, as the acknowledgement of a
/// batch would be.
pub(crate) async fn serve_http(
    stream: Channel<TcpStream>,
    credentials: &Credentials,
    inbox: &Inbox,
) -> io::Result<()> {
    let access = Access::new(&stream, credentials);
    serve(stream, true, |request| take(request, &access, inbox)).await
}

async fn take(request: Request<Incoming>, access: &Access<'_>, inbox: &Inbox) -> Result<Answer, Answer> {
    if let Some(refused) = access.refusal(request.headers()) {
        return Err(refused);
    }
    if request.method() != Method::POST {
        return Err(said(StatusCode::METHOD_NOT_ALLOWED, "records are sent by POST /SOURCE, one a line"));
    }
    let name = request.uri().path().trim_matches('/').to_owned();
    let source = inbox.source_named(&name).map_err(|why| said(StatusCode::NOT_FOUND, &why))?;
    let named = named(request.headers()).map_err(|why| said(StatusCode::BAD_REQUEST, &why))?;
    let mut body = request.into_body();
    let sent = Limited::new(&mut body, limits::BATCH_BYTES_MAX).collect();
    // Whoever sends a byte now and then holds a connection, but not for ever.
    let body = match tokio::time::timeout(Duration::from_millis(limits::SILENCE_MS_MAX), sent).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            hear_out(&mut body).await;
            return Err(too_large());
        }
        Ok(Err(error)) => return Err(said(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(_) => return Err(said(StatusCode::REQUEST_TIMEOUT, "the body did not arrive")),
    };
    let (records, content) = records_of(&body);
    if content.len() > limits::BATCH_BYTES_MAX {
        return Err(too_large());
    }
    if records == 0 {
        return Ok(said(StatusCode::OK, "0 records"));
    }
    match inbox.has_room_now(source) {
        Ok(true) => {}
        Ok(false) => return Err(later(StatusCode::TOO_MANY_REQUESTS, "the interval is full")),
        Err(_) => return Err(closed()),
    }
    let ticket = match named {
        Some((client, sequence)) => {
            // No body is longer than `BATCH_BYTES_MAX`, so nothing is cut off.
            let batch = BatchReport { client, sequence, records, bytes: content.len() as u32 };
            inbox.put(source, batch, content)
        }
        None => inbox.put_nobodys(source, records, content),
    };
    let ticket = ticket.map_err(|_: Refused| closed())?;
    let mut safe = inbox.acknowledged();
    let safe = safe.wait_for(|through| *through >= ticket);
    match tokio::time::timeout(Duration::from_millis(limits::SILENCE_MS_MAX), safe).await {
        Ok(Ok(_)) => Ok(said(StatusCode::OK, &format!("{records} records"))),
        // They may count or not; with a name and a number they can be sent again.
        _ => Err(later(StatusCode::SERVICE_UNAVAILABLE, "no second worker holds the records yet")),
    }
}

/// Who sends, and the how manieth request it is, if the request says so.
fn named(headers: &HeaderMap) -> Result<Option<(ClientId, u64)>, String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(CLIENT), text(SEQUENCE).map(str::parse)) {
        (None, None) => Ok(None),
        (Some(client), Some(Ok(sequence))) if !client.is_empty() => {
            Ok(Some((client_called(client), sequence)))
        }
        _ => Err(format!(
            "{CLIENT} is any text and {SEQUENCE} a whole number, counted from 0; they go together"
        )),
    }
}

/// The client that calls itself so, wherever it goes.
fn client_called(name: &str) -> ClientId {
    let hash = blake3::derive_key("cutwater 2026 client by name", name.as_bytes());
    ClientId(hash.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
}

/// The lines of a body as a batch has them. A line end at the end of it begins no further record.
pub(crate) fn records_of(body: &[u8]) -> (u32, Bytes) {
    let mut batch = Batch::new();
    let lines = body.strip_suffix(b"\n").unwrap_or(body);
    if !body.is_empty() {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', lines).chain([lines.len()]) {
            let line = &lines[begin..end];
            batch.push(line.strip_suffix(b"\r").unwrap_or(line));
            begin = end + 1;
        }
    }
    (batch.records(), batch.into_content().into())
}

fn too_large() -> Answer {
    let max = limits::BATCH_BYTES_MAX;
    let why = format!("a request has at most {max} bytes, with 4 more counted for each line; send several");
    said(StatusCode::PAYLOAD_TOO_LARGE, &why)
}

fn closed() -> Answer {
    later(StatusCode::SERVICE_UNAVAILABLE, "the program takes no more records")
}

#[cfg(test)]
mod tests {
    use cutwater_wire::client::records;

    use super::*;

    #[test]
    fn a_body_is_records_by_its_lines() {
        let lines = |body: &str| {
            let (count, content) = records_of(body.as_bytes());
            let all: Vec<String> =
                records(&content).map(|r| String::from_utf8(r.unwrap().to_vec()).unwrap()).collect();
            assert_eq!(count as usize, all.len());
            all
        };
        assert!(lines("").is_empty());
        assert_eq!(lines("\n"), [""]);
        assert_eq!(lines("a"), ["a"]);
        assert_eq!(lines("a\r\n\nb\n"), ["a", "", "b"]);
    }
}
