use std::io;

use cutwater_wire::{channel::Channel, credentials::Credentials};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::net::TcpStream;

use super::{Access, Answer, hear_out, later, said, serve};

/// Says where receivers are, at the master: `GET /SOURCE` lists them, a URL a line, and `POST /SOURCE` is sent on to the
/// first. Whose turn it is comes first.
pub(crate) async fn serve_directions(
    stream: Channel<TcpStream>,
    credentials: &Credentials,
    receivers: Vec<String>,
) -> io::Result<()> {
    let access = Access::new(&stream, credentials);
    // Who asks for the way goes it: nobody stays.
    serve(stream, false, |request| direct(request, &access, &receivers)).await
}

async fn direct(
    request: Request<Incoming>,
    access: &Access<'_>,
    receivers: &[String],
) -> Result<Answer, Answer> {
    if let Some(refused) = access.refusal(request.headers()) {
        return Err(refused);
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if method != Method::GET && method != Method::POST {
        let why = "GET /SOURCE lists receivers, and POST /SOURCE is sent on to one of them";
        return Err(said(StatusCode::METHOD_NOT_ALLOWED, why));
    }
    let scheme = if access.encrypted { "https" } else { "http" };
    let urls: Vec<String> = receivers.iter().map(|at| format!("{scheme}://{at}{path}")).collect();
    let Some(url) = urls.first() else {
        return Err(later(StatusCode::SERVICE_UNAVAILABLE, "the program has no worker yet"));
    };
    if method == Method::GET {
        return Ok(said(StatusCode::OK, &urls.join("\n")));
    }
    // One that asks before it sends is spared it.
    if !request.headers().contains_key(header::EXPECT) {
        hear_out(&mut request.into_body()).await;
    }
    let location =
        HeaderValue::from_str(url).map_err(|error| said(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let mut answer = said(StatusCode::TEMPORARY_REDIRECT, &format!("records are taken at {url}"));
    answer.headers_mut().insert(header::LOCATION, location);
    Ok(answer)
}
