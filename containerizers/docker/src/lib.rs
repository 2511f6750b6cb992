//! Containers through the Docker Engine API.
