//! `--attributes`: what an agent says about itself, such as `rack:r1;level:10`.

use mesos_wire::v1::{Attribute, value};
use serde_json::{Map, Value as Json};

use crate::{Ranges, Scalar};

/// Text that is no list of attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("attribute `{part}`: {problem}")]
pub struct AttributeError {
    part: String,
    problem: &'static str,
}

/// Reads `NAME:VALUE` pairs with `;` or a newline between them; values are numbers, ranges or text.
///
/// # Errors
/// The first part that cannot be.
pub fn parse_attributes(text: &str) -> Result<Vec<Attribute>, AttributeError> {
    text.split([';', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let refuse = |problem| AttributeError {
                part: part.to_owned(),
                problem,
            };
            let (name, text) = part
                .split_once(':')
                .ok_or_else(|| refuse("allowed: NAME:VALUE"))?;
            let (name, text) = (name.trim(), text.trim());
            if name.is_empty() {
                return Err(refuse("the name is empty"));
            }
            if text.is_empty() {
                return Err(refuse("the value is empty"));
            }
            let mut attribute = Attribute {
                name: name.to_owned(),
                ..Default::default()
            };
            if text.starts_with('[') {
                let ranges: Ranges = text
                    .parse()
                    .map_err(|_| refuse("no set of ranges; allowed: [BEGIN-END,...]"))?;
                attribute.r#type = value::Type::Ranges.into();
                attribute.ranges = Some((&ranges).into());
            } else if text.starts_with('{') {
                return Err(refuse("a set; allowed: a number, [BEGIN-END,...] or text"));
            } else if let Some(number) = number(text) {
                attribute.r#type = value::Type::Scalar.into();
                attribute.scalar = Some(value::Scalar {
                    value: number.as_f64(),
                });
            } else {
                attribute.r#type = value::Type::Text.into();
                attribute.text = Some(value::Text {
                    value: text.to_owned(),
                });
            }
            Ok(attribute)
        })
        .collect()
}

fn number(text: &str) -> Option<Scalar> {
    let numeric = text
        .chars()
        .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    text.parse()
        .ok()
        .filter(|_| numeric)
        .and_then(Scalar::from_f64)
}

/// Attributes as the older endpoints show them: `{"rack":"r1","level":10.0}`.
pub fn attributes_json(attributes: &[Attribute]) -> Json {
    let mut object = Map::new();
    for attribute in attributes {
        let shown = match attribute.r#type() {
            value::Type::Scalar => {
                Json::from(attribute.scalar.as_ref().map_or(0.0, |scalar| scalar.value))
            }
            value::Type::Ranges => {
                let wire = attribute.ranges.iter().flat_map(|r| &r.range);
                let ranges = wire.map(|r| crate::Range {
                    begin: r.begin,
                    end: r.end,
                });
                Json::from(Ranges::new(ranges).to_string())
            }
            value::Type::Set => {
                let items = attribute
                    .set
                    .as_ref()
                    .map(|s| s.item.join(", "))
                    .unwrap_or_default();
                Json::from(format!("{{{items}}}"))
            }
            value::Type::Text => Json::from(
                attribute
                    .text
                    .as_ref()
                    .map_or("", |text| text.value.as_str()),
            ),
        };
        object.insert(attribute.name.clone(), shown);
    }
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_ranges_or_text() {
        let parsed = parse_attributes("rack:r1;num:3\nports:[1-2];url:http://x:80").unwrap();
        let shown = attributes_json(&parsed).to_string();
        assert_eq!(
            shown,
            r#"{"num":3.0,"ports":"[1-2]","rack":"r1","url":"http://x:80"}"#
        );
    }

    #[test]
    fn malformed_ones_are_named() {
        for bad in ["rack", ":x", "a:", "a:{b}", "a:[3-1]"] {
            assert!(parse_attributes(bad).is_err(), "{bad}");
        }
    }
}
