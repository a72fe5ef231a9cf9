//! Lists of images: a path a line, optionally a tab and a target.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

/// One line of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListEntry {
    /// As written.
    pub path: PathBuf,
    /// What follows the first tab, without surrounding blanks.
    pub target: Option<String>,
}

/// Why there is no next line of a list.
#[derive(Debug)]
pub(super) enum ListProblem {
    /// It cannot be read.
    Read(io::Error),
    /// It is no list.
    NotAList {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The longest line, in bytes: beyond any path, and little enough for a file that is no text.
const LONGEST_LINE: u64 = 1 << 20;

/// The lines of a list, read as they are wanted. Blank lines are ignored; Windows line ends and a UTF-8 byte-order mark are
/// tolerated. Nothing comes after an error.
///
/// Blanks around a path belong to it. On Unix, paths may have any bytes; elsewhere they must be UTF-8.
pub(super) struct Lines {
    source: Box<dyn BufRead + Send>,
    /// Lines read so far.
    number: usize,
    ended: bool,
}

impl Lines {
    pub(super) fn new(source: Box<dyn BufRead + Send>) -> Self {
        Self { source, number: 0, ended: false }
    }

    /// The next line that is not blank.
    fn read(&mut self) -> Result<Option<ListEntry>, ListProblem> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut limited = (&mut self.source).take(LONGEST_LINE);
            let length = limited.read_until(b'\n', &mut bytes).map_err(ListProblem::Read)?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            let bad = |reason| ListProblem::NotAList { line: self.number, reason };
            if length as u64 == LONGEST_LINE {
                return Err(bad("it is longer than any path; a list has a path a line"));
            }
            let mut line = &bytes[..];
            if self.number == 1 {
                if line.starts_with(&[0xFF, 0xFE]) || line.starts_with(&[0xFE, 0xFF]) {
                    return Err(bad("it is UTF-16; save the list as UTF-8"));
                }
                line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
            }
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                return entry(line).map(Some).map_err(bad);
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<ListEntry, ListProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.read();
        self.ended = !matches!(line, Ok(Some(_)));
        line.transpose()
    }
}

/// Reads a line that is not blank.
fn entry(line: &[u8]) -> Result<ListEntry, &'static str> {
    if line.contains(&0) {
        return Err("it is not text; a list has a path a line");
    }
    let mut parts = line.splitn(2, |&byte| byte == b'\t');
    let path = parts.next().unwrap_or_default();
    if path.trim_ascii().is_empty() {
        return Err("it has a target but no path");
    }
    let target =
        std::str::from_utf8(parts.next().unwrap_or_default()).map_err(|_| "its target is not UTF-8")?.trim();
    Ok(ListEntry {
        path: path_from_bytes(path).ok_or("its path is not UTF-8")?.into(),
        target: (!target.is_empty()).then(|| target.to_string()),
    })
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    Some(OsString::from_vec(bytes.to_vec()))
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> Option<OsString> {
    std::str::from_utf8(bytes).ok().map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, target: Option<&str>) -> ListEntry {
        ListEntry { path: path.into(), target: target.map(str::to_string) }
    }

    fn parse(bytes: &[u8]) -> Result<Vec<ListEntry>, ListProblem> {
        Lines::new(Box::new(io::Cursor::new(bytes.to_vec()))).collect()
    }

    #[test]
    fn lines_tabs_blanks_and_marks() {
        let list = b"\xEF\xBB\xBFa.jpg\r\n\r\n \t \nb c.png\t tabby cat \r\n d.gif\t\ne.bmp\t7\tx";
        assert_eq!(
            parse(list).unwrap(),
            [
                entry("a.jpg", None),
                entry("b c.png", Some("tabby cat")),
                entry(" d.gif", None),
                entry("e.bmp", Some("7\tx")),
            ]
        );
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_list_says_where() {
        let line = |bytes: &[u8]| match parse(bytes).unwrap_err() {
            ListProblem::NotAList { line, .. } => line,
            ListProblem::Read(error) => panic!("{error}"),
        };
        assert_eq!(line(b"a.jpg\n\x89PNG\0\0"), 2);
        assert_eq!(line(b"a.jpg\n\nb\t\xFF"), 3);
        assert_eq!(line(b"a.jpg\n\t5"), 2);
        assert_eq!(line(b"\xFF\xFEa\0"), 1);
        assert_eq!(line(&[b"a\n".to_vec(), vec![b'x'; 2 << 20]].concat()), 2);
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let mut lines = Lines::new(Box::new(&b"a.jpg\n\t5\nb.jpg\n"[..]));
        assert!(lines.next().unwrap().is_ok());
        assert!(lines.next().unwrap().is_err());
        assert!(lines.next().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn any_bytes_make_a_path() {
        use std::os::unix::ffi::OsStrExt;
        let entries = parse(b"caf\xE9.jpg").unwrap();
        assert_eq!(entries[0].path.as_os_str().as_bytes(), b"caf\xE9.jpg");
    }
}
