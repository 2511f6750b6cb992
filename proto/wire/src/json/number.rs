//! Numbers as JSON text.
use std::io::Write as _;

/// Above this, doubles have an exponent. With [`MIN_PLAIN`], the thresholds of RapidJSON, which
/// Apache Mesos writes with.
const MAX_PLAIN: f64 = 1e21;
/// Below this, doubles have an exponent.
const MIN_PLAIN: f64 = 1e-6;
/// Up to here every integer is exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends an unsigned integer.
pub(super) fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a signed integer.
pub(super) fn write_signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_unsigned(out, value.unsigned_abs());
}

/// Appends a double: the shortest text that reads back as the same, with a fraction or an
/// exponent; what JSON has no number for as a string.
pub(super) fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 {
            b"\"Infinity\""
        } else {
            b"\"-Infinity\""
        });
    } else if value.fract() == 0.0 && value.abs() < MAX_EXACT {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        write_unsigned(out, value.abs() as u64);
        out.extend_from_slice(b".0");
    } else {
        let magnitude = value.abs();
        let result = if !(MIN_PLAIN..MAX_PLAIN).contains(&magnitude) {
            write!(out, "{value:e}")
        } else {
            // `{:?}` puts `.0` behind a whole number, but also exponents where we want none.
            if value.fract() == 0.0 {
                write!(out, "{value}.0")
            } else {
                write!(out, "{value}")
            }
        };
        result.expect("a Vec takes any bytes");
    }
}

/// Appends a float as [`write_double`] would: shortest for its own precision.
pub(super) fn write_float(out: &mut Vec<u8>, value: f32) {
    let shortest = if value.is_finite() {
        value.to_string().parse()
    } else {
        Ok(f64::from(value))
    };
    write_double(out, shortest.unwrap_or(f64::from(value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = vec![];
        write_double(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_have_a_fraction_or_an_exponent() {
        for (value, text) in [
            (15.0, "15.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (-3.25, "-3.25"),
            (0.1, "0.1"),
            (1732195052.123456, "1732195052.123456"),
            (1e15, "1000000000000000.0"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e21"),
            (1.5e300, "1.5e300"),
            (1e-6, "0.000001"),
            (1.25e-7, "1.25e-7"),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn integers_reach_their_ends() {
        let mut out = vec![];
        write_signed(&mut out, i64::MIN);
        out.push(b' ');
        write_unsigned(&mut out, u64::MAX);
        assert_eq!(out, b"-9223372036854775808 18446744073709551615");
    }

    #[test]
    fn floats_keep_their_own_precision() {
        let mut out = vec![];
        write_float(&mut out, 0.1);
        assert_eq!(out, b"0.1");
    }
}
