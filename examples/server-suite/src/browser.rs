//! Chromium without a window, driven through chromedriver.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use fantoccini::elements::Element;
use fantoccini::wd::WindowHandle;
use fantoccini::{ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use midplane_testkit::child::Child;
use midplane_testkit::{PATIENCE, succeeds};

use crate::endpoint::Endpoint;
use crate::http::Request;

const MISSING: &str = "install chromium and chromium-driver (Debian), or put chromedriver and its browser on the path";

/// A browser without a window, in a container, that talks to nobody but the servers of the checks.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
     --no-proxy-server --disable-background-networking --disable-component-update --disable-sync";

/// A browser of one's own.
#[derive(Debug)]
pub(crate) struct Browser {
    client: fantoccini::Client,
    driver_address: SocketAddr,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("chromedriver");
        // What the driver and the browser leave behind goes with the directory.
        command.arg("--port=0").env("TMPDIR", profile.path());
        let driver = Child::start(&command).unwrap_or_else(|error| panic!("{error}: {MISSING}"));
        const STARTED: &str = "started successfully on port ";
        let line = driver.line_with(STARTED).expect("chromedriver says a port");
        let (_, port) = line.split_once(STARTED).unwrap_or_default();
        let port: u16 = port.trim_end_matches('.').parse().expect("a port");
        let user_data = format!("--user-data-dir={}/profile", profile.path().display());
        let arguments = FLAGS.split_whitespace().chain([&*user_data]);
        let options = json!({ "args": arguments.collect::<Vec<_>>() });
        let capabilities = Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let client = succeeds(MISSING, builder.connect(&url)).await;
        Self {
            client,
            driver_address: ([127, 0, 0, 1], port).into(),
            _driver: driver,
            _profile: profile,
        }
    }

    /// Opens a page in a new tab.
    pub(crate) async fn open(&self, url: &str) -> Tab<'_> {
        let opened = succeeds("a tab", self.client.new_window(true)).await;
        let switched = self.client.switch_to_window(opened.handle.clone());
        succeeds("the tab", switched).await;
        succeeds("the page", self.client.goto(url)).await;
        Tab {
            browser: self,
            window: opened.handle,
        }
    }

    /// Opens the page of a server in a new tab, once it is connected.
    pub(crate) async fn open_connected(&self, server: &Endpoint) -> Tab<'_> {
        let tab = self.open(&server.url()).await;
        tab.says("status", "connected").await;
        tab
    }

    /// Ends the browser before its driver is killed.
    pub(crate) async fn close(self) {
        succeeds("the browser ends", self.client.close()).await;
    }
}

/// A page in a tab.
#[derive(Debug)]
pub(crate) struct Tab<'a> {
    browser: &'a Browser,
    window: WindowHandle,
}

impl Tab<'_> {
    /// The driver's client, with this tab as the current one.
    async fn client(&self) -> &fantoccini::Client {
        let client = &self.browser.client;
        succeeds("the tab", client.switch_to_window(self.window.clone())).await;
        client
    }

    async fn element(&self, id: &str) -> Element {
        succeeds(format!("#{id}"), self.client().await.find(Locator::Id(id))).await
    }

    /// What a script returns.
    pub(crate) async fn script(&self, script: &str) -> Value {
        succeeds("a script", self.client().await.execute(script, Vec::new())).await
    }

    /// Has the browser carry out a command of its protocol of development tools, for the current tab.
    async fn development(&self, command: &str, parameters: Value) {
        let client = self.client().await;
        let session = succeeds("the session", client.session_id()).await;
        let path = format!("/session/{}/goog/cdp/execute", session.unwrap_or_default());
        let body = json!({"cmd": command, "params": parameters}).to_string();
        let request = Request::new("POST", &path).body(body);
        let answer = request.send(self.browser.driver_address).await;
        assert_eq!(answer.status, 200, "{command}: {answer:?}");
    }

    /// Shows the page in a window of this width, and as high as the page is, in a light or a dark room.
    pub(crate) async fn look(&self, width: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.development(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
        for height in [json!(900), Value::Null] {
            let height = match height {
                Value::Null => {
                    self.script("return document.documentElement.scrollHeight")
                        .await
                }
                height => height,
            };
            let metrics = json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
            });
            self.development("Emulation.setDeviceMetricsOverride", metrics)
                .await;
        }
    }

    /// Writes a picture of what the tab shows.
    pub(crate) async fn picture(&self, path: &Path) {
        let picture = succeeds("a picture", self.client().await.screenshot()).await;
        std::fs::write(path, picture).expect("the picture is written");
    }

    /// The text of an element, whether it is in view or not.
    pub(crate) async fn text(&self, id: &str) -> String {
        let script = format!("return document.getElementById('{id}').textContent");
        let text = self.script(&script).await;
        text.as_str().expect("an element has text").trim().into()
    }

    /// Waits until the text of an element satisfies.
    async fn until(&self, id: &str, what: &str, satisfies: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let satisfied = async {
            while !satisfies(&last) {
                last = self.text(id).await;
            }
        };
        if tokio::time::timeout(PATIENCE, satisfied).await.is_err() {
            panic!("#{id} does not {what}, it is {last:?}");
        }
    }

    /// Waits until an element says this and nothing else.
    pub(crate) async fn says(&self, id: &str, text: &str) {
        self.until(id, &format!("say {text:?}"), |now| now == text)
            .await;
    }

    /// Waits until an element shows this among other things.
    pub(crate) async fn shows(&self, id: &str, text: &str) {
        self.until(id, &format!("show {text:?}"), |now| now.contains(text))
            .await;
    }

    /// Waits until an element says something other than this.
    pub(crate) async fn differs(&self, id: &str, text: &str) {
        let what = format!("differ from {text:?}");
        self.until(id, &what, |now| !now.is_empty() && now != text)
            .await;
    }

    pub(crate) async fn click(&self, id: &str) {
        succeeds(format!("a click on #{id}"), self.element(id).await.click()).await;
    }

    /// Types into a field, in place of what is there.
    pub(crate) async fn fill(&self, id: &str, text: &str) {
        let field = self.element(id).await;
        let typed = async {
            field.clear().await?;
            field.send_keys(text).await
        };
        succeeds(format!("typing into #{id}"), typed).await;
    }

    /// Joins a topic by the page's form.
    pub(crate) async fn join(&self, topic: &str) {
        self.fill("topic-input", topic).await;
        self.click("join").await;
        self.shows("topics", topic).await;
    }

    /// Publishes by the page's form.
    pub(crate) async fn publish(&self, kind: &str, id: &str, event: &str, exclude_self: bool) {
        let select = self.element("publish-type").await;
        succeeds("the choice", select.select_by_value(kind)).await;
        self.fill("publish-id", id).await;
        self.fill("publish-event", event).await;
        let exclude = self.element("exclude-self").await;
        if succeeds("the box", exclude.is_selected()).await != exclude_self {
            self.click("exclude-self").await;
        }
        self.click("publish").await;
    }
}
