//! The keys on the server. The braces make them one slot of a cluster, as scripts need it.

/// The keys of one pool.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    /// Whose turn it is, by when the last one was: a sorted set.
    pub(super) turns: String,
    /// How many turns there were, where the time is given.
    pub(super) number: String,
    /// What is known, by subject: a hash.
    pub(super) facts: String,
    /// When each of these is forgotten: a sorted set.
    pub(super) ends: String,
    /// What changed: a stream.
    pub(super) changes: String,
    /// Something that is there as long as the server has not forgotten everything.
    pub(super) mark: String,
}

impl Keys {
    pub(super) fn new(pool: &str) -> Self {
        // Braces of its own would end the part that decides about the slot.
        let name = pool.replace(['{', '}'], "_");
        let prefix = format!("{{flowgate:{name}}}");
        Self {
            facts: format!("{prefix}:f"),
            ends: format!("{prefix}:e"),
            changes: format!("{prefix}:ev"),
            mark: format!("{prefix}:id"),
            turns: format!("{prefix}:t"),
            number: format!("{prefix}:tn"),
            prefix,
        }
    }

    /// The lease of a subject.
    pub(super) fn lease(&self, subject: &str) -> String {
        format!("{}:l:{subject}", self.prefix)
    }

    /// The bucket of an account or a group.
    pub(super) fn bucket(&self, name: &str) -> String {
        format!("{}:b:{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_pool_are_in_one_slot() {
        let keys = Keys::new("team {a}");
        for key in [
            &keys.facts,
            &keys.ends,
            &keys.changes,
            &keys.mark,
            &keys.lease("a{b}"),
            &keys.bucket("x"),
        ] {
            assert!(key.starts_with("{flowgate:team _a_}:"), "{key}");
        }
    }
}
