//! Big messages put together from parts that are encoded already.
//!
//! A state of ten thousand tasks differs from the one before in a few of them. Whoever keeps the encoded
//! form of each task copies bytes instead of encoding all of them again.
use crate::schema::{Cardinality, Field, Message, Schema};
use crate::{Encoding, WireMessage, json};

/// Writes one message of a type, field by field in the order of its definition.
///
/// The result is what [`crate::encode`] makes of the same message.
pub struct Splice {
    message: &'static Message,
    encoding: Encoding,
    out: Vec<u8>,
    /// Index of the first field that was not written yet.
    next: usize,
}

impl Splice {
    /// Begins a message of type `M`, with room for that many bytes.
    pub fn new<M: WireMessage>(encoding: Encoding, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        if encoding == Encoding::Json {
            out.push(b'{');
        }
        Self {
            message: Schema::of::<M>(),
            encoding,
            out,
            next: 0,
        }
    }

    /// Writes all set fields of `part`, which has the same type as the whole. In the order of the definition
    /// too: none of them may stand before a field that was written.
    ///
    /// # Panics
    /// When the order is another one.
    pub fn fields<M: WireMessage>(&mut self, part: &M) {
        let encoded = part.encode_to_vec();
        match self.encoding {
            Encoding::Protobuf => self.out.extend_from_slice(&encoded),
            Encoding::Json => {
                for (index, text) in json::fields_of(self.message, &encoded) {
                    self.key(index);
                    self.out.extend_from_slice(&text);
                }
            }
        }
    }

    /// Writes a field that holds one message, given as [`Splice`] or [`crate::encode`] left it.
    ///
    /// # Panics
    /// When the type has no such field, it holds something else, or it stands before one that was written.
    pub fn message(&mut self, name: &str, encoded: &[u8]) {
        let (index, field) = self.find(name, Cardinality::Optional);
        match self.encoding {
            Encoding::Json => {
                self.key(index);
                self.out.extend_from_slice(encoded);
            }
            Encoding::Protobuf => {
                self.advance(index);
                delimited(&mut self.out, field.number, encoded);
            }
        }
    }

    /// Writes a field that holds a list of messages, each encoded.
    ///
    /// # Panics
    /// As [`Splice::message`].
    pub fn list<'a>(&mut self, name: &str, items: impl IntoIterator<Item = &'a [u8]>) {
        let (index, field) = self.find(name, Cardinality::Repeated);
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            // Written with the defaults when it is one of those that are always there.
            return;
        }
        match self.encoding {
            Encoding::Protobuf => {
                self.advance(index);
                for item in items {
                    delimited(&mut self.out, field.number, item);
                }
            }
            Encoding::Json => {
                self.key(index);
                let mut before = b'[';
                for item in items {
                    self.out.push(before);
                    self.out.extend_from_slice(item);
                    before = b',';
                }
                self.out.push(b']');
            }
        }
    }

    /// The whole message.
    pub fn finish(mut self) -> Vec<u8> {
        if self.encoding == Encoding::Json {
            self.defaults(self.message.fields.len());
            self.out.push(b'}');
        }
        self.out
    }

    fn find(&self, name: &str, wanted: Cardinality) -> (usize, &'static Field) {
        let found = self.message.index_named(name, self.next);
        let field = found.map(|index| (index, &self.message.fields[index]));
        field
            .filter(|(_, field)| {
                let list = field.cardinality == Cardinality::Repeated;
                list == (wanted == Cardinality::Repeated) && field.cardinality != Cardinality::Map
            })
            .expect("the caller names a field of the type")
    }

    fn advance(&mut self, index: usize) {
        assert!(
            index >= self.next,
            "fields are written in the order of their definition"
        );
        self.next = index + 1;
    }

    /// The field's name, after what JSON shows of the unset ones before it.
    fn key(&mut self, index: usize) {
        self.defaults(index);
        self.advance(index);
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(&self.message.fields[index].key);
    }

    fn defaults(&mut self, before: usize) {
        for field in self
            .message
            .fields
            .get(self.next..before)
            .into_iter()
            .flatten()
        {
            if let Some(json) = &field.default {
                if self.out.len() > 1 {
                    self.out.push(b',');
                }
                self.out.extend_from_slice(&field.key);
                self.out.extend_from_slice(json);
            }
        }
    }
}

fn delimited(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, out);
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;
    use crate::v1::master::{
        Response,
        response::{self, GetState, GetTasks},
    };
    use crate::v1::{self, Task};

    fn task(id: &str) -> Task {
        Task {
            name: id.into(),
            task_id: id.into(),
            ..Task::default()
        }
    }

    #[test]
    fn a_spliced_message_is_the_encoded_one() {
        let tasks = [task("a"), task("b")];
        for unreachable in [&tasks[..0], &tasks[..1]] {
            let mut whole = Response {
                get_state: Some(GetState {
                    get_tasks: Some(GetTasks {
                        tasks: tasks.to_vec(),
                        unreachable_tasks: unreachable.to_vec(),
                        ..GetTasks::default()
                    }),
                    ..GetState::default()
                }),
                ..Response::default()
            };
            whole.set_type(response::Type::GetState);
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let pieces: Vec<Vec<u8>> = tasks.iter().map(|t| encode(encoding, t)).collect();
                let some = |n: usize| pieces[..n].iter().map(Vec::as_slice);
                let mut get_tasks = Splice::new::<GetTasks>(encoding, 0);
                get_tasks.list("tasks", some(2));
                get_tasks.list("unreachable_tasks", some(unreachable.len()));
                get_tasks.list("completed_tasks", some(0));
                let mut get_state = Splice::new::<GetState>(encoding, 0);
                get_state.message("get_tasks", &get_tasks.finish());
                let mut response = Splice::new::<Response>(encoding, 0);
                let mut head = Response::default();
                head.set_type(response::Type::GetState);
                response.fields(&head);
                response.message("get_state", &get_state.finish());
                assert_eq!(
                    String::from_utf8_lossy(&response.finish()),
                    String::from_utf8_lossy(&encode(encoding, &whole)),
                );
            }
        }
    }

    #[test]
    fn defaults_stand_where_they_do_in_the_encoded_one() {
        let info = v1::FrameworkInfo {
            user: "u".into(),
            name: "n".into(),
            labels: Some(v1::Labels::default()),
            ..v1::FrameworkInfo::default()
        };
        let mut spliced = Splice::new::<v1::FrameworkInfo>(Encoding::Json, 0);
        spliced.fields(&v1::FrameworkInfo {
            labels: None,
            ..info.clone()
        });
        spliced.message("labels", b"{}");
        assert_eq!(
            String::from_utf8_lossy(&spliced.finish()),
            String::from_utf8_lossy(&encode(Encoding::Json, &info))
        );
    }
}
