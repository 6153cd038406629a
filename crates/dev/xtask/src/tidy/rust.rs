//! Rules for Rust files.

use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::Visit;

use super::Finding;
use super::text::is_long_mark;

/// Longest function, in lines.
const MAX_FUNCTION_LINES: usize = 70;

/// Getters with these names follow the collections of the standard library.
const ALLOWED_GETTERS: &[&str] =
    &["get_mut", "get_ref", "get_str", "get_all", "get_or_insert_with"];

pub(crate) fn check(path: &Path, text: &str) -> Vec<Finding> {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => return vec![Finding::new(error.span().start().line, "not valid Rust")],
    };
    let mut visitor = Visitor {
        lines: text.lines().collect(),
        is_test: is_test_file(path),
        findings: Vec::new(),
    };
    visitor.check_file(path, &file);
    visitor.visit_file(&file);
    visitor.findings
}

/// `tests.rs` and everything under a folder `tests`.
fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

struct Visitor<'a> {
    lines: Vec<&'a str>,
    is_test: bool,
    findings: Vec<Finding>,
}

impl Visitor<'_> {
    fn find(&mut self, line: usize, what: impl Into<String>) {
        self.findings.push(Finding::new(line, what));
    }

    fn check_file(&mut self, path: &Path, file: &syn::File) {
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            self.find(0, "a module file is named after its module, not mod.rs");
        }
        if path.file_stem().is_some_and(|name| name == "prelude") {
            self.find(0, "there is no prelude: one path per name");
        }
        let has_doc = file.attrs.iter().any(|attribute| {
            attribute.path().is_ident("doc") && matches!(attribute.style, syn::AttrStyle::Inner(_))
        });
        if !has_doc && !self.is_test {
            self.find(1, "the module has no `//!` doc");
        }
    }

    fn check_function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let name = signature.ident.to_string();
        let first = signature.span().start().line;
        let last = block.span().end().line;
        let length = last + 1 - first;
        if length > MAX_FUNCTION_LINES && !self.is_long_for_a_reason(first) {
            self.find(
                first,
                format!("{name} has {length} lines; {MAX_FUNCTION_LINES} are allowed"),
            );
        }
        if name.starts_with("get_") && !ALLOWED_GETTERS.contains(&name.as_str()) {
            self.find(first, format!("{name}: getters are named after what they give"));
        }
    }

    /// Whether the comments and attributes right above line `first`, or the lines of the signature,
    /// hold a mark.
    fn is_long_for_a_reason(&self, first: usize) -> bool {
        let above = self.lines[..first.saturating_sub(1)].iter().rev();
        let above = above.take_while(|line| line.trim_start().starts_with(['/', '#']));
        let below = self.lines[first.saturating_sub(1)..].iter().take(2);
        above.chain(below).any(|line| is_long_mark(line))
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check_function(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check_function(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.check_function(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }

    /// Inline test modules count as test code.
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let was_test = self.is_test;
        self.is_test |= item.ident == "tests";
        syn::visit::visit_item_mod(self, item);
        self.is_test = was_test;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_parent = matches!(
            &item.tree,
            syn::UseTree::Path(path)
                if path.ident == "super" && matches!(*path.tree, syn::UseTree::Glob(_))
        );
        // The macros of proptest need its prelude; only tests can name that crate.
        let is_proptest = matches!(
            &item.tree, syn::UseTree::Path(path) if path.ident == "proptest"
        );
        if has_glob(&item.tree) && !(is_parent && self.is_test) && !is_proptest {
            self.find(item.span().start().line, "a glob import hides where names come from");
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let line = attribute.span().start().line;
        let is_exception =
            attribute.path().is_ident("allow") || attribute.path().is_ident("expect");
        if let syn::Meta::List(list) = &attribute.meta
            && is_exception
            && !list.tokens.to_string().contains("reason")
        {
            self.find(line, "an exception from a lint says `reason = \"...\"`");
        }
        if attribute.path().is_ident("ignore") && matches!(attribute.meta, syn::Meta::Path(_)) {
            self.find(line, "an ignored test says why");
        }
    }
}

fn has_glob(tree: &syn::UseTree) -> bool {
    match tree {
        syn::UseTree::Glob(_) => true,
        syn::UseTree::Path(path) => has_glob(&path.tree),
        syn::UseTree::Group(group) => group.items.iter().any(has_glob),
        syn::UseTree::Name(_) | syn::UseTree::Rename(_) => false,
    }
}
