//! A PostgreSQL server of the test's own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    env, fs,
    net::{IpAddr, TcpListener},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};
use tempfile::TempDir;

/// Far more than a server takes to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in a folder of its own, which listens at a socket in that folder and, if that is wanted, at an address. It
/// ends with this value, and with this process.
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    settings: Vec<String>,
    postgres: Option<Child>,
}

/// Whoever comes from elsewhere than the socket has to know it.
pub const PASSWORD: &str = "hunter2";

impl Server {
    /// Starts one; `None`, with the reason printed, if there is none on this machine.
    pub fn start() -> Option<Self> {
        let mut server = Self::prepare()?;
        server.run();
        Some(server)
    }

    /// Starts one that listens at an address too; with a certificate and its key, it takes nobody there who does not speak
    /// TLS. Says at which port.
    pub fn at(address: IpAddr, certificate: Option<(&Path, &Path)>) -> Option<(Self, u16)> {
        let mut server = Self::prepare()?;
        let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        server.settings = vec![format!("listen_addresses={address}"), format!("port={port}")];
        if let Some((certificate, key)) = certificate {
            server.settings.push("ssl=on".to_owned());
            for (name, from) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
                let file = server.folder.path().join(name);
                fs::copy(from, &file).unwrap();
                // It takes no key that others may read.
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
                if let Some(user) = user() {
                    chown(&file, Some(field(user, 2).unwrap().parse().unwrap()), None).unwrap();
                }
                server.settings.push(format!("{name}={}", file.display()));
            }
        }
        let kind = if certificate.is_some() { "hostssl" } else { "host" };
        let who = format!("local all all trust\n{kind} all all all scram-sha-256\n");
        fs::write(server.data().join("pg_hba.conf"), who).unwrap();
        server.run();
        let password = format!("ALTER ROLE cutwater PASSWORD '{PASSWORD}'");
        server.client().batch_execute(&password).unwrap();
        Some((server, port))
    }

    fn prepare() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!(
                "SKIPPED: no PostgreSQL server here; `./test` installs Debian's (apt-get install postgresql)"
            );
            return None;
        };
        // Short: the path of a socket has some hundred bytes.
        let folder = tempfile::Builder::new().prefix("cw-pg").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let server =
            Self { folder, programs, settings: vec!["listen_addresses=".to_owned()], postgres: None };
        let made = server
            .command("initdb")
            .args([
                "--username=cutwater",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    /// How to connect to it.
    pub fn connection(&self) -> String {
        let port = self.settings.iter().find(|setting| setting.starts_with("port="));
        let port = port.map_or("port=5432", String::as_str);
        format!("host={} {port} user=cutwater dbname=postgres", self.folder.path().display())
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.connection(), NoTls).unwrap()
    }

    /// The answer to a query, row by row, as text.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        self.client().query(sql, &[]).unwrap().iter().map(|row| row.get::<_, String>(0)).collect()
    }

    /// Kills it without a warning, as a machine that fails does, and starts it again.
    pub fn crash(&mut self) {
        // Whose processes end with it; SIGKILL would leave them to themselves.
        self.end("QUIT");
        self.run();
    }

    /// Shuts it down in good order, which ends all sessions, and starts it again when so many have found nobody at its socket.
    pub fn restart_after(&mut self, refused: usize) {
        self.end("INT");
        let socket = self.folder.path().join(".s.PGSQL.5432");
        let nobody = UnixListener::bind(&socket).unwrap();
        nobody.set_nonblocking(true).unwrap();
        let (began, mut count) = (Instant::now(), 0);
        while count < refused {
            // They are hung up on.
            count += usize::from(nobody.accept().is_ok());
            assert!(began.elapsed() < PATIENCE, "only {count} of {refused} have come");
            thread::sleep(Duration::from_millis(2));
        }
        drop(nobody);
        fs::remove_file(socket).unwrap();
        self.run();
    }

    fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let postgres = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "fsync=off", "-c", "max_connections=200"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.postgres = Some(postgres);
        let began = Instant::now();
        while let Err(error) = Client::connect(&self.connection(), NoTls) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "the server does not start: {error}\n{}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self, signal: &str) {
        let Some(mut postgres) = self.postgres.take() else { return };
        let _ = Command::new("kill").arg(format!("-{signal}")).arg(postgres.id().to_string()).status();
        let _ = postgres.wait();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of its programs, which refuse to run as root. They end with the thread that started them, however that ends.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = Command::new("setpriv");
        if let Some(user) = user() {
            command.args(["--reuid", user, "--regid", &group_of(user), "--clear-groups"]);
        }
        command.args(["--pdeathsig", "QUIT", "--"]).arg(program).current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("INT");
    }
}

/// The folder with the programs of the newest server that is installed.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> =
        (fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten())
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .filter(|(_, folder)| folder.join("initdb").is_file())
            .collect();
    found.sort();
    let on_path = || {
        env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
    };
    found.pop().map(|(_, folder)| folder).or_else(on_path)
}

/// As whom its programs run, if not as we do.
fn user() -> Option<&'static str> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    is_root.then(|| if field("postgres", 0).is_some() { "postgres" } else { "nobody" })
}

/// The number of a user's group.
fn group_of(user: &str) -> String {
    field(user, 3).unwrap_or_else(|| "65534".to_owned())
}

fn field(user: &str, at: usize) -> Option<String> {
    let users = fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
    line.split(':').nth(at).map(str::to_owned)
}
