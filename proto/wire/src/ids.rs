//! Conversions of the ids to and from text.
use std::fmt;

use crate::v1::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, ResourceProviderId, TaskId,
};

macro_rules! ids {
    ($($id:ident { $($other:ident)? }),* $(,)?) => {$(
        impl From<String> for $id {
            fn from(value: String) -> Self {
                Self { value, $($other: None)? }
            }
        }

        impl From<&str> for $id {
            fn from(value: &str) -> Self {
                Self::from(value.to_owned())
            }
        }

        impl $id {
            /// The id's own text.
            pub fn as_str(&self) -> &str {
                &self.value
            }
        }
    )*};
}

macro_rules! flat_ids {
    ($($id:ident),* $(,)?) => {
        ids!($($id {}),*);
        $(impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.value)
            }
        })*
    };
}

flat_ids!(
    AgentId,
    ExecutorId,
    FrameworkId,
    OfferId,
    OperationId,
    ResourceProviderId,
    TaskId
);
ids!(ContainerId { parent });

/// `root.child.grandchild`, as in the agent's log and runtime directory.
impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From here to the root; a loop, so that depth costs no stack.
        let mut chain = vec![self];
        while let Some(parent) = chain.last().and_then(|id| id.parent.as_deref()) {
            chain.push(parent);
        }
        for (i, id) in chain.iter().rev().enumerate() {
            f.write_str(if i == 0 { "" } else { "." })?;
            f.write_str(&id.value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_container_is_printed_from_its_root() {
        let root = ContainerId::from("a");
        let child = ContainerId {
            value: "b".into(),
            parent: Some(Box::new(root)),
        };
        let grandchild = ContainerId {
            value: "c".into(),
            parent: Some(Box::new(child)),
        };
        assert_eq!(grandchild.to_string(), "a.b.c");
        assert_eq!(TaskId::from("t").to_string(), "t");
    }
}
