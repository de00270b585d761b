//! The report and the live page as readers meet them: in a headless Chromium, with hostile names, by
//! mouse and by keyboard, dark, printed, on a phone, without scripts.

#[path = "browser/driver.rs"]
mod driver;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use self::driver::{BACKSPACE, Browser, ENTER, ESCAPE, TAB};
use crate::support::{Place, TINY};
use crate::web::Server;

const CHECKS: &str = include_str!("browser/checks.js");

/// 200 characters with everything that breaks pages.
fn question() -> String {
    let hostile = "\"Does\" it 'run'? <img src=x onerror=alert(2)> & </script> \u{202e}txet\u{202c} \u{1f600} ";
    let long = "Donaudampfschifffahrtsgesellschaftskapitaen".repeat(4);
    let question: String = format!("{hostile}{long}").chars().take(200).collect();
    assert_eq!(question.chars().count(), 200);
    question
}

fn hostile_study() -> String {
    let question = serde_json::to_string(&question()).unwrap();
    TINY.replace("question: does it run?", &format!("question: {question}"))
}

impl Browser {
    /// One of the checks finds nothing.
    fn check(&self, what: &str, call: &str) {
        let found = self.js(&format!("{CHECKS}\nreturn {call};"));
        assert_eq!(found, json!([]), "{what}: {found:#}");
    }

    fn text(&self, expression: &str) -> String {
        self.js(&format!("return String({expression})")).as_str().unwrap().to_owned()
    }

    fn screen(&self, width: u32, height: u32, is_phone: bool) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone,
        });
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    }

    fn media(&self, media: &str, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let emulated = json!({ "media": media, "features": features });
        self.cdp("Emulation.setEmulatedMedia", &emulated);
    }

    /// Light, dark and narrow; nothing is lost in any.
    fn looks_well(&self) {
        let paper = "getComputedStyle(document.body).backgroundColor";
        self.media("screen", "light");
        let light = self.text(paper);
        self.check("contrast on light paper", "contrast()");
        self.media("screen", "dark");
        assert_ne!(light, self.text(paper), "dark mode has its own paper");
        self.check("contrast on dark paper", "contrast()");
        self.check("a wide screen", "overflow(true)");
        self.media("screen", "light");
        self.screen(390, 844, true);
        self.check("a phone", "overflow(true)");
        self.screen(1280, 1000, false);
    }

    fn says_nothing(&self) {
        let said = self.console();
        assert!(said.is_empty(), "{said:#?}");
    }
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn browser_shows_a_hostile_report_to_every_reader() {
    let place = Place::new();
    place.study(&hostile_study());
    place.succeed(&["sweep", "tiny.yaml"]);
    let browser = Browser::start();
    let url = format!("file://{}", place.path().join("reports/tiny/index.html").display());
    browser.open(&url);
    assert_eq!(browser.text("document.title"), "tiny \u{b7} ablation study");
    hostile_words_are_text(&browser);
    browser.check("pictures", "pictures()");
    tables_sort(&browser);
    arms_are_filtered(&browser);
    arms_are_hidden(&browser);
    curves_are_smoothed(&browser);
    pictures_are_enlarged(&browser);
    browser.looks_well();
    it_prints(&browser);
    browser.says_nothing();
    assert_eq!(browser.requests(), [url.as_str()], "a report asks nobody for anything");
    without_scripts(&browser, &url, "Learning curves");
}

fn hostile_words_are_text(browser: &Browser) {
    assert_eq!(browser.text("document.querySelector('.question').textContent"), question());
    let label = "[...document.querySelectorAll('.label')].map(label => label.textContent)";
    assert!(browser.text(label).contains("<script>alert(1)</script>"));
    assert_eq!(browser.js("return document.scripts.length"), 1, "the page's own script");
    assert!(browser.holds("document.querySelector('.question').dir === 'auto'"));
}

/// The values of a column of the table of arms, top to bottom.
fn column(browser: &Browser, place: usize) -> Vec<String> {
    let cells = format!(
        "return [...document.querySelectorAll('.arms tbody tr')].map(row => \
         row.children[{place}].dataset.sort ?? row.children[{place}].querySelector('code').textContent)"
    );
    let cells: Vec<Json> = browser.js(&cells).as_array().unwrap().clone();
    cells.iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

fn tables_sort(browser: &Browser) {
    let given = column(browser, 0);
    assert_eq!(given, ["full", "hard_labels", "teacher_only"]);
    let numbers = |browser: &Browser| -> Vec<f64> {
        column(browser, 2).iter().map(|cell| cell.parse().unwrap()).collect()
    };
    let mean = ".arms thead th:nth-child(3) button";
    browser.click(mean);
    assert!(numbers(browser).is_sorted(), "{:?}", numbers(browser));
    let told = "document.querySelector('.arms thead th:nth-child(3)').ariaSort";
    assert_eq!(browser.text(told), "ascending");
    browser.click(mean);
    assert!(numbers(browser).is_sorted_by(|a, b| a >= b), "{:?}", numbers(browser));
    assert!(numbers(browser)[0] > numbers(browser)[2], "three equal values would prove nothing");
    // by keyboard: from the field above, one step ahead, and on
    browser.js("document.querySelector('.filter input').focus()");
    browser.press(&format!("{TAB}{ENTER}{ENTER}"));
    assert_eq!(column(browser, 0), ["teacher_only", "hard_labels", "full"]);
    browser.press(ENTER);
    assert_eq!(column(browser, 0), given);
}

fn arms_are_filtered(browser: &Browser) {
    let shown = "[...document.querySelectorAll('.arms tbody tr')].filter(row => row.offsetHeight > 0)\
                 .map(row => row.querySelector('code').textContent)";
    browser.click(".filter input");
    browser.press("HARD labels");
    assert_eq!(browser.text(shown), "hard_labels");
    assert_eq!(
        browser.text("document.querySelector('.filter [role=status]').textContent"),
        "1 of 3"
    );
    // rows are blocks on a phone, and still left out
    browser.screen(390, 844, true);
    assert_eq!(browser.text(shown), "hard_labels");
    browser.screen(1280, 1000, false);
    browser.press("x");
    assert_eq!(browser.text(shown), "");
    browser.press(&BACKSPACE.repeat(12));
    assert_eq!(browser.text(shown), "full,hard_labels,teacher_only");
}

fn arms_are_hidden(browser: &Browser) {
    let drawn = "[...new Set([...document.querySelectorAll('#curves figure.wide .drawing [data-arm]')]\
                 .map(lines => lines.dataset.arm))].sort()";
    let picture = "document.querySelector('#curves figure.wide picture').offsetHeight > 0";
    assert!(browser.holds(picture) && browser.text(drawn).is_empty());
    let button = "#curves .legend li:nth-child(2) button";
    browser.click(button);
    assert_eq!(browser.text(drawn), "full,teacher_only");
    assert!(!browser.holds(picture), "the picture with all arms makes room");
    let pressed = format!("document.querySelector('{button}').ariaPressed");
    assert_eq!(browser.text(&pressed), "false");
    let losses = "document.querySelectorAll('#curves .panels .drawing').length > 3";
    assert!(browser.holds(losses), "it is hidden in every chart of curves");
    assert!(browser.holds("document.querySelector('#curves .drawing').ariaLabel.includes('mAP')"));
    let paper = "getComputedStyle(document.querySelector('.drawing svg > rect')).fill";
    let light = browser.text(paper);
    browser.media("screen", "dark");
    assert_ne!(light, browser.text(paper), "drawings have dark colours too");
    browser.media("screen", "light");
    browser.check("drawings", "overflow(true)");
    browser.screen(390, 844, true);
    browser.wait_for(
        "the drawing of a phone",
        "document.querySelector('#curves .drawing svg').viewBox.baseVal.width === 360",
    );
    browser.screen(1280, 1000, false);
    browser.js(&format!("document.querySelector('{button}').focus()"));
    browser.press(ENTER);
    assert!(browser.holds(picture) && browser.text(drawn).is_empty());
}

fn curves_are_smoothed(browser: &Browser) {
    let box_ = "#curves input[type=checkbox]";
    let drawings = "document.querySelectorAll('#curves .panels .drawing').length";
    assert_eq!(browser.text(drawings), "0");
    browser.click(box_);
    assert!(browser.holds(&format!("{drawings} > 3")), "losses are smoothed");
    assert!(
        browser.holds("document.querySelector('#curves figure.wide .drawing') === null"),
        "three values are no curve to smooth"
    );
    // a loss, as measured and smoothed: the same ends and steps, a shorter way up and down
    let shape = "const [raw, mean] = [...document.querySelector('#curves .panels .drawing')\
                 .querySelectorAll('[data-arm=full] > polyline')].slice(0, 2)\
                 .map(line => [...line.points].map(p => [p.x, p.y])); \
                 const roughness = line => line.slice(1).reduce((sum, p, i) => sum + Math.abs(p[1] - line[i][1]), 0); \
                 const near = (a, b) => Math.abs(a - b) < 0.02; \
                 return [raw.length >= 8 && raw.every((p, i) => near(p[0], mean[i][0])), \
                 near(raw[0][1], mean[0][1]) && near(raw.at(-1)[1], mean.at(-1)[1]), \
                 roughness(mean) < roughness(raw)]";
    assert_eq!(browser.js(shape), json!([true, true, true]));
    browser.check("smoothed drawings", "overflow(true)");
    browser.click(box_);
    assert_eq!(browser.text(drawings), "0", "as measured again");
}

fn pictures_are_enlarged(browser: &Browser) {
    let open = "document.getElementById('enlarged').open";
    let large = "document.querySelector('#enlarged img').naturalWidth > 0 && \
                 document.querySelector('#enlarged p').textContent.length > 10";
    for selector in ["#curves figure img", "#pictures figure img"] {
        browser.js(&format!(
            "document.querySelector('{selector}').scrollIntoView({{block: 'center'}})"
        ));
        browser.click(selector);
        browser.wait_for("the large picture", &format!("{open} && {large}"));
        browser.press(ESCAPE);
        browser.wait_for("its end", &format!("!{open}"));
        browser.js(&format!("document.querySelector('{selector}').focus()"));
        browser.press(ENTER);
        browser.wait_for("the large picture, by keyboard", &format!("{open} && {large}"));
        browser.press(ESCAPE);
        browser.wait_for("its end", &format!("!{open}"));
    }
}

fn it_prints(browser: &Browser) {
    // A4 less the margins that the style asks for, at 96 dots an inch
    browser.media("print", "light");
    browser.screen(688, 1000, false);
    browser.check("print", "overflow(false)");
    assert!(!browser.holds("document.querySelector('.filter').checkVisibility()"));
    browser.media("", "light");
    browser.screen(1280, 1000, false);
    let a4 = json!({ "paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": true });
    let printed = browser.cdp("Page.printToPDF", &a4);
    let pdf = STANDARD.decode(printed["data"].as_str().unwrap()).unwrap();
    assert!(pdf.starts_with(b"%PDF"));
    let text = String::from_utf8_lossy(&pdf);
    let pages = text.matches("/Type /Page\n").count();
    assert!((3..=20).contains(&pages), "{pages} pages");
}

/// The content is there, and what needs a script is not.
fn without_scripts(browser: &Browser, url: &str, words: &str) {
    browser.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    browser.open(url);
    let tree = browser.cdp("Accessibility.getFullAXTree", &json!({}));
    let names: Vec<&str> = tree["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| node["name"]["value"].as_str())
        .collect();
    for word in ["full", "hard_labels", "<script>alert(1)</script>", "Verdict", words] {
        assert!(names.iter().any(|name| name.contains(word)), "no `{word}` without scripts");
    }
    assert!(
        names.iter().any(|name| name.starts_with("mAP (%) during training")),
        "charts have words"
    );
    assert!(!names.contains(&"Filter arms"), "a field that would do nothing is not shown");
    browser.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": false }));
}

#[test]
#[ignore = "needs Chromium: just test-browser"]
fn browser_follows_a_running_sweep() {
    let place = Place::new();
    let steps = hostile_study().replace("steps: 16", "steps: 3000");
    place.study(&steps.replace("decay_at: [12]", "decay_at: [2000]"));
    let server = Server::start(&place, &[]);
    let mut sweep = place.command(&["sweep", "tiny.yaml", "--no-report"]);
    let mut sweep = sweep.stderr(std::process::Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !server.get("/study/tiny").text().contains("data-part=\"curves\"") {
        assert!(began.elapsed() < Duration::from_mins(2), "no curve in time");
        std::thread::sleep(Duration::from_millis(200));
    }
    let browser = Browser::start();
    let page = format!("http://{}/study/tiny", server.address);
    browser.open(&page);
    assert_eq!(browser.text("document.querySelector('.question').textContent"), question());
    it_updates_by_itself(&browser);
    browser.check("pictures", "pictures()");
    browser.looks_well();
    browser.open(&format!("http://{}/", server.address));
    browser.check("the list of studies", "contrast()");
    browser.screen(390, 844, true);
    browser.check("the list of studies on a phone", "overflow(true)");
    browser.screen(1280, 1000, false);
    browser.click("a[href='/study/tiny']");
    browser.wait_for("the study", "location.pathname === '/study/tiny'");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&sweep),
        rustix::process::Signal::INT,
    )
    .unwrap();
    sweep.wait().unwrap();
    let stands = "document.querySelector('[data-part=standing]').textContent";
    browser.wait_for("the end", &format!("{stands}.includes('No worker is at it right now')"));
    browser.open(&format!("http://{}/report/tiny/", server.address));
    browser.check("pictures of the report", "pictures()");
    browser.says_nothing();
    let elsewhere = |url: &String| !url.starts_with(&format!("http://{}/", server.address));
    let asked = browser.requests();
    assert!(asked.len() > 5 && !asked.iter().any(elsewhere), "{asked:?}");
    without_scripts(&browser, &page, "runs done");
    assert_eq!(server.stop(), Some(0));
}

fn it_updates_by_itself(browser: &Browser) {
    // what readers chose survives, and the page is never loaded anew
    browser.click(".arms thead th:nth-child(1) button");
    browser.click(".arms thead th:nth-child(1) button");
    browser.click(".legend li:nth-child(1) button");
    browser.click(".filter input");
    browser.press("a");
    // parts of the page are away for a moment while they are replaced
    let chart = "(document.querySelector('#curves img')?.src ?? '')";
    let step = "document.querySelector('.running td:nth-child(3)').textContent";
    let (before, at) = (browser.text(chart), browser.text(step));
    browser.js("window.same = true");
    browser.wait_for("the next steps", &format!("{step} !== {}", json!(at)));
    browser.wait_for("a newer chart", &format!("![{}, ''].includes({chart})", json!(before)));
    browser
        .wait_for("the speed", "/steps\\/s/.test(document.querySelector('.running').textContent)");
    assert!(browser.holds("window.same"), "parts are replaced, not the page");
    assert_eq!(
        browser.text("document.querySelector('.arms th[aria-sort]').ariaSort"),
        "descending"
    );
    assert_eq!(browser.text("document.querySelector('.filter input').value"), "a");
    assert!(
        browser.holds(
            "document.querySelector('.legend li:nth-child(1) button').ariaPressed === 'false'"
        )
    );
    assert!(browser.holds("document.querySelector('#curves .drawing') !== null"));
    assert!(browser.holds("document.activeElement.matches('.filter input')"), "the focus stays");
    browser.press(BACKSPACE);
    browser.click(".legend li:nth-child(1) button");
}
