//! Answers as Parquet, through the `parquet` crate without Arrow (polars' own writer would bring an
//! object store, TLS and five compressors: 140 packages against 13). Every column is nullable; NaN is
//! kept; nothing is compressed but by dictionaries.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::store::query::{Cell, Table};

/// Rows of one group.
const GROUP: usize = 1 << 17;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Real,
    Text,
    Bytes,
}

/// The bytes of a Parquet file. Columns of whole numbers are INT64, of other numbers DOUBLE, everything
/// else is text; a column without any value is DOUBLE. Names that occur twice get `_2`, `_3`, ...
///
/// # Errors
/// What the writer says, which it has no reason to.
pub fn parquet(table: &Table) -> Result<Vec<u8>, ParquetError> {
    let kinds: Vec<Kind> = (0..table.columns.len()).map(|column| kind(table, column)).collect();
    let fields = unique(&table.columns).into_iter().zip(&kinds).map(|(name, kind)| {
        let (physical, logical) = match kind {
            Kind::Integer => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Bytes => (Physical::BYTE_ARRAY, None),
        };
        let field = Type::primitive_type_builder(&name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()?;
        Ok::<_, ParquetError>(Arc::new(field))
    });
    let schema = Type::group_type_builder("schema")
        .with_fields(fields.collect::<Result<Vec<_>, _>>()?)
        .build()?;
    let made_by = concat!("dgnet ", env!("CARGO_PKG_VERSION")).to_owned();
    let properties = WriterProperties::builder().set_created_by(made_by).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    for rows in table.rows.chunks(GROUP) {
        let mut group = file.next_row_group()?;
        for (column, kind) in kinds.iter().enumerate() {
            let Some(mut writer) = group.next_column()? else { break };
            let cells = || rows.iter().map(|row| &row[column]);
            let levels: Vec<i16> = cells().map(|c| i16::from(*c != Cell::Null)).collect();
            let levels = Some(levels.as_slice());
            match kind {
                Kind::Integer => {
                    let values: Vec<i64> = cells().filter_map(integer).collect();
                    writer.typed::<Int64Type>().write_batch(&values, levels, None)?
                }
                Kind::Real => {
                    let values: Vec<f64> = cells().filter_map(real).collect();
                    writer.typed::<DoubleType>().write_batch(&values, levels, None)?
                }
                Kind::Text | Kind::Bytes => {
                    let values: Vec<ByteArray> = cells().filter_map(bytes).collect();
                    writer.typed::<ByteArrayType>().write_batch(&values, levels, None)?
                }
            };
            writer.close()?;
        }
        group.close()?;
    }
    file.into_inner()
}

fn kind(table: &Table, column: usize) -> Kind {
    let mut kind = None;
    for row in &table.rows {
        let this = match row[column] {
            Cell::Null => continue,
            Cell::Integer(_) => Kind::Integer,
            Cell::Real(_) => Kind::Real,
            Cell::Text(_) => Kind::Text,
            Cell::Blob(_) => Kind::Bytes,
        };
        kind = Some(match (kind, this) {
            (None, this) => this,
            (Some(before), this) if before == this => this,
            (Some(Kind::Integer | Kind::Real), Kind::Integer | Kind::Real) => Kind::Real,
            (Some(Kind::Bytes), _) | (_, Kind::Bytes) => Kind::Bytes,
            _ => Kind::Text,
        });
    }
    kind.unwrap_or(Kind::Real)
}

fn integer(cell: &Cell) -> Option<i64> {
    if let Cell::Integer(value) = cell { Some(*value) } else { None }
}

fn real(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(value) => Some(*value as f64),
        Cell::Real(value) => Some(*value),
        _ => None,
    }
}

fn bytes(cell: &Cell) -> Option<ByteArray> {
    match cell {
        Cell::Null => None,
        Cell::Integer(value) => Some(value.to_string().as_str().into()),
        Cell::Real(value) => Some(value.to_string().as_str().into()),
        Cell::Text(value) => Some(value.as_str().into()),
        Cell::Blob(value) => Some(value.clone().into()),
    }
}

fn unique(names: &[String]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for name in names {
        let mut this = name.clone();
        let mut number = 2;
        while taken.contains(&this) || (this != *name && names.contains(&this)) {
            this = format!("{name}_{number}");
            number += 1;
        }
        taken.push(this);
    }
    taken
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    fn reader(table: &Table) -> SerializedFileReader<std::fs::File> {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &parquet(table).unwrap()).unwrap();
        SerializedFileReader::new(file).unwrap()
    }

    #[test]
    fn values_come_back_as_they_were() {
        let table = Table {
            columns: ["n", "avg(mAP)", "arm", "arm", "none", "raw"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![
                    Cell::Integer(i64::MAX),
                    Cell::Real(0.1 + 0.2),
                    Cell::Text("\u{e4}".into()),
                    Cell::Integer(1),
                    Cell::Null,
                    Cell::Blob(vec![0, 255]),
                ],
                vec![
                    Cell::Null,
                    Cell::Integer(1),
                    Cell::Null,
                    Cell::Text("x".into()),
                    Cell::Null,
                    Cell::Null,
                ],
            ],
            capped: false,
        };
        let file = reader(&table);
        let rows: Vec<Vec<(String, Field)>> = file
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                row.unwrap().get_column_iter().map(|(n, f)| (n.clone(), f.clone())).collect()
            })
            .collect();
        let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["n", "avg(mAP)", "arm", "arm_2", "none", "raw"]);
        let values = |row: usize| rows[row].iter().map(|(_, f)| f.clone()).collect::<Vec<_>>();
        assert_eq!(
            values(0),
            [
                Field::Long(i64::MAX),
                Field::Double(0.1 + 0.2),
                Field::Str("\u{e4}".into()),
                Field::Str("1".into()),
                Field::Null,
                Field::Bytes(vec![0, 255].into()),
            ]
        );
        assert_eq!(values(1)[..2], [Field::Null, Field::Double(1.0)]);
    }

    #[test]
    fn an_empty_answer_is_a_file_with_columns() {
        let table = Table { columns: vec!["a".into()], rows: Vec::new(), capped: false };
        let file = reader(&table);
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
        assert_eq!(file.metadata().file_metadata().schema().get_fields().len(), 1);
    }
}
