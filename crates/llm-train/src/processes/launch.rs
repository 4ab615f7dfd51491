//! How this process was started: alone, or by `torchrun` or `mpirun` as one of several.
//!
//! Both tell it by environment variables:
//!
//! | | torchrun, or you | Open MPI | MPICH and its kin |
//! |---|---|---|---|
//! | how many | `WORLD_SIZE` | `OMPI_COMM_WORLD_SIZE` | `PMI_SIZE` |
//! | which one | `RANK` | `OMPI_COMM_WORLD_RANK` | `PMI_RANK` |
//! | which one of its machine | `LOCAL_RANK` | `OMPI_COMM_WORLD_LOCAL_RANK` | `MPI_LOCALRANKID` |
//! | how many on its machine | `LOCAL_WORLD_SIZE` | `OMPI_COMM_WORLD_LOCAL_SIZE` | `MPI_LOCALNRANKS` |
//! | where the first one is | `MASTER_ADDR`, `MASTER_PORT` | MPI knows | MPI knows |
//!
//! A program that does not look at them would train as often as it was started, each time alone: a
//! launch that this build cannot join has to be an error.

use std::ops::RangeInclusive;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// More processes than this are a mistake in the environment.
pub const MOST_PROCESSES: usize = 4096;
/// How long processes wait for each other, in seconds: the first one may measure and answer
/// prompts alone for a while.
const PATIENCE_SECONDS: u64 = 1800;
/// The variable that sets another time.
const TIMEOUT: &str = "DEEPER_PROCESS_TIMEOUT";
/// torchrun's own store listens at `MASTER_PORT` when this variable is `True`: ports behind it are
/// ours then.
const AGENT_STORE: &str = "TORCHELASTIC_USE_AGENT_STORE";
/// Ports behind `MASTER_PORT` that are tried in that case.
const PORTS: u16 = 16;
/// Bytes of what tells one launch from another one.
pub const TOKEN_BYTES: usize = 16;

/// A process that was started as one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Its number, counted from 0.
    pub rank: usize,
    /// How many there are, 2 or more.
    pub size: usize,
    /// Its number on its machine.
    pub local_rank: usize,
    /// How many there are on its machine.
    pub local_size: usize,
    /// How they find each other.
    pub meeting: Meeting,
}

/// How processes find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// MPI brought them up and knows.
    Mpi,
    /// At the first one's address.
    Address(Address),
}

/// Where the first process listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or number of its machine.
    pub host: String,
    /// Ports, the first free one of which it takes.
    pub ports: RangeInclusive<u16>,
    /// Tells this launch from another one that listens in the same place.
    pub token: [u8; TOKEN_BYTES],
    /// How long processes wait for each other.
    pub patience: Duration,
}

/// The variables of a launcher: size, rank, local rank, local size.
type Names = [&'static str; 4];

const TORCHRUN: Names = ["WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"];
const MPI: [Names; 2] = [
    [
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ],
    ["PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
];

impl Launch {
    /// The launch that `variable` tells of; `None` for a process that was started alone.
    ///
    /// # Errors
    /// A variable that is missing or cannot be, by its name.
    pub fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        for names in MPI {
            if let Some(launch) = Self::of(&variable, names, || Ok(Meeting::Mpi))? {
                return Ok(Some(launch));
            }
        }
        Self::of(&variable, TORCHRUN, || {
            Ok(Meeting::Address(Address::find(&variable)?))
        })
    }

    fn of(
        variable: &impl Fn(&str) -> Option<String>,
        names: Names,
        meeting: impl FnOnce() -> Result<Meeting>,
    ) -> Result<Option<Self>> {
        let [size, rank, local_rank, local_size] = names;
        let most = MOST_PROCESSES;
        let size = match variable(size) {
            None => return Ok(None),
            Some(text) => number(size, &text, 1..=most)?,
        };
        if size == 1 {
            return Ok(None);
        }
        let below = 0..=size - 1;
        let missing = || Error::input(rank, "is not set beside the number of processes");
        let rank = number(rank, &variable(rank).ok_or_else(missing)?, below.clone())?;
        // Without these two all are on one machine.
        let local_rank = match variable(local_rank) {
            Some(text) => number(local_rank, &text, below)?,
            None => rank,
        };
        let local_size = match variable(local_size) {
            Some(text) => number(local_size, &text, 1..=size)?,
            None => size,
        };
        let meeting = meeting()?;
        Ok(Some(Self {
            rank,
            size,
            local_rank,
            local_size,
            meeting,
        }))
    }
}

impl Address {
    fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let needed = |name: &str| {
            let missing = || Error::input(name, "is not set, expected as torchrun sets it");
            variable(name)
                .filter(|text| !text.is_empty())
                .ok_or_else(missing)
        };
        let host = needed("MASTER_ADDR")?;
        let port = number("MASTER_PORT", &needed("MASTER_PORT")?, 1..=65_535)?;
        let port = u16::try_from(port).unwrap_or(u16::MAX); // the range above
        let taken = variable(AGENT_STORE).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let ports = match taken {
            true => port.saturating_add(1)..=port.saturating_add(PORTS),
            false => port..=port,
        };
        let patience = match variable(TIMEOUT) {
            Some(text) => number(TIMEOUT, &text, 1..=1_000_000)? as u64,
            None => PATIENCE_SECONDS,
        };
        let run = ["TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"];
        let run = run.map(|name| variable(name).unwrap_or_default());
        let digest: [u8; 32] = Sha256::digest(format!("{run:?} {port}")).into();
        let mut token = [0; TOKEN_BYTES];
        token.copy_from_slice(&digest[..TOKEN_BYTES]);
        Ok(Self {
            host,
            ports,
            token,
            patience: Duration::from_secs(patience),
        })
    }
}

fn number(name: &str, text: &str, range: RangeInclusive<usize>) -> Result<usize> {
    let found = text.trim().parse::<usize>().ok();
    found
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let (low, high) = (range.start(), range.end());
            Error::input(name, format!("is {shown:?}, expected {low} to {high}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<Launch>> {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Launch::find(|name| {
            let found = variables.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        })
    }

    const TWO: [(&str, &str); 6] = [
        ("WORLD_SIZE", "2"),
        ("RANK", "1"),
        ("LOCAL_RANK", "0"),
        ("LOCAL_WORLD_SIZE", "1"),
        ("MASTER_ADDR", "node1"),
        ("MASTER_PORT", "29500"),
    ];

    fn address(launch: Launch) -> Address {
        match launch.meeting {
            Meeting::Address(address) => address,
            Meeting::Mpi => panic!("expected an address"),
        }
    }

    #[test]
    fn one_process_is_alone_however_it_was_started() {
        for variables in [
            &[][..],
            &[("WORLD_SIZE", "1"), ("RANK", "0")][..],
            &[("OMPI_COMM_WORLD_SIZE", "1")][..],
            &[("RANK", "3"), ("MASTER_PORT", "x")][..],
        ] {
            assert_eq!(find(variables).unwrap(), None);
        }
    }

    #[test]
    fn a_launch_says_who_and_where() {
        let launch = find(&TWO).unwrap().unwrap();
        let who = (
            launch.rank,
            launch.size,
            launch.local_rank,
            launch.local_size,
        );
        assert_eq!(who, (1, 2, 0, 1));
        let here = address(launch);
        assert_eq!(
            (here.host.as_str(), here.ports.clone()),
            ("node1", 29_500..=29_500)
        );
        assert_eq!(here.patience, Duration::from_secs(1800));
        let agent = [&TWO[..], &[(AGENT_STORE, "True"), (TIMEOUT, "5")]].concat();
        let there = address(find(&agent).unwrap().unwrap());
        assert_eq!(there.ports, 29_501..=29_516);
        assert_eq!(there.patience, Duration::from_secs(5));
        assert_eq!(there.token, here.token);
        let again = [&TWO[..], &[("TORCHELASTIC_RESTART_COUNT", "1")]].concat();
        assert_ne!(address(find(&again).unwrap().unwrap()).token, here.token);
        // mpirun beside variables that a shell still has.
        let mpi = [("OMPI_COMM_WORLD_SIZE", "3"), ("OMPI_COMM_WORLD_RANK", "2")];
        let launch = find(&[&TWO[..], &mpi].concat()).unwrap().unwrap();
        assert_eq!((launch.rank, launch.size, launch.local_rank), (2, 3, 2));
        assert_eq!(launch.meeting, Meeting::Mpi);
    }

    #[test]
    fn a_variable_that_cannot_be_is_named() {
        for (name, value) in [
            ("WORLD_SIZE", "two"),
            ("WORLD_SIZE", "0"),
            ("WORLD_SIZE", "99999999999999999999999"),
            ("RANK", "2"),
            ("RANK", "-1"),
            ("LOCAL_RANK", "2"),
            ("LOCAL_WORLD_SIZE", "0"),
            ("MASTER_ADDR", ""),
            ("MASTER_PORT", "0"),
            ("MASTER_PORT", "65536"),
            (TIMEOUT, "soon"),
        ] {
            let mut variables: Vec<(&str, &str)> = TWO.to_vec();
            variables.retain(|(other, _)| *other != name);
            variables.push((name, value));
            let error = find(&variables).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("{name}: is ")),
                "{error}"
            );
            assert_eq!(error.exit_code(), 2);
        }
        for missing in ["RANK", "MASTER_ADDR", "MASTER_PORT"] {
            let variables: Vec<(&str, &str)> = TWO
                .into_iter()
                .filter(|(name, _)| *name != missing)
                .collect();
            let error = find(&variables).unwrap_err().to_string();
            assert!(
                error.starts_with(missing) && error.contains("not set"),
                "{error}"
            );
        }
    }
}
