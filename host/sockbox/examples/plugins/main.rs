//! A host of plugins. It loads each `*.wasm` of a folder, and calls all of them at the same time.
//!
//! ```sh
//! cargo run --example plugins -- FOLDER TASK
//! ```
//!
//! A plugin is a component of the world in `plugin.wit`. The policy file beside it, `NAME.toml`, says what it asks for;
//! `ceiling.toml` says what the operator allows all plugins. The host prints what each did, was refused, and why.

use sockbox::policy::Cut;
use sockbox::profile::PolicyFile;
use sockbox::wasmtime::component::HasSelf;
use sockbox::{
    Error, Grant, Incident, Output, Plugin, PluginInstance, PluginState, Profile, Sandbox,
};
use std::path::{Path, PathBuf};

mod world {
    sockbox::wasmtime::component::bindgen!({
        path: "examples/plugins/plugin.wit",
        exports: { default: async },
        wasmtime_crate: sockbox::wasmtime,
    });
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How much of one plugin is told: lines of its log, and incidents.
const MAX_LINES: usize = 10;
const MAX_INCIDENTS: usize = 3;

/// The host's data for one instance, in its store.
#[derive(Default)]
struct Log(Vec<String>);

impl world::example::plugins::log::Host for Log {
    fn line(&mut self, text: String) {
        if self.0.len() < MAX_LINES {
            self.0.push(text);
        }
    }
}

/// What a policy file grants, with the directories and variables that it names.
fn read_policy(file: &Path) -> Result<Profile, AnyError> {
    Ok(PolicyFile::read(file)?.profile(None)?)
}

/// Load a plugin, and give it what it asks for, as far as the ceiling allows that.
async fn load(
    sandbox: &Sandbox,
    file: &Path,
    ceiling: &Grant,
    report: &mut Vec<String>,
) -> Result<Plugin<Log>, AnyError> {
    let plugin = sandbox
        .load_plugin(file, tokio::fs::read(file).await?)
        .await?;
    let plugin = plugin.profile(&read_policy(&file.with_extension("toml"))?)?;
    let (grant, cuts) = plugin.granted().within(ceiling);
    // A limit that a plugin does not set is no wish of its own.
    let cuts = cuts.iter().filter(|cut| !matches!(cut, Cut::Limit { .. }));
    report.extend(cuts.map(|cut| format!("cut: {cut}")));
    let add = |linker: &mut _| {
        world::Plugin::add_to_linker::<_, HasSelf<Log>>(linker, PluginState::data_mut)
    };
    Ok(plugin.grant(grant).with(Log::default, add)?)
}

/// Let an instance do a task.
async fn call(instance: &mut PluginInstance<Log>, task: &str) -> Result<String, Error> {
    let plugin = instance.bind(|store, instance| world::Plugin::new(store, instance))?;
    let done = instance.run(async |store| plugin.call_run(store, task).await);
    Ok(match done.await? {
        Ok(result) => format!("did: {result}"),
        Err(problem) => format!("reported: {problem}"),
    })
}

/// Load a plugin, let it do a task, and tell all of it.
async fn run(sandbox: Sandbox, file: PathBuf, ceiling: Grant, task: String) -> Vec<String> {
    let mut report = Vec::new();
    let ended = async {
        let (output, captured) = Output::captured(1024);
        let plugin = load(&sandbox, &file, &ceiling, &mut report).await?;
        let mut instance = plugin.stderr(output).instance().await?;
        let called = call(&mut instance, &task).await;
        let lines = instance.data().0.iter();
        report.extend(lines.map(|line| format!("log: {line:?}")));
        for incident in instance.incidents().latest().take(MAX_INCIDENTS) {
            report.push(match incident {
                Incident::Denied(refusal) => {
                    let name = refusal.name.as_ref();
                    format!("refused: {}", refusal.reason.refusal(&refusal.target, name))
                }
                Incident::Limit { limit, .. } => format!("reached: {}", limit.key()),
                other => format!("failed: {other:?}"),
            });
        }
        if let Some(line) = captured.text().lines().next() {
            report.push(format!("stderr: {line:?}"));
        }
        Ok::<_, AnyError>(called?)
    };
    match ended.await {
        Ok(told) => report.push(told),
        Err(error) => report.push(format!("failed: {error}")),
    }
    report
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(task)) = (args.next(), args.next()) else {
        return Err("usage: plugins FOLDER TASK".into());
    };
    let folder = PathBuf::from(folder);
    let sandbox = Sandbox::new()?;
    let ceiling = sandbox
        .grant()
        .profile(&read_policy(&folder.join("ceiling.toml"))?)?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    files.sort();
    let running: Vec<_> = files
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap_or_default().to_owned();
            let task = tokio::spawn(run(sandbox.clone(), file, ceiling.clone(), task.clone()));
            (name, task)
        })
        .collect();
    for (name, task) in running {
        println!("{}", name.display());
        for line in task.await?.iter().flat_map(|told| told.lines()) {
            println!("  {line}");
        }
    }
    Ok(())
}
