//! `/proc/<pid>/stat`: what the kernel says of a process in one line, and one pass over the lines of all processes.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Proc;
use crate::filesystem::walk::{Lister, open_folder_path};

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`: field 9 has it for kernel threads.
pub(super) const KERNEL_THREAD: u64 = 0x0020_0000;
/// A line has 52 numbers of at most 20 digits and a name; what is behind them is not needed.
const LONGEST: usize = 1024;

/// One process as its `stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    /// What it calls itself (field 2): any bytes, cut off after 15.
    pub(crate) name: Name,
    /// `R`, `S`, `Z` and so on (field 3).
    pub(crate) state: u8,
    /// Its parent, 0 for none or for one outside this pid namespace (field 4).
    pub(crate) parent: u32,
    /// The leader of its process group (field 5).
    pub(crate) group: u32,
    /// The leader of its session (field 6).
    pub(crate) session: u32,
    /// The device of its controlling terminal, 0 for none (field 7).
    pub(crate) terminal: u32,
    /// Processor time so far, in clock ticks, its own and the system's for it (fields 14 and 15).
    pub(crate) cpu_ticks: u64,
    /// When it started, in clock ticks after boot (field 22).
    pub(crate) start_ticks: u64,
    /// Memory that it has in RAM, shared pages included, in pages (field 24).
    pub(crate) resident_pages: u64,
    flags: u64,
    /// How many threads it has (field 20).
    threads: u64,
}

/// A process's own name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    // Kernel threads' names may be longer; nobody needs the rest.
    bytes: [u8; 15],
    length: u8,
}

impl Name {
    /// The first 15 bytes of `name`.
    pub(crate) fn new(name: &[u8]) -> Self {
        let length = name.len().min(15);
        let mut bytes = [0; 15];
        bytes[..length].copy_from_slice(&name[..length]);
        Self { bytes, length: length as u8 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl Stat {
    /// Reads a line. The name stands in parentheses and may hold anything, also `) R 1 ` and line ends, so that the last
    /// `)` ends it.
    pub(super) fn parse(pid: u32, line: &[u8]) -> Option<Self> {
        let begin = memchr::memchr(b'(', line)?;
        let end = memchr::memrchr(b')', line).filter(|end| *end > begin)?;
        let mut fields =
            line[end + 1..].split(|byte| *byte == b' ' || *byte == b'\n').filter(|field| !field.is_empty());
        let state = *fields.next()?.first()?;
        // In the order of the line.
        let mut next = 4;
        let mut field = |place: usize| {
            let text = fields.nth(place - next)?;
            next = place + 1;
            number_of(text)
        };
        // Most of these are never negative.
        let positive = |number: i64| u64::try_from(number).ok();
        Some(Self {
            pid,
            name: Name::new(&line[begin + 1..end]),
            state,
            parent: u32::try_from(field(4)?).ok()?,
            group: u32::try_from(field(5)?).ok()?,
            session: u32::try_from(field(6)?).ok()?,
            // A device number above 2^31 is written as a negative one.
            terminal: i32::try_from(field(7)?).ok()?.cast_unsigned(),
            flags: positive(field(9)?)?,
            cpu_ticks: positive(field(14)?)?.saturating_add(positive(field(15)?)?),
            threads: positive(field(20)?)?,
            start_ticks: positive(field(22)?)?,
            resident_pages: positive(field(24)?).unwrap_or(0),
        })
    }

    /// Whether it is a process that runs: no kernel thread, and none that has ended and waits for its parent to notice.
    pub(crate) fn runs(&self) -> bool {
        !self.is_zombie() && !self.is_kernel_thread()
    }

    /// Whether it has ended, and its parent has not noticed yet. One whose first thread alone has ended runs.
    pub(crate) const fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }

    pub(crate) const fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

/// A decimal number; the largest one for those that do not fit (unsigned 64 bits).
fn number_of(text: &[u8]) -> Option<i64> {
    let (digits, sign) = match text.strip_prefix(b"-") {
        Some(digits) => (digits, -1),
        None => (text, 1),
    };
    let mut number = (!digits.is_empty()).then_some(0_i64)?;
    for digit in digits {
        let digit = char::from(*digit).to_digit(10)?;
        number = number.saturating_mul(10).saturating_add(digit.into());
    }
    Some(number * sign)
}

impl Proc {
    /// Shows `visit` every process once, in one listing: its line, or why there is none. Who ends meanwhile is left out.
    pub(crate) fn stats(&self, mut visit: impl FnMut(u32, io::Result<Stat>)) -> io::Result<()> {
        let folder = open_folder_path(&self.root).map_err(|error| {
            io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", self.root.display()))
        })?;
        let mut buffer = [0; LONGEST];
        Lister::new().list(folder.as_fd(), |name, _| {
            let name = name.to_bytes();
            let Some(pid) = std::str::from_utf8(name).ok().and_then(|name| name.parse::<u32>().ok()) else { return };
            match read_stat(folder.as_fd(), name, &mut buffer) {
                Ok(line) => {
                    let stat = Stat::parse(pid, line);
                    visit(pid, stat.ok_or_else(|| super::malformed(&self.path_of(pid, "stat"))));
                }
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(error) => visit(pid, Err(error.into())),
            }
        })?;
        Ok(())
    }
}

/// What a terminal's device is called (the kernel's `Documentation/admin-guide/devices.txt`).
pub(crate) fn terminal_name(device: u32) -> String {
    // As the kernel encodes a device number for programs.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match (major, minor) {
        (136..=143, _) => format!("/dev/pts/{}", (major - 136) * 256 + minor),
        (4, 64..) => format!("/dev/ttyS{}", minor - 64),
        (4, _) => format!("/dev/tty{minor}"),
        (5, 1) => "/dev/console".to_owned(),
        _ => format!("tty {major}:{minor}"),
    }
}

/// The beginning of a line, as much as is needed.
fn read_stat<'b>(
    folder: BorrowedFd<'_>,
    process: &[u8],
    buffer: &'b mut [u8; LONGEST],
) -> rustix::io::Result<&'b [u8]> {
    let mut path = [0; 24];
    let mut rest = &mut path[..];
    rest.write_all(process).and_then(|()| rest.write_all(b"/stat")).map_err(|_| Errno::NAMETOOLONG)?;
    let length = 24 - rest.len();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = rustix::fs::openat(folder, &path[..length], flags, Mode::empty())?;
    let length = rustix::io::read(&file, &mut buffer[..])?;
    Ok(&buffer[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_process_calls_itself() {
        let line = |name: &[u8]| {
            [
                b"77 (",
                name,
                b") S 5 70 71 34819 -1 4194304 1 2 3 4 10 20 7 8 20 0 1 0 4242 9000 250 18446744073709551615 1\n",
            ]
            .concat()
        };
        for name in [&b"sleep"[..], b"a b", b"a) R 1 1 1 (b", b"x\ny", b"((", b"))", b"", b"\xff\xfe"] {
            let stat = Stat::parse(77, &line(name)).unwrap();
            assert_eq!(stat.name.as_bytes(), name);
            assert_eq!((stat.parent, stat.group, stat.session, stat.terminal), (5, 70, 71, 34819));
            assert_eq!((stat.cpu_ticks, stat.start_ticks, stat.resident_pages), (30, 4242, 250));
            assert!(stat.runs());
        }
        assert_eq!(Name::new(b"a name of more than fifteen").as_bytes(), b"a name of more ");
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_runs_as_long_as_another_does() {
        for (state, threads, runs) in
            [('Z', 0, false), ('Z', 1, false), ('Z', 2, true), ('X', 1, false), ('S', 1, true)]
        {
            let line = format!("7 (x) {state} 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 {threads} 0 4242 9 9");
            assert_eq!(Stat::parse(7, line.as_bytes()).unwrap().runs(), runs, "{line}");
        }
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            &b""[..],
            b"77",
            b"77 (sleep",
            b"77 (sleep) S",
            b"77 )sleep( S 1 2 3",
            b"77 (sleep) S x 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9",
        ] {
            assert_eq!(Stat::parse(77, line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn one_pass_shows_every_process_once() {
        let mut seen = Vec::new();
        let proc = Proc::default();
        proc.stats(|pid, stat| seen.extend(stat.ok().map(|stat| (pid, stat.start_ticks)))).unwrap();
        let own = std::process::id();
        let start = proc.start_ticks(own).unwrap().unwrap();
        assert_eq!(seen.iter().filter(|(pid, _)| *pid == own).collect::<Vec<_>>(), [&(own, start)]);
        assert!(Proc::new("/nonexistent").stats(|_, _| ()).unwrap_err().to_string().contains("/nonexistent"));
    }

    #[test]
    fn devices_have_their_names() {
        for (device, name) in [
            (0x8803, "/dev/pts/3"),
            (0x8901, "/dev/pts/257"),
            (0x401, "/dev/tty1"),
            (0x440, "/dev/ttyS0"),
            (0x501, "/dev/console"),
            (0xcc40, "tty 204:64"),
        ] {
            assert_eq!(terminal_name(device), name, "{device:x}");
        }
    }
}
