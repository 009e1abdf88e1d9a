//! Names that stand for addresses: the four numbers backwards, below `in-addr.arpa`.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

/// How many labels the name of an address has
pub(super) const ADDRESS_LABELS: usize = 4 + 2;

/// A name below `in-addr.arpa`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reverse {
    octets: [u8; 4],
    /// How many of the numbers the name has
    known: u8,
    /// It has more before them, which no address has
    more: bool,
}

impl Reverse {
    /// What a name in lower case stands for, if it is one that ends so
    pub(super) fn read(name: &str) -> Option<Self> {
        let numbers = name.strip_suffix(".in-addr.arpa")?;
        let mut reverse = Self {
            octets: [0; 4],
            known: 0,
            more: false,
        };
        for label in numbers.rsplit('.') {
            let number = label
                .parse::<u8>()
                .ok()
                .filter(|number| number.to_string() == label);
            match (number, reverse.octets.get_mut(usize::from(reverse.known))) {
                (Some(number), Some(octet)) => {
                    *octet = number;
                    reverse.known = reverse.known.saturating_add(1);
                }
                (None, _) | (_, None) => {
                    reverse.more = true;
                    break;
                }
            }
        }
        Some(reverse)
    }

    /// The address, if it is the name of a whole one
    pub(super) fn address(self) -> Option<Ipv4Addr> {
        (self.known == 4 && !self.more).then(|| self.octets.into())
    }

    /// Whether it is a name that those of addresses are below of
    pub(super) const fn is_between(self) -> bool {
        self.known < 4 && !self.more
    }

    /// How many labels the name has of what is all in one of the networks, if it is in one: as few as end
    /// between two numbers
    pub(super) fn authority(self, networks: &[Ipv4Network]) -> Option<usize> {
        let holds = |network: &&Ipv4Network| {
            network.prefix() <= self.known.saturating_mul(8) && network.contains(self.octets.into())
        };
        let widest = networks
            .iter()
            .filter(holds)
            .map(|network| network.prefix())
            .min()?;
        Some(usize::from(widest.div_ceil(8).max(1)).saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_backwards_and_only_as_they_are_written() {
        let read = |name: &str| Reverse::read(name).map(|reverse| (reverse.address(), reverse.is_between()));
        assert_eq!(
            read("1.0.32.10.in-addr.arpa"),
            Some((Some([10, 32, 0, 1].into()), false))
        );
        assert_eq!(read("32.10.in-addr.arpa"), Some((None, true)));
        for rest in [
            "x.1.0.32.10",
            "01.0.32.10",
            "256.0.32.10",
            "+1.0.32.10",
            "x.32.10",
            ".0.32.10",
        ] {
            assert_eq!(
                read(&format!("{rest}.in-addr.arpa")),
                Some((None, false)),
                "{rest}"
            );
        }
        assert_eq!(read("in-addr.arpa"), None);
        assert_eq!(read("1.0.32.10.ip6.arpa"), None);
    }

    #[test]
    fn the_authority_is_as_wide_as_fits_in_the_network() {
        let networks = ["10.32.0.0/12", "192.0.2.128/25", "10.32.7.0/24"].map(|text| text.parse().unwrap());
        let authority = |name: &str| {
            let reverse = Reverse::read(&format!("{name}.in-addr.arpa")).unwrap();
            reverse.authority(&networks)
        };
        assert_eq!(authority("1.7.32.10"), Some(4));
        assert_eq!(authority("x.1.7.47.10"), Some(4));
        assert_eq!(authority("32.10"), Some(4));
        assert_eq!(authority("1.7.48.10"), None);
        assert_eq!(authority("10"), None);
        assert_eq!(authority("129.2.0.192"), Some(6));
        assert_eq!(authority("1.2.0.192"), None);
        assert_eq!(authority("2.0.192"), None);
    }
}
