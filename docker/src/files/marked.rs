//! What was put into a text, marked so that it can be taken out.

/// What comes before it
const BEGIN: &str = "# begin: by weavectl attach";
/// What comes behind it
const END: &str = "# end: by weavectl attach";
/// What a line begins with that is set aside
const ASIDE: &str = "# weavectl attach set aside: ";

/// The text as it was before anything was put in
pub fn undone(text: &str) -> String {
    parts(text).1
}

/// The lines that were put in
pub(super) fn inside(text: &str) -> Vec<&str> {
    parts(text).0
}

/// A text with these lines before all others, and without those that are to be set aside; what was put in before
/// is gone
pub(super) fn put(text: &str, lines: &[String], is_aside: impl Fn(&str) -> bool) -> String {
    let text = undone(text);
    if lines.is_empty() {
        return text;
    }
    let mut whole = format!("{BEGIN}\n");
    for line in lines {
        whole.push_str(line);
        whole.push('\n');
    }
    whole.push_str(END);
    whole.push('\n');
    for line in text.split_inclusive('\n') {
        if is_aside(line.trim_end()) {
            whole.push_str(ASIDE);
        }
        whole.push_str(line);
    }
    whole
}

/// What was put in, and the text without it and without any mark
fn parts(text: &str) -> (Vec<&str>, String) {
    let (mut inside, mut rest) = (Vec::new(), String::new());
    let mut lines = text
        .split_inclusive('\n')
        .map(|line| line.trim_start_matches(ASIDE));
    while let Some(line) = lines.next() {
        match line.trim_end() {
            BEGIN => {
                // One whose end is missing was changed by somebody else: then nothing says what is ours.
                let is_end = |line: &str| line.trim_end() == END;
                if let Some(count) = lines.clone().position(is_end) {
                    inside.extend(lines.by_ref().take(count).map(str::trim_end));
                }
            }
            END => {}
            _other => rest.push_str(line),
        }
    }
    (inside, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_in_is_taken_out(text in any_text(), lines in prop::collection::vec("[a-z.]{1,9}", 0..4)) {
            let once = put(&text, &lines, |line| line.starts_with('a'));
            prop_assert_eq!(undone(&once), text);
            prop_assert_eq!(put(&once, &lines, |line| line.starts_with('a')), once.clone());
            prop_assert_eq!(inside(&once), lines);
        }

        #[test]
        fn a_text_that_others_have_damaged_has_no_mark_once_it_is_undone(text in any_damaged()) {
            let whole = undone(&text);
            prop_assert_eq!(undone(&whole), whole.clone());
            prop_assert_eq!(undone(&put(&whole, &["x".to_owned()], |line| line == "a")), whole);
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        "([ab \t#]{0,5}\n){0,5}[ab#\r]{0,5}"
    }

    fn any_damaged() -> impl Strategy<Value = String> {
        let line = prop_oneof![Just(BEGIN), Just(END), Just(ASIDE), Just("a"), Just("")];
        prop::collection::vec((line, prop_oneof![Just("\n"), Just("\r\n"), Just("")]), 0..8)
            .prop_map(|lines| lines.into_iter().flat_map(|(line, end)| [line, end]).collect())
    }
}
