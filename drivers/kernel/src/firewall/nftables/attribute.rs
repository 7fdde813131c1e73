//! Netlink attributes: a length, a kind and a value, padded to four bytes, one inside the other.

use super::uapi::{NLA_F_NESTED, NLA_TYPE_MASK};

/// The longest attribute, header included: its length is a 16-bit number.
pub(in crate::firewall) const LONGEST: usize = u16::MAX as usize;

const HEADER: usize = 4;

/// Writes attributes at the end of a buffer.
pub(in crate::firewall) struct Attributes<'a>(&'a mut Vec<u8>);

impl<'a> Attributes<'a> {
    /// Goes on behind what the buffer holds.
    pub(in crate::firewall) fn new(buffer: &'a mut Vec<u8>) -> Self {
        Self(buffer)
    }

    /// One with these bytes as its value.
    pub(in crate::firewall) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.parts(kind, &[value]);
    }

    /// One with a text, closed by a NUL as the kernel wants it.
    pub(in crate::firewall) fn text(&mut self, kind: u16, value: &str) {
        self.parts(kind, &[value.as_bytes(), &[0]]);
    }

    /// One with a number, in nf_tables always the big end first.
    pub(in crate::firewall) fn number(&mut self, kind: u16, value: u32) {
        self.parts(kind, &[&value.to_be_bytes()]);
    }

    /// One that holds others. What goes in has to stay below [`LONGEST`].
    pub(in crate::firewall) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.0.len();
        self.header(kind | NLA_F_NESTED, HEADER);
        fill(&mut Attributes(self.0));
        let length = self.0.len() - start;
        let length = u16::try_from(length).expect("lists that can grow are cut below 64 KiB before they are written");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn parts(&mut self, kind: u16, value: &[&[u8]]) {
        self.header(kind, HEADER + value.iter().map(|part| part.len()).sum::<usize>());
        for part in value {
            self.0.extend_from_slice(part);
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn header(&mut self, kind: u16, length: usize) {
        let length = u16::try_from(length).expect("single values are names and keys, far below 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
    }
}

/// An attribute as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::firewall) struct Attribute<'a> {
    /// Which one it is, without the flags.
    pub kind: u16,
    /// Whether its writer marked it as holding others. The kernel does not always.
    pub nested: bool,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes in it.
    pub(in crate::firewall) fn inside(&self) -> Reader<'a> {
        read(self.value)
    }

    /// Its text, up to the NUL.
    pub(in crate::firewall) fn text(&self) -> String {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(&self.value[..end]).into_owned()
    }

    /// Its number; 0 where it is no number of 32 bits.
    pub(in crate::firewall) fn number(&self) -> u32 {
        self.value.try_into().map(u32::from_be_bytes).unwrap_or_default()
    }
}

/// Reads attributes; ends at the end or where the bytes make no sense.
#[derive(Clone)]
pub(in crate::firewall) struct Reader<'a>(&'a [u8]);

/// Reads the attributes in these bytes.
pub(in crate::firewall) fn read(bytes: &[u8]) -> Reader<'_> {
    Reader(bytes)
}

impl<'a> Reader<'a> {
    /// The first attribute of a kind.
    pub(in crate::firewall) fn get(&self, kind: u16) -> Option<Attribute<'a>> {
        self.clone().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let length = usize::from(u16::from_ne_bytes(self.0.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?);
        let value = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind: kind & NLA_TYPE_MASK, nested: kind & NLA_F_NESTED != 0, value })
    }
}

/// Whether the kernel's bytes say what ours say. It may say more (counters, defaults, what newer kernels add), but
/// where we list things of one kind it lists as many. It may leave out a number that is 0.
pub(in crate::firewall) fn agree(ours: &[u8], kernels: &[u8]) -> bool {
    let mut met: Vec<(u16, usize)> = Vec::new();
    for attribute in read(ours) {
        let nth = match met.iter_mut().find(|(kind, _)| *kind == attribute.kind) {
            Some((_, count)) => {
                *count += 1;
                *count - 1
            }
            None => {
                met.push((attribute.kind, 1));
                0
            }
        };
        let same = match read(kernels).filter(|it| it.kind == attribute.kind).nth(nth) {
            Some(theirs) if attribute.nested => agree(attribute.value, theirs.value),
            Some(theirs) => attribute.value == theirs.value,
            None => !attribute.nested && attribute.value == [0; 4],
        };
        if !same {
            return false;
        }
    }
    met.iter().all(|(kind, count)| read(kernels).filter(|it| it.kind == *kind).count() <= *count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Tree {
        Leaf(u16, Vec<u8>),
        Nest(u16, Vec<Tree>),
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf =
            (0..100u16, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(kind, value)| Tree::Leaf(kind, value));
        leaf.prop_recursive(4, 40, 6, |inner| {
            (0..100u16, prop::collection::vec(inner, 0..6)).prop_map(|(kind, trees)| Tree::Nest(kind, trees))
        })
    }

    fn write(tree: &Tree, into: &mut Attributes<'_>) {
        match tree {
            Tree::Leaf(kind, value) => into.bytes(*kind, value),
            Tree::Nest(kind, trees) => into.nest(*kind, |inner| trees.iter().for_each(|tree| write(tree, inner))),
        }
    }

    fn bytes_of(trees: &[Tree]) -> Vec<u8> {
        let mut bytes = Vec::new();
        trees.iter().for_each(|tree| write(tree, &mut Attributes::new(&mut bytes)));
        bytes
    }

    fn trees_of(reader: Reader<'_>) -> Vec<Tree> {
        reader
            .map(|it| match it.nested {
                true => Tree::Nest(it.kind, trees_of(it.inside())),
                false => Tree::Leaf(it.kind, it.value.to_vec()),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn attributes_read_back_as_they_were_written(trees in prop::collection::vec(tree(), 0..6)) {
            let bytes = bytes_of(&trees);
            prop_assert_eq!(bytes.len() % 4, 0);
            prop_assert_eq!(trees_of(read(&bytes)), trees);
            prop_assert!(agree(&bytes, &bytes));
        }

        #[test]
        fn no_bytes_whatever_make_the_reader_stumble(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).count() <= bytes.len());
            prop_assert!(agree(&[], &bytes));
        }
    }

    #[test]
    fn the_kernel_may_say_more_but_nothing_else() {
        let ours = bytes_of(&[Tree::Nest(4, vec![Tree::Leaf(1, vec![7]), Tree::Leaf(1, vec![8])])]);
        let more = bytes_of(&[
            Tree::Leaf(9, vec![1]),
            Tree::Nest(4, vec![Tree::Leaf(1, vec![7]), Tree::Leaf(2, vec![0]), Tree::Leaf(1, vec![8])]),
        ]);
        let other = bytes_of(&[Tree::Nest(4, vec![Tree::Leaf(1, vec![7]), Tree::Leaf(1, vec![9])])]);
        let longer = bytes_of(&[Tree::Nest(4, [7, 8, 9].map(|value| Tree::Leaf(1, vec![value])).to_vec())]);
        assert!(agree(&ours, &more));
        assert!(!agree(&ours, &other));
        assert!(!agree(&ours, &longer));
        assert!(!agree(&ours, &[]));
    }
}
