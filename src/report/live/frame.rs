//! The frame that all live pages have.

use maud::{DOCTYPE, Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::report::page::enlarged;

/// What stands for itself in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A name as one segment of an address.
pub fn address(name: &str) -> String {
    utf8_percent_encode(name, PLAIN).to_string()
}

/// What a page is besides its parts.
pub struct Frame<'a> {
    /// Title.
    pub title: &'a str,
    /// Where its parts are asked for again, if they change.
    pub looks_at: Option<String>,
    /// What never changes, above the parts.
    pub head: Markup,
}

/// A page; without scripts it loads itself again every few seconds.
pub fn page(frame: &Frame<'_>, parts: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/style.css";
                @if frame.looks_at.is_some() { noscript { meta http-equiv="refresh" content="5"; } }
            }
            body {
                main {
                    (frame.head)
                    p.trouble id="connection" role="alert" hidden {}
                    div id="parts" data-looks-at=[&frame.looks_at] { (parts) }
                }
                footer {
                    p {
                        "Read from the results database and from the heartbeats of workers; nothing here changes anything."
                        @if frame.looks_at.is_some() { " Looks again every two seconds while it is in view." }
                    }
                }
                (enlarged())
                script src="/script.js" {}
            }
        }
    }
}
