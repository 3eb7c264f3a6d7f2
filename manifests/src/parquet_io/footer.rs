//! What the footer of any Parquet file says, without its rows.

use super::{damaged, guarded};
use crate::error::{Error, Result};
use parquet::basic::{LogicalType, Type as Physical};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;
use std::fs::File;
use std::path::Path;

/// A footer in brief.
pub(crate) struct Footer {
    pub(crate) rows: u64,
    pub(crate) row_groups: u64,
    pub(crate) created_by: String,
    /// Name and type of every column.
    pub(crate) columns: Vec<(String, String)>,
    kind: Option<String>,
}

/// What étude wrote the file as, `tracks` or `view`; `None` for other files.
pub(crate) fn kind_of(path: &Path) -> Result<Option<String>> {
    Ok(footer(path)?.kind)
}

/// Reads the footer.
pub(crate) fn footer(path: &Path) -> Result<Footer> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    guarded(path, || {
        let reader = SerializedFileReader::new(file).map_err(|e| damaged(path, e))?;
        let meta = reader.metadata();
        let about = meta.file_metadata();
        let pairs = about.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let kind = pairs.iter().find(|p| p.key == "etude.kind").and_then(|p| p.value.clone());
        let fields = about.schema().get_fields().iter();
        Ok(Footer {
            rows: u64::try_from(about.num_rows()).unwrap_or(0),
            row_groups: meta.num_row_groups() as u64,
            created_by: about.created_by().unwrap_or_default().to_owned(),
            columns: fields.map(|f| (f.name().to_owned(), type_name(f))).collect(),
            kind,
        })
    })
}

/// `utf8`, `int64`, `list<utf8>`, `struct<start: float32, …>`
fn type_name(field: &Type) -> String {
    let info = field.get_basic_info();
    if !field.is_primitive() {
        let parts: Vec<&Type> = field.get_fields().iter().map(AsRef::as_ref).collect();
        return match (info.logical_type_ref(), parts.as_slice()) {
            (Some(LogicalType::List), [list]) if list.get_fields().len() == 1 => {
                format!("list<{}>", type_name(&list.get_fields()[0]))
            }
            _ => {
                let part = |p: &&Type| format!("{}: {}", p.name(), type_name(p));
                format!("struct<{}>", parts.iter().map(part).collect::<Vec<_>>().join(", "))
            }
        };
    }
    match (info.logical_type_ref(), field.get_physical_type()) {
        (Some(LogicalType::String), _) => "utf8".into(),
        (Some(LogicalType::Integer(int)), _) => {
            format!("{}int{}", if int.is_signed { "" } else { "u" }, int.bit_width)
        }
        (Some(other), _) => format!("{other:?}").to_lowercase(),
        (None, Physical::BOOLEAN) => "bool".into(),
        (None, Physical::INT32) => "int32".into(),
        (None, Physical::INT64) => "int64".into(),
        (None, Physical::INT96) => "int96".into(),
        (None, Physical::FLOAT) => "float32".into(),
        (None, Physical::DOUBLE) => "float64".into(),
        (None, Physical::BYTE_ARRAY) => "binary".into(),
        (None, Physical::FIXED_LEN_BYTE_ARRAY) => "fixed binary".into(),
    }
}
