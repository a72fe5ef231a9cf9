//! Tar shards as WebDataset packs them, read from beginning to end in one pass.
//!
//! The members of a sample stand together and share a key: the path up to the first dot of the file name. The rest of the
//! name says what a member is: an image, its class (`cls`) or its record (`json`).

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use tar::{EntryType, Header};
use thiserror::Error;

/// Bytes of a block: headers are one, contents fill up whole ones.
const BLOCK: u64 = 512;

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// Zeros after the end mark that archivers fill a last record with at most, and more than that.
const LONGEST_END: u64 = 1 << 20;

/// The longest name or table of attributes that is read, in bytes.
const LONGEST_NAME: u64 = 1 << 20;

/// Why an archive cannot be read, or not to its end.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Nothing exists under this path.
    #[error("no such file; check the path")]
    NotFound,
    /// The operating system refuses to read it.
    #[error("cannot be read ({0}); check its permissions and the disk")]
    Unreadable(#[from] io::Error),
    /// The file has no content.
    #[error("is empty (0 bytes); copy or download it again")]
    Empty,
    /// Compressed as a whole.
    #[error("is compressed with {0}; decompress it first (images hardly shrink)")]
    Compressed(&'static str),
    /// It does not begin like a tar file.
    #[error("is not a tar file")]
    NotAnArchive,
    /// It ends within a member, or before its end mark.
    #[error("is truncated after {0} bytes, its end is missing; copy or download it again")]
    Truncated(u64),
    /// A header contradicts the format.
    #[error("is damaged at byte {offset}: {reason}; copy or download it again")]
    Damaged {
        /// Of the header.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// A member of an archive.
pub(super) struct Member {
    /// Its name as stored, without a leading `./`.
    pub name: Vec<u8>,
    /// What it holds.
    pub content: Held,
}

/// What a member of an archive holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// These bytes.
    Bytes(Vec<u8>),
    /// More bytes than are wanted.
    TooMuch,
    /// Nothing of its own: it is a link, or a file with holes, which nobody packs images in.
    Link,
}

/// Reads the regular files of a tar archive in their order.
pub(super) struct Reader<Source> {
    source: Source,
    /// Bytes read so far.
    offset: u64,
    ended: bool,
}

impl Reader<BufReader<File>> {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ArchiveError::NotFound,
            _ => ArchiveError::Unreadable(error),
        })?;
        Ok(Self::new(BufReader::with_capacity(BUFFER, file)))
    }
}

impl<Source: Read> Reader<Source> {
    pub(super) fn new(source: Source) -> Self {
        Self { source, offset: 0, ended: false }
    }

    /// The next regular file; `most` says how many bytes of a member of this name are wanted at most. Nothing comes after an
    /// error.
    pub(super) fn next(&mut self, most: impl Fn(&[u8]) -> u64) -> Option<Result<Member, ArchiveError>> {
        if self.ended {
            return None;
        }
        let member = self.member(most);
        self.ended = !matches!(member, Ok(Some(_)));
        member.transpose()
    }

    fn member(&mut self, most: impl Fn(&[u8]) -> u64) -> Result<Option<Member>, ArchiveError> {
        // What the headers before a member say of it: GNU's long names, and POSIX's attributes.
        let (mut long_name, mut attributes) = (None, None);
        loop {
            let offset = self.offset;
            let Some(header) = self.header()? else { return Ok(None) };
            let damaged = |reason: String| ArchiveError::Damaged { offset, reason };
            let mut size = header.entry_size().map_err(|error| damaged(error.to_string()))?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    long_name = Some(self.small(size, offset)?);
                    continue;
                }
                EntryType::XHeader => {
                    attributes = Some(self.small(size, offset)?);
                    continue;
                }
                _ => {}
            }
            let mut name = match long_name.take() {
                Some(name) => name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
                None => header.path_bytes().into_owned(),
            };
            let attributes = attributes.take().unwrap_or_default();
            let mut rest = &attributes[..];
            while !rest.is_empty() {
                let (key, value);
                (key, value, rest) = attribute(rest)
                    .ok_or_else(|| damaged("its table of attributes is not one".to_owned()))?;
                match key {
                    b"path" => name = value.to_vec(),
                    b"size" => {
                        let value = str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                        size = value.ok_or_else(|| damaged("its size is no number".to_owned()))?;
                    }
                    _ => {}
                }
            }
            let name = name.strip_prefix(b"./").map_or(name.clone(), <[u8]>::to_vec);
            let content = match header.entry_type() {
                EntryType::Link | EntryType::Symlink | EntryType::GNUSparse => {
                    self.skip(size)?;
                    Held::Link
                }
                EntryType::Regular | EntryType::Continuous if size <= most(&name) => {
                    Held::Bytes(self.content(size)?)
                }
                EntryType::Regular | EntryType::Continuous => {
                    self.skip(size)?;
                    Held::TooMuch
                }
                _ => {
                    self.skip(size)?;
                    continue;
                }
            };
            return Ok(Some(Member { name, content }));
        }
    }

    /// The next header; none at the end mark.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let begins = self.offset;
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        let length = read_up_to(&mut self.source, bytes)?;
        self.offset += length as u64;
        match length {
            0 if begins == 0 => return Err(ArchiveError::Empty),
            // A tar file ends with two blocks of zeros, of which the first one serves.
            length if length < bytes.len() && begins > 0 => return Err(ArchiveError::Truncated(self.offset)),
            _ => {}
        }
        if begins == 0
            && let Some(compression) = compression(&bytes[..length])
        {
            return Err(ArchiveError::Compressed(compression));
        }
        if length < bytes.len() {
            return Err(ArchiveError::NotAnArchive);
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return self.end().map(|()| None);
        }
        if header.cksum().ok() != Some(checksum(header.as_bytes())) {
            return Err(match begins {
                0 => ArchiveError::NotAnArchive,
                offset => ArchiveError::Damaged {
                    offset,
                    reason: "its header does not match its checksum".to_owned(),
                },
            });
        }
        Ok(Some(header))
    }

    /// Reads what follows the end mark, which is nothing but zeros.
    fn end(&mut self) -> Result<(), ArchiveError> {
        let begins = self.offset;
        let mut rest = Vec::new();
        (&mut self.source).take(LONGEST_END).read_to_end(&mut rest)?;
        let damaged = |offset, reason: &str| ArchiveError::Damaged { offset, reason: reason.to_owned() };
        if let Some(place) = rest.iter().position(|&byte| byte != 0) {
            let reason = "something follows its end mark, as in two archives one after the other";
            return Err(damaged(begins + place as u64, reason));
        }
        match rest.len() as u64 {
            LONGEST_END => {
                Err(damaged(begins, "zeros follow without end, as in a file whose download stopped"))
            }
            _ => Ok(()),
        }
    }

    /// A name or a table that stands in a member of its own.
    fn small(&mut self, size: u64, offset: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > LONGEST_NAME {
            let reason = format!("it announces a name of {size} bytes");
            return Err(ArchiveError::Damaged { offset, reason });
        }
        self.content(size)
    }

    fn content(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        // Grown as bytes arrive: the header's word alone must not decide how much memory is taken.
        let mut content = Vec::new();
        let length = (&mut self.source).take(size).read_to_end(&mut content)? as u64;
        self.offset += length;
        if length < size {
            return Err(ArchiveError::Truncated(self.offset));
        }
        self.pass(padding(size))?;
        Ok(content)
    }

    fn skip(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.pass(size)?;
        self.pass(padding(size))
    }

    fn pass(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let passed = io::copy(&mut (&mut self.source).take(bytes), &mut io::sink())?;
        self.offset += passed;
        if passed < bytes { Err(ArchiveError::Truncated(self.offset)) } else { Ok(()) }
    }
}

/// The first attribute of a table of POSIX archives, `LENGTH KEY=VALUE\n`, and what follows it. The value may have any
/// bytes, line feeds too.
fn attribute(table: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = table.iter().position(|&byte| byte == b' ')?;
    let length: usize = str::from_utf8(&table[..blank]).ok()?.parse().ok()?;
    let record = table.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &table[length..]))
}

/// Bytes after a content of this size up to the next whole block.
fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Fills as much of a buffer as there is.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The sum of a header's bytes, those of the checksum itself taken as blanks.
fn checksum(header: &[u8; 512]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    sum(&header[..148]) + 8 * u32::from(b' ') + sum(&header[156..])
}

fn compression(start: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], _); 4] =
        [(b"\x1F\x8B", "gzip"), (b"\x28\xB5\x2F\xFD", "zstd"), (b"\xFD7zXZ\0", "xz"), (b"BZh", "bzip2")];
    known.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| name)
}

/// A member's key and what it is: the path up to the first dot of the file name, and what follows that dot. None for
/// names without a dot, hidden files and WebDataset's own `__…__`.
pub(super) fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let begins = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let dot = begins + name[begins..].iter().position(|&byte| byte == b'.')?;
    let (key, extension) = (&name[..dot], &name[dot + 1..]);
    let own = key[begins..].starts_with(b"__") && key[begins..].ends_with(b"__");
    (dot > begins && !own && !extension.is_empty()).then_some((key, extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of these members, as the tar crate writes it.
    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    type Named = (String, Held);

    fn read(bytes: &[u8]) -> (Vec<Named>, Option<ArchiveError>) {
        let (mut reader, mut members) = (Reader::new(bytes), Vec::new());
        while let Some(member) = reader.next(|name| if name.starts_with(b"big") { 3 } else { u64::MAX }) {
            match member {
                Ok(Member { name, content }) => members.push((String::from_utf8(name).unwrap(), content)),
                Err(error) => {
                    assert!(reader.next(|_| 0).is_none(), "nothing comes after an error");
                    return (members, Some(error));
                }
            }
        }
        (members, None)
    }

    #[test]
    fn members_come_in_order_with_long_names_and_without_what_is_too_long() {
        let long = format!("{}/a.jpg", "folder".repeat(40));
        let block = [7_u8; 512];
        let bytes = archive(&[("a.jpg", b"one"), ("big.jpg", b"four"), (&long, &block), ("e.txt", b"")]);
        let (members, error) = read(&bytes);
        assert!(error.is_none());
        let expected = [
            ("a.jpg", Held::Bytes(b"one".to_vec())),
            ("big.jpg", Held::TooMuch),
            (&long, Held::Bytes(block.to_vec())),
            ("e.txt", Held::Bytes(Vec::new())),
        ];
        assert_eq!(members, expected.map(|(name, content)| (name.to_owned(), content)));
    }

    /// What Python's tarfile and GNU tar call pax: names and sizes in a table before the member.
    #[test]
    fn attributes_of_posix_archives_count() {
        let table = b"26 comment=two\nlines, b=1\n25 path=picture/\xC3\xA4.b.jpg\n12 size=512\n";
        let mut header = Header::new_ustar();
        header.set_path("PaxHeaders/a").unwrap();
        header.set_size(table.len() as u64);
        header.set_entry_type(EntryType::XHeader);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(table);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let mut header = Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(0);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[3; 512]);
        bytes.extend_from_slice(&[0; 1024]);
        let (members, error) = read(&bytes);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(members, [("picture/ä.b.jpg".to_owned(), Held::Bytes(vec![3; 512]))]);
    }

    #[test]
    fn an_archive_cut_anywhere_is_truncated_and_gives_what_was_whole() {
        let bytes = archive(&[("a.jpg", &[1; 600]), ("b.jpg", &[2; 10])]);
        // Header 512, content 1024; header 512, content 512; two blocks of zeros.
        assert_eq!(bytes.len(), 3584);
        for length in 1..bytes.len() {
            let (members, error) = read(&bytes[..length]);
            match length {
                ..512 => assert!(matches!(error, Some(ArchiveError::NotAnArchive)), "{length}"),
                // The second block of zeros may be missing.
                3072.. => assert!(error.is_none(), "{length}"),
                _ => assert!(
                    matches!(error, Some(ArchiveError::Truncated(at)) if at == length as u64),
                    "{length}: {error:?}"
                ),
            }
            let whole = usize::from(length >= 1536) + usize::from(length >= 2560);
            assert_eq!(members.len(), whole, "{length}");
        }
        assert!(matches!(read(&[]).1, Some(ArchiveError::Empty)));
    }

    #[test]
    fn damaged_hostile_and_other_files_are_refused() {
        let bytes = archive(&[("a.jpg", b"1"), ("b.jpg", b"2")]);
        let mut damaged = bytes.clone();
        damaged[1024 + 3] ^= 1;
        let (members, error) = read(&damaged);
        assert_eq!(members.len(), 1);
        assert!(matches!(error, Some(ArchiveError::Damaged { offset: 1024, .. })), "{error:?}");
        assert!(matches!(read(&[b'x'; 2000]).1, Some(ArchiveError::NotAnArchive)));
        let gzip = [b"\x1F\x8B".to_vec(), vec![0; 600]].concat();
        assert!(matches!(read(&gzip).1, Some(ArchiveError::Compressed("gzip"))));

        // 2⁶² bytes are announced, for a file and for a name.
        for kind in [EntryType::Regular, EntryType::GNULongName, EntryType::XHeader] {
            let mut header = Header::new_gnu();
            header.set_path("a.jpg").unwrap();
            header.set_entry_type(kind);
            header.set_size(1 << 62);
            header.set_cksum();
            let error = read(header.as_bytes()).1;
            assert!(
                matches!(error, Some(ArchiveError::Truncated(512) | ArchiveError::Damaged { .. })),
                "{error:?}"
            );
        }
    }

    #[test]
    fn only_zeros_follow_the_end() {
        let bytes = archive(&[("a.jpg", b"1")]);
        let followed = |more: &[u8]| read(&[&bytes[..], more].concat());
        assert!(followed(&[0; 20_000]).1.is_none());
        for (more, reason) in [(bytes.clone(), "two archives"), (vec![0; 5 << 20], "download stopped")] {
            let (members, error) = followed(&more);
            assert_eq!(members.len(), 1);
            assert!(error.unwrap().to_string().contains(reason));
        }
    }

    #[test]
    fn links_are_told() {
        let mut builder = tar::Builder::new(Vec::new());
        for kind in [EntryType::Link, EntryType::Symlink, EntryType::Directory] {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            builder.append_link(&mut header, "b.jpg", "a.jpg").unwrap();
        }
        let (members, error) = read(&builder.into_inner().unwrap());
        assert!(error.is_none());
        assert_eq!(members, [("b.jpg".to_owned(), Held::Link), ("b.jpg".to_owned(), Held::Link)]);
    }

    #[test]
    fn keys_end_at_the_first_dot_of_the_file_name() {
        let parts = |name: &'static str| {
            split(name.as_bytes())
                .map(|(key, rest)| (str::from_utf8(key).unwrap(), str::from_utf8(rest).unwrap()))
        };
        assert_eq!(parts("000.jpg"), Some(("000", "jpg")));
        assert_eq!(parts("a.b/c/000.seg.png"), Some(("a.b/c/000", "seg.png")));
        for none in ["000", "a.b/000", ".hidden", "a/.hidden.jpg", "__index__.json", "a.", ""] {
            assert_eq!(parts(none), None, "{none}");
        }
    }
}
