//! Netlink attributes: a length, a type, a value, padding to four bytes.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! |  nla_len      |  nla_type     |   host order; nla_len counts these four bytes, not the padding
//! +-------+-------+-------+-------+
//! |  value …              | 0 … 0 |
//! +-------+-------+-------+-------+
//! ```

/// `NLA_TYPE_MASK`: the type without its nested and byte-order bits
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 4;

/// One attribute
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// `nla_type` without its flag bits
    pub kind: u16,
    /// What stands after the header, without the padding
    pub value: &'a [u8],
}

impl<'a> Attr<'a> {
    /// The value as nested attributes
    pub fn nested(self) -> Attrs<'a> {
        Attrs(self.value)
    }

    /// As a mask: whether nothing of this is matched on; a flag has no value, and is matched on if listed
    pub(crate) fn is_wildcard(self) -> bool {
        !self.value.is_empty() && self.value.iter().all(|byte| *byte == 0)
    }
}

/// A row of attributes, read as an iterator
///
/// The last attribute may lack its padding, as upcalls do under `OVS_DP_F_UNALIGNED`. Iteration ends
/// where the bytes stop being attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attrs<'a>(&'a [u8]);

impl<'a> Attrs<'a> {
    /// The attributes in `bytes`
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes not yet iterated over
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The value of the first attribute of this type
    pub fn value(self, kind: u16) -> Option<&'a [u8]> {
        { self }.find(|a| a.kind == kind).map(|a| a.value)
    }

    /// The first attribute of this type as a fixed number of bytes; `None` also when its length differs
    pub fn array<const N: usize>(self, kind: u16) -> Option<[u8; N]> {
        self.value(kind)?.try_into().ok()
    }

    /// A `u16` in host order
    pub fn u16(self, kind: u16) -> Option<u16> {
        self.array(kind).map(u16::from_ne_bytes)
    }

    /// A `u32` in host order
    pub fn u32(self, kind: u16) -> Option<u32> {
        self.array(kind).map(u32::from_ne_bytes)
    }

    /// A `u64` in host order
    pub fn u64(self, kind: u16) -> Option<u64> {
        self.array(kind).map(u64::from_ne_bytes)
    }

    /// The first attribute of this type as nested attributes
    pub fn nested(self, kind: u16) -> Option<Self> {
        self.value(kind).map(Self)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let bytes = self.0;
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & NLA_TYPE_MASK;
        let value = bytes.get(HEADER..len)?; // refuses a length below the header's as well
        self.0 = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Attr { kind, value })
    }
}

/// An attribute's value, or a nest of them, exceeds the 16 bits of `nla_len`
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an attribute of {len} bytes does not fit the 16-bit length of netlink")]
pub struct TooLong {
    /// The length that it would have had
    pub len: usize,
}

/// Appends attributes to a buffer
///
/// Writing cannot fail; an attribute that outgrows `nla_len` is remembered and reported once by
/// [`AttrWriter::finish`].
#[derive(Debug)]
pub struct AttrWriter<'b> {
    buf: &'b mut Vec<u8>,
    too_long: Option<TooLong>,
}

impl<'b> AttrWriter<'b> {
    /// A writer that appends to `buf`
    pub fn new(buf: &'b mut Vec<u8>) -> Self {
        Self { buf, too_long: None }
    }

    /// Appends one attribute
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let start = self.begin(kind);
        self.buf.extend_from_slice(value);
        self.end(start);
    }

    /// Appends an attribute without a value
    pub fn put_flag(&mut self, kind: u16) {
        self.put(kind, &[]);
    }

    /// Appends one byte
    pub fn put_u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }

    /// Appends a `u16` in host order
    pub fn put_u16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Appends a `u32` in host order
    pub fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Appends a `u64` in host order
    pub fn put_u64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Appends an array of `u32` in host order
    pub fn put_u32s(&mut self, kind: u16, values: impl IntoIterator<Item = u32>) {
        let start = self.begin(kind);
        for value in values {
            self.buf.extend_from_slice(&value.to_ne_bytes());
        }
        self.end(start);
    }

    /// Appends text with the zero byte that the kernel's strings end with
    pub fn put_str(&mut self, kind: u16, text: &str) {
        let start = self.begin(kind);
        self.buf.extend_from_slice(text.as_bytes());
        self.buf.push(0);
        self.end(start);
    }

    /// Appends an attribute that holds what `fill` writes
    ///
    /// `NLA_F_NESTED` stays off: these families predate it, and the kernel leaves it off as well.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.begin(kind);
        fill(self);
        self.end(start);
    }

    /// Whether every attribute fitted
    pub fn finish(self) -> Result<(), TooLong> {
        self.too_long.map_or(Ok(()), Err)
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.buf.len();
        self.buf.extend_from_slice(&[0, 0]);
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn end(&mut self, start: usize) {
        let len = self.buf.len().saturating_sub(start);
        match u16::try_from(len) {
            Ok(short) => {
                let rest = self.buf.get_mut(start..).unwrap_or_default();
                if let Some(field) = rest.first_chunk_mut() {
                    *field = short.to_ne_bytes();
                }
            }
            Err(_too_big) => self.too_long = Some(TooLong { len }),
        }
        self.buf.resize(start.saturating_add(len.next_multiple_of(4)), 0);
    }
}

/// The text in a string attribute, without the zero that ends it
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        let mut attrs = Attrs::new(&[5, 0, 1, 0, 0xaa, 0, 0, 0, 6, 0, 2, 0x80, 0xbb, 0xcc]);
        assert_eq!(
            attrs.next(),
            Some(Attr {
                kind: 1,
                value: &[0xaa]
            })
        );
        assert_eq!(
            attrs.next(),
            Some(Attr {
                kind: 2,
                value: &[0xbb, 0xcc]
            })
        );
        assert_eq!(attrs.next(), None);
    }

    #[test]
    fn a_length_below_the_header_ends_the_row() {
        assert_eq!(Attrs::new(&[3, 0, 1, 0, 1, 2, 3, 4]).count(), 0);
        assert_eq!(Attrs::new(&[0; 16]).count(), 0);
        assert_eq!(Attrs::new(&[9, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn a_nest_has_its_length_patched() {
        let mut buf = vec![];
        let mut w = AttrWriter::new(&mut buf);
        w.nest(7, |w| {
            w.put_u8(1, 9);
            w.nest(2, |w| w.put_flag(3));
        });
        assert_eq!(w.finish(), Ok(()));
        assert_eq!(buf, [20, 0, 7, 0, 5, 0, 1, 0, 9, 0, 0, 0, 8, 0, 2, 0, 4, 0, 3, 0]);
    }

    #[test]
    fn an_attribute_beyond_16_bits_is_reported() {
        let mut buf = vec![];
        let mut w = AttrWriter::new(&mut buf);
        w.put(1, &[0; 65_532]);
        assert_eq!(w.finish(), Err(TooLong { len: 65_536 }));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Attrs::new(&bytes).count() <= bytes.len() / HEADER);
        }

        #[test]
        fn what_is_written_is_read(items in proptest::collection::vec((0..0x4000u16, any::<Vec<u8>>()), 0..20)) {
            let mut buf = vec![];
            let mut w = AttrWriter::new(&mut buf);
            for (kind, value) in &items {
                w.put(*kind, value);
            }
            prop_assert_eq!(w.finish(), Ok(()));
            let read: Vec<_> = Attrs::new(&buf).map(|a| (a.kind, a.value.to_vec())).collect();
            prop_assert_eq!(read, items);
        }
    }
}
