//! Percent-encoding and query strings, decoded as libprocess decodes them.

/// Decodes `%41` to `A`, and `+` to a blank when `plus` is set. `None` when an escape is cut off or
/// not hexadecimal, or when the result is not UTF-8.
pub(crate) fn percent_decode(text: &str, plus: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let high = hex(*bytes.get(at + 1)?)?;
                let low = hex(*bytes.get(at + 2)?)?;
                out.push(high << 4 | low);
                at += 3;
                continue;
            }
            b'+' if plus => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Decodes `a=1&b=2`; `;` separates as well, a name without `=` has the empty value. The same syntax
/// serves for form-encoded bodies.
pub(crate) fn parse(text: &str) -> Option<Vec<(String, String)>> {
    text.split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decode(name, true)?, percent_decode(value, true)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_and_bad_ones_are_refused() {
        assert_eq!(
            percent_decode("slave%281%29", false).as_deref(),
            Some("slave(1)")
        );
        assert_eq!(percent_decode("a+b", false).as_deref(), Some("a+b"));
        assert_eq!(percent_decode("a+b%20c", true).as_deref(), Some("a b c"));
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decode(bad, true), None, "{bad}");
        }
    }

    #[test]
    fn queries_keep_order_and_repeats() {
        let pairs = parse("a=1&b=&c&a=x%3Dy;d=4").unwrap();
        let expected = [("a", "1"), ("b", ""), ("c", ""), ("a", "x=y"), ("d", "4")];
        assert_eq!(pairs.len(), expected.len());
        for ((name, value), (want_name, want_value)) in pairs.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), (want_name, want_value));
        }
        assert_eq!(parse("a=%"), None);
        assert_eq!(parse(""), Some(Vec::new()));
    }
}
