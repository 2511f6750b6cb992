//! Images: credentials and pulls that say how far they are.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use base64::Engine as _;
use bollard::{
    auth::DockerCredentials, models::CreateImageInfo, query_parameters::CreateImageOptions,
};
use futures::StreamExt as _;
use serde_json::Value;

use crate::engine::{Engine, EngineError};

/// Largest credentials file that is read from a sandbox, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// Between two lines of progress in the agent's log.
const PROGRESS: Duration = Duration::from_secs(5);

/// The registry that an image comes from, as written in `config.json`.
/// Source: `distribution/reference` of Docker: a first part with a dot, a colon, or `localhost`.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// Credentials for an image: those fetched into the sandbox (`.docker/config.json`, `.dockercfg`)
/// win over the operator's.
pub(crate) fn credentials(
    image: &str,
    sandbox: &Path,
    operator: Option<&Value>,
) -> Option<DockerCredentials> {
    let own = [".docker/config.json", ".dockercfg"].into_iter().find_map(|name| {
        let path = sandbox.join(name);
        let size = std::fs::symlink_metadata(&path).ok().filter(|m| m.is_file())?.len();
        if size > MAX_CONFIG {
            tracing::warn!(path = %path.display(), size, "credentials are too large, not used");
            return None;
        }
        match serde_json::from_slice::<Value>(&std::fs::read(&path).ok()?) {
            Ok(json) => Some(json),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "credentials are not JSON, not used");
                None
            }
        }
    });
    let config = own.as_ref().or(operator)?;
    find(config, registry(image))
}

fn find(config: &Value, registry: &str) -> Option<DockerCredentials> {
    // The older `.dockercfg` has the registries at its top.
    let entries = config.get("auths").unwrap_or(config).as_object()?;
    let (key, entry) = entries.iter().find(|(key, _)| {
        let host = key
            .strip_prefix("https://")
            .or_else(|| key.strip_prefix("http://"));
        let host = host.unwrap_or(key).split('/').next().unwrap_or_default();
        host == registry
            || (registry == "docker.io"
                && matches!(host, "index.docker.io" | "registry-1.docker.io"))
    })?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut found = DockerCredentials {
        username: text("username"),
        password: text("password"),
        identitytoken: text("identitytoken"),
        registrytoken: text("registrytoken"),
        serveraddress: Some(key.clone()),
        ..DockerCredentials::default()
    };
    if let Some(auth) = text("auth").filter(|auth| !auth.is_empty()) {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(auth.trim())
            .ok();
        let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match pair.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((user, password)) => {
                found.username = Some(user.to_owned());
                found.password = Some(password.trim_end_matches('\0').to_owned());
            }
            None => tracing::warn!(registry, "`auth` is not base64 of user:password, not used"),
        }
    }
    Some(found)
}

/// Pulls an image. Ends with an error when nothing happens for `stall`.
pub(crate) async fn pull(
    engine: &Engine,
    image: &str,
    credentials: Option<DockerCredentials>,
    stall: Duration,
) -> Result<(), EngineError> {
    let call = format!("pull {image}");
    let stalled = || EngineError::Deadline {
        call: call.clone(),
        after: stall,
    };
    let client = tokio::time::timeout(stall, engine.client())
        .await
        .map_err(|_| stalled())??;
    let options = CreateImageOptions {
        from_image: Some(image.to_owned()),
        ..CreateImageOptions::default()
    };
    let mut stream = std::pin::pin!(client.create_image(Some(options), None, credentials));
    let mut progress = Progress::new(image);
    loop {
        match tokio::time::timeout(stall, stream.next()).await {
            Err(_) => return Err(stalled()),
            Ok(None) => break,
            Ok(Some(Ok(item))) => progress.note(&item),
            Ok(Some(Err(error))) => return Err(engine.translate(&call, error)),
        }
    }
    tracing::info!(image, took = ?progress.started.elapsed(), "pulled the image");
    Ok(())
}

/// Layers of an image on their way.
struct Progress<'a> {
    image: &'a str,
    started: Instant,
    logged: Instant,
    layers: HashMap<String, (u64, u64, bool)>,
}

impl<'a> Progress<'a> {
    fn new(image: &'a str) -> Self {
        let now = Instant::now();
        tracing::info!(image, "pulling the image");
        Self {
            image,
            started: now,
            logged: now,
            layers: HashMap::new(),
        }
    }

    fn note(&mut self, item: &CreateImageInfo) {
        let Some(id) = &item.id else { return };
        let status = item.status.as_deref().unwrap_or_default();
        let layer = self.layers.entry(id.clone()).or_default();
        if let (true, Some(detail)) = (status == "Downloading", &item.progress_detail) {
            layer.0 = detail
                .current
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(layer.0);
            layer.1 = detail
                .total
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(layer.1);
        }
        layer.2 |= matches!(status, "Pull complete" | "Already exists");
        if self.logged.elapsed() >= PROGRESS {
            self.logged = Instant::now();
            let bytes: u64 = self.layers.values().map(|layer| layer.0).sum();
            let of: u64 = self.layers.values().map(|layer| layer.1).sum();
            let done = self.layers.values().filter(|layer| layer.2).count();
            tracing::info!(
                image = self.image,
                layers_done = done,
                layers = self.layers.len(),
                bytes,
                of,
                "still pulling the image"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_if_it_looks_like_a_host() {
        for (image, expected) in [
            ("python:3", "docker.io"),
            ("library/python:3", "docker.io"),
            ("localhost/x", "localhost"),
            ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000"),
            ("quay.io/a/b@sha256:0", "quay.io"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[test]
    fn credentials_come_from_the_sandbox_first() {
        let dir = tempfile::tempdir().unwrap();
        let operator = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpw"},
            "127.0.0.1:5000": {"username": "a", "password": "b"},
        }});
        let found = credentials("python:3", dir.path(), Some(&operator)).unwrap();
        assert_eq!(
            (found.username.as_deref(), found.password.as_deref()),
            (Some("u"), Some("p"))
        );
        assert!(credentials("quay.io/x", dir.path(), Some(&operator)).is_none());

        std::fs::write(
            dir.path().join(".dockercfg"),
            r#"{"127.0.0.1:5000":{"auth":"bzpr","email":""}}"#,
        )
        .unwrap();
        let found = credentials("127.0.0.1:5000/x", dir.path(), Some(&operator)).unwrap();
        assert_eq!(found.username.as_deref(), Some("o"));
    }
}
