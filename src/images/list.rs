//! Lists of images: a path a line, optionally a tab and a target.

use std::ffi::OsString;
use std::path::PathBuf;

/// One line of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListEntry {
    /// As written.
    pub path: PathBuf,
    /// What follows the first tab, without surrounding blanks.
    pub target: Option<String>,
}

/// Why bytes are no list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAList {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Reads a list. Blank lines are ignored; Windows line ends and a UTF-8 byte-order mark are tolerated.
///
/// Blanks around a path belong to it. On Unix, paths may have any bytes; elsewhere they must be UTF-8.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<ListEntry>, NotAList> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(NotAList { line: 1, reason: "it is UTF-16; save the list as UTF-8" });
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut entries = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let bad = |reason| NotAList { line: index + 1, reason };
        if line.contains(&0) {
            return Err(bad("it is not text; a list has a path a line"));
        }
        let mut parts = line.splitn(2, |&byte| byte == b'\t');
        let path = parts.next().unwrap_or_default();
        if path.trim_ascii().is_empty() {
            return Err(bad("it has a target but no path"));
        }
        let target = std::str::from_utf8(parts.next().unwrap_or_default())
            .map_err(|_| bad("its target is not UTF-8"))?
            .trim();
        entries.push(ListEntry {
            path: path_from_bytes(path).ok_or(bad("its path is not UTF-8"))?.into(),
            target: (!target.is_empty()).then(|| target.to_string()),
        });
    }
    Ok(entries)
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
        let line = |bytes: &[u8]| parse(bytes).unwrap_err().line;
        assert_eq!(line(b"a.jpg\n\x89PNG\0\0"), 2);
        assert_eq!(line(b"a.jpg\n\nb\t\xFF"), 3);
        assert_eq!(line(b"a.jpg\n\t5"), 2);
        assert_eq!(line(b"\xFF\xFEa\0"), 1);
    }

    #[cfg(unix)]
    #[test]
    fn any_bytes_make_a_path() {
        use std::os::unix::ffi::OsStrExt;
        let entries = parse(b"caf\xE9.jpg").unwrap();
        assert_eq!(entries[0].path.as_os_str().as_bytes(), b"caf\xE9.jpg");
    }
}
