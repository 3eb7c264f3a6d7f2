//! Shared by the commands that take one audio file.

use anyhow::{Context, Result, bail};
use etude_ingest::{DecodeLimits, Pcm, Resampler};
use etude_manifests::atomic;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::path::Path;

/// Decodes one file to mono, or says why it cannot be used.
pub fn read(path: &Path) -> Result<Pcm> {
    let limits = DecodeLimits { min_s: 0.0, ..DecodeLimits::default() };
    let decoded = etude_ingest::decode(path, None, &limits);
    let status = serde_json::to_value(decoded.status)?;
    let (status, why) = (status.as_str().unwrap_or_default(), decoded.status_text);
    if !decoded.status.usable() {
        bail!("{}: {status}: {}", path.display(), why.unwrap_or_default());
    }
    Ok(decoded.pcm)
}

/// A resampler by its name in configs.
pub fn resampler(name: &str) -> Result<Resampler, String> {
    let name: StrDeserializer<ValueError> = name.into_deserializer();
    Resampler::deserialize(name).map_err(|e| e.to_string())
}

/// Writes a file under a `.part` name and renames it when it is whole.
pub fn write_whole(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let part = atomic::part_path(path);
    write(&part)
        .and_then(|()| Ok(atomic::publish(&std::fs::File::open(&part)?, path)?))
        .with_context(|| format!("cannot write {}", path.display()))
}
