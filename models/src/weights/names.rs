//! From the names in a published file to ours, and which tensors a model of this shape has no use for.

/// Rules applied to each name of a file, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameMap {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Move(String, String),
    Replace(String, String),
    Skip(String),
    SkipFrom(String, usize),
}

impl NameMap {
    /// Names as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `prefix` off names that begin with it.
    pub fn strip(self, prefix: &str) -> Self {
        self.rename(prefix, "")
    }

    /// Writes `to` for `from` in names that begin with it.
    pub fn rename(mut self, from: &str, to: &str) -> Self {
        self.rules.push(Rule::Move(from.to_owned(), to.to_owned()));
        self
    }

    /// Writes `to` for `from` wherever it occurs.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        self.rules.push(Rule::Replace(from.to_owned(), to.to_owned()));
        self
    }

    /// Reads the weight norm of the module whose name ends in `module` in either of PyTorch's spellings, as the older:
    /// `weight_g` the lengths, `weight_v` the direction.
    pub fn weight_norm(self, module: &str) -> Self {
        let newer = |n| format!("{module}.parametrizations.weight.original{n}");
        self.replace(&newer(0), &format!("{module}.weight_g"))
            .replace(&newer(1), &format!("{module}.weight_v"))
    }

    /// Leaves out names that begin with `prefix`: the report lists them as skipped, not as extra.
    pub fn skip(mut self, prefix: &str) -> Self {
        self.rules.push(Rule::Skip(prefix.to_owned()));
        self
    }

    /// Leaves out the layers `prefix<n>.` with n at or above `first`: a model cut to its first layers.
    pub fn skip_from(mut self, prefix: &str, first: usize) -> Self {
        self.rules.push(Rule::SkipFrom(prefix.to_owned(), first));
        self
    }

    /// Our name for a tensor of a file; `None` when it is left out.
    pub fn apply(&self, name: &str) -> Option<String> {
        let mut name = name.to_owned();
        for rule in &self.rules {
            match rule {
                Rule::Move(from, to) => {
                    if let Some(rest) = name.strip_prefix(from.as_str()) {
                        name = format!("{to}{rest}");
                    }
                }
                Rule::Replace(from, to) => name = name.replace(from.as_str(), to),
                Rule::Skip(prefix) if name.starts_with(prefix.as_str()) => return None,
                Rule::SkipFrom(prefix, first) if layer(&name, prefix) >= Some(*first) => {
                    return None;
                }
                Rule::Skip(_) | Rule::SkipFrom(..) => {}
            }
        }
        Some(name)
    }
}

fn layer(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_apply_in_order_and_layers_above_the_depth_are_left_out() {
        let map = NameMap::new()
            .strip("model.")
            .weight_norm("conv")
            .skip("quantizer")
            .skip_from("layers.", 6);
        assert_eq!(map.apply("model.layers.5.w").as_deref(), Some("layers.5.w"));
        assert_eq!(map.apply("model.layers.10.w"), None);
        assert_eq!(map.apply("layers.6.w"), None);
        assert_eq!(map.apply("layers.x.w").as_deref(), Some("layers.x.w"));
        assert_eq!(map.apply("model.quantizer_0.codebook"), None);
        let g = map.apply("model.conv.parametrizations.weight.original0");
        assert_eq!(g.as_deref(), Some("conv.weight_g"));
        assert_eq!(map.apply("conv.weight_v").as_deref(), Some("conv.weight_v"));
    }
}
