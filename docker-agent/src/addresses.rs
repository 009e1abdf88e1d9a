//! Which addresses a container asks for, in text.

use api::{AddressSpec, AddressSpecError, AddressSpecs};

/// Addresses separated by blanks; none is one of the default subnet
pub(crate) fn specs(text: &str) -> Result<AddressSpecs, AddressSpecError> {
    let mut specs = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<AddressSpec>, _>>()?;
    if specs.is_empty() {
        specs.push(AddressSpec::DefaultSubnet);
    }
    AddressSpecs::try_from(specs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_separated_by_blanks_and_none_is_the_default() {
        for (text, count) in [
            ("", 1),
            ("  ", 1),
            ("10.2.1.2/24", 1),
            ("10.2.1.2/24  net:default", 2),
        ] {
            assert_eq!(specs(text).unwrap().len(), count, "{text:?}");
        }
        assert_eq!(specs("").unwrap().first(), Some(&AddressSpec::DefaultSubnet));
    }

    #[test]
    fn a_mistake_is_named() {
        let error = specs("10.2.1.2/24 net:10.2.1.1/24").unwrap_err().to_string();
        assert!(error.contains("10.2.1.1/24"), "{error}");
    }
}
