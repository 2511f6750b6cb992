//! Finds the handler of a request: longest prefix of path tokens, with and without the daemon's prefix.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::{
    auth::{AllowAll, Authorizer},
    compress,
    latency::Latency,
    metrics::Metrics,
    query,
    request::{Head, Request},
    response::{Body, Response},
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Handler = Arc<dyn Fn(Request) -> BoxFuture<Response> + Send + Sync>;
type Gate = Arc<dyn Fn(&Head) -> Option<Response> + Send + Sync>;

/// Largest request body, in bytes, before and after unzipping.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// Longest pause within a request body.
const BODY_PAUSE: Duration = Duration::from_secs(60);
/// Longest `jsonp=` name, in bytes.
const JSONP_NAME_LIMIT: usize = 256;
/// Bodies from this size on are compressed off the connection's thread, in bytes.
const OFFLOAD: usize = 64 * 1024;

/// One route, to be refined right after it is added.
pub struct Route {
    path: &'static str,
    aliases: Vec<&'static str>,
    methods: Vec<Method>,
    exact: bool,
    bare: bool,
    gated: bool,
    handler: Handler,
    latency: Option<Latency>,
}

impl Route {
    /// Another path to the same handler. Aliases match exactly.
    pub fn alias(&mut self, path: &'static str) -> &mut Self {
        self.aliases.push(path);
        self
    }

    /// Only this path, nothing beneath it.
    pub fn exact(&mut self) -> &mut Self {
        self.exact = true;
        self
    }

    /// Not beneath the daemon's prefixes.
    pub fn bare(&mut self) -> &mut Self {
        self.bare = true;
        self
    }

    /// Not stopped by [`Router::gate`]: `/health`, `/version` and the like.
    pub fn ungated(&mut self) -> &mut Self {
        self.gated = false;
        self
    }
}

/// The routes of a daemon, over its shared state `S`.
pub struct Router<S> {
    state: S,
    prefixes: Vec<&'static str>,
    routes: Vec<Route>,
    authorizer: Arc<dyn Authorizer>,
    gate: Option<Gate>,
    disabled: HashSet<String>,
    body_limit: usize,
    metrics: Option<Metrics>,
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// A router without routes. Handlers get a clone of `state`.
    pub fn new(state: S) -> Self {
        Self {
            state,
            prefixes: Vec::new(),
            routes: Vec::new(),
            authorizer: Arc::new(AllowAll),
            gate: None,
            disabled: HashSet::new(),
            body_limit: BODY_LIMIT,
            metrics: None,
        }
    }

    /// Measures how long each endpoint takes to answer, into these metrics.
    pub(crate) fn measure(&mut self, metrics: &Metrics) {
        self.metrics = Some(metrics.clone());
    }

    /// Serves every route that is not [`bare`](Route::bare) under this prefix too: `/master`, `/slave(1)`.
    #[must_use]
    pub fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefixes.push(prefix);
        self
    }

    /// Who decides what a principal may do. Default: everything is allowed.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Largest request body, in bytes, before and after unzipping. Default: 64 MiB.
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Asked before the method is checked and the body is read, for every route that is not
    /// [`ungated`](Route::ungated): a response ends the request (redirect to the leader, 503 while recovering).
    #[must_use]
    pub fn gate(
        mut self,
        gate: impl Fn(&Head) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Answers 403 to these paths, compared with the path as sent (`--firewall_rules`).
    #[must_use]
    pub fn disable(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.disabled.extend(paths);
        self
    }

    /// A handler that does not look at the method, as Mesos's reading endpoints do not.
    pub fn get<H, F>(&mut self, path: &'static str, handler: H) -> &mut Route
    where
        H: Fn(S, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.methods(path, &[], handler)
    }

    /// A handler for POST; others get 405.
    pub fn post<H, F>(&mut self, path: &'static str, handler: H) -> &mut Route
    where
        H: Fn(S, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        self.methods(path, &[Method::POST], handler)
    }

    /// A handler for some methods; others get 405. An empty list takes any.
    pub fn methods<H, F>(
        &mut self,
        path: &'static str,
        methods: &[Method],
        handler: H,
    ) -> &mut Route
    where
        H: Fn(S, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let state = self.state.clone();
        self.routes.push(Route {
            path,
            aliases: Vec::new(),
            methods: methods.to_vec(),
            exact: false,
            bare: false,
            gated: true,
            handler: Arc::new(move |request| Box::pin(handler(state.clone(), request))),
            latency: None,
        });
        self.routes.last_mut().expect("a route was just pushed")
    }

    /// The routes, ready to serve.
    pub fn finish(mut self) -> Service {
        if let Some(metrics) = &self.metrics {
            for route in &mut self.routes {
                route.latency = Some(metrics.latency(route.path));
            }
        }
        let mut table = HashMap::new();
        let mut depth = 0;
        for (index, route) in self.routes.iter().enumerate() {
            let paths = std::iter::once((route.path, route.exact))
                .chain(route.aliases.iter().map(|alias| (*alias, true)));
            for (path, exact) in paths {
                let tokens: Vec<&str> = tokens(path).collect();
                depth = depth.max(tokens.len());
                table.insert(
                    tokens.join("/"),
                    Entry {
                        route: index,
                        exact,
                    },
                );
            }
        }
        Service(Arc::new(Table {
            table,
            depth,
            prefixes: self
                .prefixes
                .iter()
                .map(|prefix| prefix.trim_matches('/').to_owned())
                .collect(),
            routes: self.routes,
            authorizer: self.authorizer,
            gate: self.gate,
            disabled: self.disabled,
            body_limit: self.body_limit,
        }))
    }
}

fn tokens(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|token| !token.is_empty())
}

struct Entry {
    route: usize,
    exact: bool,
}

struct Table {
    table: HashMap<String, Entry>,
    depth: usize,
    prefixes: Vec<String>,
    routes: Vec<Route>,
    authorizer: Arc<dyn Authorizer>,
    gate: Option<Gate>,
    disabled: HashSet<String>,
    body_limit: usize,
}

impl Table {
    fn find(&self, path: &str) -> Option<(&Route, String)> {
        let all: Vec<&str> = tokens(path).collect();
        self.longest(&all, false).or_else(|| {
            let (first, rest) = all.split_first()?;
            self.prefixes
                .iter()
                .any(|prefix| prefix == first)
                .then(|| self.longest(rest, true))?
        })
    }

    fn longest(&self, tokens: &[&str], prefixed: bool) -> Option<(&Route, String)> {
        (0..=tokens.len().min(self.depth)).rev().find_map(|length| {
            // The root route is the root only, or it would hide every 404.
            if length == 0 && !tokens.is_empty() {
                return None;
            }
            let (matched, rest) = tokens.split_at(length);
            let entry = self.table.get(&matched.join("/"))?;
            let route = &self.routes[entry.route];
            let fits = (rest.is_empty() || !entry.exact) && !(prefixed && route.bare);
            fits.then(|| (route, rest.join("/")))
        })
    }
}

/// The finished routes of a daemon.
#[derive(Clone)]
pub struct Service(Arc<Table>);

/// A method that HTTP defines. libprocess closes the connection on others without a word.
fn known(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ]
    .contains(method)
}

impl Service {
    /// Answers one request.
    pub async fn call<B>(
        &self,
        request: http::Request<B>,
        remote: SocketAddr,
    ) -> http::Response<axum::body::Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = request.into_parts();
        let accepts_gzip = compress::accepts_gzip(&parts.headers);
        let (response, jsonp) = self.answer(parts, body, remote).await;
        finish(response, jsonp, accepts_gzip).await
    }

    async fn answer<B>(
        &self,
        parts: http::request::Parts,
        body: B,
        remote: SocketAddr,
    ) -> (Response, Option<String>)
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let table = &self.0;
        if !known(&parts.method) {
            return (Response::not_implemented(), None);
        }
        let path = parts.uri.path();
        let Some(decoded) = query::percent_decode(path, false) else {
            return (
                Response::bad_request(format!("Failed to decode the path '{path}'")),
                None,
            );
        };
        if path.contains("/..") || decoded.contains("/..") {
            return (Response::not_found(), None);
        }
        if table.disabled.contains(path) {
            return (
                Response::forbidden(format!("Endpoint '{path}' is disabled")),
                None,
            );
        }
        let Some((route, rest)) = table.find(&decoded) else {
            return (Response::not_found(), None);
        };
        let Some(query) = query::parse(parts.uri.query().unwrap_or_default()) else {
            return (
                Response::bad_request("Failed to decode the query of the request"),
                None,
            );
        };
        let head = Head {
            path: path.to_owned(),
            raw_query: parts.uri.query().map(str::to_owned),
            method: parts.method,
            matched: route.path,
            rest,
            query,
            headers: parts.headers,
            remote,
            principal: None,
            authorizer: table.authorizer.clone(),
        };
        if route.gated
            && let Some(response) = table.gate.as_ref().and_then(|gate| gate(&head))
        {
            return (response, None);
        }
        if !route.methods.is_empty() && !route.methods.contains(&head.method) {
            return (
                Response::method_not_allowed(&route.methods, &head.method),
                None,
            );
        }
        let begun = Instant::now();
        let jsonp = head.query("jsonp").map(str::to_owned);
        let body = match read_body(body, &head, table.body_limit).await {
            Ok(body) => body,
            Err(response) => return (response, None),
        };
        tracing::debug!(target: "mesos_http::access", request = ?head, "request");
        let name = head.matched;
        // A defect in one handler must not cost the other requests of its connection.
        let handled =
            std::panic::AssertUnwindSafe((route.handler)(Request { head, body })).catch_unwind();
        let response = handled.await.unwrap_or_else(|_| {
            tracing::error!(route = name, "a handler panicked");
            Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)
        });
        if let Some(latency) = &route.latency {
            latency.record(begun.elapsed());
        }
        (response, jsonp)
    }
}

async fn read_body<B>(body: B, head: &Head, limit: usize) -> Result<Bytes, Response>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let too_large = || {
        Response::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body of the request is larger than {limit} bytes, the most that is taken"),
        )
    };
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(BODY_PAUSE, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Response::bad_request(format!(
                    "Failed to read the body of the request: {error}"
                )));
            }
            Err(_) => {
                return Err(Response::error(
                    StatusCode::REQUEST_TIMEOUT,
                    format!(
                        "Nothing of the request's body came for {} seconds",
                        BODY_PAUSE.as_secs()
                    ),
                ));
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large());
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    let body = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    match head.header("content-encoding") {
        None => Ok(body),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(body),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => {
            let unzipped =
                tokio::task::spawn_blocking(move || compress::gunzip(&body, limit)).await;
            match unzipped {
                Ok(Ok(Some(body))) => Ok(body),
                Ok(Ok(None)) => Err(too_large()),
                Ok(Err(error)) => Err(Response::bad_request(format!(
                    "Failed to gzip decode the request's body: {error}"
                ))),
                Err(_) => Err(Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)),
            }
        }
        Some(encoding) => Err(Response::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Expecting 'Content-Encoding' of gzip or none, but received '{encoding}'"),
        )),
    }
}

/// Whether a JSONP name is a plain JavaScript reference, so that no markup or code can hide in it.
fn is_reference(name: &str) -> bool {
    name.len() <= JSONP_NAME_LIMIT
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '[' | ']'))
}

async fn finish(
    mut response: Response,
    jsonp: Option<String>,
    accepts_gzip: bool,
) -> http::Response<axum::body::Body> {
    if response.jsonp
        && response.status == StatusCode::OK
        && let Some(name) = jsonp
        && let Body::Full(body) = &response.body
    {
        if is_reference(&name) {
            let mut wrapped = BytesMut::with_capacity(name.len() + body.len() + 2);
            wrapped.extend_from_slice(name.as_bytes());
            wrapped.extend_from_slice(b"(");
            wrapped.extend_from_slice(body);
            wrapped.extend_from_slice(b")");
            response.body = Body::Full(wrapped.freeze());
            response.headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/javascript"),
            );
        } else {
            response = Response::bad_request(format!(
                "Expecting 'jsonp' to be a name of letters, digits and any of _$.[], at most {JSONP_NAME_LIMIT} bytes long"
            ));
        }
    }
    let mut headers = response.headers;
    let body = match response.body {
        Body::Full(body) => {
            let zipped = if accepts_gzip && body.len() >= compress::MIN_GZIP {
                let whole = body.clone();
                if body.len() >= OFFLOAD {
                    tokio::task::spawn_blocking(move || compress::gzip(&whole))
                        .await
                        .ok()
                        .flatten()
                } else {
                    compress::gzip(&whole)
                }
            } else {
                None
            };
            if zipped.is_some() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            let body = zipped.unwrap_or(body);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            crate::response::whole(body)
        }
        Body::Sized(length, body) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            body
        }
        Body::Stream(body) => body,
    };
    let mut out = http::Response::new(body);
    *out.status_mut() = response.status;
    *out.headers_mut() = *headers;
    out
}
