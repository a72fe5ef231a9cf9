//! The columns of a figure: methods, and for those with patterns one for each pattern file.

use crate::explain::Method;
use crate::output::figure::{Caption, Row};
use crate::output::path_text;
use crate::patterns::Patterns;
use std::path::Path;
use std::sync::Arc;

/// Methods that are explained with the same patterns.
pub struct Group {
    pub patterns: Option<Arc<Patterns>>,
    pub methods: Vec<Method>,
}

/// Which column of the figure a picture belongs to.
pub struct Columns {
    pub groups: Vec<Group>,
    /// Of each column of the figure: the method, the name of its patterns where there are several, and where its picture is
    /// among those of all groups, one after the other.
    columns: Vec<(Method, Option<String>, usize)>,
}

impl Columns {
    /// A method has a column for each pattern file if it needs patterns, else one.
    pub fn plan(methods: &[Method], patterns: &[Arc<Patterns>]) -> Self {
        let count = patterns.len().max(1);
        let groups: Vec<Group> = (0..count)
            .map(|number| Group {
                patterns: patterns.get(number).cloned(),
                methods: methods
                    .iter()
                    .copied()
                    .filter(|method| number == 0 || method.needs_patterns())
                    .collect(),
            })
            .collect();
        let names = if count > 1 { names(patterns) } else { Vec::new() };
        let mut columns = Vec::new();
        for &method in methods {
            let mut before = 0;
            for (number, group) in groups.iter().enumerate() {
                if let Some(place) = group.methods.iter().position(|other| *other == method) {
                    let name = names.get(number).filter(|_| method.needs_patterns()).cloned();
                    columns.push((method, name, before + place));
                }
                before += group.methods.len();
            }
        }
        Columns { groups, columns }
    }

    /// Number of columns, the image's own not among them.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Of each column, where its picture is among those of all groups.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|(.., place)| *place)
    }

    pub fn captions(&self) -> Vec<Caption> {
        let caption = |(method, name, _): &(Method, Option<String>, usize)| Caption {
            title: method.to_string(),
            details: name.iter().cloned().collect(),
        };
        self.columns.iter().map(caption).collect()
    }
}

/// What tells pattern files apart: their centerings, else their names, else their paths.
fn names(patterns: &[Arc<Patterns>]) -> Vec<String> {
    let path = |patterns: &Patterns| patterns.path().to_owned();
    let stem = |path: &Path| path.file_stem().map(|stem| path_text(Path::new(stem)));
    let named: [Vec<Option<String>>; 2] = [
        patterns.iter().map(|patterns| patterns.centering().map(str::to_owned)).collect(),
        patterns.iter().map(|patterns| stem(&path(patterns))).collect(),
    ];
    let distinct = named.into_iter().find_map(|names| {
        let names: Vec<String> = names.into_iter().collect::<Option<_>>()?;
        let is_repeated = |(number, name)| names[..number].contains(name);
        (!names.iter().enumerate().any(is_repeated)).then_some(names)
    });
    distinct.unwrap_or_else(|| patterns.iter().map(|patterns| path_text(&path(patterns))).collect())
}

/// Columns of one method that are equal in every row become one, under all their names: `linear` patterns are the same in
/// files of both centerings.
pub fn merge_equal(captions: &mut Vec<Caption>, rows: &mut [Row]) {
    let mut column = 1;
    while column < captions.len() {
        let equal = |other: &usize| {
            captions[*other].title == captions[column].title
                && rows.iter().all(|row| row.cells[*other] == row.cells[column])
        };
        match (0..column).find(equal) {
            None => column += 1,
            Some(other) => {
                let merged = captions.remove(column);
                let names: Vec<String> = captions[other].details.drain(..).chain(merged.details).collect();
                captions[other].details = vec![names.join(", ")];
                for row in &mut *rows {
                    row.cells.remove(column);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn equal_columns_become_one_under_both_names() {
        let caption =
            |title: &str, detail: &str| Caption { title: title.to_owned(), details: vec![detail.to_owned()] };
        let picture = |level| RgbImage::from_pixel(2, 2, Rgb([level; 3]));
        let mut captions = vec![
            caption("patternnet", "global"),
            caption("patternnet", "regime"),
            caption("signal:linear", "global"),
            caption("signal:linear", "regime"),
            caption("gradient", ""),
        ];
        let row = |levels: [u8; 5]| Row { caption: Caption::default(), cells: levels.map(picture).to_vec() };
        // Gradient looks like patternnet, and is another method.
        let mut rows = vec![row([1, 1, 5, 5, 1]), row([1, 2, 6, 6, 1])];
        merge_equal(&mut captions, &mut rows);
        let titles: Vec<(&str, &str)> =
            captions.iter().map(|caption| (caption.title.as_str(), caption.details[0].as_str())).collect();
        assert_eq!(
            titles,
            [
                ("patternnet", "global"),
                ("patternnet", "regime"),
                ("signal:linear", "global, regime"),
                ("gradient", "")
            ]
        );
        assert_eq!(rows[1].cells, [1, 2, 6, 1].map(picture));
    }

    #[test]
    fn methods_without_patterns_have_one_column() {
        let columns = Columns::plan(&[Method::Gradient, Method::PatternNet], &[]);
        assert_eq!((columns.len(), columns.groups.len()), (2, 1));
        assert_eq!(columns.places().collect::<Vec<_>>(), [0, 1]);
        assert!(columns.captions().iter().all(|caption| caption.details.is_empty()));
    }
}
