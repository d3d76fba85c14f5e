use std::{error::Error, fmt};

use bytes::BytesMut;
use cutwater::Time;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A record that is a row of a table. Tuples of up to twelve [columns](Column) are.
///
/// ```
/// use cutwater_postgres::{Column, Row};
///
/// #[derive(Clone)]
/// struct Visit { page: String, seconds: f64 }
///
/// impl Row for Visit {
///     fn columns() -> Vec<(cutwater_postgres::Type, bool)> {
///         <(String, f64)>::columns()
///     }
///
///     fn fields(&self) -> Vec<&dyn Column> {
///         vec![&self.page, &self.seconds]
///     }
/// }
/// ```
pub trait Row {
    /// The type of each column, and whether it may be null.
    fn columns() -> Vec<(Type, bool)>;

    /// The value of each.
    fn fields(&self) -> Vec<&dyn Column>;
}

/// A value of one column.
pub trait Column: Sync {
    /// The column's type.
    fn sql_type() -> Type
    where
        Self: Sized;

    /// Whether it may be null.
    fn is_nullable() -> bool
    where
        Self: Sized,
    {
        false
    }

    /// Puts it into `out` as Postgres sends values of that type.
    ///
    /// # Errors
    /// The type has no such value.
    fn put(&self, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>>;
}

/// Values that the client library knows.
macro_rules! known {
    ($($rust:ty => $sql:ident),* $(,)?) => {$(
        impl Column for $rust {
            fn sql_type() -> Type {
                Type::$sql
            }

            fn put(&self, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
                self.to_sql(&Type::$sql, out)
            }
        }
    )*};
}

known! {
    bool => BOOL, i16 => INT2, i32 => INT4, i64 => INT8, f32 => FLOAT4, f64 => FLOAT8,
    String => TEXT, Vec<u8> => BYTEA,
}

/// Values without a type of their own, which go into the next larger one. The largest has no larger one.
macro_rules! widened {
    ($($rust:ty => $wide:ty),* $(,)?) => {$(
        impl Column for $rust {
            fn sql_type() -> Type {
                <$wide>::sql_type()
            }

            fn put(&self, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
                let wide = <$wide>::try_from(*self).map_err(|_| format!("{self} is too large for a bigint"))?;
                wide.put(out)
            }
        }
    )*};
}

widened! { i8 => i16, u8 => i16, u16 => i32, u32 => i64, u64 => i64, usize => i64, isize => i64 }

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const FROM_1970_US: i64 = 946_684_800_000_000;

/// A `timestamptz`.
impl Column for Time {
    fn sql_type() -> Type {
        Type::TIMESTAMPTZ
    }

    fn put(&self, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let us = self.as_ms().checked_mul(1000).and_then(|us| us.checked_sub(FROM_1970_US));
        let us = us.ok_or_else(|| format!("{self} is too far away for a timestamptz"))?;
        us.put(out)
    }
}

impl<C: Column> Column for Option<C> {
    fn sql_type() -> Type {
        C::sql_type()
    }

    fn is_nullable() -> bool {
        true
    }

    fn put(&self, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.as_ref().map_or(Ok(IsNull::Yes), |value| value.put(out))
    }
}

macro_rules! tuples {
    ($($column:ident $at:tt),*) => {
        impl<$($column: Column),*> Row for ($($column,)*) {
            fn columns() -> Vec<(Type, bool)> {
                vec![$(($column::sql_type(), $column::is_nullable())),*]
            }

            fn fields(&self) -> Vec<&dyn Column> {
                vec![$(&self.$at),*]
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);

/// A field as the client library takes it. It says itself what it is, so any type is accepted.
pub(crate) struct Field<'a>(pub &'a dyn Column);

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Field")
    }
}

impl ToSql for Field<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.put(out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(column: &dyn Column) -> Vec<u8> {
        let mut out = BytesMut::new();
        assert!(matches!(column.put(&mut out).unwrap(), IsNull::No));
        out.to_vec()
    }

    #[test]
    fn columns_are_of_the_types_that_hold_them() {
        type Wide = (u8, u16, u32, u64, Option<String>);
        let types = [Type::INT2, Type::INT4, Type::INT8, Type::INT8, Type::TEXT];
        let nullable = [false, false, false, false, true];
        assert_eq!(Wide::columns(), types.into_iter().zip(nullable).collect::<Vec<_>>());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(bytes(&(i64::MAX as u64)), i64::MAX.to_be_bytes());
        let error = (i64::MAX as u64 + 1).put(&mut BytesMut::new()).map(drop).unwrap_err();
        assert!(error.to_string().contains("too large for a bigint"), "{error}");
        assert!(Time::from_ms(i64::MAX).put(&mut BytesMut::new()).is_err());
    }

    #[test]
    fn times_count_from_2000() {
        assert_eq!(bytes(&Time::from_ms(946_684_800_000)), 0i64.to_be_bytes());
        assert_eq!(bytes(&Time::from_ms(0)), (-FROM_1970_US).to_be_bytes());
    }
}
