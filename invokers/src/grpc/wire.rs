//! The little of protobuf's wire format that is needed without a descriptor: to look into a status,
//! to speak server reflection, and to write an event.

/// One field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width, which nothing here asks for.
    Fixed,
}

impl<'a> Field<'a> {
    /// What is in it, if it is a text, bytes or a message.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) | Value::Fixed => None,
        }
    }
}

/// The fields of a message, up to the first that is malformed.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut message)?),
            1 => fixed(&mut message, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Value::Bytes(bytes)
            }
            5 => fixed(&mut message, 4)?,
            _ => return None,
        };
        Some(Field { number: key >> 3, value })
    })
}

/// The bytes of the last field with this number.
pub(super) fn bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message).filter(|field| field.number == number).filter_map(|field| field.bytes()).last()
}

/// The last whole number with this number.
pub(super) fn number(message: &[u8], number: u64) -> Option<u64> {
    let found = fields(message).filter(|field| field.number == number);
    let numbers = found.filter_map(|field| match field.value {
        Value::Number(number) => Some(number),
        Value::Bytes(_) | Value::Fixed => None,
    });
    numbers.last()
}

/// Writes a text, bytes or a message.
pub(super) fn put(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(message, number << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Writes a whole number or a truth.
pub(super) fn put_number(message: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(message, number << 3);
    put_varint(message, value);
}

fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        message.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    message.push(number.to_le_bytes()[0]);
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7F).checked_shl(7 * at)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn fixed<'a>(message: &mut &'a [u8], length: usize) -> Option<Value<'a>> {
    *message = message.get(length..)?;
    Some(Value::Fixed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_up_to_what_is_malformed() {
        let message = [8, 150, 1, 18, 2, b'h', b'i', 29, 0, 0, 0, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(number(&message, 1), Some(150));
        assert_eq!(bytes(&message, 2), Some(&b"hi"[..]));
        assert_eq!(fields(&message).count(), 4);
        assert_eq!(
            (bytes(&message, 1), number(&message, 2), number(&message, 3)),
            (None, None, None)
        );
        assert_eq!(fields(&[8, 1, 18, 200, 1]).count(), 1);
        assert_eq!(fields(&[0xFF; 20]).count(), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            values in proptest::collection::vec((1_u64..1000, proptest::collection::vec(any::<u8>(), 0..300)), 0..8),
        ) {
            let mut message = Vec::new();
            for (number, bytes) in &values {
                put(&mut message, *number, bytes);
            }
            let read: Vec<_> =
                fields(&message).map(|field| (field.number, field.bytes().unwrap().to_vec())).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }
    }
}
