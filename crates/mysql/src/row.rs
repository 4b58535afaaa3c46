//! One row of an answer, read by column index.

use mysql_async::Value;

use crate::error::{Error, Result};

/// One row. Values come as the texts that the server sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub(crate) Vec<Value>);

/// Returns the first row of the first answer: all that many questions are about.
pub fn first(sets: &[Vec<Row>]) -> Option<&Row> {
    sets.first()?.first()
}

impl Row {
    fn value(&self, index: usize) -> Result<&Value> {
        self.0.get(index).ok_or_else(|| Error::Corrupt(format!("A row has {} columns where more than {index} should be.", self.0.len())))
    }

    fn bytes(&self, index: usize) -> Result<&[u8]> {
        match self.value(index)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(Error::Corrupt(format!("Column {index} holds {other:?} where a text should be."))),
        }
    }

    pub fn is_null(&self, index: usize) -> Result<bool> {
        Ok(*self.value(index)? == Value::NULL)
    }

    pub fn text(&self, index: usize) -> Result<&str> {
        std::str::from_utf8(self.bytes(index)?).map_err(|_| Error::Corrupt(format!("Column {index} holds bytes that are no UTF-8.")))
    }

    pub fn string(&self, index: usize) -> Result<String> {
        self.text(index).map(str::to_owned)
    }

    pub fn i64(&self, index: usize) -> Result<i64> {
        if let Value::Int(number) = self.value(index)? {
            return Ok(*number);
        }
        let text = self.text(index)?;
        text.parse().map_err(|_| Error::Corrupt(format!("Column {index} holds '{text}' where a whole number should be.")))
    }

    pub fn u64(&self, index: usize) -> Result<u64> {
        let text = self.text(index)?;
        text.parse().map_err(|_| Error::Corrupt(format!("Column {index} holds '{text}' where a number from 0 up should be.")))
    }

    pub fn bool(&self, index: usize) -> Result<bool> {
        Ok(self.i64(index)? != 0)
    }

    /// Returns `None` for NULL, else what `read` makes of the column.
    pub fn optional<T>(&self, index: usize, read: impl FnOnce(&Row, usize) -> Result<T>) -> Result<Option<T>> {
        if self.is_null(index)? { Ok(None) } else { read(self, index).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused() {
        let row = Row(vec![Value::Bytes(b"-7".to_vec()), Value::NULL, Value::Bytes("Ä".as_bytes().to_vec()), Value::Bytes(vec![0xff])]);
        assert_eq!((row.i64(0), row.is_null(1), row.text(2)), (Ok(-7), Ok(true), Ok("Ä")));
        assert_eq!(row.optional(1, Row::i64), Ok(None));
        for wrong in [row.u64(0).map(drop), row.text(1).map(drop), row.i64(2).map(drop), row.text(3).map(drop), row.i64(4).map(drop)] {
            assert!(matches!(wrong, Err(Error::Corrupt(_))), "{wrong:?}");
        }
    }
}
