//! Arrow arrays from iterators and back, for the few types that manifests use.

use arrow_array::builder::{
    FixedSizeBinaryBuilder, ListBuilder, PrimitiveBuilder, StringBuilder, StringDictionaryBuilder,
};
use arrow_array::types::{ArrowPrimitiveType, Int8Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, ListArray, PrimitiveArray, StringArray, cast::AsArray,
};
use arrow_schema::{DataType, Field};
use std::sync::Arc;

/// dictionary(int8, utf8)
pub(super) fn word_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))
}

/// list<item>, items never null.
pub(super) fn list_type(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, false)))
}

/// utf8
pub(super) fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// dictionary(int8, utf8); words are numbered as they first appear.
pub(super) fn words<'a>(
    values: impl Iterator<Item = Option<&'a str>>,
    column: &str,
) -> Result<ArrayRef, String> {
    let mut builder = StringDictionaryBuilder::<Int8Type>::new();
    for value in values {
        match value {
            Some(word) => drop(builder.append(word).map_err(|_| too_many(column))?),
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// list<dictionary(int8, utf8)>
pub(super) fn word_lists<'a, I: Iterator<Item = &'a str>>(
    rows: impl Iterator<Item = I>,
    column: &str,
) -> Result<ArrayRef, String> {
    let mut builder = ListBuilder::new(StringDictionaryBuilder::<Int8Type>::new())
        .with_field(Field::new("item", word_type(), false));
    for row in rows {
        for word in row {
            builder.values().append(word).map_err(|_| too_many(column))?;
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// list<utf8>
pub(super) fn text_lists<'a>(rows: impl Iterator<Item = Option<&'a [String]>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Field::new(
        "item",
        DataType::Utf8,
        false,
    ));
    for row in rows {
        for value in row.unwrap_or_default() {
            builder.values().append_value(value);
        }
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

/// list<number>
pub(super) fn number_lists<'a, T: ArrowPrimitiveType>(
    rows: impl Iterator<Item = Option<&'a [T::Native]>>,
) -> ArrayRef {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(Field::new(
        "item",
        T::DATA_TYPE,
        false,
    ));
    for row in rows {
        builder.values().append_slice(row.unwrap_or_default());
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

/// A column of numbers.
pub(super) fn numbers<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<T::Native>>,
) -> ArrayRef {
    let (low, _) = values.size_hint();
    let mut builder = PrimitiveBuilder::<T>::with_capacity(low);
    for value in values {
        builder.append_option(value);
    }
    Arc::new(builder.finish())
}

/// bool
pub(super) fn bools(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.collect::<BooleanArray>())
}

/// fixed_size_binary(32)
pub(super) fn digests<'a>(values: impl Iterator<Item = Option<&'a [u8; 32]>>) -> ArrayRef {
    let mut builder = FixedSizeBinaryBuilder::new(32);
    for value in values {
        match value {
            Some(digest) => {
                builder.append_value(digest).expect("32 bytes fit a column of width 32")
            }
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

/// Text of a column read without Arrow's own schema, so that dictionaries and views arrive as plain utf8.
pub(super) struct Texts<'a>(&'a StringArray);

impl<'a> Texts<'a> {
    pub(super) fn of(array: &'a ArrayRef, column: &str) -> Result<Self, String> {
        array.as_string_opt().map(Self).ok_or_else(|| wrong(column, "utf8", array))
    }

    pub(super) fn value(&self, row: usize) -> &'a str {
        self.0.value(row)
    }
}

/// The strings of one list item.
pub(super) fn strings(items: &ArrayRef, column: &str) -> Result<Vec<String>, String> {
    let texts = Texts::of(items, column)?;
    Ok((0..items.len()).map(|i| texts.value(i).to_owned()).collect())
}

pub(super) fn list<'a>(array: &'a ArrayRef, column: &str) -> Result<&'a ListArray, String> {
    array.as_list_opt().ok_or_else(|| wrong(column, "a list", array))
}

pub(super) fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a ArrayRef,
    column: &str,
) -> Result<&'a PrimitiveArray<T>, String> {
    array.as_primitive_opt().ok_or_else(|| wrong(column, &T::DATA_TYPE.to_string(), array))
}

pub(super) fn wrong(column: &str, expected: &str, got: &ArrayRef) -> String {
    format!("expected {expected} in column `{column}`, got {}", got.data_type())
}

fn too_many(column: &str) -> String {
    format!("expected at most 128 different words in column `{column}`, got more")
}
