//! The rows of a shard: one an image, in order.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use super::super::manifest::Row;
use super::parquet;

/// How rows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RowFormat {
    /// A JSON object a line, as in the manifest.
    #[default]
    Jsonl,
    /// Parquet, with a column for each key and the methods as JSON.
    Parquet,
}

impl RowFormat {
    /// Every format by its name, which is also its extension.
    pub const NAMES: [&str; 2] = ["jsonl", "parquet"];
}

impl fmt::Display for RowFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::NAMES[*self as usize])
    }
}

impl FromStr for RowFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "jsonl" => Ok(Self::Jsonl),
            "parquet" => Ok(Self::Parquet),
            _ => Err("expected jsonl or parquet".to_owned()),
        }
    }
}

/// Rows that are being written.
pub(super) enum Rows {
    Jsonl(BufWriter<File>),
    /// Columns are written whole.
    Parquet(File, Vec<Row>),
}

impl Rows {
    pub(super) fn new(format: RowFormat, file: File) -> Self {
        match format {
            RowFormat::Jsonl => Self::Jsonl(BufWriter::new(file)),
            RowFormat::Parquet => Self::Parquet(file, Vec::new()),
        }
    }

    pub(super) fn append(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Jsonl(file) => {
                serde_json::to_writer(&mut *file, row)?;
                file.write_all(b"\n")
            }
            Self::Parquet(_, rows) => {
                rows.push(row.clone());
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Jsonl(file) => {
                file.into_inner().map_err(io::IntoInnerError::into_error)?;
                Ok(())
            }
            Self::Parquet(file, rows) => parquet::write(file, &rows),
        }
    }
}
