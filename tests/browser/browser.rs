//! A browser without a window, and without a network.

use serde_json::{Value, json};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs in the page that holds the tested ones.
const MEASURE: &str = include_str!("measure.js");

/// A page to show.
pub struct Frame {
    pub html: String,
    /// Of its window, in pixels.
    pub width: u32,
    pub with_scripts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

/// What became of pages.
pub struct Shown {
    /// What was measured of each.
    pub frames: Vec<Value>,
    /// What the browser's console says: errors of scripts, and whatever the security policy stopped.
    pub complaints: Vec<String>,
}

pub struct Browser {
    program: PathBuf,
}

impl Browser {
    /// Chromium or Chrome, from `VGGX_BROWSER` or the PATH; none, and a line that says so.
    pub fn find() -> Option<Self> {
        let named = env::var_os("VGGX_BROWSER").map(PathBuf::from);
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        let path = env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = env::split_paths(&path).collect();
        let found = named.or_else(|| {
            names
                .iter()
                .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
                .find(|file| file.is_file())
        });
        if found.is_none() {
            println!("skipped: no browser to show pages with (install chromium, or set VGGX_BROWSER)");
        }
        found.map(|program| Browser { program })
    }

    /// Shows pages, each in a frame of its width, and measures them.
    pub fn show(&self, frames: &[Frame], theme: Theme) -> Shown {
        let pages: Vec<Value> = frames
            .iter()
            .map(|frame| {
                let html = match (frame.with_scripts, frame.html.split_once("<script>")) {
                    (false, Some((before, rest))) => {
                        let (_, after) = rest.split_once("</script>").expect("a whole script");
                        format!("{before}{after}")
                    }
                    _ => frame.html.clone(),
                };
                json!({"html": html, "width": frame.width})
            })
            .collect();
        let (measured, complaints) = self.run("show", &json!(pages), theme);
        let frames_measured = measured.as_array().expect("a list").clone();
        assert_eq!(frames_measured.len(), frames.len());
        Shown { frames: frames_measured, complaints }
    }

    /// Reads documents as XML.
    pub fn parse_xml(&self, documents: &[String]) -> Vec<Value> {
        self.run("parseXml", &json!(documents), Theme::Light).0.as_array().expect("a list").clone()
    }

    /// Calls a function of the script with a value, and gives what it resolves to.
    fn run(&self, function: &str, value: &Value, theme: Theme) -> (Value, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        // In a script no text may end it.
        let value = value.to_string().replace('<', "\\u003c");
        let page = format!(
            "<!DOCTYPE html><meta charset=\"utf-8\"><body><script>{MEASURE}\nreport({function}({value}));</script>"
        );
        let path = folder.path().join("page.html");
        fs::write(&path, page).unwrap();
        let (dom, log) = self.load(&path, folder.path(), theme);
        let measured =
            dom.split_once("<pre id=\"measured\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let complaints: Vec<String> =
            log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
        let (measured, _) = measured.unwrap_or_else(|| panic!("nothing was measured: {complaints:?}\n{dom}"));
        let measured = serde_json::from_str(&decoded(measured)).expect(measured);
        (measured, complaints)
    }

    /// The document after its scripts have run, and the browser's log.
    fn load(&self, page: &Path, folder: &Path, theme: Theme) -> (String, String) {
        let scheme = match theme {
            Theme::Light => "1",
            Theme::Dark => "0",
        };
        let output = Command::new(&self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"])
            // No name has an address.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .args([
                "--enable-logging=stderr",
                "--log-level=0",
                "--virtual-time-budget=20000",
                "--timeout=30000",
            ])
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("--dump-dom")
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }
}

/// The text of what JavaScript's `encodeURIComponent` made of it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect(part));
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}
