mod events;

use std::{fmt, io::Read, time::Duration};

use cutwater_core::limits;
use serde::de::DeserializeOwned;
use ureq::{Agent, Body, http};

use self::events::{Events, Resume};
use super::{
    Dating, Intake, Receiver, SourceBuilder, Stopped,
    decode::{self, Decode},
    lines::LineFeed,
    outage::{Outage, unless_stopped},
    received::Origin,
};
use crate::{Context, DStream, Error, Record};

/// Records from the answer of an HTTP server: a line each, or an event each.
///
/// One thread asks and reads; it leaves off reading while an interval is full, so that the server is
/// held up. When the program is over, the connection is closed under it.
struct Http<T> {
    url: String,
    decode: Decode<T>,
    line_bytes_max: usize,
}

/// Why the source cannot go on.
enum End {
    Stopped,
    /// The server said that there is nothing more.
    Complete,
    Failed(Error),
}

/// How an answer ended.
enum Answer {
    /// It was a document with an end, and it has been taken.
    Complete,
    /// It was a stream, or was to be one; worth another try.
    Broken(String),
    /// The server wants to be left alone for so long.
    Later(Duration, String),
}

/// What is asked for. Servers that have both give events, which can be resumed.
const ACCEPT: &str = "text/event-stream, application/x-ndjson, application/json;q=0.9, */*;q=0.1";

impl<T: Record> Receiver<T> for Http<T> {
    fn prepare(&mut self) -> Vec<String> {
        fault_of(&self.url).into_iter().collect()
    }

    fn receive(&mut self, intake: &Intake<T>) -> Result<(), Error> {
        match self.ask_again_and_again(intake) {
            End::Stopped | End::Complete => Ok(()),
            End::Failed(error) => Err(error),
        }
    }
}

impl<T: Record> Http<T> {
    fn ask_again_and_again(&self, intake: &Intake<T>) -> End {
        let place = shown(&self.url);
        let agent = agent(&self.url);
        let under_it = agent.clone();
        intake.on_stop(move || under_it.shutdown());
        let (mut outage, mut resume) = (Outage::new(&place, intake), Resume::default());
        loop {
            let waited = match self.ask(&agent, &place, intake, &mut outage, &mut resume) {
                Err(end) => return end,
                Ok(Answer::Complete) => return End::Complete,
                Ok(Answer::Broken(reason)) => outage.wait(intake, reason),
                Ok(Answer::Later(span, reason)) => outage.wait_as_asked(intake, span, reason),
            };
            if waited.is_err() {
                return End::Stopped;
            }
        }
    }

    /// Asks once and takes what is answered, to its end.
    fn ask(
        &self,
        agent: &Agent,
        place: &str,
        intake: &Intake<T>,
        outage: &mut Outage,
        resume: &mut Resume,
    ) -> Result<Answer, End> {
        let mut request = agent.get(&self.url).header("Accept", ACCEPT).header("Cache-Control", "no-store");
        if let Some(id) = &resume.last_id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = match unless_stopped(intake, move || request.call())? {
            Err(error) => return Ok(Answer::Broken(error.to_string())),
            Ok(Err(error)) if is_final(&error) => return Err(failed(place, error)),
            Ok(Err(error)) => return Ok(Answer::Broken(error.to_string())),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        match status.as_u16() {
            // "No content" is how a server of events says that it has no more (HTML standard).
            204 => Ok(Answer::Complete),
            200..=299 => {
                intake.set_away(false);
                let events = answer
                    .body()
                    .mime_type()
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
                if events {
                    self.take_events(answer, place, intake, outage, resume)
                } else {
                    self.take_lines(answer, place, intake, outage)
                }
            }
            408 | 429 | 500..=599 => {
                let reason = format!("the server answered {status}");
                Ok(match retry_after(&answer) {
                    Some(span) => Answer::Later(span, reason),
                    None => Answer::Broken(reason),
                })
            }
            _ => Err(failed(place, format_args!("the server answered {status}"))),
        }
    }

    fn take_lines(
        &self,
        answer: http::Response<Body>,
        place: &str,
        intake: &Intake<T>,
        outage: &mut Outage,
    ) -> Result<Answer, End> {
        // Who knows beforehand how long his answer will be sends a document and no stream. To ask for
        // it again would be to take the same records again.
        let is_document = answer.body().content_length().is_some();
        let mut feed = LineFeed::new(place.to_owned(), self.decode, self.line_bytes_max);
        match read(answer, outage, |bytes| feed.take(bytes, intake))? {
            Ok(()) => {
                feed.end(intake)?;
                let ended = || Answer::Broken("the server ended its answer".to_owned());
                Ok(if is_document { Answer::Complete } else { ended() })
            }
            Err(reason) => {
                feed.broken(intake);
                Ok(Answer::Broken(reason))
            }
        }
    }

    fn take_events(
        &self,
        answer: http::Response<Body>,
        place: &str,
        intake: &Intake<T>,
        outage: &mut Outage,
        resume: &mut Resume,
    ) -> Result<Answer, End> {
        let mut events = Events::new(place.to_owned(), self.decode, self.line_bytes_max);
        let ended = read(answer, outage, |bytes| events.take(bytes, intake, resume))?;
        events.end(intake);
        if let Some(span) = resume.retry {
            outage.begin_with(span);
        }
        Ok(Answer::Broken(ended.err().unwrap_or_else(|| "the server ended its answer".to_owned())))
    }
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Hands the bytes of an answer to `take` until it ends or breaks.
fn read(
    answer: http::Response<Body>,
    outage: &mut Outage,
    mut take: impl FnMut(&[u8]) -> Result<(), Stopped>,
) -> Result<Result<(), String>, Stopped> {
    let mut body = answer.into_body().into_reader();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(read) => {
                outage.over();
                take(&buffer[..read])?;
            }
            // That the program is over is found out by the next wait.
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
}

/// Bytes read from an answer at a time.
const READ_BYTES: usize = 64 << 10;

fn agent(url: &str) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(Duration::from_millis(limits::CONNECT_MS_MAX)))
        .timeout_connect(Some(Duration::from_millis(limits::CONNECT_MS_MAX)))
        .timeout_recv_response(Some(Duration::from_millis(limits::ANSWER_MS_MAX)))
        // One answer is read at a time, and none is asked for on a connection that broke.
        .max_idle_connections(0);
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let is_here = host.is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    // A proxy of the environment cannot know what is meant by this machine.
    if is_here { config.proxy(None).build().into() } else { config.build().into() }
}

/// What is wrong with a URL, as far as can be known without asking anyone.
fn fault_of(url: &str) -> Option<String> {
    let uri: http::Uri = match url.parse() {
        Ok(uri) => uri,
        Err(error) => return Some(format!("{:?} is no URL: {error}", shown(url))),
    };
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) if !host.is_empty() => None,
        (Some("https"), Some(host)) if !host.is_empty() => (!cfg!(feature = "tls"))
            .then(|| format!("{} needs TLS; enable the feature `tls` of the crate cutwater", shown(url))),
        _ => Some(format!("{:?} is no URL to read from; write it as http://host/path", shown(url))),
    }
}

/// A URL as it may stand in logs and dead letters: without what may be secret.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// Whether the same request would fail in the same way for ever.
fn is_final(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::BadUri(_)
            | ureq::Error::Http(_)
            | ureq::Error::InvalidProxyUrl
            | ureq::Error::RedirectFailed
            | ureq::Error::TooManyRedirects
            | ureq::Error::TlsRequired
    )
}

fn failed(place: &str, reason: impl fmt::Display) -> End {
    End::Failed(Error::external(format_args!("{place}: {reason}")))
}

fn retry_after(answer: &http::Response<Body>) -> Option<Duration> {
    // The form with a date is left alone: it would need a calendar.
    let seconds = answer.headers().get("Retry-After")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl<D> SourceBuilder<'_, D> {
    /// The JSON values that an HTTP server answers `url` with, as they come: a line each, or, if the
    /// answer is of server-sent events, the data of an event each.
    ///
    /// When the answer ends or the connection breaks the source asks again, at first after 100 ms and
    /// at last every 5 s, or as the server wishes; for events it says from which on. A server that is
    /// away, is busy (408, 429) or has an error of its own (5xx) is waited for. Any other refusal is an
    /// error. An answer whose length is announced beforehand is a document: it is taken once and the
    /// source ends with it. So it does if the server answers 204.
    ///
    /// Offsets of malformed records count from the beginning of their answer. If the connection breaks
    /// within a record, that is counted as dropped.
    ///
    /// `https` needs the feature `tls` of this crate.
    ///
    /// ```
    /// # use cutwater::{Context, ErrorPolicy};
    /// let ctx = Context::local(1);
    /// let views = ctx.source("views").on_error(ErrorPolicy::Skip).http_json::<(String, u64)>("http://localhost:8080/views");
    /// # drop(views);
    /// ```
    #[track_caller]
    pub fn http_json<T: Record + DeserializeOwned>(self, url: impl ToString) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.only("an HTTP stream", &["line_bytes_max"]);
        let line_bytes_max = self.line_bytes_max;
        let receiver = Http { url: url.to_string(), decode: decode::json, line_bytes_max };
        self.received(Origin::Receiver(Box::new(receiver))).1
    }
}

impl Context {
    /// The JSON values of an HTTP stream: [`SourceBuilder::http_json`] with what is usual, called by
    /// its URL.
    ///
    /// ```
    /// # use cutwater::Context;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct PageView { url: String }
    ///
    /// let ctx = Context::local(1);
    /// let views = ctx.http_json::<PageView>("http://localhost:8080/views");
    /// # drop(views);
    /// ```
    #[track_caller]
    pub fn http_json<T: Record + DeserializeOwned>(&self, url: impl ToString) -> DStream<T> {
        let url = url.to_string();
        self.source(&shown(&url)).http_json(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        assert_eq!(
            shown("https://me:secret@example.org:8080/a/b?key=secret#x"),
            "https://example.org:8080/a/b"
        );
        assert_eq!(shown("http://example.org?key=secret"), "http://example.org");
        assert_eq!(shown("nonsense"), "nonsense");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_before_anyone_is_asked() {
        assert_eq!(fault_of("http://localhost:80/x"), None);
        for url in ["", "localhost", "ftp://example.org/", "http:///x", "http://exa mple/", "/path"] {
            assert!(fault_of(url).is_some_and(|fault| fault.contains("is no URL")), "{url}");
        }
        let fault = fault_of("https://example.org/");
        assert_eq!(fault.is_some(), !cfg!(feature = "tls"));
        assert!(fault.is_none_or(|fault| fault.contains("feature `tls`")));
    }
}
