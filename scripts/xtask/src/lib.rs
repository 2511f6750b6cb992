//! What holds for the whole workspace, as tests: who imports whom, which paths the documents
//! name, which licences and duplicates come in with dependencies.

#![forbid(unsafe_code)]

pub mod architecture;
pub mod dependencies;
pub mod documents;
pub mod metadata;
