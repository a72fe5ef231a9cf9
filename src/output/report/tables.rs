//! The numbers.

use super::{Report, Score};
use crate::output::markup::escaped;
use std::fmt::Write;

/// Steps whose values stand beside the scores.
const SHOWN_STEPS: usize = 5;

/// A table in a box of its own that scrolls where a window is too narrow.
fn boxed(label: &str, table: &str) -> String {
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table class=\"numbers\">\n{table}</table>\n</div>\n",
        escaped(label)
    )
}

/// A number to four digits; a dash where there is none.
fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.4}").replace('-', "−"),
        _ => "–".to_owned(),
    }
}

/// Of each method the scores, and the curve's value at a few steps.
pub fn scores(report: &Report) -> String {
    if report.series.is_empty() {
        return String::new();
    }
    let shown = shown(report.steps.len());
    let mut table = String::from("<thead>\n<tr><th scope=\"col\">method</th>");
    for score in &report.scores_are {
        let score = escaped(score);
        let _ = write!(table, "<th scope=\"col\">{score}</th><th scope=\"col\">95 % interval</th>");
    }
    for &step in &shown {
        let _ = write!(table, "<th scope=\"col\">at {}</th>", report.steps[step]);
    }
    table.push_str("</tr>\n</thead>\n<tbody>\n");
    for series in &report.series {
        let _ = write!(table, "<tr><th scope=\"row\"><bdi>{}</bdi></th>", escaped(&series.name));
        for place in 0..report.scores_are.len() {
            let score: Option<Score> = series.scores.get(place).copied().flatten();
            let interval = score.and_then(|score| score.interval);
            let interval =
                interval.map(|[low, high]| format!("{} to {}", number(Some(low)), number(Some(high))));
            let _ = write!(
                table,
                "<td>{}</td><td>{}</td>",
                number(score.map(|score| score.value)),
                interval.unwrap_or_else(|| number(None))
            );
        }
        for &step in &shown {
            let _ = write!(table, "<td>{}</td>", number(series.mean.get(step).copied()));
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody>\n");
    let at = if shown.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=\"faint\">“At” gives the mean curve at so many {}.</p>\n",
            escaped(&report.steps_are)
        )
    };
    format!("<section>\n<h2>Scores</h2>\n{}{at}</section>\n", boxed("Scores", &table))
}

/// A few steps, evenly from the second to the last.
fn shown(steps: usize) -> Vec<usize> {
    let last = steps.saturating_sub(1);
    let mut shown: Vec<usize> = (1..=SHOWN_STEPS)
        .map(|place| (place * last).div_ceil(SHOWN_STEPS))
        .filter(|&step| step > 0)
        .collect();
    shown.dedup();
    shown
}

/// All values of the mean curves, folded away.
pub fn values(report: &Report) -> String {
    if report.series.is_empty() || report.steps.is_empty() {
        return String::new();
    }
    let mut table = format!("<thead>\n<tr><th scope=\"col\">{}</th>", escaped(&report.steps_are));
    for series in &report.series {
        let _ = write!(table, "<th scope=\"col\"><bdi>{}</bdi></th>", escaped(&series.name));
    }
    table.push_str("</tr>\n</thead>\n<tbody>\n");
    for (place, step) in report.steps.iter().enumerate() {
        let _ = write!(table, "<tr><th scope=\"row\">{step}</th>");
        for series in &report.series {
            let _ = write!(table, "<td>{}</td>", number(series.mean.get(place).copied()));
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody>\n");
    let boxed = boxed("Values of the curves", &table);
    format!("<details>\n<summary>All values of the curves</summary>\n{boxed}</details>\n")
}

/// A table of names and what belongs to them; nothing where there are none.
pub fn pairs(title: &str, [first, second]: [&str; 2], rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = format!(
        "<thead>\n<tr><th scope=\"col\">{first}</th><th scope=\"col\">{second}</th></tr>\n</thead>\n<tbody>\n"
    );
    for (name, value) in rows {
        let _ = writeln!(
            table,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td class=\"text\"><bdi>{}</bdi></td></tr>",
            escaped(name),
            escaped(value)
        );
    }
    table.push_str("</tbody>\n");
    format!("<section>\n<h2>{title}</h2>\n{}</section>\n", boxed(title, &table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_steps_are_shown_with_the_last() {
        assert_eq!(shown(101), [20, 40, 60, 80, 100]);
        assert_eq!(shown(8), [2, 3, 5, 6, 7]);
        assert_eq!(shown(3), [1, 2]);
        assert_eq!(shown(1), [0; 0]);
        assert_eq!(shown(0), [0; 0]);
    }

    #[test]
    fn numbers_have_a_minus_or_a_dash() {
        assert_eq!(number(Some(-0.12345)), "−0.1235");
        assert_eq!(number(Some(f64::NAN)), "–");
        assert_eq!(number(None), "–");
    }
}
