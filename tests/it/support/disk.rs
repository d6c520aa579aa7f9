//! A disk that is small, and can be full.

use super::in_containers;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).status().is_ok_and(|status| status.success())
}

/// A small file system in memory; gone when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None` where this is not allowed, and where the stack's parts would not see it.
    pub(crate) fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={size},mode=0755");
        let mounted = !in_containers()
            && rustix::process::geteuid().is_root()
            && run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]);
        // Not `then_some`: a disk that is not there must not be unmounted.
        mounted.then(|| Self(at))
    }

    /// A directory for tables, which the server's user may enter.
    pub(crate) fn for_tables(&self) -> PathBuf {
        for part in self.0.ancestors().skip(1).take_while(|part| part.starts_with(std::env::temp_dir())) {
            run("chmod", &["o+x", part.to_str().unwrap()]);
        }
        let space = self.0.join("space");
        std::fs::create_dir(&space).unwrap();
        assert!(run("chown", &["postgres", space.to_str().unwrap()]));
        space
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all the space that is left; what comes free later is taken by the next call.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        // In ever smaller pieces, to the last byte.
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn relieve(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
        let _ = std::fs::remove_dir_all(&self.0);
        // The place could not remove what was mounted in it.
        let _ = self.0.parent().map(std::fs::remove_dir);
    }
}
