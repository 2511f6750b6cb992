//! The operator API of a master or an agent.

use mesos_wire::{
    Encoding,
    v1::{agent, master},
};

use crate::{Error, HttpClient};

/// Makes operator calls to one daemon.
#[derive(Debug, Clone)]
pub struct Operator {
    base: String,
    http: HttpClient,
}

impl Operator {
    /// For the daemon at `base`, such as `http://10.0.0.1:5050`.
    pub fn new(base: impl Into<String>) -> Self {
        Self {
            base: base.into().trim_end_matches('/').to_owned(),
            http: HttpClient::new(),
        }
    }

    /// Where the daemon is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Makes a call to a master that needs no more than its type.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not of the API.
    pub async fn master(&self, kind: master::call::Type) -> Result<master::Response, Error> {
        let call = master::Call {
            r#type: Some(kind.into()),
            ..Default::default()
        };
        self.http.call(&self.url(), Encoding::Protobuf, &call).await
    }

    /// Makes any call to a master. Of one that only changes something the answer is empty.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not of the API.
    pub async fn order(&self, call: &master::Call) -> Result<master::Response, Error> {
        self.http.call(&self.url(), Encoding::Protobuf, call).await
    }

    /// Makes a call to an agent.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not of the API.
    pub async fn agent(&self, call: &agent::Call) -> Result<agent::Response, Error> {
        self.http.call(&self.url(), Encoding::Protobuf, call).await
    }

    fn url(&self) -> String {
        format!("{}/api/v1", self.base)
    }
}
