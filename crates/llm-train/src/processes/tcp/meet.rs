//! How processes find each other: all but the first connect to it and say who they are.
//!
//! The first one listens at the address that the launcher names until all are there. Whoever comes
//! with another token is of another launch, or no process of ours, and is sent away; one that has
//! the token and another idea of how many there are is an error for both.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::super::launch::{Address, TOKEN_BYTES};
use super::link::{Kind, Link};
use crate::{Error, Result};

/// The longest that the first process waits for the others, and they for it.
const LONGEST_MEETING: Duration = Duration::from_secs(300);
/// How long somebody who has connected may take to say who they are.
const GREETING: Duration = Duration::from_secs(2);
/// How long the first process may take to answer that.
const ANSWER: Duration = Duration::from_secs(20);
/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long a port that is taken may need to become free.
const BUSY: Duration = Duration::from_secs(3);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// Token, rank, size.
const HELLO_BYTES: usize = TOKEN_BYTES + 8;

/// The first process's links to the others, in their order.
pub(super) fn gather(size: usize, address: &Address) -> Result<Vec<Link>> {
    let listener = listen(address)?;
    let mut links: Vec<Option<Link>> = (1..size).map(|_| None).collect();
    let met = await_all(&listener, &mut links, address);
    let links: Vec<Link> = links.into_iter().flatten().collect();
    let ready = met.and_then(|()| {
        links
            .iter()
            .try_for_each(|link| link.send(Kind::Ready, &[]))
    });
    if let Err(error) = &ready {
        let (code, why) = (error.exit_code(), error.to_string());
        links.iter().for_each(|link| link.abandon(code, &why));
        links.iter().for_each(Link::drain);
    }
    ready.map(|()| links)
}

fn await_all(listener: &TcpListener, links: &mut [Option<Link>], address: &Address) -> Result<()> {
    let wait = address.patience.min(LONGEST_MEETING);
    let begun = Instant::now();
    listener.set_nonblocking(true).map_err(network)?;
    while links.iter().any(Option::is_none) {
        match listener.accept() {
            Ok((stream, _)) => welcome(stream, links, address)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock && begun.elapsed() < wait => {
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let here = links.iter().flatten().count() + 1;
                let (all, seconds) = (links.len() + 1, wait.as_secs());
                let problem = format!("{here} of {all} came within {seconds} seconds");
                return Err(Error::processes(problem));
            }
            // A connection that was given up before it was accepted.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(network(error)),
        }
    }
    Ok(())
}

/// Takes in who has connected, if it is one of ours.
fn welcome(stream: TcpStream, links: &mut [Option<Link>], address: &Address) -> Result<()> {
    let size = links.len() + 1;
    let mut hello = [0; HELLO_BYTES];
    let Ok(mut link) = Link::new(0, stream, GREETING) else {
        return Ok(());
    };
    if link.receive(Kind::Hello, &mut hello).is_err() || !hello.starts_with(&address.token) {
        return Ok(());
    }
    let [rank, its_size] = numbers(&hello);
    link.rank = rank;
    let place = rank.checked_sub(1).and_then(|index| links.get_mut(index));
    let refusal = match place {
        _ if its_size != size => {
            let problem = format!("is {its_size} for process {rank} and {size} for process 0");
            Error::input("WORLD_SIZE", problem)
        }
        None => Error::input("RANK", format!("is {rank}, expected 0 to {}", size - 1)),
        Some(Some(other)) if !other.is_closed() => {
            Error::input("RANK", format!("is {rank} for two processes"))
        }
        Some(place) => {
            let answered = link.send(Kind::Heard, &[]).is_ok();
            if answered && link.be_patient(address.patience).is_ok() {
                *place = Some(link);
            }
            return Ok(());
        }
    };
    link.abandon(refusal.exit_code(), &refusal.to_string());
    link.drain();
    Err(refusal)
}

/// Rank and size of a greeting.
fn numbers(hello: &[u8; HELLO_BYTES]) -> [usize; 2] {
    let (numbers, _) = hello[TOKEN_BYTES..].as_chunks::<4>();
    let number = |index: usize| {
        let bytes = numbers.get(index).copied().unwrap_or_default();
        u32::from_le_bytes(bytes) as usize
    };
    [number(0), number(1)]
}

/// Another process's link to the first one.
pub(super) fn join(rank: usize, size: usize, address: &Address) -> Result<Link> {
    let wait = address.patience.min(LONGEST_MEETING);
    let begun = Instant::now();
    loop {
        for port in address.ports.clone() {
            let Some(mut link) = knock(rank, size, address, port)? else {
                continue;
            };
            // The first one waits for the others as long as it wants to.
            link.be_patient(wait + ANSWER).map_err(network)?;
            link.expect(Kind::Ready, 0)?;
            link.be_patient(address.patience).map_err(network)?;
            return Ok(link);
        }
        if begun.elapsed() >= wait {
            let (host, port, seconds) = (&address.host, address.ports.start(), wait.as_secs());
            let problem = format!("no process 0 at {host}:{port} within {seconds} seconds");
            return Err(Error::processes(problem));
        }
        std::thread::sleep(PAUSE);
    }
}

/// A link, if the first process is behind this port and has understood.
fn knock(rank: usize, size: usize, address: &Address, port: u16) -> Result<Option<Link>> {
    // A name that is not known yet may be in a moment.
    let found = resolve(&address.host, port).unwrap_or_default();
    let connected = found
        .iter()
        .find_map(|place| TcpStream::connect_timeout(place, ATTEMPT).ok());
    let Some(link) = connected.and_then(|stream| Link::new(0, stream, ANSWER).ok()) else {
        return Ok(None);
    };
    let mut hello = address.token.to_vec();
    for number in [rank, size] {
        let number = u32::try_from(number).unwrap_or(u32::MAX); // at most 4096
        hello.extend(number.to_le_bytes());
    }
    let heard = link
        .send(Kind::Hello, &hello)
        .and_then(|()| link.expect(Kind::Heard, 0));
    match heard {
        Ok(()) => Ok(Some(link)),
        Err(refused @ Error::Peer { .. }) => Err(refused),
        Err(_) => Ok(None), // somebody else's port, or a first process that is about to end
    }
}

fn listen(address: &Address) -> Result<TcpListener> {
    let (host, begun) = (&address.host, Instant::now());
    loop {
        let mut last = None;
        for port in address.ports.clone() {
            match bind(host, port) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some((port, error)),
            }
        }
        match last {
            // Of a run before this one, or of a connection that is about to end.
            Some((_, error)) if error.kind() == ErrorKind::AddrInUse && begun.elapsed() < BUSY => {
                std::thread::sleep(PAUSE);
            }
            Some((port, error)) => {
                let problem = format!("process 0 cannot listen at {host}:{port}: {error}");
                return Err(Error::processes(problem));
            }
            None => {
                let problem = format!("there is no port behind MASTER_PORT at {host}");
                return Err(Error::processes(problem));
            }
        }
    }
}

fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind(&resolve(host, port)?[..]) {
        // The name of this machine as others see it, from behind a translation of addresses.
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        bound => bound,
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn network(error: io::Error) -> Error {
    Error::processes(error.to_string())
}
