//! A headless Chromium behind chromedriver: the few words of the WebDriver protocol that the tests need,
//! over plain sockets. (The maintained clients bring 90 packages, an HTTP stack and ICU among them.)

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::web::send;

/// Name by which an element is known in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; both are gone with this.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: apt-get install chromium chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .unwrap();
        // whoever stops reading must not block it
        std::thread::spawn(move || lines.for_each(drop));
        let folder = format!("--user-data-dir={}", profile.path().display());
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _profile: profile,
        };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--window-size=1280,1000",
            &folder,
        ];
        let answer = browser.ask(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "goog:chromeOptions": { "args": arguments },
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            }}}),
        );
        browser.session = answer["sessionId"].as_str().unwrap().into();
        // what the browser's own first page asks for is not what is tested
        browser.open("about:blank");
        browser.log("performance");
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Json) -> Json {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = send(&self.address, request.as_bytes());
        let mut value: Json = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{path} {body:.400}: {value:#}");
        value["value"].take()
    }

    fn tell(&self, path: &str, body: &Json) -> Json {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    /// Opens an address and waits until everything in it has loaded.
    pub fn open(&self, url: &str) {
        self.tell("/url", &json!({ "url": url }));
    }

    /// What a function's body returns in the page; promises are waited for.
    pub fn js(&self, body: &str) -> Json {
        self.tell("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Whether an expression holds in the page.
    pub fn holds(&self, expression: &str) -> bool {
        self.js(&format!("return Boolean({expression})")) == true
    }

    /// Waits until an expression holds in the page.
    pub fn wait_for(&self, what: &str, expression: &str) {
        let began = Instant::now();
        while !self.holds(expression) {
            assert!(began.elapsed() < Duration::from_mins(1), "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Clicks where a reader would: an element that is not in view or lies under another is an error.
    pub fn click(&self, selector: &str) {
        let element = self.tell("/element", &json!({ "using": "css selector", "value": selector }));
        let id = element[ELEMENT].as_str().unwrap();
        self.tell(&format!("/element/{id}/click"), &json!({}));
    }

    /// Types keys into whatever has the focus.
    pub fn press(&self, keys: &str) {
        let each = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        });
        let each: Vec<Json> = each.collect();
        self.tell(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": each }] }),
        );
    }

    /// A command of the DevTools protocol.
    pub fn cdp(&self, command: &str, parameters: &Json) -> Json {
        self.tell("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// What the console said since the last look.
    pub fn console(&self) -> Vec<Json> {
        self.log("browser")
    }

    /// Addresses that were asked for since the last look; what pages carry themselves is not asked for.
    pub fn requests(&self) -> Vec<String> {
        let urls = self.log("performance").into_iter().filter_map(|entry| {
            let event: Json = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let event = &event["message"];
            let url = event["params"]["request"]["url"].as_str()?;
            let asked = event["method"] == "Network.requestWillBeSent" && !url.starts_with("data:");
            asked.then(|| url.to_owned())
        });
        urls.collect()
    }

    fn log(&self, kind: &str) -> Vec<Json> {
        self.tell("/se/log", &json!({ "type": kind })).as_array().unwrap().clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.session.is_empty() {
            self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        // chromedriver takes its browsers along
        let pid = rustix::process::Pid::from_child(&self.driver);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.driver.wait();
    }
}

/// Keys of the WebDriver protocol.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const BACKSPACE: &str = "\u{e003}";
