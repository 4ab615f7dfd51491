//! Ids, caches, downloads and uploads.

#[cfg(test)]
mod cache;
#[cfg(all(test, feature = "download"))]
mod download;
#[cfg(test)]
mod id;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod support;
#[cfg(all(test, feature = "download"))]
mod upload;
