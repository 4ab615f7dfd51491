//! Ids, caches and downloads.

#[cfg(test)]
mod cache;
#[cfg(all(test, feature = "download"))]
mod download;
#[cfg(test)]
mod id;
#[cfg(test)]
mod support;
