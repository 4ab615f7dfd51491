//! Files in and out: round trips, hostile input, folders, adapters, checkpoints.

#[cfg(test)]
mod adapter;
#[cfg(test)]
mod atomic;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod support;
