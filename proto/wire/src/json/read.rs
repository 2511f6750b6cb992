//! JSON text to protobuf bytes.
mod scalar;

use super::parse::{Next, Parser};
use crate::error::{DecodeError, SyntaxError};
use crate::protobuf::memory_limit;
use crate::schema::{Cardinality, Field, Kind, Message, Schema};
use crate::tag;

/// Encodes the message that `text` holds. Required fields are not checked here.
pub(super) fn to_protobuf(message: &'static Message, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader {
        schema: Schema::get(),
        parser: Parser::new(text).map_err(DecodeError::Syntax)?,
        out: Vec::with_capacity(text.len()),
        spans: Vec::with_capacity(32),
        path: vec![],
        memory: 0,
        memory_limit: memory_limit(text.len()),
    };
    match reader.document(message) {
        Ok(()) => Ok(reader.out),
        Err(Problem::Syntax(error)) => Err(DecodeError::Syntax(error)),
        Err(Problem::TooLarge) => Err(DecodeError::TooLarge {
            message: &message.name,
        }),
        // What is not JSON at all is told first, wherever in the text it is.
        Err(Problem::Convert(problem, field)) => Err(match Parser::check(text) {
            Err(error) => DecodeError::Syntax(error),
            Ok(()) => {
                let path = reader.path_to(&field);
                DecodeError::Convert {
                    message: &message.name,
                    problem,
                    path,
                }
            }
        }),
    }
}

enum Problem {
    Syntax(SyntaxError),
    /// What, and the field's name.
    Convert(String, String),
    TooLarge,
}

impl From<SyntaxError> for Problem {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

type Result<T, E = Problem> = std::result::Result<T, E>;

/// A step from the top to the message that is being read.
enum Step {
    Field(&'static str),
    Element(&'static str, usize),
    Entry(&'static str, String),
}

/// What a field of the present message has put into the output.
struct Span {
    field: usize,
    start: usize,
    end: usize,
}

struct Reader<'a> {
    schema: &'static Schema,
    parser: Parser<'a>,
    out: Vec<u8>,
    /// Spans of the messages being read, outer ones first.
    spans: Vec<Span>,
    path: Vec<Step>,
    /// Estimated bytes of the decoded structs.
    memory: usize,
    memory_limit: usize,
}

impl Reader<'_> {
    fn document(&mut self, message: &'static Message) -> Result<()> {
        if self.parser.peek()? != Next::Object {
            return Err(Problem::Convert(
                "Expecting a JSON object".to_owned(),
                String::new(),
            ));
        }
        self.message(message)?;
        Ok(self.parser.end()?)
    }

    /// Reads the object that is up next into the output.
    fn message(&mut self, message: &'static Message) -> Result<()> {
        self.parser.enter()?;
        let base = self.spans.len();
        let mut hint = 0;
        let mut first = true;
        while let Some(name) = self.parser.name(first)? {
            first = false;
            let Some(index) = message.index_named(&name, hint) else {
                self.parser.skip()?;
                continue;
            };
            hint = index + 1;
            self.forget(base, index);
            let start = self.out.len();
            self.field(&message.fields[index])?;
            let end = self.out.len();
            if end > start {
                self.spans.push(Span {
                    field: index,
                    start,
                    end,
                });
            }
        }
        self.spans.truncate(base);
        Ok(())
    }

    /// Takes back what an earlier value of the same field has put out: the last one counts.
    fn forget(&mut self, base: usize, field: usize) {
        let Some(i) = self.spans[base..]
            .iter()
            .position(|span| span.field == field)
        else {
            return;
        };
        let gone = self.spans.remove(base + i);
        self.out.drain(gone.start..gone.end);
        for later in &mut self.spans[base + i..] {
            later.start -= gone.end - gone.start;
            later.end -= gone.end - gone.start;
        }
    }

    fn field(&mut self, field: &'static Field) -> Result<()> {
        let next = self.parser.peek()?;
        match (field.cardinality, next) {
            (_, Next::Null) => Ok(self.parser.null()?),
            (Cardinality::Map, Next::Object) => self.map(field),
            (Cardinality::Map, next) => Err(self.unexpected(field, next)),
            (Cardinality::Repeated, Next::Array) => self.list(field),
            (Cardinality::Repeated, next) => self.element(field, 0, next),
            (_, next) => self.single(field, next),
        }
    }

    fn list(&mut self, field: &'static Field) -> Result<()> {
        self.parser.enter()?;
        let mut index = 0;
        while self.parser.element(index == 0)? {
            match self.parser.peek()? {
                Next::Null => self.parser.null()?,
                next => self.element(field, index, next)?,
            }
            index += 1;
        }
        Ok(())
    }

    fn element(&mut self, field: &'static Field, index: usize, next: Next) -> Result<()> {
        match (field.kind, next) {
            (Kind::Message(child), Next::Object) => {
                self.path.push(Step::Element(&field.name, index));
                self.nested(field, child)?;
                self.path.pop();
                Ok(())
            }
            (_, next) => self.scalar(field, next),
        }
    }

    fn single(&mut self, field: &'static Field, next: Next) -> Result<()> {
        match (field.kind, next) {
            (Kind::Message(child), Next::Object) => {
                self.path.push(Step::Field(&field.name));
                self.nested(field, child)?;
                self.path.pop();
                Ok(())
            }
            (_, next) => self.scalar(field, next),
        }
    }

    fn nested(&mut self, field: &Field, child: usize) -> Result<()> {
        let child = self.schema.message(child);
        if field.on_heap {
            self.charge(child)?;
        }
        let start = tag::open(&mut self.out, field.number);
        self.message(child)?;
        tag::close(&mut self.out, start);
        Ok(())
    }

    fn charge(&mut self, element: &Message) -> Result<()> {
        self.memory = self.memory.saturating_add(element.size);
        if self.memory > self.memory_limit {
            Err(Problem::TooLarge)
        } else {
            Ok(())
        }
    }

    fn map(&mut self, field: &'static Field) -> Result<()> {
        let Kind::Message(entry) = field.kind else {
            return Ok(());
        };
        let entry = self.schema.message(entry);
        let (key, value) = (&entry.fields[0], &entry.fields[1]);
        self.parser.enter()?;
        let mut first = true;
        while let Some(name) = self.parser.name(first)? {
            first = false;
            if self.parser.peek()? == Next::Null {
                self.parser.null()?;
                continue;
            }
            self.charge(entry)?;
            self.path
                .push(Step::Entry(&field.name, name.clone().into_owned()));
            let start = tag::open(&mut self.out, field.number);
            self.text(key, &name)?;
            self.field(value)?;
            tag::close(&mut self.out, start);
            self.path.pop();
        }
        Ok(())
    }

    fn scalar(&mut self, field: &Field, next: Next) -> Result<()> {
        match next {
            Next::String => {
                let text = self.parser.string()?;
                self.text(field, &text)
            }
            Next::Number if field.kind.is_number() => {
                let text = self.parser.number()?;
                self.number(field, text)
            }
            Next::Boolean if field.kind == Kind::Bool => {
                let value = self.parser.boolean()?;
                self.varint(field, u64::from(value));
                Ok(())
            }
            next => Err(self.unexpected(field, next)),
        }
    }

    fn unexpected(&self, field: &Field, next: Next) -> Problem {
        let kind = match next {
            Next::Object => "object",
            Next::Array => "array",
            Next::String => "string",
            Next::Number => "number",
            Next::Boolean => "boolean",
            Next::Null => "null",
        };
        convert(
            field,
            format!("Not expecting a JSON {kind} for field '{}'", field.name),
        )
    }

    fn path_to(&self, field: &str) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => path.push_str(name),
                Step::Element(name, index) => path.push_str(&format!("{name}[{index}]")),
                Step::Entry(name, key) => path.push_str(&format!("{name}[\"{}\"]", cut(key))),
            }
            path.push('.');
        }
        path + field
    }
}

fn convert(field: &Field, problem: String) -> Problem {
    Problem::Convert(problem, field.name.clone())
}

/// At most 64 bytes of client text, for an error.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}

#[cfg(test)]
mod tests {
    use crate::json::from_slice;
    use crate::{WireMessage, v1};

    fn read<M: WireMessage>(text: &str) -> Result<M, String> {
        from_slice(text.as_bytes()).map_err(|error| error.to_string())
    }

    /// The text of the error, without its first part.
    fn problem<M: WireMessage>(text: &str) -> String {
        let error = read::<M>(text).err().unwrap_or_default();
        let (_, problem) = error.split_once(" protobuf: ").unwrap_or(("", &error));
        problem.to_owned()
    }

    #[test]
    fn missing_fields_are_listed_with_their_paths() {
        for (text, missing) in [
            (
                r#"{"subscribe":{"framework_info":{}}}"#,
                "subscribe.framework_info.user, subscribe.framework_info.name",
            ),
            (
                r#"{"subscribe":{"framework_info":null}}"#,
                "subscribe.framework_info",
            ),
            (
                r#"{"accept":{"operations":[{},{"launch":{"task_infos":[{"name":"a","task_id":{}}]}}]}}"#,
                "accept.operations[1].launch.task_infos[0].agent_id, \
              accept.operations[1].launch.task_infos[0].task_id.value",
            ),
            (r#"{"kill":{}}"#, "kill.task_id"),
        ] {
            let expected = format!("Missing required fields: {missing}");
            assert_eq!(problem::<v1::scheduler::Call>(text), expected);
        }
        assert_eq!(
            problem::<v1::quota::QuotaConfig>(r#"{"limits":{"c\"":{}}}"#),
            r#"Missing required fields: role, limits["c\""].value"#
        );
    }

    #[test]
    fn values_that_do_not_fit_are_named_with_field_and_path() {
        for (text, expected) in [
            (
                r#"{"kill":{"task_id":"t"}}"#,
                "Not expecting a JSON string for field 'task_id' (at kill.task_id)",
            ),
            (
                r#"{"kill":[]}"#,
                "Not expecting a JSON array for field 'kill'",
            ),
            (
                r#"{"kill":{"task_id":{"value":7}}}"#,
                "Not expecting a JSON number for field 'value' (at kill.task_id.value)",
            ),
            (
                r#"{"type":1}"#,
                "Not expecting a JSON number for field 'type'",
            ),
            (
                r#"{"type":{}}"#,
                "Not expecting a JSON object for field 'type'",
            ),
            (
                r#"{"accept":{"offer_ids":[{"value":"a"},{"value":true}]}}"#,
                "Not expecting a JSON boolean for field 'value' (at accept.offer_ids[1].value)",
            ),
            (
                r#"{"acknowledge":{"uuid":"***"}}"#,
                "Failed to base64 decode bytes field 'uuid': Invalid character '*' (at acknowledge.uuid)",
            ),
            (
                r#"{"decline":{"filters":{"refuse_seconds":"soon"}}}"#,
                "Failed to parse 'soon' as a JSON number for field 'refuse_seconds' \
              (at decline.filters.refuse_seconds)",
            ),
            (
                r#"{"decline":{"filters":{"refuse_seconds":1e999}}}"#,
                "Number 1e999 is out of range for field 'refuse_seconds' \
              (at decline.filters.refuse_seconds)",
            ),
            ("[]", "Expecting a JSON object"),
        ] {
            assert_eq!(problem::<v1::scheduler::Call>(text), expected);
        }
        assert_eq!(
            problem::<v1::TaskStatus>(r#"{"task_id":{"value":"t"},"state":"TASK_NEW"}"#),
            "Failed to find enum for 'TASK_NEW'"
        );
        assert_eq!(
            problem::<v1::AgentInfo>(r#"{"hostname":"h","port":2147483648}"#),
            "Number 2147483648 is out of range for field 'port'"
        );
    }

    #[test]
    fn what_is_not_json_is_told_first() {
        let error = read::<v1::scheduler::Call>(r#"{"kill":"t","x":}"#).unwrap_err();
        assert_eq!(
            error,
            "Failed to parse body into JSON: syntax error at line 1 near: }"
        );
    }

    #[test]
    fn null_and_unknown_are_unset() {
        let call: v1::scheduler::Call = read(
            r#"{"type":"FLY","framework_id":null,"slave_id":{"deep":[1,{"x":"y"}]},"accept":{"offer_ids":[null,{"value":"o"},null]}}"#,
        )
        .unwrap();
        assert_eq!((call.r#type, call.framework_id), (None, None));
        assert_eq!(call.accept.unwrap().offer_ids, ["o".into()]);
    }

    #[test]
    fn one_value_is_a_list_of_one() {
        let info: v1::FrameworkInfo =
            read(r#"{"user":"u","name":"n","roles":"r","capabilities":{"type":"MULTI_ROLE"}}"#)
                .unwrap();
        assert_eq!(
            (info.roles, info.capabilities.len()),
            (vec!["r".to_owned()], 1)
        );
    }

    #[test]
    fn numbers_and_booleans_may_be_strings() {
        let info: v1::FrameworkInfo =
            read(r#"{"user":"u","name":"n","checkpoint":"true","failover_timeout":" 1.5e1 "}"#)
                .unwrap();
        assert_eq!(
            (info.checkpoint, info.failover_timeout),
            (Some(true), Some(15.0))
        );
        let range: v1::value::Range = read(r#"{"begin":"5","end":7.9}"#).unwrap();
        assert_eq!((range.begin, range.end), (5, 7));
        let range: v1::value::Range = read(r#"{"begin":1e3,"end":18446744073709551615}"#).unwrap();
        assert_eq!((range.begin, range.end), (1000, u64::MAX));
        for text in [
            "-1",
            "18446744073709551616",
            "\"0x10\"",
            "\"\"",
            "\"Infinity\"",
        ] {
            let text = format!(r#"{{"begin":{text},"end":1}}"#);
            assert!(read::<v1::value::Range>(&text).is_err(), "{text}");
        }
        let scalar: v1::value::Scalar = read(r#"{"value":"-Infinity"}"#).unwrap();
        assert_eq!(scalar.value, f64::NEG_INFINITY);
        assert!(read::<v1::value::Scalar>(r#"{"value":"NaN"}"#).is_err());
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let call: v1::scheduler::Call = read(
            r#"{"framework_id":{"value":"a"},
                "accept":{"offer_ids":[{"value":"x"}],"filters":{}},
                "framework_id":{"value":"b"},
                "accept":{"offer_ids":[{"value":"y"}]},
                "decline":{"offer_ids":[]},
                "decline":null}"#,
        )
        .unwrap();
        let accept = call.accept.unwrap();
        assert_eq!(call.framework_id, Some("b".into()));
        assert_eq!((accept.offer_ids, accept.filters), (vec!["y".into()], None));
        assert_eq!(call.decline, None);
    }

    #[test]
    fn maps_are_objects() {
        let config: v1::quota::QuotaConfig =
            read(r#"{"role":"r","limits":{"cpus":{"value":1},"mem":null}}"#).unwrap();
        assert_eq!(config.limits.len(), 1);
        assert_eq!(config.limits["cpus"].value, 1.0);
        let error = problem::<v1::quota::QuotaConfig>(r#"{"role":"r","limits":{"cpus":1}}"#);
        assert_eq!(
            error,
            "Not expecting a JSON number for field 'value' (at limits[\"cpus\"].value)"
        );
    }
}
