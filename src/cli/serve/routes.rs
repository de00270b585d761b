//! Which address is answered by what. Names in addresses are looked up among names in the database and
//! among the files of a report in memory: none ever becomes a path.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::guard;
use super::house::House;
use crate::report::assets::policy;
use crate::report::write::INDEX;
use crate::report::{ReportError, live};
use crate::store::StoreError;

/// By which the script says the version of a report that it shows.
const SEEN: &str = "dgnet-seen";

type Shared = State<Arc<House>>;
/// One name, decoded; addresses that are not UTF-8 have none.
type Name<T> = Result<Path<T>, PathRejection>;

/// Every page; `is_open` says whether other names than the loopback's are answered.
pub fn router(house: House, is_open: bool) -> Router {
    Router::new()
        .route("/", get(studies))
        .route("/live", get(studies_live))
        .route("/study/{name}", get(study))
        .route("/study/{name}/live", get(study_live))
        .route("/report/{name}", get(to_report))
        .route("/report/{name}/", get(report))
        .route("/report/{name}/{*file}", get(report_file))
        .route("/style.css", get(async || as_type("text/css", live::style())))
        .route("/script.js", get(async || as_type("text/javascript", live::script())))
        .fallback(async || unknown_page())
        .with_state(Arc::new(house))
        .layer(from_fn_with_state(is_open, guard::watch))
}

async fn studies(State(house): Shared) -> Result<Response, Trouble> {
    let page = ask(house, |house| house.studies(true)).await?;
    Ok(as_type("text/html", page))
}

async fn studies_live(State(house): Shared) -> Response {
    news(ask(house, |house| house.studies(false)).await)
}

async fn study(State(house): Shared, name: Name<String>) -> Result<Response, Trouble> {
    let Path(name) = name.map_err(|_| unknown_page())?;
    let page = ask(house, move |house| house.study(&name, None)).await?;
    Ok(as_type("text/html", page))
}

async fn study_live(State(house): Shared, headers: HeaderMap, name: Name<String>) -> Response {
    let seen = headers.get(SEEN).and_then(|seen| seen.to_str().ok()).unwrap_or_default().to_owned();
    news(match name {
        Ok(Path(name)) => ask(house, move |house| house.study(&name, Some(&seen))).await,
        Err(_) => Err(unknown_page()),
    })
}

/// With the slash, the names in the page are files beside it.
async fn to_report(name: Name<String>) -> Result<Redirect, Trouble> {
    let Path(name) = name.map_err(|_| unknown_page())?;
    Ok(Redirect::permanent(&format!("/report/{}/", live::address(&name))))
}

async fn report(state: Shared, name: Name<String>) -> Result<Response, Trouble> {
    let Path(name) = name.map_err(|_| unknown_page())?;
    report_file(state, Ok(Path((name, INDEX.to_owned())))).await
}

async fn report_file(
    State(house): Shared,
    names: Name<(String, String)>,
) -> Result<Response, Trouble> {
    let Path((study, file)) = names.map_err(|_| unknown_page())?;
    let media_type = media_type(&file);
    let bytes = ask(house, move |house| house.file(&study, &file)).await?;
    let mut response = as_type(media_type, bytes.ok_or_else(unknown_page)?);
    if let Ok(policy) = format!("{}; frame-ancestors 'none'", policy()).parse() {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// Asks the house on a thread that may wait.
async fn ask<T: Send + 'static>(
    house: Arc<House>,
    question: impl FnOnce(&House) -> Result<T, ReportError> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(move || question(&house)).await {
        Ok(answer) => answer.map_err(Trouble::from),
        Err(_) => Err(Trouble::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Failed",
            "the page could not be made\n  hint: the terminal of `dgnet serve` says why; please report it",
        )),
    }
}

/// What the script asks for: parts of a page, or what is wrong in plain words.
fn news(answer: Result<String, Trouble>) -> Response {
    match answer {
        Ok(parts) => as_type("text/html", parts),
        Err(trouble) => (trouble.status, trouble.message).into_response(),
    }
}

fn as_type(media_type: &str, body: impl IntoResponse) -> Response {
    let text = media_type.starts_with("text/");
    let value = if text { format!("{media_type}; charset=utf-8") } else { media_type.to_owned() };
    ([(header::CONTENT_TYPE, value)], body).into_response()
}

/// By the ending of a report's file.
fn media_type(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("html") => "text/html",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("csv") => "text/csv",
        _ => "text/plain",
    }
}

/// Why there is no page.
#[derive(Debug)]
pub struct Trouble {
    status: StatusCode,
    title: &'static str,
    message: String,
}

impl Trouble {
    /// With a message whose later lines are hints.
    pub fn new(status: StatusCode, title: &'static str, message: impl Into<String>) -> Self {
        Self { status, title, message: message.into() }
    }
}

fn unknown_page() -> Trouble {
    let words = "there is no such page\n  hint: studies are at `/`, a study at `/study/NAME`, its report at `/report/NAME/`";
    Trouble::new(StatusCode::NOT_FOUND, "Not found", words)
}

impl From<ReportError> for Trouble {
    fn from(error: ReportError) -> Self {
        let (status, title) = match &error {
            ReportError::Store(StoreError::Unknown { .. }) => (StatusCode::NOT_FOUND, "Not found"),
            ReportError::Store(StoreError::NoDatabase { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "No results yet")
            }
            ReportError::Store(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "The database cannot be read")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "The report cannot be made"),
        };
        Self::new(status, title, error.to_string())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let page = live::trouble(self.title, &self.message);
        (self.status, as_type("text/html", page)).into_response()
    }
}
