//! Identifiers: one type each, cheap to clone, checked before they become paths.

use std::{borrow::Borrow, fmt, sync::Arc};

use mesos_wire::v1;

/// Longest identifier, in bytes. Source: `NAME_MAX`, `common/validation.cpp` of Apache Mesos.
const MAX_ID: usize = 255;
/// Longest container id, in bytes. Source: `MAX_CONTAINER_ID_LENGTH` there.
const MAX_CONTAINER_ID: usize = 242;

/// Text that cannot be an identifier, because it could not be a file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No text.
    #[error("ID must not be empty")]
    Empty,
    /// Too long for a file name.
    #[error("ID must not be greater than {max} characters, but it has {length}")]
    TooLong {
        /// What it has.
        length: usize,
        /// What it may have.
        max: usize,
    },
    /// `.` or `..`
    #[error("'{0}' is disallowed")]
    Dots(String),
    /// Control characters, slashes.
    #[error("'{0}' contains invalid characters; not allowed are control characters, '/' and '\\'")]
    Character(String),
}

/// Checks an identifier of a framework, an executor, a task or a volume.
///
/// # Errors
/// Which rule it breaks. Source: `common::validation::validateID` of Apache Mesos.
pub fn validate_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > MAX_ID {
        return Err(IdError::TooLong {
            length: id.len(),
            max: MAX_ID,
        });
    }
    if id == "." || id == ".." {
        return Err(IdError::Dots(id.to_owned()));
    }
    if id.contains(|c: char| c.is_control() || c == '/' || c == '\\') {
        return Err(IdError::Character(id.escape_debug().to_string()));
    }
    Ok(())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $(=> $wire:ident)?),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<Arc<str>> for $name {
            fn from(text: Arc<str>) -> Self {
                Self(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        $(
            impl From<&v1::$wire> for $name {
                fn from(id: &v1::$wire) -> Self {
                    Self(id.value.as_str().into())
                }
            }

            impl From<v1::$wire> for $name {
                fn from(id: v1::$wire) -> Self {
                    Self(id.value.into())
                }
            }

            impl From<&$name> for v1::$wire {
                fn from(id: &$name) -> Self {
                    v1::$wire { value: id.0.to_string() }
                }
            }

            impl From<$name> for v1::$wire {
                fn from(id: $name) -> Self {
                    v1::$wire { value: id.0.to_string() }
                }
            }
        )?
    )*};
}

ids! {
    /// One life of a master process: a random UUID.
    MasterId,
    /// An agent: `<master id>-S<n>`.
    AgentId => AgentId,
    /// A framework: `<master id>-<nnnn>`.
    FrameworkId => FrameworkId,
    /// An executor, named by its framework.
    ExecutorId => ExecutorId,
    /// A task, named by its framework.
    TaskId => TaskId,
    /// An offer: `<master id>-O<n>`.
    OfferId => OfferId,
}

/// A container, perhaps within another. Shown root first: `a.b`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    parent: Option<Arc<ContainerId>>,
    value: Arc<str>,
}

impl ContainerId {
    /// A new id of a container that has no parent: a random UUID.
    pub fn random() -> Self {
        Self {
            parent: None,
            value: uuid::Uuid::new_v4().to_string().into(),
        }
    }

    /// A container within `parent`.
    pub fn nested(parent: ContainerId, value: impl Into<Arc<str>>) -> Self {
        Self {
            parent: Some(Arc::new(parent)),
            value: value.into(),
        }
    }

    /// The id's own text, without its parents'.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The container it is in.
    pub fn parent(&self) -> Option<&ContainerId> {
        self.parent.as_deref()
    }

    /// The outermost container.
    pub fn root(&self) -> &ContainerId {
        self.parent().map_or(self, ContainerId::root)
    }

    /// Checks the id, and those of its parents.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn validate(&self) -> Result<(), IdError> {
        validate_id(&self.value)?;
        if self.value.len() > MAX_CONTAINER_ID {
            return Err(IdError::TooLong {
                length: self.value.len(),
                max: MAX_CONTAINER_ID,
            });
        }
        if self.value.contains(['.', ' ']) {
            return Err(IdError::Character(self.value.to_string()));
        }
        self.parent().map_or(Ok(()), ContainerId::validate)
    }
}

impl From<&str> for ContainerId {
    fn from(value: &str) -> Self {
        Self {
            parent: None,
            value: value.into(),
        }
    }
}

impl From<String> for ContainerId {
    fn from(value: String) -> Self {
        Self {
            parent: None,
            value: value.into(),
        }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = &self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(&self.value)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&v1::ContainerId> for ContainerId {
    fn from(id: &v1::ContainerId) -> Self {
        // A loop, because the depth comes from outside.
        let mut chain = vec![id];
        while let Some(parent) = chain.last().and_then(|id| id.parent.as_deref()) {
            chain.push(parent);
        }
        let mut built: Option<Arc<ContainerId>> = None;
        let mut own = ContainerId {
            parent: None,
            value: "".into(),
        };
        for id in chain.into_iter().rev() {
            own = ContainerId {
                parent: built.take(),
                value: id.value.as_str().into(),
            };
            built = Some(Arc::new(own.clone()));
        }
        own
    }
}

impl From<&ContainerId> for v1::ContainerId {
    fn from(id: &ContainerId) -> Self {
        v1::ContainerId {
            value: id.value.to_string(),
            parent: id.parent().map(|parent| Box::new(parent.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_must_be_a_file_name() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "\0", &"x".repeat(256)] {
            assert!(validate_id(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a.b", "...", "a b", &"x".repeat(255), "é"] {
            assert_eq!(validate_id(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn container_ids_show_the_root_first_and_survive_the_wire() {
        let id = ContainerId::nested(ContainerId::nested("a".into(), "b"), "c");
        assert_eq!(id.to_string(), "a.b.c");
        assert_eq!(id.root().to_string(), "a");
        assert_eq!(ContainerId::from(&v1::ContainerId::from(&id)), id);
        assert!(ContainerId::from("a.b").validate().is_err());
        assert!(ContainerId::random().validate().is_ok());
    }
}
