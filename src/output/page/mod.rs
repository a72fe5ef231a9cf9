//! Web pages that are one file: styles inside, nothing fetched, light or dark as the reader's system is.

use super::markup::escaped;

/// What all pages share.
const STYLE: &str = include_str!("style.css");

/// A page.
pub(super) struct Page<'a> {
    /// Of the window; plain text.
    pub title: &'a str,
    /// Rules for this kind of page, after those of all.
    pub style: &'a str,
    /// HTML of the page's content.
    pub body: &'a str,
    /// A script at its end, if any. The page says everything without it.
    pub script: Option<&'a str>,
}

impl Page<'_> {
    /// The page as HTML. Its security policy forbids the browser to load anything from anywhere.
    pub fn html(&self) -> String {
        let Page { title, style, body, script } = self;
        let (allowed, script) = match script {
            Some(script) => ("; script-src 'unsafe-inline'", format!("<script>\n{script}</script>\n")),
            None => ("", String::new()),
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"generator\" content=\"vggx {version}\">\n\
             <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n{script}</body>\n</html>\n",
            version = env!("CARGO_PKG_VERSION"),
            title = escaped(title),
        )
    }
}
