//! `deeper train`: LoRA, full fine-tuning or pretraining, soft prompts, DPO, GRPO, as a file says.

mod gradients;
mod log;
mod lr_range;
mod parallel;
pub(crate) mod signals;
mod sweep;
mod watch;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use llm_show::number::{bytes, count, number, percent};
use llm_show::{Cell, DTypeName, DeviceName, LookArgs, Screen, Table, Weather};
use llm_train::config::{Method, TrainConfig};
use llm_train::finetune::{BeforeAfter, FinetuneReport, Measure, Stage, finetune};
use llm_train::monitor::Monitor;
use llm_train::monitor::sabotage::Fault;
use llm_train::observe::{Callback, Event, MetricsFile, Observer, SamplesFile};
use llm_train::processes::Processes;
use llm_train::resume::run_folder;
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use self::log::LogForm;
use self::signals::Signals;
use self::watch::View;

/// Train a model, an adapter or a soft prompt as a file of settings says, on tokens, preferences or
/// rewards; the last lines say what came of it.
#[derive(Args, Debug)]
#[command(
    after_help = "Files written: output_models/runs/<time>-<name>/ with config_used.yaml, \
env.json, data.json, checks.json, metrics.jsonl, system.jsonl, warnings.jsonl, metrics.json, \
samples.jsonl, report.html, logs/ for TensorBoard, checkpoints/ and model/, and error.json when it \
fails; output_models/runs/latest points to it.\n\nCtrl-C and SIGTERM write a checkpoint after the step \
that is being computed and exit with 130 or 143; a second one ends at once.\n\nStarted several \
times by `torchrun --no-python` or `mpirun`, the processes share each step's rows and train one \
model.\n\nExamples:\n  \
deeper train --config configs/train.yaml\n  \
deeper train --config configs/train.yaml lr=1e-4 epochs=1\n  \
deeper train --config configs/train.yaml --resume\n  \
deeper train --config configs/train.yaml resume_from=output_models/runs/latest/checkpoints/step-00000100\n  \
deeper train --config configs/train.yaml --lr-range=1e-6..1\n  \
torchrun --no-python --nproc-per-node 2 deeper train --config configs/train.yaml\n  \
deeper train --config configs/train.yaml 'sweep={lr: [1e-3, 3e-3], lora_r: [4, 16]}'"
)]
pub(crate) struct TrainArgs {
    /// Where to compute, instead of the file's `device`
    #[arg(long, value_enum, value_name = "DEVICE")]
    device: Option<DeviceName>,
    /// Number type, instead of the file's `dtype`
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<DTypeName>,
    /// Threads to compute with, 1 or more [default: one a core, shared by the processes of a machine]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// One seed, one result; instead of the file's `seed`
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Plain text, colour, quiet.
    #[command(flatten)]
    pub look: LookArgs,
    /// The settings, YAML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Held-out prompts to answer before and after training; 0 answers none
    #[arg(long, default_value_t = 8, value_name = "N")]
    answers: usize,
    /// The longest of these answers, in tokens
    #[arg(long, default_value_t = 64, value_name = "N")]
    max_new_tokens: usize,
    /// Show the run live on the terminal: q saves and stops. Elsewhere, and with --plain or --quiet,
    /// the log as always
    #[arg(long)]
    dashboard: bool,
    /// Plant a fault, to see how it looks and how it is found
    #[arg(long, value_name = "FAULT", value_parser = watch::fault_parser())]
    sabotage: Option<Fault>,
    /// Train although this check finds its fault; may be given several times
    #[arg(long, value_name = "CHECK", value_parser = watch::check_parser())]
    allow: Vec<String>,
    /// Go on with a run: its folder, or a checkpoint of it [default without WHERE: the latest run]
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "latest",
        value_name = "WHERE"
    )]
    resume: Option<PathBuf>,
    /// Print the resolved settings, every key, and stop
    #[arg(long)]
    show_config: bool,
    /// Rows of the log on stderr
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    log: LogForm,
    /// Instead of training, raise the rate from LOW to HIGH and suggest one (1e-6..1)
    #[arg(long, value_parser = lr_range::parse, value_name = "LOW..HIGH", require_equals = true)]
    lr_range: Option<(f64, f64)>,
    /// Steps of --lr-range
    #[arg(long, default_value_t = 100, value_name = "N")]
    lr_steps: u64,
    /// Instead of training, write the gradients of the first step, before clipping, as safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "lr_range")]
    gradients: Option<PathBuf>,
    /// Settings that override the file's
    #[arg(value_name = "key=value")]
    overrides: Vec<String>,
}

pub(crate) fn run(args: &TrainArgs) -> Result<u8> {
    let launch = parallel::launch()?;
    parallel::set_threads(args.threads, launch.as_ref())?; // before there is another thread
    let processes = parallel::connect(launch)?;
    let done = run_among(args, &processes);
    match processes.is_alone() {
        true => done,
        false => Ok(parallel::end(done, &processes, &args.look)),
    }
}

/// The command in each of the processes that share it; usually there is one.
fn run_among(args: &TrainArgs, processes: &Processes) -> Result<u8> {
    let mut config = processes.each(|| TrainConfig::load(&args.config, &overrides(args)))?;
    config.resume_from = args.resume.clone().or(config.resume_from);
    let mut screen = llm_show::stdout_screen(&args.look);
    if args.show_config {
        if processes.leads() {
            screen.raw(&config.to_yaml()?);
            screen.finish()?;
        }
        return Ok(0);
    }
    let signals = Signals::listen()?;
    let done = run_as_asked(args, config, processes, &signals, &mut screen);
    let code = signals.code(done, &args.look)?;
    screen.finish()?;
    Ok(code)
}

/// A sweep, a range test, gradients or one run.
fn run_as_asked(
    args: &TrainArgs,
    config: TrainConfig,
    processes: &Processes,
    signals: &Signals,
    screen: &mut Screen,
) -> Result<()> {
    let mut weather = llm_show::stderr_weather(&args.look);
    if let Some(file) = &args.gradients {
        return gradients::run(args, config, file, processes, screen);
    }
    processes.lead(|| parallel::check(args, &config, processes))?;
    if let Some(ends) = args.lr_range {
        let config = TrainConfig {
            resume_from: None,
            sweep: None,
            ..config
        };
        let session = open(config, processes)?;
        let range = lr_range::range(ends, args.lr_steps);
        return lr_range::run(&session, range, &mut weather, screen);
    }
    if config.sweep.is_some() {
        return sweep::run(args, &config, signals, &mut weather, screen);
    }
    // Locked before anything is read from it.
    let resumed = processes.lead(|| reopened(&config))?.flatten();
    let config = parallel::same_run(config, resumed.as_ref(), processes)?;
    if !processes.leads() {
        return parallel::follow(args, config, processes, signals);
    }
    let method = config.method;
    let place = Place {
        folder: resumed,
        processes,
    };
    let (report, folder) = train_in(args, config, place, signals, &mut weather)?;
    weather.fact("model", &folder.model().display().to_string());
    result(screen, &report, method);
    log::samples(screen, &folder.samples())
}

/// The run that is gone on with, locked; `None` for one that begins.
fn reopened(config: &TrainConfig) -> llm_train::Result<Option<RunFolder>> {
    let resumed = match &config.resume_from {
        Some(name) => run_folder(name, &config.output_dir)?,
        None => None,
    };
    resumed.map(|path| RunFolder::reopen(&path)).transpose()
}

fn open(config: TrainConfig, processes: &Processes) -> Result<Session> {
    let base = match &config.model_name {
        Some(name) => Some(llm_hub::resolve(name)?),
        None => None,
    };
    Ok(Session::open_among(config, base.as_deref(), processes)?)
}

/// Where a run is: in which folder, and in which processes beside this one.
struct Place<'p> {
    /// `None` for a new one.
    folder: Option<RunFolder>,
    processes: &'p Processes,
}

/// One run, in the first of its processes.
fn train_in(
    args: &TrainArgs,
    config: TrainConfig,
    place: Place,
    signals: &Signals,
    weather: &mut Weather,
) -> Result<(FinetuneReport, RunFolder)> {
    let mut session = open(config, place.processes)?;
    watch::plan(&mut session, args.sabotage, &args.allow)?;
    let folder = match place.folder {
        Some(folder) => Ok(folder),
        None => RunFolder::create(
            &session.config.output_dir,
            &session.config.run_name,
            SystemTime::now(),
        ),
    };
    let folder = place.processes.agree(folder)?;
    header(weather, &session, &folder)?;
    let report = train(args, &session, &folder, signals.stop(), weather);
    watch::finish(&folder, weather, report.as_ref().err());
    Ok((report?, folder))
}

/// The overrides of the command line, flags included.
fn overrides(args: &TrainArgs) -> Vec<String> {
    let mut all = args.overrides.clone();
    all.extend(
        args.device
            .map(|device| format!("device={}", device.as_str())),
    );
    all.extend(args.dtype.map(|dtype| format!("dtype={}", dtype.as_str())));
    all.extend(args.seed.map(|seed| format!("seed={seed}")));
    let planted = args.sabotage.map_or(&[][..], Fault::overrides);
    all.extend(planted.iter().map(|&text| text.to_owned()));
    all
}

fn train(
    args: &TrainArgs,
    session: &Session,
    folder: &RunFolder,
    stop: &Arc<AtomicBool>,
    weather: &mut Weather,
) -> Result<FinetuneReport> {
    // The loop's observers and the stages between loops write to the same view in turn.
    let view = RefCell::new(View::open(args, session, folder, stop, weather));
    let mut metrics = MetricsFile::append(&folder.metrics())?;
    let asked = !session.config.sample_prompts.is_empty();
    let samples = asked.then(|| SamplesFile::append(&folder.samples()));
    let mut samples = samples.transpose()?;
    let mut monitor = Monitor::start(folder, session, |news| view.borrow_mut().news(news))?;
    let mut screen = Callback(|event: &Event| view.borrow_mut().event(event));
    let measure = Measure {
        answers: args.answers,
        max_new_tokens: args.max_new_tokens,
    };
    let mut observers: Vec<&mut dyn Observer> = vec![&mut metrics, &mut monitor, &mut screen];
    if let Some(samples) = &mut samples {
        observers.push(samples);
    }
    let report = finetune(
        session,
        folder,
        measure,
        &mut observers,
        Some(&**stop),
        |stage| {
            view.borrow_mut().stage(&stage);
        },
    );
    drop(monitor);
    view.into_inner().close();
    Ok(report?)
}

fn show_stage(weather: &mut Weather, stage: &Stage) {
    match stage {
        Stage::Audited(audit) => weather.note(&format!(
            "gradient audit: {} tensors equal the slow model's, largest difference {:.1e} ({}), \
             tolerance {:.0e}",
            audit.tensors, audit.worst, audit.worst_name, audit.tolerance
        )),
        Stage::Measuring(false) => weather.note("measuring the held-out rows before training"),
        Stage::Measuring(true) => weather.note("measuring the held-out rows after training"),
        Stage::Answered(done, all, _, _) => {
            weather.progress("answers", *done as u64, *all as u64);
        }
        Stage::Training => weather.note("training"),
        Stage::Saving => weather.note("saving"),
    }
}

/// The resolved settings, before anything is computed.
fn header(weather: &mut Weather, session: &Session, folder: &RunFolder) -> Result<()> {
    let mut rows = model_rows(session)?;
    rows.push(("method", method(&session.config)));
    rows.extend(data_rows(session));
    rows.push(("output", folder.path.display().to_string()));
    weather.settings(&rows);
    for warning in &session.warnings {
        weather.warn(warning);
    }
    Ok(())
}

/// What is trained how, with the constants that matter most.
fn method(config: &TrainConfig) -> String {
    let policy = format!("{:?} policy", config.policy).to_lowercase();
    match config.method {
        Method::Lora => format!("lora, r {}, alpha {}", config.lora_r, config.lora_alpha),
        Method::Full => "full".to_owned(),
        Method::Prompt => format!("prompt, {} virtual tokens", config.num_virtual_tokens),
        Method::Dpo => format!("dpo, {policy}, beta {}", config.dpo().beta),
        Method::Grpo => format!(
            "grpo, {policy}, beta {}, {} answers to a prompt, loss {:?}",
            config.grpo().beta,
            config.num_generations,
            config.loss_type
        ),
    }
}

fn model_rows(session: &Session) -> Result<Vec<(&'static str, String)>> {
    let config = &session.config;
    let (total, trainable) = (session.total_parameters()?, session.parameters.count());
    let model = match (&config.model_name, &config.model_config) {
        (Some(name), _) => name.clone(),
        (None, Some(path)) => format!("new, shape of {}", path.display()),
        (None, None) => String::new(),
    };
    let parameters = format!(
        "{} total, {} trained ({})",
        count(total as u64),
        count(trainable as u64),
        percent(trainable as f64 / total as f64)
    );
    let dtype = session.model.dtype();
    let size = dtype.size_in_bytes();
    // A gradient and two moments stand beside each trained scalar.
    let memory = bytes((total * size + 3 * trainable * size) as u64);
    let location = format!("{:?}", session.device().location());
    let mut rows = vec![
        ("model", model),
        ("parameters", parameters),
        (
            "memory",
            format!("{memory} for weights, gradients and moments; activations on top"),
        ),
        (
            "device",
            format!("{location} ({}), {}", session.device_reason, dtype.as_str()),
        ),
    ];
    let processes = &session.processes;
    let together = processes.transport();
    rows.extend(together.map(|name| ("processes", format!("{} over {name}", processes.size()))));
    Ok(rows)
}

fn data_rows(session: &Session) -> Vec<(&'static str, String)> {
    let (config, report) = (&session.config, &session.dataset.report);
    let files = session.dataset.files.len();
    let train = format!(
        "{} examples, {} tokens, {} supervised",
        count(report.train.examples as u64),
        count(report.train.tokens as u64),
        count(report.train.supervised as u64)
    );
    let all = count(session.total_steps());
    let steps = match config.stop_after {
        Some(first) => format!("the first {} of {all}", count(first)),
        None => all,
    };
    let steps = format!(
        "{steps} of {} x {} rows (B x accumulation), T up to {}",
        config.batch_size, config.gradient_accumulation_steps, config.max_length
    );
    let (rate, kind) = (config.lr, config.lr_scheduler_type);
    vec![
        (
            "data",
            format!("{files} files, prompts {}", session.codec.format_name()),
        ),
        ("train", train),
        (
            "held out",
            format!("{} examples", count(report.validation.examples as u64)),
        ),
        ("steps", steps),
        (
            "batches",
            format!(
                "{:?}, {} padding",
                config.batching,
                percent(report.batches.share())
            )
            .to_lowercase(),
        ),
        (
            "lr",
            format!("{rate:e}, {kind:?}, weight decay {}", config.weight_decay),
        ),
        ("seed", config.seed.to_string()),
    ]
}

/// What came of it: the program's result, the same on every run with the same seed.
fn result(screen: &mut Screen, report: &FinetuneReport, method: Method) {
    let mut table = Table::new(&["held out", "before", "after", "difference", "95 % interval"]);
    let mut row = |name: &str, values: &Option<BeforeAfter>| {
        if let Some(BeforeAfter {
            before,
            after,
            difference,
        }) = values
        {
            let interval = format!("[{}, {}]", number(difference.low), number(difference.high));
            table.push(vec![
                name.into(),
                (*before).into(),
                (*after).into(),
                difference.value.into(),
                Cell::number(interval),
            ]);
        }
    };
    let loss = match method {
        Method::Grpo => "missed answers",
        _ => "loss",
    };
    row(loss, &report.loss);
    row("exact match", &report.exact_match);
    if report.loss.is_some() {
        screen.show(&table);
    }
    screen.line(&format!("steps  {}", count(report.outcome.steps)));
}
