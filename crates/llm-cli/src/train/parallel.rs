//! `deeper train` as one of several processes: how they find each other, what those but the first one
//! do, and how they end.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use llm_show::LookArgs;
use llm_train::Error;
use llm_train::config::TrainConfig;
use llm_train::finetune;
use llm_train::processes::launch::{Launch, Meeting};
use llm_train::processes::tcp::Tcp;
use llm_train::processes::{Processes, Transport};
use llm_train::runs::RunFolder;

use super::signals::Signals;
use super::{TrainArgs, open, watch};

/// How this process was started; `None` for one alone.
pub(super) fn launch() -> Result<Option<Launch>> {
    Ok(Launch::find(|name| std::env::var(name).ok())?)
}

/// Sets the threads that are asked for, or this process's share of its machine's.
pub(super) fn set_threads(asked: Option<NonZeroUsize>, launch: Option<&Launch>) -> Result<()> {
    let share = |launch: &Launch| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / launch.local_size).max(1)
    };
    if let Some(threads) = asked.map(NonZeroUsize::get).or(launch.map(share)) {
        llm_core::kernels::pool::set_threads(threads)?;
    }
    Ok(())
}

/// Meets the other processes.
pub(super) fn connect(launch: Option<Launch>) -> Result<Processes> {
    let Some(launch) = launch else {
        return Ok(Processes::alone());
    };
    let transport: Box<dyn Transport> = match &launch.meeting {
        Meeting::Mpi => over_mpi(&launch)?,
        Meeting::Address(address) => Box::new(Tcp::meet(launch.rank, launch.size, address)?),
    };
    Ok(Processes::new(on_gpus(transport), launch.local_rank))
}

#[cfg(feature = "mpi")]
fn over_mpi(launch: &Launch) -> Result<Box<dyn Transport>> {
    let mpi = llm_parallel::mpi::Mpi::start()?;
    if (mpi.rank(), mpi.size()) == (launch.rank, launch.size) {
        return Ok(Box::new(mpi));
    }
    let complaint = format!(
        "mpirun: says process {} of {}, but the MPI of this build says {} of {}",
        launch.rank,
        launch.size,
        mpi.rank(),
        mpi.size()
    );
    let hint = "start it with the mpirun of the MPI that it was built with";
    Err(llm_show::Complaint::new(complaint).hint(hint).into())
}

/// Each of them would train alone, into the same folder.
#[cfg(not(feature = "mpi"))]
fn over_mpi(launch: &Launch) -> Result<Box<dyn Transport>> {
    let complaint = format!(
        "mpirun: started {} processes, but this build of deeper has no MPI",
        launch.size
    );
    let hint = "cargo build --release --bin deeper --features mpi; or start them with \
                torchrun --no-python";
    Err(llm_show::Complaint::new(complaint).hint(hint).into())
}

/// Gradients on GPUs go from GPU to GPU; all else, as without them.
#[cfg(feature = "nccl")]
fn on_gpus(transport: Box<dyn Transport>) -> Box<dyn Transport> {
    Box::new(llm_parallel::nccl::Nccl::over(transport))
}

#[cfg(not(feature = "nccl"))]
fn on_gpus(transport: Box<dyn Transport>) -> Box<dyn Transport> {
    transport
}

/// Fails for what several processes do not do.
pub(super) fn check(
    args: &TrainArgs,
    config: &TrainConfig,
    processes: &Processes,
) -> llm_train::Result<()> {
    let what = match (args.lr_range, &config.sweep) {
        _ if processes.is_alone() => return Ok(()),
        (Some(_), _) => "--lr-range",
        (_, Some(_)) => "`sweep`",
        _ => return Ok(()),
    };
    let size = processes.size();
    let problem = format!("is for one process, not for {size}: start deeper without a launcher");
    Err(Error::input(what, problem))
}

/// The settings with the run that the first process goes on with: `latest` may be another one for
/// the others by now.
pub(super) fn same_run(
    config: TrainConfig,
    resumed: Option<&RunFolder>,
    processes: &Processes,
) -> Result<TrainConfig> {
    if processes.is_alone() {
        return Ok(config);
    }
    let path = resumed.and_then(|folder| folder.path.to_str());
    let told = processes.text(path.unwrap_or_default())?;
    let resume_from = match told.is_empty() {
        true => config.resume_from,
        false => Some(PathBuf::from(told)),
    };
    Ok(TrainConfig {
        resume_from,
        ..config
    })
}

/// A run in every process but the first, which writes and speaks.
pub(super) fn follow(
    args: &TrainArgs,
    config: TrainConfig,
    processes: &Processes,
    signals: &Signals,
) -> Result<()> {
    let mut session = open(config, processes)?;
    watch::plan(&mut session, args.sabotage, &args.allow)?;
    processes.wait()?; // the folder
    finetune::follow(&session, Some(&**signals.stop()))?;
    Ok(())
}

/// Says what is wrong, once, and lets the others know; the exit code.
pub(super) fn end(done: Result<u8>, processes: &Processes, look: &LookArgs) -> u8 {
    let error = match done {
        Ok(code) => {
            processes.part(None);
            return code;
        }
        Err(error) => error,
    };
    let why = error.to_string();
    let leads = processes.leads();
    let code = match error.downcast_ref::<Error>() {
        // The first one says it.
        Some(own) if !leads && processes.is_settled() => own.exit_code(),
        Some(Error::Peer { code, .. }) if !leads => *code,
        _ if leads => crate::failure::report(&error, look),
        _ => {
            let named = error.context(format!("process {}", processes.rank()));
            crate::failure::report(&named, look)
        }
    };
    processes.part(Some((code, &why)));
    code
}
