//! Netlink messages as bytes (RFC 3549 section 2.3.2), host byte order.
//!
//! ```text
//!  length: u32 | type: u16 | flags: u16 | sequence: u32 | port: u32 | family header | attributes
//! ```
//! An attribute is length: u16, type: u16, value, padded to four bytes.

use neli::consts::nl::NlmF;

/// Bytes of a message header.
pub const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;
/// Bits of an attribute's type that say how it is encoded.
const TYPE_MASK: u16 = 0x3fff;

/// Request that asks for an acknowledgement.
pub const ACKNOWLEDGED: u16 = NlmF::REQUEST.bits() | NlmF::ACK.bits();
/// Request for a whole table.
pub const DUMP: u16 = NlmF::REQUEST.bits() | NlmF::DUMP.bits();

/// Writes one message.
#[derive(Debug, Clone)]
pub struct Builder {
    bytes: Vec<u8>,
    open: Vec<usize>,
}

impl Builder {
    /// Begins a message with its family header.
    pub fn new(kind: u16, flags: u16, family_header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(family_header);
        let mut builder = Self { bytes, open: Vec::new() };
        builder.pad();
        builder
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.pad();
        self
    }

    /// Adds a text with its final NUL.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Opens an attribute that holds attributes.
    #[must_use]
    pub fn begin(mut self, kind: u16) -> Self {
        self.open.push(self.bytes.len());
        self.bytes.extend(0u16.to_ne_bytes());
        self.bytes.extend((kind | 0x8000).to_ne_bytes());
        self
    }

    /// Closes the one opened last.
    #[must_use]
    pub fn end(mut self) -> Self {
        if let Some(start) = self.open.pop() {
            let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
            put(&mut self.bytes, start, &length.to_ne_bytes());
        }
        self
    }

    /// Asks to hear of a failure only.
    #[must_use]
    pub fn unacknowledged(mut self) -> Self {
        let flags = u16_at(&self.bytes, 6).unwrap_or_default() & !NlmF::ACK.bits();
        put(&mut self.bytes, 6, &flags.to_ne_bytes());
        self
    }

    /// The message, numbered.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        put(&mut self.bytes, 0, &length.to_ne_bytes());
        put(&mut self.bytes, 8, &sequence.to_ne_bytes());
        self.bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(value) {
        *byte = *new;
    }
}

/// A message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

/// The messages of one datagram; ends at the first that does not fit.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let body = self.0.get(HEADER..length)?;
        let message = Message {
            kind: u16_at(self.0, 4)?,
            flags: u16_at(self.0, 6)?,
            sequence: u32_at(self.0, 8)?,
            body,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

/// Attributes in a row; ends at the first that does not fit.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE_MASK;
        let value = self.0.get(ATTRIBUTE..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The first attribute of a type.
    pub fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == kind).map(|(_, value)| value)
    }
}

/// A number in host byte order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|chunk| u32::from_ne_bytes(*chunk))
}

/// A number in host byte order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|chunk| u16::from_ne_bytes(*chunk))
}

/// A text up to its NUL.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = Builder::new(20, ACKNOWLEDGED, &[1, 2, 3, 4])
            .text(3, "eth0")
            .begin(5)
            .number(1, 7)
            .end()
            .finish(9);
        let message = Messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.flags, message.sequence), (20, 5, 9));
        let attributes = Attributes(&message.body[4..]);
        assert_eq!(attributes.find(3).map(text).as_deref(), Some("eth0"));
        let nested = Attributes(attributes.find(5).unwrap());
        assert_eq!(nested.find(1).and_then(|value| u32_at(value, 0)), Some(7));
        assert_eq!(Messages(&bytes).count(), 1);
    }

    #[test]
    fn cut_and_damaged_bytes_end_the_reading() {
        let bytes = Builder::new(20, DUMP, &[]).text(3, "eth0").number(4, 1).finish(1);
        for length in 0..bytes.len() {
            assert_eq!(Messages(&bytes[..length]).count(), 0);
            assert!(Attributes(&bytes[..length]).count() <= length / 4);
        }
        assert_eq!(Attributes(&[0; 64]).count(), 0, "a length of zero must not go on for ever");
        assert_eq!(Messages(&[0; 64]).count(), 0);
    }
}
