//! Files in and out: round trips, hostile input, folders, adapters, checkpoints.

#[cfg(test)]
mod adapter;
#[cfg(test)]
mod atomic;
#[cfg(test)]
mod export;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod gguf;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod merge;
#[cfg(test)]
mod quant;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod soft_prompt;
#[cfg(test)]
mod support;
