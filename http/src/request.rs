//! What handlers see of a request.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::{
    auth::{Action, Authorizer, Object},
    query,
    response::Response,
};

/// Everything of a request but its body: what can be judged before the body is read.
#[derive(Clone)]
pub struct Head {
    /// Method as sent.
    pub method: Method,
    /// Path as sent, still percent-encoded, without the query.
    pub path: String,
    /// Query as sent, without the `?`.
    pub raw_query: Option<String>,
    /// The route's path without prefix or alias: `/state` for `/master/state`.
    pub matched: &'static str,
    /// What follows the matched path, decoded, without slashes at its ends: `dev` for `/quota/dev`.
    pub rest: String,
    /// Query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The other end of the connection.
    pub remote: SocketAddr,
    /// Who sent it, when authentication says so.
    pub principal: Option<String>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
}

impl Head {
    /// The value of a query parameter. Of several with this name the last counts, as in libprocess.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a header, when there is one and it is plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asks the authorizer in the name of this request's principal.
    pub fn authorize(&self, action: Action, object: Object<'_>) -> bool {
        self.authorizer
            .authorize(self.principal.as_deref(), action, object)
    }

    /// The authorizer, for a handler that asks after it has let go of the request.
    pub fn authorizer(&self) -> Arc<dyn Authorizer> {
        self.authorizer.clone()
    }

    /// Path and query as sent, for a redirect.
    pub fn path_and_query(&self) -> String {
        match &self.raw_query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} from {}", self.method, self.path, self.remote)
    }
}

/// A request whose body has been read, within the bound of the server.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method, path, query, headers, principal. Reached through `Deref`.
    pub head: Head,
    /// The body, unzipped.
    pub body: Bytes,
}

impl Request {
    /// The body as a form: `slaveId=x&resources=[]`.
    pub fn form(&self) -> Result<Vec<(String, String)>, Response> {
        std::str::from_utf8(&self.body)
            .ok()
            .and_then(query::parse)
            .ok_or_else(|| Response::bad_request("Unable to decode query string"))
    }
}

impl std::ops::Deref for Request {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}
