//! gzip both ways, within bounds.

use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, header};

/// Smallest body that is gzipped, in bytes. Source: libprocess, `GZIP_MINIMUM_BODY_LENGTH`.
pub(crate) const MIN_GZIP: usize = 1024;

/// Whether the client takes gzip: named, or `*`, and not with `q=0`.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut wildcard = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for candidate in value.split(',') {
            let mut parts = candidate.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                part.strip_prefix("q=")
                    .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
            });
            if name.eq_ignore_ascii_case("gzip") {
                return !refused;
            }
            wildcard |= name == "*" && !refused;
        }
    }
    wildcard
}

/// Compresses; `None` when the compressor fails, which then costs only bandwidth.
pub(crate) fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(3));
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Unzips at most `limit` bytes. `Ok(None)` when there would be more.
pub(crate) fn gunzip(body: &[u8], limit: usize) -> io::Result<Option<Bytes>> {
    let mut out = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(bound)
        .read_to_end(&mut out)?;
    Ok((out.len() <= limit).then(|| Bytes::from(out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_is_read_with_its_weights() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), expected, "{value:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn unzipping_stops_at_the_bound() {
        let zipped = gzip(&vec![0; 1 << 20]).unwrap();
        assert_eq!(gunzip(&zipped, 1 << 20).unwrap().unwrap().len(), 1 << 20);
        assert!(gunzip(&zipped, (1 << 20) - 1).unwrap().is_none());
        assert!(gunzip(b"not gzip", 10).is_err());
        assert!(gunzip(&zipped[..zipped.len() - 9], 1 << 20).is_err());
    }
}
