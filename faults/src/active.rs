//! The points of a build that faults can be made in.

mod rule;

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use rule::{Action, Rule};

/// Between two looks at the file; tests wait for what a rule does, never for this.
const LOOK: Duration = Duration::from_millis(10);

/// What is to be done to bytes that are written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Nothing.
    No,
    /// Only the first half is written, then the operation fails.
    Tear,
    /// Only the first half is written, then [`die`](Spoil::die) is called.
    TearAndDie,
    /// The bit of that number, modulo the bits there are, is another.
    Flip(u64),
}

impl Spoil {
    /// Ends the process at once.
    pub fn die() -> ! {
        std::process::abort()
    }

    /// Changes a bit of `bytes`.
    pub fn flip(number: u64, bytes: &mut [u8]) {
        if let Some(n_bits) = (bytes.len() as u64 * 8).checked_sub(1) {
            // Spread over the whole, though numbers of strikes are small.
            let bit = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (n_bits + 1);
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

struct Control {
    path: PathBuf,
    /// What the file said at the start: what it says when watching begins may be newer.
    first: String,
    rules: Mutex<Vec<Rule>>,
    has_rules: AtomicBool,
    clock_ms: AtomicI64,
}

/// `None` when the process is not steered.
fn control() -> Option<&'static Control> {
    static CONTROL: OnceLock<Option<Control>> = OnceLock::new();
    static WATCHED: OnceLock<()> = OnceLock::new();
    let control = CONTROL
        .get_or_init(|| {
            let mut control = Control {
                path: env::var_os("TAILRACE_FAULTS")?.into(),
                first: String::new(),
                rules: Mutex::default(),
                has_rules: AtomicBool::new(false),
                clock_ms: AtomicI64::new(0),
            };
            control.first = control.read();
            control.take(&control.first);
            Some(control)
        })
        .as_ref()?;
    WATCHED.get_or_init(|| {
        thread::spawn(|| control.watch());
    });
    Some(control)
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    fn watch(&self) {
        let mut seen = self.first.clone();
        loop {
            thread::park_timeout(LOOK);
            let now = self.read();
            if now != seen {
                self.take(&now);
                seen = now;
            }
        }
    }

    /// Puts the rules in force, counting from here.
    fn take(&self, text: &str) {
        let rules = rule::parse(text).unwrap_or_else(|problem| {
            report(&format!("{}: {problem}", self.path.display()));
            Spoil::die();
        });
        let step = rules.iter().find_map(|rule| match rule.action {
            Action::Step(step) => Some(step),
            _ => None,
        });
        self.clock_ms.store(step.unwrap_or(0), Ordering::Relaxed);
        let mut current = self.lock();
        self.has_rules.store(!rules.is_empty(), Ordering::Relaxed);
        *current = rules;
    }

    /// What the rules have for a pass of `name`.
    fn strike(&self, name: &str, file: &str) -> Option<(Action, u64)> {
        let mut rules = self.lock();
        let mut struck = None;
        for rule in rules.iter_mut().filter(|rule| rule.is_about(name, file)) {
            if let Some(number) = rule.pass()
                && struck.is_none()
            {
                struck = Some((rule.action, number));
            }
        }
        if let Some((action, _)) = struck {
            self.tell(&format!("{name} {action:?} {file}\n"));
        }
        struck
    }

    fn tell(&self, line: &str) {
        let path = format!("{}.struck", self.path.display());
        let file = fs::File::options().create(true).append(true).open(path);
        let told = file.and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = told {
            report(&format!("cannot tell of a fault: {error}"));
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "only in test builds, where no log may be there yet"
)]
fn report(text: &str) {
    eprintln!("faults: {text}");
}

fn strike(name: &str, file: &Path) -> Option<(Action, u64)> {
    let control = control()?;
    if !control.has_rules.load(Ordering::Relaxed) {
        return None;
    }
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    control.strike(name, &file)
}

/// Passes a point that is about a file.
///
/// # Errors
/// The one that a rule names.
pub fn check_at(name: &str, file: impl AsRef<Path>) -> io::Result<()> {
    match strike(name, file.as_ref()) {
        Some((Action::Abort, _)) => Spoil::die(),
        Some((Action::Delay(delay), _)) => {
            let until = std::time::Instant::now() + delay;
            // `park_timeout` may end early.
            while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
                thread::park_timeout(left);
            }
            Ok(())
        }
        Some((Action::Error(errno), _)) => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(()),
    }
}

/// Passes a point where bytes of a file are moved: as [`check_at`], or spoils the bytes.
///
/// # Errors
/// The one that a rule names.
pub fn spoil(name: &str, file: impl AsRef<Path>) -> io::Result<Spoil> {
    let file = file.as_ref();
    match strike(name, file) {
        Some((Action::Tear, _)) => Ok(Spoil::Tear),
        Some((Action::TearAbort, _)) => Ok(Spoil::TearAndDie),
        Some((Action::Flip, number)) => Ok(Spoil::Flip(number)),
        Some((Action::Abort, _)) => Spoil::die(),
        Some((Action::Error(errno), _)) => Err(io::Error::from_raw_os_error(errno)),
        Some((Action::Delay(delay), _)) => {
            thread::park_timeout(delay);
            Ok(Spoil::No)
        }
        Some((Action::Step(_), _)) | None => Ok(Spoil::No),
    }
}

/// The wall clock, as far off as a rule says.
pub fn wall_clock() -> SystemTime {
    let now = SystemTime::now();
    let ms = control().map_or(0, |control| control.clock_ms.load(Ordering::Relaxed));
    let by = Duration::from_millis(ms.unsigned_abs());
    let stepped = if ms < 0 {
        now.checked_sub(by)
    } else {
        now.checked_add(by)
    };
    stepped.unwrap_or(now)
}
