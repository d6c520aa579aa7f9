//! Where streamed rows go: standard output, or a file that is there whole or not at all.

use super::Out;
use crate::error::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Where exported rows go. A file is there whole or not at all.
#[derive(Debug)]
pub enum Sink {
    /// Standard output.
    Standard(Out),
    /// A file under another name until it is whole.
    File(BufWriter<File>, PathBuf, PathBuf),
}

impl Sink {
    /// Opens standard output, or this file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn open(to: Option<&Path>, out: Out) -> Result<Self> {
        let Some(path) = to else { return Ok(Self::Standard(out)) };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
        Ok(Self::File(BufWriter::new(file), part, path.to_owned()))
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Standard(out) => out.bytes(bytes),
            Self::File(file, part, _) => {
                file.write_all(bytes).with_context(|| format!("cannot write {}", part.display()))
            }
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the file cannot be written to the end.
    pub fn finish(self) -> Result<()> {
        let Self::File(mut file, part, path) = self else { return Ok(()) };
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&part, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let out = Out::new(super::super::OutputFormat::Text, true);
        let mut sink = Sink::open(Some(&path), out).unwrap();
        sink.write(b"x").unwrap();
        assert!(!path.exists());
        sink.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
    }
}
