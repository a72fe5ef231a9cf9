//! Rows as a Parquet file.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::super::manifest::{Row, Status};

/// The keys of a row; the methods are a JSON object in a string, as in the manifest.
const SCHEMA: &str = "message row {
    required binary input (STRING);
    required binary status (STRING);
    optional binary error (STRING);
    optional int64 target;
    optional binary label (STRING);
    optional binary key (STRING);
    optional double response;
    optional double probability;
    required binary methods (JSON);
}";

/// Writes rows. Equal rows make equal bytes.
pub(super) fn write(file: File, rows: &[Row]) -> io::Result<()> {
    write_rows(file, rows).map_err(|error| match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            // A full disk is told apart.
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    })
}

fn write_rows(file: File, rows: &[Row]) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let text = |text: &str| Some(ByteArray::from(text.as_bytes().to_vec()));
    let optional = |value: &Option<String>| value.as_deref().and_then(text);
    let status = |row: &Row| match row.status {
        Status::Ok => text("ok"),
        Status::Failed => text("failed"),
    };
    let target = |row: &Row| row.target.and_then(|target| i64::try_from(target).ok());
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let methods = |row: &Row| text(&serde_json::to_string(&row.methods).unwrap_or_default());
    column::<ByteArrayType>(&mut group, rows.iter().map(|row| text(&row.input)), false)?;
    column::<ByteArrayType>(&mut group, rows.iter().map(status), false)?;
    column::<ByteArrayType>(&mut group, rows.iter().map(|row| optional(&row.error)), true)?;
    column::<Int64Type>(&mut group, rows.iter().map(target), true)?;
    column::<ByteArrayType>(&mut group, rows.iter().map(|row| optional(&row.label)), true)?;
    column::<ByteArrayType>(&mut group, rows.iter().map(|row| optional(&row.key)), true)?;
    column::<DoubleType>(&mut group, rows.iter().map(|row| finite(row.response)), true)?;
    column::<DoubleType>(&mut group, rows.iter().map(|row| finite(row.probability)), true)?;
    column::<ByteArrayType>(&mut group, rows.iter().map(methods), false)?;
    group.close()?;
    writer.close()?;
    Ok(())
}

/// Writes the next column: its values, and which of them are missing where that may be.
fn column<Type: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: impl Iterator<Item = Option<Type::T>>,
    optional: bool,
) -> Result<(), ParquetError> {
    let values: Vec<Option<Type::T>> = values.collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<Type::T> = values.into_iter().flatten().collect();
    let missing = || ParquetError::General("the schema has fewer columns than rows have keys".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<Type>().write_batch(&present, optional.then_some(&levels[..]), None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::output::manifest::MethodOutput;

    #[test]
    fn rows_are_read_as_written() {
        let mut explained = Row::explained("a/cat.jpg", Vec::new());
        explained.target = Some(7);
        explained.label = Some("tabby, \"cat\"".to_owned());
        explained.response = Some(1.5);
        let output = MethodOutput { scale_log2: -3, files: vec!["0.tar/a/cat.png".to_owned()] };
        explained.methods = BTreeMap::from([("patternnet".to_owned(), output)]);
        let rows = [explained, Row::failed("ä.jpg", "is empty")];
        let bytes = |rows: &[Row]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            write(file.reopen().unwrap(), rows).unwrap();
            std::fs::read(file.path()).unwrap()
        };
        assert_eq!(bytes(&rows), bytes(&rows));
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.reopen().unwrap(), &rows).unwrap();
        let reader = SerializedFileReader::new(file.reopen().unwrap()).unwrap();
        let read: Vec<String> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(read.len(), 2);
        for part in
            ["input: \"a/cat.jpg\"", "status: \"ok\"", "target: 7", "error: null", "1.5", "0.tar/a/cat"]
        {
            assert!(read[0].contains(part), "{part} in {}", read[0]);
        }
        for part in ["ä.jpg", "status: \"failed\"", "is empty", "target: null", "key: null"] {
            assert!(read[1].contains(part), "{part} in {}", read[1]);
        }
        let empty = tempfile::NamedTempFile::new().unwrap();
        write(empty.reopen().unwrap(), &[]).unwrap();
        assert_eq!(
            SerializedFileReader::new(empty.reopen().unwrap()).unwrap().metadata().file_metadata().num_rows(),
            0
        );
    }
}
