//! The polars side: lazy scans, counts per group, and rows of any type as text and JSON.

use crate::error::{Error, Result};
use crate::table::Table;
use polars::prelude::*;
use polars::sql::SQLContext;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A lazily scanned table.
#[derive(Clone)]
pub(super) struct Frame {
    path: PathBuf,
    lazy: LazyFrame,
    columns: Vec<String>,
}

/// Rows that a query returned, and the file they come from.
pub(super) struct Rows {
    path: PathBuf,
    data: DataFrame,
}

/// Wider tables are shown one value a line.
const COLUMNS: usize = 10;

impl Frame {
    /// Opens files of one schema; nothing but footers is read.
    pub(super) fn scan(paths: &[PathBuf]) -> Result<Self> {
        let path = paths.first().cloned().unwrap_or_default();
        let open = || {
            let paths = paths.iter().map(|p| PlRefPath::try_from_path(p));
            let paths = paths.collect::<PolarsResult<_>>()?;
            let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
            let mut lazy = LazyFrame::scan_parquet_files(paths, args)?;
            let schema = lazy.collect_schema()?;
            let columns = schema.iter_names().map(|n| n.to_string()).collect();
            Ok((lazy, columns))
        };
        let (lazy, columns) = open().map_err(|e| unreadable(&path, e))?;
        Ok(Self { path, lazy, columns })
    }

    /// Without the columns named; names that are not there are ignored.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        self.columns.retain(|c| !names.contains(&c.as_str()));
        let kept: Vec<Expr> = self.columns.iter().map(col).collect();
        self.lazy = self.lazy.select(kept);
        self
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|c| c == column)
    }

    /// Columns that begin with `prefix`, without it.
    pub(super) fn suffixes(&self, prefix: &str) -> Vec<String> {
        self.columns.iter().filter_map(|c| c.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    pub(super) fn lazy(&self) -> LazyFrame {
        self.lazy.clone()
    }

    /// Runs a plan over this table.
    pub(super) fn run(&self, plan: LazyFrame) -> Result<Rows> {
        collect(&self.path, plan)
    }

    /// The first rows.
    pub(super) fn head(&self, n: usize) -> Result<Rows> {
        self.run(self.lazy().limit(u32::try_from(n).unwrap_or(u32::MAX)))
    }
}

/// Runs `sql` over the tables; the first is also `t`.
pub(super) fn query(path: &Path, tables: Vec<(&'static str, Frame)>, sql: &str) -> Result<Rows> {
    let mut context = SQLContext::new();
    for (i, (name, frame)) in tables.into_iter().enumerate() {
        if i == 0 {
            context.register("t", frame.lazy());
        }
        context.register(name, frame.lazy());
    }
    let run = context.execute(sql).and_then(LazyFrame::collect);
    match run {
        Ok(data) => Ok(Rows { path: path.to_owned(), data }),
        Err(e) => Err(Error::Query { path: path.to_owned(), why: first_line(&e) }),
    }
}

fn collect(path: &Path, plan: LazyFrame) -> Result<Rows> {
    match plan.collect() {
        Ok(data) => Ok(Rows { path: path.to_owned(), data }),
        Err(e) => Err(unreadable(path, e)),
    }
}

impl Rows {
    /// The rows as a table for further plans.
    pub(super) fn lazy(&self) -> LazyFrame {
        self.data.clone().lazy()
    }

    /// Runs a plan over these rows.
    pub(super) fn run(&self, plan: LazyFrame) -> Result<Rows> {
        collect(&self.path, plan)
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.data.column(column).is_ok()
    }

    /// For every row whether the column has one of these words; never true for a missing column.
    pub(super) fn matches(&self, column: &str, words: &[&str]) -> Vec<bool> {
        let mut found = vec![false; self.len()];
        let text = self.data.column(column).and_then(|c| c.cast(&DataType::String));
        if let Ok(Ok(values)) = text.as_ref().map(|c| c.str()) {
            for (found, value) in found.iter_mut().zip(values.iter()) {
                *found = value.is_some_and(|v| words.contains(&v));
            }
        }
        found
    }

    /// Hands the bytes of every value of a text or binary column to `take`; false if there is no such column.
    pub(super) fn each_key<'a>(&'a self, column: &str, take: impl FnMut(Option<&'a [u8]>)) -> bool {
        let Ok(column) = self.data.column(column) else { return false };
        match (column.str(), column.binary()) {
            (Ok(text), _) => text.iter().map(|v| v.map(str::as_bytes)).for_each(take),
            (_, Ok(bytes)) => bytes.iter().for_each(take),
            _ => return false,
        }
        true
    }

    pub(super) fn len(&self) -> usize {
        self.data.height()
    }

    /// A column as text; null is `None`.
    pub(super) fn texts(&self, column: &str) -> Vec<Option<String>> {
        let cast = self.data.column(column).and_then(|c| c.cast(&DataType::String));
        match cast.as_ref().map(|c| c.str()) {
            Ok(Ok(values)) => values.iter().map(|v| v.map(str::to_owned)).collect(),
            _ => vec![None; self.len()],
        }
    }

    /// A column as counts; null is 0.
    pub(super) fn counts(&self, column: &str) -> Vec<u64> {
        let cast = self.data.column(column).and_then(|c| c.cast(&DataType::UInt64));
        match cast.as_ref().map(|c| c.u64()) {
            Ok(Ok(values)) => values.iter().map(|v| v.unwrap_or(0)).collect(),
            _ => vec![0; self.len()],
        }
    }

    /// A column as numbers; null is `None`.
    pub(super) fn numbers(&self, column: &str) -> Vec<Option<f64>> {
        let cast = self.data.column(column).and_then(|c| c.cast(&DataType::Float64));
        match cast.as_ref().map(|c| c.f64()) {
            Ok(Ok(values)) => values.iter().collect(),
            _ => vec![None; self.len()],
        }
    }

    /// The first number of a column, 0 if there is none.
    pub(super) fn number(&self, column: &str) -> f64 {
        self.numbers(column).first().copied().flatten().unwrap_or(0.0)
    }

    /// An aligned table, or one value a line where there are many columns.
    pub(super) fn text(&self) -> Result<String> {
        let cells = self.cells()?;
        let names: Vec<String> =
            self.data.get_column_names().iter().map(|n| n.to_string()).collect();
        if self.len() == 0 {
            return Ok(format!("no rows; columns: {}\n", names.join(", ")));
        }
        if names.len() <= COLUMNS {
            let numeric = |c: &Column| c.dtype().is_primitive_numeric();
            let columns = self.data.columns().iter().zip(&names);
            let heads: Vec<String> = columns
                .map(|(c, name)| if numeric(c) { format!(">{name}") } else { name.clone() })
                .collect();
            let mut table = Table::new(heads.iter().map(String::as_str));
            for row in 0..self.len() {
                table.row(cells.iter().map(|column| show(&column[row])));
            }
            return Ok(table.to_string());
        }
        let mut text = String::new();
        for row in 0..self.len() {
            let mut table = Table::new(["", ""]).indent(2).most(1, 100);
            for (name, column) in names.iter().zip(&cells).filter(|(_, c)| !c[row].is_null()) {
                table.row([name.clone(), show(&column[row])]);
            }
            text.push_str(&format!("row {row}\n{table}"));
        }
        Ok(text)
    }

    /// One object per row.
    pub(super) fn json(&self) -> Result<Value> {
        let names = self.data.get_column_names();
        let mut rows = vec![Map::new(); self.len()];
        for (name, column) in names.iter().zip(self.cells()?) {
            for (row, value) in rows.iter_mut().zip(column) {
                row.insert(name.to_string(), value);
            }
        }
        Ok(rows.into_iter().map(Value::Object).collect())
    }

    /// Every value, column by column.
    fn cells(&self) -> Result<Vec<Vec<Value>>> {
        let columns = self.data.columns().iter();
        let cell = |c: &Column, row: usize| c.get(row).map(|v| value(&v));
        let column = |c: &Column| (0..self.len()).map(|row| cell(c, row)).collect();
        columns.map(column).collect::<PolarsResult<_>>().map_err(|e| unreadable(&self.path, e))
    }
}

/// A polars value as JSON; bytes as hexadecimal digits.
fn value(any: &AnyValue<'_>) -> Value {
    match any {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(b) => (*b).into(),
        AnyValue::Binary(bytes) => hex(bytes),
        AnyValue::BinaryOwned(bytes) => hex(bytes),
        AnyValue::List(items) | AnyValue::Array(items, _) => {
            items.iter().map(|v| value(&v)).collect()
        }
        AnyValue::Struct(..) | AnyValue::StructOwned(_) => fields(any),
        AnyValue::Float32(x) => {
            // The shortest decimal of the f32, not the digits of its f64.
            x.to_string().parse::<f64>().ok().map_or(Value::Null, Value::from)
        }
        AnyValue::Float64(x) => Value::from(*x),
        other => match (other.get_str(), other.extract::<i64>(), other.extract::<u64>()) {
            (Some(text), _, _) => text.into(),
            (None, Some(n), _) => n.into(),
            (None, None, Some(n)) => n.into(),
            (None, None, None) => other.to_string().into(),
        },
    }
}

fn fields(any: &AnyValue<'_>) -> Value {
    let owned = any.clone().into_static();
    match &owned {
        AnyValue::StructOwned(parts) => {
            let (values, names) = parts.as_ref();
            let pairs = names.iter().zip(values).map(|(f, v)| (f.name().to_string(), value(v)));
            Value::Object(pairs.collect())
        }
        other => other.to_string().into(),
    }
}

fn hex(bytes: &[u8]) -> Value {
    match bytes.len() {
        0..=64 => crate::vocab::hex(bytes).into(),
        n => format!("{} … ({n} bytes)", crate::vocab::hex(&bytes[..16])).into(),
    }
}

/// A value in a cell: text as it is, numbers with at most six decimals, lists with commas.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(x) if x == 0.0 || (1e-4..1e15).contains(&x.abs()) => {
                let text = format!("{x:.6}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => n.to_string(),
        },
        Value::Array(items) => items.iter().map(show).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let parts: Vec<String> = fields.values().map(show).collect();
            format!("({})", parts.join(" "))
        }
        Value::Bool(b) => b.to_string(),
    }
}

fn unreadable(path: &Path, why: PolarsError) -> Error {
    Error::Damaged { path: path.to_owned(), why: first_line(&why) }
}

/// Polars adds the plan to some messages; the first line says what is wrong.
fn first_line(error: &PolarsError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
