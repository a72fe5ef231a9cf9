//! Pages as a browser shows them: reports and figures in HTML, at several widths, light and dark, with and without their
//! scripts, and never with a network.

mod browser;
mod pages;

use browser::{Browser, Frame, Theme};
use serde_json::Value;

/// Widths of windows, from a hand's to a desk's, in pixels.
const WIDTHS: [u32; 4] = [320, 400, 800, 1400];

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What is true of every page at every width.
fn check_page(measured: &Value, frame: &Frame) {
    let width = frame.width;
    assert!(number(measured, "scrollWidth") <= f64::from(width), "{width}: it overflows: {measured}");
    assert_eq!(measured["hacked"], false, "{width}: a name ran as a script");
    assert_eq!(list(measured, "broken"), [0; 0], "{width}: pictures that do not show");
    assert_eq!(list(measured, "withoutAlternative"), [0; 0], "{width}");
    assert_eq!(list(measured, "headersWithoutScope"), [0; 0], "{width}");
    assert_eq!(measured["scripts"], u32::from(frame.html.contains("<script>")), "{width}");
    assert_eq!(list(measured, "pale"), [0; 0], "{width}: too little contrast");
}

#[test]
fn reports_show_their_curves_at_every_width() {
    let Some(browser) = Browser::find() else { return };
    let report = pages::report(3);
    let html = report.html();
    let frames = WIDTHS.map(|width| Frame { html: html.clone(), width, with_scripts: true });
    for theme in [Theme::Light, Theme::Dark] {
        let shown = browser.show(&frames, theme);
        assert_eq!(shown.complaints, [""; 0], "{theme:?}");
        for (measured, frame) in shown.frames.iter().zip(&frames) {
            check_page(measured, frame);
            assert_eq!(measured["dark"], theme == Theme::Dark);
            let charts = list(measured, "charts");
            assert_eq!(charts.len(), 1 + 3, "{}: one for all, one an image: {charts:?}", frame.width);
            for chart in charts {
                let (left, right) = (number(chart, "left"), number(chart, "right"));
                assert!(left >= 0.0 && right <= f64::from(frame.width), "{}: {chart}", frame.width);
                assert!(number(chart, "height") > 150.0 && right - left > 200.0, "{}: {chart}", frame.width);
                let lines = list(chart, "lines");
                assert_eq!(lines.len(), report.series.len());
                for line in lines {
                    assert!(number(line, "width") > 0.7 * (right - left), "{}: {line}", frame.width);
                    assert!(number(line, "height") > 5.0, "{}: {line}", frame.width);
                    assert!(number(line, "top") >= number(chart, "top"), "{}: {line}", frame.width);
                    assert!(number(line, "bottom") <= number(chart, "bottom"), "{}: {line}", frame.width);
                }
                // Marks and names of the axes, at a size that can be read.
                assert!(number(chart, "texts") >= 6.0);
                assert!(number(chart, "leastTextHeight") >= 9.0, "{}: {chart}", frame.width);
            }
            assert_eq!(charts[0]["bands"], report.series.len() - 1, "the random order has none");
        }
    }
}

#[test]
fn names_are_text_and_tables_have_the_numbers() {
    let Some(browser) = Browser::find() else { return };
    let report = pages::report(3);
    let frame = Frame { html: report.html(), width: 1000, with_scripts: false };
    let shown = browser.show(std::slice::from_ref(&frame), Theme::Light);
    assert_eq!(shown.complaints, [""; 0]);
    let measured = &shown.frames[0];
    check_page(measured, &Frame { html: String::new(), ..frame });
    let names = texts(measured, "names");
    assert_eq!(names, report.images.iter().map(|image| image.name.clone()).collect::<Vec<_>>());
    assert!(names[0].contains("<script>"), "{names:?}");
    let cells = texts(measured, "cells");
    let has = |text: &str| assert!(cells.iter().any(|cell| cell == text), "{text} is not in {cells:?}");
    for series in &report.series {
        has(&series.name);
        let score = series.scores[0].unwrap();
        has(&format!("{:.4}", score.value));
        if let Some([low, high]) = score.interval {
            has(&format!("{low:.4} to {high:.4}"));
        }
        for mean in &series.mean {
            has(&format!("{mean:.4}"));
        }
    }
    for (name, value) in report.options.iter().chain(&report.failed) {
        has(name);
        has(value);
    }
    // Without scripts nothing that needs them is offered.
    assert_eq!((&measured["checkboxes"], &measured["searchFields"]), (&0.into(), &0.into()));
}

#[test]
fn scripts_hide_curves_read_values_and_find_images() {
    let Some(browser) = Browser::find() else { return };
    let report = pages::report(40);
    let frame = Frame { html: report.html(), width: 900, with_scripts: true };
    let shown = browser.show(std::slice::from_ref(&frame), Theme::Light);
    assert_eq!(shown.complaints, [""; 0]);
    let measured = &shown.frames[0];
    check_page(measured, &frame);
    assert_eq!(measured["checkboxes"], report.series.len());
    let did = &measured["interaction"];
    assert_eq!(did["hiddenLines"], did["linesOfFirst"], "{did}");
    assert!(number(did, "linesOfFirst") >= 2.0, "{did}");
    assert_eq!(did["linesAfterSecondClick"], 0, "{did}");
    // The pointer is over the right edge of the plot: the last step.
    let last = report.series[1].mean.last().unwrap();
    assert_eq!(did["reading"], format!("{last:.3} at {}", report.steps.last().unwrap()), "{did}");
    assert_eq!(did["readingAfterLeaving"], "", "{did}");
    // photo-39.png alone.
    assert_eq!((&did["found"], &did["foundText"]), (&1.into(), &"1 of 40".into()), "{did}");
}

#[test]
fn one_image_and_two_hundred_and_none_are_pages_too() {
    let Some(browser) = Browser::find() else { return };
    let counts = [0, 1, 200];
    let frames =
        counts.map(|images| Frame { html: pages::report(images).html(), width: 400, with_scripts: true });
    let shown = browser.show(&frames, Theme::Light);
    assert_eq!(shown.complaints, [""; 0]);
    for ((measured, frame), images) in shown.frames.iter().zip(&frames).zip(counts) {
        check_page(measured, frame);
        assert_eq!(list(measured, "names").len(), images);
        assert_eq!(measured["searchFields"], u32::from(images == 200));
    }
    // Most are folded away: the page does not become endless.
    assert!(number(&shown.frames[2], "height") < 15_000.0, "{}", shown.frames[2]["height"]);
}

#[test]
fn figures_are_tables_of_pictures() {
    let Some(browser) = Browser::find() else { return };
    let figure = pages::figure();
    let html = figure.html().unwrap();
    let frames = WIDTHS.map(|width| Frame { html: html.clone(), width, with_scripts: true });
    let shown = browser.show(&frames, Theme::Dark);
    assert_eq!(shown.complaints, [""; 0]);
    for (measured, frame) in shown.frames.iter().zip(&frames) {
        check_page(measured, frame);
        let cells = texts(measured, "cells");
        for caption in figure.columns.iter().chain(figure.rows.iter().map(|row| &row.caption)) {
            assert!(cells.iter().any(|cell| cell.contains(&caption.title)), "{}: {cells:?}", caption.title);
        }
        let pictures = list(measured, "pictures");
        assert_eq!(pictures.len(), 4);
        assert!(pictures.iter().all(|side| side.as_f64().unwrap() >= 100.0), "{pictures:?}");
    }
}

/// The browser reads SVG as XML: what is not well-formed has no root of that name.
#[test]
fn figures_in_svg_are_well_formed() {
    let Some(browser) = Browser::find() else { return };
    let svg = pages::figure().svg().unwrap();
    let shown = browser.parse_xml(&[svg.clone(), svg.replacen("</text>", "", 1)]);
    assert_eq!(shown[0]["root"], "svg");
    let captions = texts(&shown[0], "texts");
    assert!(captions.iter().any(|text| text == pages::HOSTILE || text.contains("<scr")), "{captions:?}");
    assert_eq!((&shown[0]["images"], &shown[0]["scripts"]), (&4.into(), &0.into()));
    assert_ne!(shown[1]["root"], "svg", "a document that is not well-formed passed");
}

/// What the other tests rely on: complaints of pages are heard.
#[test]
fn a_page_that_fails_is_noticed() {
    let Some(browser) = Browser::find() else { return };
    let html = pages::report(1).html();
    let page = |extra: &str| Frame {
        html: html.replace("</main>", &format!("{extra}</main>")),
        width: 400,
        with_scripts: true,
    };
    let faults = [
        "<script>nobody.there()</script>",
        "<img alt=\"far\" src=\"https://example.org/far.png\">",
        "<p style=\"width:900px\">wide</p><p style=\"color:#bbb\">pale</p>",
    ];
    let shown = browser.show(&faults.map(page), Theme::Light);
    for word in ["nobody", "example.org"] {
        assert!(shown.complaints.iter().any(|line| line.contains(word)), "{word}: {:?}", shown.complaints);
    }
    let [_, far, wide] = &shown.frames[..] else { panic!("three pages") };
    assert_eq!(list(far, "broken").len(), 1);
    assert!(number(wide, "scrollWidth") > 400.0);
    assert_eq!(list(wide, "pale").len(), 1, "{wide}");
}
