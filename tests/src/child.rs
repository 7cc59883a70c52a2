//! The program in a process of its own, to be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A served data directory with one Stripe source `shop` and one contiguous source `ledger`.
pub struct Served {
    /// The program.
    pub program: PathBuf,
    /// The settings file.
    pub settings: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// Where it listens.
    pub address: String,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

/// The secret of both sources.
pub const SECRET: &str = "whsec_for_tests_only";

impl Served {
    /// Writes the settings and picks a free port; nothing runs yet.
    ///
    /// # Panics
    /// When files or sockets cannot be had.
    pub fn prepare(program: &str, dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let data = dir.join("data");
        std::fs::write(dir.join("secret"), SECRET).expect("a secret file");
        let settings = dir.join("ledgerline.toml");
        let text = format!(
            "data = {data:?}\nlisten = \"{address}\"\n[limits]\nsegment_age_seconds_max = 1\n\
             [[source]]\nname = \"shop\"\nprovider = \"stripe\"\nsecrets = [\"file:secret\"]\n\
             [[source]]\nname = \"ledger\"\nprovider = \"generic\"\nsecrets = [\"file:secret\"]\n"
        );
        std::fs::write(&settings, text).expect("a settings file");
        Self { program: program.into(), settings, data, address, variables: Vec::new(), child: None }
    }

    /// A server on settings that are there; its log goes beside them.
    pub fn on(program: &str, settings: &Path, address: &str) -> Self {
        let data = settings.with_file_name("data");
        let (program, settings, address) = (program.into(), settings.into(), address.into());
        Self { program, settings, data, address, variables: Vec::new(), child: None }
    }

    /// Sets a variable of its environment.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.settings).args(arguments).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the server.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(&mut self) {
        self.start_with(&["serve"]);
    }

    /// Starts it with other arguments.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start_with(&mut self, arguments: &[&str]) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.settings.with_file_name("serve.log"))
            .expect("a log file");
        self.child = Some(self.command(arguments).stdout(Stdio::null()).stderr(log).spawn().expect("it starts"));
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// When it ends or does not answer within a minute.
    pub fn wait_ready(&mut self) {
        assert!(self.comes_up(), "the server ended by itself\n{}", self.log());
    }

    /// Starts the server and waits until it answers; once more where a command holds the data for a moment,
    /// which it does when it found no server.
    ///
    /// # Panics
    /// When it does not answer within a minute.
    pub fn start_when_free(&mut self) {
        let began = Instant::now();
        loop {
            self.start();
            if self.comes_up() {
                return;
            }
            assert!(self.log().trim_end().ends_with("or choose another directory"), "{}", self.log());
            assert!(began.elapsed() < Duration::from_secs(60), "the data is never free\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it answers, or has ended.
    fn comes_up(&mut self) -> bool {
        let began = Instant::now();
        while std::net::TcpStream::connect(&self.address).is_err() {
            if self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()).is_some() {
                return false;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not come up\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// SIGKILL, in the middle of whatever it does.
    ///
    /// # Panics
    /// When it had ended before.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let ended = child.try_wait().expect("a state");
        assert!(ended.is_none(), "the server had ended by itself: {ended:?}\n{}", self.log());
        child.kill().expect("killed");
        child.wait().expect("it ended");
    }

    /// Sends the running server a signal, such as `STOP`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let told = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        assert!(told.expect("kill is there").success());
    }

    /// SIGTERM, and the end in good order.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let told = Command::new("kill").arg(child.id().to_string()).status().expect("kill is there");
        assert!(told.success());
        let status = child.wait().expect("it ended");
        assert!(status.success(), "the server ended with {status}\n{}", self.log());
    }

    /// Starts another command on the same settings, to be killed or waited for. Its output is dropped.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
    }

    /// Runs another command on the same settings: exit code and standard output.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn run(&self, arguments: &[&str]) -> (i32, String) {
        let out = self.command(arguments).stderr(Stdio::piped()).output().expect("it runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    /// Peak resident memory of the server so far, in bytes, where the system tells.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.as_ref()?.id())).ok()?;
        let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// How many of the server's threads have this name, where the system tells.
    pub fn threads(&self, name: &str) -> Option<usize> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.as_ref()?.id())).ok()?;
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        Some(names.filter(|found| found.trim() == name).count())
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.settings.with_file_name("serve.log")).unwrap_or_default()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
