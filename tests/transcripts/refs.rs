//! The refs of presences, which differ from run to run.

/// Those seen, in the order of their first appearance: a ref that is told again must be the same again.
#[derive(Debug, Default)]
pub(crate) struct Refs(Vec<String>);

impl Refs {
    /// The text with a number in the place of each ref. Two texts told as the same are the same but for their refs.
    pub(crate) fn named(&mut self, text: &str) -> String {
        let mut parts = text.split("phx_ref");
        let mut named = parts.next().unwrap().to_owned();
        for part in parts {
            let start = part.find(':').unwrap() + 1;
            let (before, quoted) = part.split_at(start + part[start..].find('"').unwrap() + 1);
            let (reference, rest) = quoted.split_at(quoted.find(|c: char| !is_of_a_ref(c)).unwrap());
            assert_eq!(reference.len(), 16, "{text}");
            let known = self.0.iter().position(|known| known == reference);
            let number = known.unwrap_or_else(|| {
                self.0.push(reference.to_owned());
                self.0.len() - 1
            });
            named += &format!("phx_ref{before}#{number}{rest}");
        }
        named
    }
}

fn is_of_a_ref(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_".contains(character)
}
