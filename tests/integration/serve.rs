//! `dgnet serve`: pages, refusals, a sweep seen live, a database that is missing, locked or damaged.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::support::{Place, TINY};
use crate::web::{Answer, Server, send};

/// The study with a sweep's results.
fn trained() -> Place {
    let place = Place::new();
    place.study(TINY);
    place.succeed(&["sweep", "tiny.yaml"]);
    place
}

#[test]
fn pages_show_what_the_database_holds_and_names_lead_nowhere_else() {
    let place = trained();
    let server = Server::start(&place, &[]);
    studies_and_reports(&place, &server);
    unknown_names(&server);
    refusals(&server);
    news(&server);
    kept_until_the_database_changes(&place, &server);
    trouble(&place, &server);
    assert_eq!(server.stop(), Some(0), "Ctrl-C is how it ends");
}

fn studies_and_reports(place: &Place, server: &Server) {
    let index = server.get("/");
    assert_eq!(index.status, 200);
    let page = index.text();
    for part in ["href=\"/study/tiny\"", "href=\"/report/tiny/\"", "does it run?", "3 of 3"] {
        assert!(page.contains(part), "no `{part}` in\n{page}");
    }
    strict(&index);
    let live = server.get("/study/tiny");
    strict(&live);
    let page = live.text();
    for part in
        ["3 of 3</strong> runs done", "Nothing is left to do", "Learning curves", "<h2>Arms"]
    {
        assert!(page.contains(part), "no `{part}`");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the label is text");
    assert!(!page.contains("<script>"), "no script stands in the page");

    // the report is the one that `dgnet report` writes, byte for byte, with the files beside it
    place.succeed(&["report", "tiny"]);
    let folder = place.path().join("reports/tiny");
    for (path, file, media_type) in [
        ("/report/tiny/", "index.html", "text/html; charset=utf-8"),
        ("/report/tiny/table.csv", "table.csv", "text/csv; charset=utf-8"),
        ("/report/tiny/report.json", "report.json", "application/json"),
        ("/report/tiny/figures/differences.png", "figures/differences.png", "image/png"),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, media_type), "{path}");
        assert!(answer.body == std::fs::read(folder.join(file)).unwrap(), "{path}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("script-src 'sha256-") && policy.contains("img-src data:"),
            "{policy}"
        );
    }
    assert_eq!(server.get("/report/tiny").header("location"), "/report/tiny/");
}

/// What every page of ours forbids browsers.
fn strict(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "img-src data:", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script-src 'unsafe") && !policy.contains('*'), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), value);
    }
}

fn unknown_names(server: &Server) {
    for path in [
        "/nothing",
        "/study/other",
        "/study/..%2f..%2f",
        "/study/tiny%00",
        "/study/%ff",
        "/study/%3Cscript%3Ealert(1)%3C%2fscript%3E",
        "/study/other/live",
        "/report/..%2f..%2f/",
        "/report/..%2f..%2fetc%2fpasswd/",
        "/report/../../etc/passwd",
        "/report/tiny/..%2f..%2fresults.db",
        "/report/tiny/../../runs/results.db",
        "/report/tiny//etc/passwd",
        "/report/tiny/%2fetc%2fpasswd",
        "/report/tiny/figures",
        "/report/tiny/spec.yaml",
    ] {
        let answer = server.get(path);
        let text = answer.text();
        assert_eq!(answer.status, 404, "{path}: {text}");
        assert!(!text.contains("<script>alert") && !text.contains("root:"), "{path}: {text}");
        if !path.ends_with("/live") {
            assert!(text.contains("Hint: "), "{path} has no hint: {text}");
        }
    }
    let told = server.get("/study/other").text();
    assert!(told.contains("the database holds <code>tiny</code>"), "{told}");
}

fn refusals(server: &Server) {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(server.ask(method, "/", "Content-Length: 0\r\n").status, 405, "{method}");
    }
    let head = server.ask("HEAD", "/study/tiny", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.168.0.1"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = send(&server.address, request.as_bytes());
        assert_eq!(answer.status, 403, "{host}");
        assert!(!answer.text().contains("tiny"), "{host} read a result");
    }
    for names in ["", "Host: localhost\r\nHost: evil.example\r\n"] {
        let request = format!("GET / HTTP/1.1\r\n{names}Connection: close\r\n\r\n");
        assert!(send(&server.address, request.as_bytes()).status >= 400, "{names}");
    }
    assert_eq!(send(&server.address, b"not a request\r\n\r\n").status, 400);
    let port = server.address.rsplit(':').next().unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(send(&server.address, request.as_bytes()).status, 200);
}

fn news(server: &Server) {
    let whole = server.get("/study/tiny/live").text();
    assert!(
        whole.starts_with("<div data-part=\"standing\"") && whole.contains("data-part=\"curves\"")
    );
    let version = whole.split("data-version=\"").nth(1).unwrap().split('"').next().unwrap();
    let seen = format!("Dgnet-Seen: {version}\r\n");
    let again = server.ask("GET", "/study/tiny/live", &seen).text();
    assert!(again.contains("3 of 3") && again.len() < 1000, "nothing has changed: {again}");
    let script = server.get("/script.js");
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    assert!(server.get("/style.css").text().contains(".arms"));
}

fn kept_until_the_database_changes(place: &Place, server: &Server) {
    let timed = || {
        let began = Instant::now();
        let page = server.get("/report/tiny/").text();
        (page, began.elapsed())
    };
    let (before, kept) = timed();
    place.succeed(&["note", "tiny", "seen in a browser"]);
    let (after, made) = timed();
    assert!(!before.contains("seen in a browser") && after.contains("seen in a browser"));
    assert!(kept < made, "kept {kept:?}, made {made:?}");
    place.succeed(&["archive", "tiny"]);
    let index = server.get("/").text();
    assert!(
        index.contains("Archived and left out: 1") && !index.contains("/study/tiny"),
        "{index}"
    );
    assert_eq!(server.get("/study/tiny").status, 200);
}

fn trouble(place: &Place, server: &Server) {
    let database = place.runs().join("results.db");
    // what another program locks is told about, and the next look finds it free again
    let held = File::options().read(true).write(true).open(&database).unwrap();
    rustix::fs::fcntl_lock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let answer = server.get("/");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("another program holds it"), "{}", answer.text());
    drop(held);
    assert_eq!(server.get("/").status, 200);
    let bytes = std::fs::read(&database).unwrap();
    std::fs::write(&database, vec![7; 8192]).unwrap();
    for path in ["/", "/study/tiny", "/report/tiny/", "/study/tiny/live"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.text().contains("dgnet reindex"), "{path}: {}", answer.text());
    }
    std::fs::remove_file(&database).unwrap();
    let answer = server.get("/study/tiny");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("there is no database"), "{}", answer.text());
    std::fs::write(&database, bytes).unwrap();
    assert_eq!(server.get("/study/tiny").status, 200);
}

#[test]
fn a_running_sweep_is_seen_live() {
    let place = Place::new();
    place.study(
        &TINY.replace("steps: 16", "steps: 400").replace("decay_at: [12]", "decay_at: [300]"),
    );
    // before there is anything
    let server = Server::start(&place, &[]);
    assert_eq!(server.get("/").status, 503);
    let mut sweep = place.command(&["sweep", "tiny.yaml", "--no-report"]);
    let mut sweep = sweep.spawn().unwrap();
    let began = Instant::now();
    let mut seen = [false; 4];
    while seen.contains(&false) {
        let page = server.get("/study/tiny/live").text();
        let over = sweep.try_wait().unwrap().is_some();
        assert!(!over && began.elapsed() < Duration::from_mins(2), "{seen:?} in\n{page:.2000}");
        seen[0] |= page.contains("full seed 1") && page.contains(">training</td>");
        seen[1] |= page.contains(" of 400");
        seen[2] |= page.contains(" steps/s");
        // curves grow while it runs
        seen[3] |=
            page.contains("data-part=\"curves\"") && page.contains("loss_total during training");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(server.get("/").text().contains("now</td>"), "it is running");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&sweep),
        rustix::process::Signal::INT,
    )
    .unwrap();
    sweep.wait().unwrap();
    let page = server.get("/study/tiny/live").text();
    assert!(page.contains("No worker is at it right now"), "{page:.2000}");
}

#[test]
fn an_address_that_is_taken_is_refused_with_a_hint() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = place.dgnet(&["serve", "--port", &port]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&port) && said.contains("--port 0"), "{said}");
    assert_eq!(place.dgnet(&["serve", "--listen", "everywhere"]).status.code(), Some(2));
}

#[test]
fn other_names_are_answered_only_where_everybody_may_listen() {
    let place = Place::new();
    let server = Server::start(&place, &["--listen", "0.0.0.0"]);
    let port = server.address.rsplit(':').next().unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = send(&format!("127.0.0.1:{port}"), request);
    assert_eq!(answer.status, 503, "answered: {}", answer.text());
    assert!(answer.text().contains("there is no database"));
}
