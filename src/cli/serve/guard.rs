//! Who is answered at all, and what browsers may do with an answer.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::routes::Trouble;

/// What the live pages may do: their own style and script, pictures that they carry, asking for news.
/// The attribute that the style may be written in gives a curve's colour to the legend.
const POLICY: &str = "default-src 'none'; style-src-elem 'self'; style-src-attr 'unsafe-inline'; \
    script-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Lets a request through to the pages, or refuses it; answers get their headers.
pub async fn watch(State(is_open): State<bool>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&request, is_open) {
        Some(trouble) => trouble.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // a report has a policy of its own
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    response
}

fn refusal(request: &Request, is_open: bool) -> Option<Trouble> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let words = "these pages are read-only\n  hint: only GET and HEAD are answered";
        return Some(Trouble::new(StatusCode::METHOD_NOT_ALLOWED, "Not allowed", words));
    }
    // a page from elsewhere whose name was made to point here must not read results
    if !is_open && !asks_for_this_machine(request.headers()) {
        let words = "the address in the browser does not name this machine\n  hint: use \
                     `127.0.0.1` or `localhost`; `dgnet serve --listen` answers to other names";
        return Some(Trouble::new(StatusCode::FORBIDDEN, "Refused", words));
    }
    None
}

fn asks_for_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(is_loopback)
}

/// Whether `name`, `name:port` or `[address]:port` is a name of the loopback interface.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some(parts) => parts,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_named = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    is_named && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_loopback_interface_are_answered() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "0.0.0.0",
            "192.168.0.1:8080",
            "[::1",
            "[::1].evil.example",
            "127.0.0.1:80:80",
            "localhost:port",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
