//! What every command of `migrate` begins with and ends by: a configuration, hosts, a screen, signals.

use std::path::PathBuf;
use std::sync::Arc;

use etcdprefix_migrate::Config;
use etcdprefix_migrate::flow::Setup;
use etcdprefix_migrate::{Result as Migrated, host};
use etcdprefix_store::Environment;

use super::{assistant, config, environment, folder};
use crate::args::Global;
use crate::args::migrate::config::ConfigArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::migrate::screen::Screen;

/// What signals do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// The first asks to stop, the second ends the process.
    Usual,
    /// The first has everything put back, which the second must not end.
    PutsBack,
}

/// A command's work on all hosts.
pub struct Work {
    pub config: Config,
    pub screen: Arc<Screen>,
    folder: PathBuf,
    credentials: std::collections::BTreeMap<String, String>,
    care: Care,
}

impl Work {
    /// Reads and checks all that can be checked here.
    pub fn new(args: &ConfigArgs, global: Global, care: Care) -> Result<Self, Failure> {
        let mut config = config::resolve(args)?;
        let folder = config::folder(&args.which, config.cluster_id.as_str())?;
        assistant::resolve(&mut config, &folder)?;
        // Those in the environment may sign for the cloud's API, where anybody could read what hosts are sent.
        let credentials = match args.host_credentials || config.has_instances() {
            true => Default::default(),
            false => environment::for_hosts(&config.store, &Environment::of_process())?,
        };
        let hosts = config.hosts.iter().map(|host| host.name()).collect();
        let screen = Arc::new(Screen::start(hosts, global.quiet));
        Ok(Self { config, screen, folder, credentials, care })
    }

    /// For commands that write something down.
    pub fn make_folder(&self) -> Result<(), Failure> {
        folder::make(&self.folder)
    }

    /// Runs to its end, and clears the screen.
    pub fn wait<T>(&self, work: impl AsyncFnOnce(&Setup) -> Migrated<T>) -> Result<T, Failure> {
        let interrupted = self.heed_signals()?;
        let done = crate::command::wait(async {
            let failed = |error| Failure::migration(&error);
            let setup = Setup {
                config: self.config.clone(),
                folder: self.folder.clone(),
                hosts: host::open(&self.config).map_err(failed)?,
                environment: self.credentials.clone(),
                view: self.screen.clone(),
                interrupted,
            };
            let done = work(&setup).await.map_err(failed);
            for host in &setup.hosts {
                host.close().await;
            }
            done
        });
        self.screen.end();
        done
    }

    fn heed_signals(&self) -> Result<Arc<std::sync::atomic::AtomicBool>, Failure> {
        let heeded = match self.care {
            Care::Usual => interrupt::on_signals(),
            Care::PutsBack => {
                let screen = Arc::clone(&self.screen);
                interrupt::patiently(move |heard| screen.say(heard))
            }
        };
        heeded.map_err(|source| {
            let message = format!("cannot handle signals: {source}");
            Failure::new(Exit::Failed, message, None)
        })
    }
}
