//! Reading an archive: what is in it, and whether it is whole.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::LARGEST_MANIFEST;
use super::manifest::Manifest;

/// What the manifest is called among the members of an archive: no file of a session has this path.
pub(super) const MANIFEST: &str = ".session-sweep.json";
pub(super) const CHUNK: usize = 64 * 1024;

/// The decompressed content of an archive. What it yields may be wrong until [`Content::finish`] says that it is whole.
pub(super) struct Content<'f> {
    decoder: StreamingDecoder<BufReader<&'f File>, FrameDecoder>,
    has_failed: bool,
}

impl<'f> Content<'f> {
    /// That of `file`, from its beginning.
    pub(super) fn of(mut file: &'f File) -> io::Result<Self> {
        file.rewind()?;
        let source = BufReader::with_capacity(CHUNK, file);
        let decoder = StreamingDecoder::new(source).map_err(|error| plain(&error))?;
        Ok(Self { decoder, has_failed: false })
    }

    /// Reads to the end and compares the checksum of what came out with that of what went in, which the decoder leaves to us.
    pub(super) fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        let (stored, found) =
            (self.decoder.decoder.get_checksum_from_data(), self.decoder.decoder.get_calculated_checksum());
        if stored.is_none() || stored != found {
            return Err(damage("its checksum is that of another content"));
        }
        Ok(())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A decoder that failed once may yield anything.
        if self.has_failed {
            return Err(damage(UNREADABLE));
        }
        let read = self.decoder.read(buffer);
        self.has_failed = read.is_err();
        read.map_err(|error| plain(&error))
    }
}

const UNREADABLE: &str = "it cannot be decompressed";

fn damage(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What the system said where it failed; else that the archive is damaged: in which of its parts tells nobody anything.
fn plain(error: &(dyn Error + 'static)) -> io::Error {
    log::debug!("an archive cannot be decompressed: {error}");
    system_error(error).map_or_else(|| damage(UNREADABLE), io::Error::from_raw_os_error)
}

/// The system's own error among the causes of another one.
pub(super) fn system_error(error: &(dyn Error + 'static)) -> Option<i32> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.filter_map(|error| error.downcast_ref::<io::Error>()).find_map(io::Error::raw_os_error)
}

/// The manifest that is in an archive.
///
/// # Errors
/// There is none, or the archive cannot be read.
pub(super) fn manifest_in(path: &Path) -> anyhow::Result<Manifest> {
    let file = fs_err::File::open(path)?;
    let mut contents = tar::Archive::new(Content::of(file.file())?);
    let Some(first) = contents.entries()?.next() else { anyhow::bail!("it is empty") };
    let first = first?;
    anyhow::ensure!(is_manifest(&first)?, "it does not begin with a manifest");
    let mut text = Vec::new();
    first.take(LARGEST_MANIFEST).read_to_end(&mut text)?;
    Manifest::parse(&text)
}

/// Whether a member of an archive is its manifest.
pub(super) fn is_manifest<R: Read>(member: &tar::Entry<'_, R>) -> io::Result<bool> {
    Ok(member.path()? == Path::new(MANIFEST))
}

/// Reads until the buffer is full or there is no more.
pub(super) fn fill(source: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
