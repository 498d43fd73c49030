//! Which encoding of an answer a client takes best (RFC 9110, 12.5.3), and bytes in it.

use std::io::{self, Write};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderValue, header};

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Br,
    Gzip,
    Deflate,
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    pub fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The one of `offers` that the client likes best; of several that it likes as much, the one that it names first, as on Node.
    /// None if it takes none of them, or likes them less than the answer as it is.
    pub fn preferred(headers: &HeaderMap, offers: &[Self]) -> Option<Self> {
        let mut any = None;
        let mut best: Option<(Self, u16, usize)> = None;
        let mut plain = 0;
        let mut named = Vec::new();
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
        let elements = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        for (place, element) in elements.enumerate() {
            let (name, quality) = weighed(element);
            if name == "*" {
                any = any.or(Some((quality, place)));
            } else if name.eq_ignore_ascii_case("identity") {
                plain = quality;
            } else if let Some(&offer) =
                offers.iter().find(|offer| name.eq_ignore_ascii_case(offer.name()))
                && !named.contains(&offer)
            {
                named.push(offer);
                if best.is_none_or(|(_, most, _)| quality > most) {
                    best = Some((offer, quality, place));
                }
            }
        }
        if let Some((quality, place)) = any
            && let Some(&offer) = offers.iter().find(|offer| !named.contains(offer))
            && best.is_none_or(|(_, most, _)| quality > most)
        {
            best = Some((offer, quality, place));
        }
        best.filter(|&(_, quality, _)| quality > 0 && quality >= plain).map(|(offer, ..)| offer)
    }

    /// Bytes in this encoding, of those that are made while a client waits.
    pub fn encode(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let into = Vec::with_capacity(bytes.len() / 4);
        if self == Self::Deflate {
            let mut encoder = ZlibEncoder::new(into, Compression::default());
            encoder.write_all(bytes)?;
            encoder.finish()
        } else {
            let mut encoder = GzEncoder::new(into, Compression::default());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

/// A name and its weight in thousandths: `gzip;q=0.5`. What is no weight is as good as none.
fn weighed(element: &str) -> (&str, u16) {
    let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
    let weight = parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok())?
    });
    let weight = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0);
    (name.trim(), (weight * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Encoding::*, *};

    #[test]
    fn the_client_says_what_it_likes_best() {
        for (accepted, expected) in [
            ("", None),
            ("gzip", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("gzip, deflate, br", Some(Gzip)),
            ("br, gzip", Some(Br)),
            ("gzip;q=0.5, br;q=0.8", Some(Br)),
            ("gzip; q=0.2 , deflate;Q=0.3", Some(Deflate)),
            ("gzip;q=0", None),
            ("gzip;q=0, deflate", Some(Deflate)),
            ("*", Some(Br)),
            ("br;q=0, *", Some(Gzip)),
            ("*;q=0", None),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0.1, gzip;q=0.2", Some(Gzip)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=1.0", Some(Gzip)),
            ("identity;q=0", None),
            ("zstd, compress", None),
            ("gzip;q=2, ;;, =", Some(Gzip)),
            ("gzip;q=NaN", Some(Gzip)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            let found = Encoding::preferred(&headers, &[Br, Gzip, Deflate]);
            assert_eq!(found, expected, "{accepted}");
        }
        assert_eq!(Encoding::preferred(&HeaderMap::new(), &[Br]), None);
    }
}
